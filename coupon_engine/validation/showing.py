"""From the text at a counter to the coupon it names: QR code, JWT or short code alike."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from coupon_engine.validation import short_code
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.token import Token, read, read_jwt
from coupon_engine.validation.token_refused import TokenRefused
from schemas.refusals import Why
from schemas.token import ANYWHERE


@dataclass(frozen=True, slots=True)
class Shown:
    """What a text turned out to be, before the record is asked.

    Exactly one of `coupon_id`, `code_hash` and `refused` says what is known.
    """

    coupon_id: UUID | None = None
    code_hash: bytes | None = None
    refused: Why | None = None
    campaign_number: int | None = None
    position: int | None = None
    holder_key: bytes | None = None
    evidence: str | None = None


def shown(
    text: str, keys: KeyRing, *, pepper: bytes, challenge: str | None, now: datetime
) -> Shown:
    """Read a text with every signature checked. Never raises: a no is a fact like any other."""
    text = text.strip()  # a wedge scanner ends with a newline; no code of ours begins or ends blank
    if short_code.is_short_code(text):
        code = short_code.normalise(text)
        return Shown(code_hash=short_code.fingerprint(code, pepper))
    try:
        token = _token(text, keys, challenge=challenge, now=now)
    except TokenRefused as refused:
        return Shown(refused=Why(refused.code))
    return Shown(
        coupon_id=token.coupon_id,
        campaign_number=token.fields.cmp,
        position=token.fields.idx,
        holder_key=token.fields.holder_key,
        evidence=token.presentation,
    )


def _token(text: str, keys: KeyRing, *, challenge: str | None, now: datetime) -> Token:
    if text.startswith("eyJ"):  # every JWT begins so; no QR text of ours does
        return read_jwt(text, keys, now=now)
    return read(text, keys, now=now, audiences=(ANYWHERE,), nonce=challenge or "")
