"""Ways in for programs: shown once, found by their id, known by a hash.

    cfk_live_ 8 letters: the id _ 32 letters: the secret, 6 letters: a checksum

The beginning can be found by those who look for secrets in the wrong places; the checksum tells a
typo, or an invention, without a look at the record. Keys live by the real clock, in a sandbox too.
"""

import hmac
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID
from zlib import crc32

from sqlalchemy import text
from sqlmodel import Session, select

from coupon_engine import acting, events, sandboxes
from coupon_engine.answers import answered
from coupon_engine.errors import TooManyKeys, Unknown
from coupon_engine.operators import in_turn
from coupon_engine.rows import locked
from coupon_engine.tables import ApiKey, Operator
from schemas.access import Scope
from schemas.api_keys import (
    USUAL_DAYS,
    ApiKeyMade,
    ApiKeyShown,
    ApiKeyView,
    NewApiKey,
    NewApiKeyRevocation,
)
from schemas.ids import new_id

MOST_OF_ONE_NAME = 2  # the one in use, and the one that will replace it
NOTED_EVERY = timedelta(minutes=1)

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM = 6  # a CRC32 in base 62
_SHAPE = re.compile(r"cfk_(live|test)_([0-9A-Za-z]{8})_([0-9A-Za-z]{38})")


@dataclass(frozen=True, slots=True)
class KeyFound:
    """What a key that opens says about whoever shows it."""

    operator_id: UUID
    id: str
    name: str
    scopes: frozenset[Scope]
    is_test: bool
    clock_ahead: timedelta


def presented(text: str) -> str | None:
    """Return the id of what may be a key of ours; the record is not asked."""
    shape = _SHAPE.fullmatch(text)
    is_ours = shape is not None and text.endswith(_checksum(text[:-_CHECKSUM]))
    return shape[2] if shape and is_ours else None


def found(session: Session, text: str, *, now: datetime) -> KeyFound | None:
    """Return whose key this is: unknown, expired, revoked and invented ones look the same.

    The transaction was begun by `acting.on_showing` the key's id. About once a minute it writes
    down that the key is in use.
    """
    id = presented(text)
    row = session.exec(select(ApiKey).where(ApiKey.id == id)).one_or_none() if id else None
    if row is None:
        return None
    # A random secret of 190 bits needs no slow hash.
    is_right = hmac.compare_digest(row.hash, _hash(text))
    if not is_right or not _is_living(row, now):
        return None
    operator = session.get_one(Operator, row.operator_id)
    if row.last_used_at is None or now >= row.last_used_at + NOTED_EVERY:
        acting.enter(session, row.operator_id)
        session.connection().execute(
            _NOTE, {"operator_id": row.operator_id, "id": row.id, "now": now}
        )
    return KeyFound(
        operator_id=row.operator_id,
        id=row.id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes)),
        is_test=operator.sandbox_of is not None,
        clock_ahead=timedelta(seconds=operator.clock_ahead_seconds),
    )


def make_api_key(
    session: Session, operator_id: UUID, request: NewApiKey, *, now: datetime
) -> ApiKeyMade:
    """Make a key, and show it. Asking again with the same id tells of the key, without it.

    Two living keys may share a name, so that a program can change from one to the next: make the
    second, let the program use it, revoke the first.

    Raises:
        RequestReused: This id was used for another request.
        TooManyKeys: Two living keys have this name already.
        Unknown: There is no sandbox to make a key for.
    """
    id, secret = _random(8), _random(32)
    view = _make_api_key(session, operator_id, request, id=id, secret=secret, now=now)
    is_first = view.id == id
    return ApiKeyMade(key=view, api_key=_text(id, secret, view.is_test) if is_first else None)


def create_api_key(
    session: Session,
    operator_id: UUID,
    name: str,
    *,
    scopes: Sequence[Scope] = tuple(Scope),
    days: int = USUAL_DAYS,
    now: datetime,
) -> ApiKeyShown:
    """Make a key at the server's own terminal: of a sandbox too, by the sandbox's own id.

    Raises:
        TooManyKeys: Two living keys have this name already.
        Unknown: No such operator.
    """
    request = NewApiKey(id=new_id(now), name=name, scopes=tuple(scopes), days=days)
    made = make_api_key(session, operator_id, request, now=now)
    assert made.api_key is not None
    return ApiKeyShown(operator_id=operator_id, api_key=made.api_key)


@answered(ApiKeyView)
def revoke(
    session: Session, operator_id: UUID, request: NewApiKeyRevocation, *, now: datetime
) -> ApiKeyView:
    """Close a way in, for good; one of the sandbox as well. Servers forget it within seconds.

    Raises:
        Unknown: This operator has no such key.
    """
    owner_id = _owner_of(session, operator_id, request.key_id)
    with sandboxes.inside(session, owner_id):
        row = locked(session, ApiKey, owner_id, request.key_id)
        before = _view(session, row)
        row.revoked_at = row.revoked_at or now
        session.add(row)
    after = _view(session, row)
    if after != before:
        data = {"reason": request.reason, "before": _told(before), "after": _told(after)}
        _tell(session, "api_key_revoked", operator_id, request.id, row.id, now, data)
    return after


