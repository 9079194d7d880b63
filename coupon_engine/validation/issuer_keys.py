"""The keys that sign coupons: made, locked away, opened once, shown to the world."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm

EVERY_CAMPAIGN = range(2**40)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """One key of one operator, with the limits within which its signature counts.

    Build it once and keep it: opening a key costs as much as using it.
    """

    letter: str  # A to Z: how a code names the key
    kid: str
    issuer: str  # the operator's address, such as https://coupons.example/acme
    public: PyJWK
    valid_from: datetime
    valid_until: datetime | None = None  # None: not retired yet
    campaigns: range = EVERY_CAMPAIGN
    private: EllipticCurvePrivateKey | None = field(default=None, repr=False)

    def is_valid(self, now: datetime) -> bool:
        return self.valid_from <= now and (self.valid_until is None or now < self.valid_until)


KeyRing = Mapping[str, IssuerKey]
"""One operator's keys by letter."""


def key_ring(keys: Iterable[IssuerKey]) -> KeyRing:
    """Return these keys by letter.

    Raises:
        ValueError: They are not one operator's, or share a letter or an id.
    """
    every = tuple(keys)
    if len({key.issuer for key in every}) > 1:
        raise ValueError("a key ring belongs to one operator")
    if len({key.letter for key in every}) < len(every) or len({key.kid for key in every}) < len(
        every
    ):
        raise ValueError("two keys share a letter or an id")
    return MappingProxyType({key.letter: key for key in every})


def new_private_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def locked(private: EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """Return the key as an encrypted PKCS#8 PEM, as it may lie on a disk or in a row."""
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )


def unlocked(pem: bytes, passphrase: bytes) -> EllipticCurvePrivateKey:
    """Open a locked key. Slow on purpose: do it when a process starts, not when a coupon is signed.

    Raises:
        ValueError: Another passphrase, or not a P-256 key.
    """
    private = load_pem_private_key(pem, passphrase)
    if not isinstance(private, EllipticCurvePrivateKey) or not _is_p256(private):
        raise ValueError("not a P-256 key")
    return private


def public_jwk(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> dict[str, Any]:
    """Return the public half as the world may see it; its `kid` is the thumbprint."""
    public = key.public_key() if isinstance(key, EllipticCurvePrivateKey) else key
    if not _is_p256(public):
        raise ValueError("not a P-256 key")
    jwk = ECAlgorithm.to_jwk(public, as_dict=True)
    return {**jwk, "kid": thumbprint(jwk), "alg": "ES256", "use": "sig"}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Name a public key by its own contents. Source: RFC 7638, section 3."""
    needed = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(needed, separators=(",", ":")).encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def issuer_key(
    jwk: Mapping[str, Any],
    *,
    letter: str,
    issuer: str,
    valid_from: datetime,
    valid_until: datetime | None = None,
    campaigns: range = EVERY_CAMPAIGN,
    private: EllipticCurvePrivateKey | None = None,
) -> IssuerKey:
    """Make a key ready for use from its public JWK; with `private` it can sign as well."""
    if len(letter) != 1 or not "A" <= letter <= "Z":
        raise ValueError("a key's letter is one of A to Z")
    return IssuerKey(
        letter=letter,
        kid=jwk["kid"],
        issuer=issuer,
        public=PyJWK(dict(jwk), "ES256"),
        valid_from=valid_from,
        valid_until=valid_until,
        campaigns=campaigns,
        private=private,
    )


def jwks(keys: Iterable[IssuerKey]) -> dict[str, list[dict[str, Any]]]:
    """Return the document for `/.well-known/jwks.json`: public halves only."""
    return {"keys": [{**public_jwk(key.public.key), "kid": key.kid} for key in keys]}


def _is_p256(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> bool:
    return isinstance(key.curve, SECP256R1)
