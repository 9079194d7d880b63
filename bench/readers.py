"""Everything that reads what a stranger sends, each with true examples of it, for `bench.fuzz`."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import ValidationError

from coupon_engine.validation import status_lists, token
from coupon_engine.validation.issuer_keys import issuer_key, key_ring, new_private_key, public_jwk
from coupon_engine.validation.showing import shown
from coupon_engine.validation.token_refused import TokenRefused
from schemas.campaigns import Level
from schemas.coupons import HolderKey
from schemas.journals import FIRST_PREV, Entry
from schemas.offline import Bundle, Changed, StatusListClaims
from schemas.terminals import pairing_text, read_pairing_text
from schemas.token import ANYWHERE, CouponFields, Policy

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PEPPER = b"keys the short codes of a bench only"
PRIVATE, PHONE = new_private_key(), new_private_key()
RING = key_ring(
    [
        issuer_key(
            public_jwk(PRIVATE),
            letter="A",
            issuer="https://coupons.example/acme",
            valid_from=NOW - timedelta(days=1),
            private=PRIVATE,
        )
    ]
)
SIGNER = RING["A"].public
COUPON = UUID("0195a5c0-0000-7000-8000-000000000001")


class Broken(Exception):
    """A reader has taken what nobody signed."""


@dataclass(frozen=True)
class Target:
    """One reader, with true examples of what it reads."""

    read: Callable[[bytes], None]
    examples: Callable[[], Iterator[bytes]]


def _code(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = shown(text, RING, pepper=PEPPER, challenge=None, now=NOW)
    if found.coupon_id not in (None, COUPON):
        raise Broken


def _entry(data: bytes) -> None:
    """Whoever has a terminal's key can sign whatever they like."""
    with suppress(TokenRefused, ValidationError):
        Entry.model_validate(token.verify_typed(_signed(data), SIGNER, token.Typ.JOURNAL))


def _unsigned(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for typ in token.Typ:
        try:
            token.verify_typed(text, SIGNER, typ)
        except TokenRefused:
            continue
        if text not in _SIGNED:
            raise Broken


def _bundle(data: bytes) -> None:
    for kind in (Bundle, StatusListClaims):
        with suppress(ValidationError):
            kind.model_validate_json(data)


def _list(data: bytes) -> None:
    text = data.decode("ascii", "replace")
    bits = status_lists.empty()[:4_096]
    with suppress(ValueError):
        status_lists.unpack(text, most_bytes=4_096)
    with suppress(ValueError):
        status_lists.apply(bits, Changed(set=text, cleared=""))


def _pairing(data: bytes) -> None:
    try:
        secret, url = read_pairing_text(data.decode("utf-8", "replace"))
    except ValueError:
        return
    if read_pairing_text(pairing_text(secret, url)) != (secret, url):
        raise Broken


def _planted(data: bytes) -> None:
    """A reader with a mistake that only growing inputs find: it shows that the others have none."""
    for place, letter in enumerate(b"CP3"):
        if data[place : place + 1] != bytes([letter]):
            return
    raise Broken


def _codes() -> Iterator[bytes]:
    static = _fields(Policy())
    jwt = token.sign(static, RING["A"])
    yield token.coupon_text(static, token.signature_of(jwt), "A").encode()
    yield jwt.encode()
    jwk = public_jwk(PHONE)
    key = token.compressed(HolderKey(x=jwk["x"], y=jwk["y"]))
    bound = _fields(Policy(level=Level.HOLDER_SIGNED), holder_key=key)
    jwt = token.sign(bound, RING["A"])
    head = token.head(bound)
    yield token.presentation_text(jwt, head, "A", PHONE, at=NOW, audience=ANYWHERE).encode()
    yield b"7K3M-9QRT-W2X8"


def _entries() -> Iterator[bytes]:
    entry = {
        "dev": str(COUPON),
        "seq": 1,
        "prev": FIRST_PREV,
        "ts": 1_772_452_800_000,
        "t_min": 1_772_452_800_000,
        "kind": "redeemed",
        "mode": "offline",
        "ver": 1,
        "store": str(COUPON),
        "basket": {"currency": "EUR", "lines": [{"quantity": 1, "unit_price_minor": 150}]},
    }
    yield json.dumps(entry).encode()


def _documents() -> Iterator[bytes]:
    yield from (signed.encode() for signed in _SIGNED)


def _bundles() -> Iterator[bytes]:
    yield json.dumps(dict.fromkeys(Bundle.model_fields, 1)).encode()
    yield json.dumps(dict.fromkeys(StatusListClaims.model_fields, 1)).encode()


def _lists() -> Iterator[bytes]:
    yield status_lists.pack(status_lists.empty()[:4_096]).encode()
    yield status_lists.gaps_encoded(range(0, 30_000, 97)).encode()


def _pictures() -> Iterator[bytes]:
    yield pairing_text("A" * 26, "https://coupons.example.com/a%20b").encode()


def _fields(policy: Policy, **more: Any) -> CouponFields:
    second = int(NOW.timestamp())
    return CouponFields(
        jti=COUPON.bytes,
        cmp=7,
        nbf=second - 60,
        exp=second + 86_400,
        off=policy.pack(),
        sto=0,
        idx=12,
        **more,
    )


def _signed(payload: bytes) -> str:
    header = _b64(b'{"alg":"ES256","typ":"journal+jwt"}')
    text = f"{header}.{_b64(payload)}"
    r, s = decode_dss_signature(PRIVATE.sign(text.encode(), ECDSA(SHA256())))
    return f"{text}.{_b64(r.to_bytes(32) + s.to_bytes(32))}"


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_SIGNED = [
    token.sign_typed(dict.fromkeys(("dev", "seq", "prev", "ts"), 1), PRIVATE, token.Typ.JOURNAL),
    token.sign_typed(dict.fromkeys(("ver", "iat", "exp"), 1), PRIVATE, token.Typ.BUNDLE),
]
TARGETS: Mapping[str, Target] = {
    "code": Target(_code, _codes),
    "entry": Target(_entry, _entries),
    "document": Target(_unsigned, _documents),
    "bundle": Target(_bundle, _bundles),
    "list": Target(_list, _lists),
    "pairing": Target(_pairing, _pictures),
}
PLANTED = {"planted": Target(_planted, lambda: iter([b"COUPON"]))}
