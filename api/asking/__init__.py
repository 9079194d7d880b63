"""Who asks, and what they may: credentials, the table of rights, limits for floods and guesses."""