def revoke_api_key(session: Session, operator_id: UUID, id: str, *, now: datetime) -> None:
    """Close a way in at the server's own terminal; twice is once.

    Raises:
        Unknown: This operator has no such key.
    """
    request = NewApiKeyRevocation(id=new_id(now), key_id=id, reason="by hand")
    revoke(session, operator_id, request, now=now)


def api_key_views(session: Session, operator_id: UUID) -> list[ApiKeyView]:
    """Return every key there ever was, the sandbox's as well, oldest first."""
    views: list[ApiKeyView] = []
    for owner_id in _owners(session, operator_id):
        with sandboxes.inside(session, owner_id):
            rows = session.exec(select(ApiKey).where(ApiKey.operator_id == owner_id)).all()
            views += [_view(session, row) for row in rows]
    return sorted(views, key=lambda view: (view.created_at, view.id))


# The answer that is kept has no secret: whoever asks again is told of the key by its id alone.
@answered(ApiKeyView)
def _make_api_key(
    session: Session,
    operator_id: UUID,
    request: NewApiKey,
    *,
    id: str,
    secret: str,
    now: datetime,
) -> ApiKeyView:
    owner_id = operator_id
    if request.is_sandbox:
        owner_id = sandboxes.sandbox_of(session, operator_id).id
    owner = session.get(Operator, owner_id)
    if owner is None:
        raise Unknown("operator", owner_id)
    with sandboxes.inside(session, owner_id):
        in_turn(session, owner_id)  # two who make a third at once must see each other
        if _living(session, owner_id, request.name, now) >= MOST_OF_ONE_NAME:
            raise TooManyKeys(name=request.name, most=MOST_OF_ONE_NAME)
        row = ApiKey(
            operator_id=owner_id,
            id=id,
            hash=_hash(_text(id, secret, is_test=owner.sandbox_of is not None)),
            name=request.name,
            scopes=sorted(request.scopes),
            created_at=now,
            expires_at=now + timedelta(days=request.days),
        )
        session.add(row)
    view = _view(session, row)
    data = {"before": None, "after": _told(view)}
    _tell(session, "api_key_made", operator_id, request.id, id, now, data)
    return view


def _living(session: Session, operator_id: UUID, name: str, now: datetime) -> int:
    rows = session.exec(
        select(ApiKey).where(ApiKey.operator_id == operator_id, ApiKey.name == name)
    )
    return sum(_is_living(row, now) for row in rows)


def _is_living(row: ApiKey, now: datetime) -> bool:
    return row.revoked_at is None and now < row.expires_at


def _owner_of(session: Session, operator_id: UUID, key_id: str) -> UUID:
    for owner_id in _owners(session, operator_id):
        with sandboxes.inside(session, owner_id):
            if session.get(ApiKey, (owner_id, key_id)):
                return owner_id
    raise Unknown("api_key", key_id)


def _owners(session: Session, operator_id: UUID) -> list[UUID]:
    sandbox = sandboxes.sandbox_there(session, operator_id)
    return [operator_id, sandbox.id] if sandbox else [operator_id]


def _text(id: str, secret: str, is_test: bool) -> str:
    text = f"cfk_{'test' if is_test else 'live'}_{id}_{secret}"
    return text + _checksum(text)


def _checksum(text: str) -> str:
    number = crc32(text.encode())
    return "".join(_LETTERS[number // 62**place % 62] for place in reversed(range(_CHECKSUM)))


def _hash(text: str) -> bytes:
    """Hash the whole key: one of the sandbox, spelt as a live one, is another."""
    return sha256(text.encode()).digest()


def _random(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def _view(session: Session, row: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=row.id,
        operator_id=row.operator_id,
        name=row.name,
        scopes=tuple(map(Scope, row.scopes)),
        is_test=session.get_one(Operator, row.operator_id).sandbox_of is not None,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _told(view: ApiKeyView) -> Mapping[str, Any]:
    told = {"name", "scopes", "is_test", "expires_at", "revoked_at"}
    return view.model_dump(mode="json", include=told)


def _tell(
    session: Session,
    kind: str,
    operator_id: UUID,
    request_id: UUID,
    key_id: str,
    now: datetime,
    data: Mapping[str, Any],
) -> None:
    events.record(
        session,
        events.happened(
            kind,
            request_id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={"key_id": key_id, **data},
        ),
    )


# Of many servers that see the key in one minute, one writes it down.
_NOTE = text("""
    UPDATE api_key SET last_used_at = :now
    WHERE operator_id = :operator_id AND id = :id
      AND (last_used_at IS NULL OR last_used_at <= :now - interval '1 minute')
""")
