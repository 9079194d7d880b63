"""Secrets that we make: 256 random bits, shown once, kept as a hash."""

import secrets
from hashlib import sha256


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """Return what finds the row again. A random secret needs no slow hash."""
    return sha256(secret.encode()).digest()
