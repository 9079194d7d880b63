"""The operator's signing keys: published before they are used, verified long after.

    published -> in_use -> verify_only -> retired

A terminal that was offline since yesterday must know a key before it meets the first coupon signed
with it, so a key is published at least twice the longest lease before its use.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.answers import answered
from coupon_engine.errors import KeyTooYoung, MoveNotAllowed, NoFreeLetter, Unknown
from coupon_engine.operators import in_turn
from coupon_engine.tables import Operator, ServerKey, SigningKey
from coupon_engine.validation.issuer_keys import (
    KeyRing,
    issuer_key,
    key_ring,
    new_private_key,
    public_jwk,
    unlocked,
)
from coupon_engine.validation.issuer_keys import locked as locked_away
from schemas.keys import KeyMove, KeyState, KeyView, NewKey, NewKeyMove

NOTICE = timedelta(hours=48)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

S = KeyState
MOVES: Mapping[KeyState, Mapping[KeyMove, KeyState]] = {
    S.PUBLISHED: {KeyMove.USE: S.IN_USE, KeyMove.RETIRE: S.RETIRED},
    S.IN_USE: {KeyMove.STOP: S.VERIFY_ONLY},
    S.VERIFY_ONLY: {KeyMove.USE: S.IN_USE, KeyMove.RETIRE: S.RETIRED},
    S.RETIRED: {},
}


@answered(KeyView)
def publish(
    session: Session,
    operator_id: UUID,
    request: NewKey,
    *,
    passphrase: bytes,
    now: datetime,
) -> KeyView:
    """Make a key under the next free letter. Nothing is signed with it yet.

    Raises:
        NoFreeLetter: All 26 are taken by keys that are not retired.
    """
    in_turn(session, operator_id)  # two who publish at once would want the same letter
    taken = {each.letter for each in _keys(session, operator_id) if each.decided != S.RETIRED}
    letter = next((letter for letter in _LETTERS if letter not in taken), None)
    if letter is None:
        raise NoFreeLetter
    private = new_private_key()
    jwk = public_jwk(private)
    key = SigningKey(
        operator_id=operator_id,
        kid=jwk["kid"],
        letter=letter,
        decided=S.PUBLISHED,
        public_jwk=jwk,
        private_pem=locked_away(private, passphrase),
        published_at=now,
    )
    session.add(key)
    _tell(session, "key_published", key, request.id, now, {})
    return _view(key)


@answered(KeyView)
def decide_key(
    session: Session, operator_id: UUID, request: NewKeyMove, *, now: datetime
) -> KeyView:
    """Take a key into use, stop signing with it, or retire it.

    Taking one into use lets the one before it only verify from then on. Retiring destroys the
    private half, and every coupon the key has signed is refused from then on.

    Raises:
        Unknown: No such key.
        MoveNotAllowed: Not from the state in which it is.
        KeyTooYoung: It was published too recently for every terminal to know it. The very first
            key of an operator may be used at once: no terminal waits for another one.
    """
    keys = _keys(session, operator_id, for_update=True)
    key = next((each for each in keys if each.kid == request.kid), None)
    if key is None:
        raise Unknown("signing_key", request.kid)
    decided = KeyState(key.decided)
    target = MOVES[decided].get(request.move)
    if target is None:
        raise MoveNotAllowed(state=decided, move=request.move, allowed=sorted(MOVES[decided]))
    if request.move is KeyMove.USE:
        _take_into_use(session, key, keys, is_urgent=request.is_urgent, now=now)
    elif request.move is KeyMove.STOP:
        key.used_until = now
    else:
        key.retired_at = now
        key.private_pem = None
    key.decided = target
    session.add(key)
    data = {"move": request.move, "reason": request.reason, "from": decided, "to": target}
    _tell(session, "key_decided", key, request.id, now, data)
    return _view(key)


def key_views(session: Session, operator_id: UUID) -> list[KeyView]:
    return [_view(key) for key in _keys(session, operator_id)]


def ring(session: Session, operator_id: UUID, *, issuer_url: str, passphrase: bytes) -> KeyRing:
    """Return the operator's keys, opened: slow on purpose, so keep what you get for a while.

    Only the key in use comes with its private half.
    """
    operator = session.get(Operator, operator_id)
    if operator is None:
        raise Unknown("operator", operator_id)
    return key_ring(
        issuer_key(
            key.public_jwk,
            letter=key.letter,
            issuer=f"{issuer_url}/{operator.slug}",
            valid_from=key.published_at,
            private=unlocked(key.private_pem, passphrase)
            if key.decided == S.IN_USE and key.private_pem
            else None,
        )
        for key in _keys(session, operator_id)
        if key.decided != S.RETIRED
    )


def jwks(session: Session) -> dict[str, list[dict[str, Any]]]:
    """Return every operator's public keys that still verify, as RFC 7517 wants them.

    Those of servers, which sign lists and never a coupon, come last.
    """
    signing = session.exec(
        select(SigningKey)
        .where(col(SigningKey.decided) != S.RETIRED)
        .order_by(col(SigningKey.operator_id), col(SigningKey.letter))
    )
    of_servers = session.exec(
        select(ServerKey)
        .where(col(ServerKey.retired_at).is_(None))
        .order_by(col(ServerKey.operator_id))
    )
    return {"keys": [key.public_jwk for key in (*signing, *of_servers)]}


def _take_into_use(
    session: Session,
    key: SigningKey,
    keys: list[SigningKey],
    *,
    is_urgent: bool,
    now: datetime,
) -> None:
    has_others = any(each.used_from for each in keys if each is not key)
    if has_others and not is_urgent and now < key.published_at + NOTICE:
        raise KeyTooYoung(usable_from=(key.published_at + NOTICE).isoformat())
    for other in keys:
        if other.decided == S.IN_USE:
            other.decided = S.VERIFY_ONLY
            other.used_until = now
            session.add(other)
    session.flush()  # never two keys in use, not even between two statements
    key.used_from, key.used_until = now, None


def _keys(session: Session, operator_id: UUID, *, for_update: bool = False) -> list[SigningKey]:
    query = (
        select(SigningKey)
        .where(col(SigningKey.operator_id) == operator_id)
        .order_by(col(SigningKey.published_at), col(SigningKey.kid))
    )
    return list(session.exec(query.with_for_update() if for_update else query).all())


def _view(key: SigningKey) -> KeyView:
    return KeyView(
        kid=key.kid,
        letter=key.letter,
        state=KeyState(key.decided),
        public_jwk=key.public_jwk,
        published_at=key.published_at,
        used_from=key.used_from,
        used_until=key.used_until,
        retired_at=key.retired_at,
    )


def _tell(
    session: Session,
    kind: str,
    key: SigningKey,
    request_id: UUID,
    now: datetime,
    data: Mapping[str, Any],
) -> None:
    events.record(
        session,
        events.happened(
            kind,
            request_id,
            operator_id=key.operator_id,
            campaign_id=None,
            at=now,
            data={"kid": key.kid, "letter": key.letter, **data},
        ),
    )
