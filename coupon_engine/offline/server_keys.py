"""The key with which an operator's server speaks to its terminals.

It signs bundles, status lists and acknowledgements, and never a coupon: whoever stole it could
mislead terminals, but make nothing that is worth money. A terminal learns its public half when it
is paired, and believes no other.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.operators import in_turn
from coupon_engine.tables import ServerKey
from coupon_engine.validation.issuer_keys import locked, new_private_key, public_jwk, unlocked


@dataclass(frozen=True, slots=True)
class ServerKeyPair:
    """An operator's server key, opened."""

    kid: str
    public_jwk: dict[str, Any]
    private: EllipticCurvePrivateKey = field(repr=False)


def in_use(
    session: Session, operator_id: UUID, *, passphrase: bytes, now: datetime
) -> ServerKeyPair:
    """Return the operator's server key, making it when it is first needed."""
    key = _row(session, operator_id)
    if key is None:
        in_turn(session, operator_id)  # two who need it first must not make two
        key = _row(session, operator_id) or _made(session, operator_id, passphrase, now)
    assert key.private_pem is not None
    return ServerKeyPair(key.kid, key.public_jwk, _opened(key.private_pem, passphrase))


def public(
    session: Session, operator_id: UUID, *, passphrase: bytes, now: datetime
) -> dict[str, Any]:
    """Return the public half as a JWK: what a terminal is told when it is paired."""
    return in_use(session, operator_id, passphrase=passphrase, now=now).public_jwk


def _row(session: Session, operator_id: UUID) -> ServerKey | None:
    return session.exec(
        select(ServerKey).where(
            col(ServerKey.operator_id) == operator_id, col(ServerKey.retired_at).is_(None)
        )
    ).one_or_none()


def _made(session: Session, operator_id: UUID, passphrase: bytes, now: datetime) -> ServerKey:
    private = new_private_key()
    jwk = public_jwk(private)
    key = ServerKey(
        operator_id=operator_id,
        kid=jwk["kid"],
        public_jwk=jwk,
        private_pem=locked(private, passphrase),
        created_at=now,
    )
    session.add(key)
    events.note(
        session,
        events.happened(
            "server_key_made",
            operator_id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={"kid": key.kid},
        ),
    )
    return key


# To open a key is slow on purpose, and every terminal asks for something signed every minute.
@lru_cache(maxsize=1_000)
def _opened(pem: bytes, passphrase: bytes) -> EllipticCurvePrivateKey:
    return unlocked(pem, passphrase)
