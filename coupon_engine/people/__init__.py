"""An operator's people: their accounts, how they come in, and how long they stay signed in."""
