"""Secrets and personal data at rest: sealed under one master secret, found by a keyed hash.

A dump of the database alone opens none of them. AES-256-GCM (NIST SP 800-38D) with a random nonce
of 12 bytes in front; `about` is bound to it, so that one row's secret cannot be moved to another.
Keys are derived by HKDF-SHA256 (RFC 5869), one for sealing and one for looking up.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class Spoilt(Exception):
    """What was sealed has been changed, moved, or was sealed under another master secret."""


class Vault:
    """Seals and opens; knows nothing of rows."""

    def __init__(self, sealing_key: bytes, lookup_key: bytes) -> None:
        self._sealing = AESGCM(sealing_key)
        self._lookup_key = lookup_key

    @classmethod
    def under(cls, master: bytes) -> Self:
        return cls(_derived(master, b"seal"), _derived(master, b"look up"))

    def seal(self, plain: bytes, about: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plain, about.encode())

    def unseal(self, sealed: bytes, about: str) -> bytes:
        """Return what was sealed.

        Raises:
            Spoilt: It cannot be opened.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._sealing.decrypt(nonce, rest, about.encode())
        except (InvalidTag, ValueError) as error:
            raise Spoilt from error

    def lookup(self, plain: str, about: str) -> bytes:
        """Return 32 bytes by which the same text is found again, and which tell nothing of it."""
        return hmac.digest(self._lookup_key, f"{about}\n{plain}".encode(), sha256)


def _derived(master: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"counterfoil " + purpose).derive(master)
