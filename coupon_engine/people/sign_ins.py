"""Who is signed in: opaque secrets, rows that end them at once, and confirming who sits there.

A sign-in lasts twelve hours, and half an hour without a request ends it. Its secret changes when it
proves more than before; so one that was planted or copied earlier is worth nothing afterwards.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from coupon_engine import acting, events
from coupon_engine.errors import NotSignedIn, Unknown
from coupon_engine.people.secret import hash_of, new_secret
from coupon_engine.rows import locked
from coupon_engine.tables import Account, SignIn
from schemas.access import Actor, ActorKind, Role
from schemas.ids import new_id
from schemas.people import NewSignOut, SignInView, SignOutView

LASTS = timedelta(hours=12)
IDLE = timedelta(minutes=30)
STEPPED_UP = timedelta(minutes=10)
# How exactly `seen_at` is kept: a request writes nothing if the last one was a moment ago.
SEEN_EVERY = timedelta(minutes=1)

CONFIRMING = frozenset({"totp", "recovery", "passkey"})
"""A sign-in by one of these is as good as a confirmation for the first ten minutes."""

SECOND_FACTORS = frozenset({"totp", "recovery", "passkey", "oidc"})
"""A sign-in without any of these opens nothing but the setting up of one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A sign-in, and the secret for its cookie: shown once, and nowhere else."""

    secret: str
    view: SignInView


def open_sign_in(
    session: Session,
    account: Account,
    *,
    methods: Sequence[str],
    address: str | None,
    agent: str | None,
    now: datetime,
) -> Opened:
    """Let somebody in who has proved, by these methods, to be this account's person.

    The transaction goes on in their name.

    Raises:
        NotSignedIn: The account is suspended.
    """
    session.flush()
    account = locked(session, Account, account.operator_id, account.id)
    if account.suspended_at is not None:
        raise NotSignedIn
    acting.enter(session, account.operator_id, person(account, address))
    secret = new_secret()
    row = SignIn(
        operator_id=account.operator_id,
        hash=hash_of(secret),
        id=new_id(now),
        account_id=account.id,
        name=account.name,
        role=account.role,
        store_ids=account.store_ids,
        methods=list(methods),
        created_at=now,
        seen_at=now,
        # They have just proved who they are, to us; what a provider was asked, and when, it says.
        stepped_up_at=None if CONFIRMING.isdisjoint(methods) else now,
        expires_at=now + LASTS,
        address=address,
        agent=agent,
    )
    session.add(row)
    note(session, "signed_in", row, now, {"methods": list(methods)})
    return opened(row, secret)


def opened(row: SignIn, secret: str) -> Opened:
    return Opened(secret, _view(row, row.hash))


def found(session: Session, secret: str, *, now: datetime) -> SignIn | None:
    """Return the sign-in with this secret, unless it has ended in one way or another.

    For a transaction that began with `acting.on_showing(hash_of(secret).hex())`.
    """
    row = session.exec(select(SignIn).where(SignIn.hash == hash_of(secret))).one_or_none()
    return row if row is not None and _is_open(row, now) else None


def seen(session: Session, operator_id: UUID, sign_in_hash: bytes, *, now: datetime) -> bool:
    """Note that there was a request, once a minute at most; return whether anything was written.

    `is_seen_lately` tells beforehand whether that is needed.
    """
    done = session.exec(
        update(SignIn)
        .where(
            col(SignIn.operator_id) == operator_id,
            col(SignIn.hash) == sign_in_hash,
            col(SignIn.ended_at).is_(None),
            col(SignIn.seen_at) <= now - SEEN_EVERY,
        )
        .values(seen_at=now)
        .execution_options(synchronize_session=False)
    )
    return done.rowcount == 1


def is_seen_lately(row: SignIn, now: datetime) -> bool:
    return now - row.seen_at < SEEN_EVERY


def is_whole(methods: Collection[str]) -> bool:
    """Was a second factor among the methods?"""
    return not SECOND_FACTORS.isdisjoint(methods)


def is_stepped_up(row: SignIn, now: datetime) -> bool:
    until = stepped_up_until(row)
    return until is not None and now < until


def stepped_up_until(row: SignIn) -> datetime | None:
    return row.stepped_up_at + STEPPED_UP if row.stepped_up_at else None


def step_up(session: Session, sign_in_hash: bytes | None, *, method: str, now: datetime) -> Opened:
    """Note that the person has just proved by this method who they are, and change the secret.

    The sign-in stays the same one in lists, and ends when it would have ended. Its old secret opens
    nothing any more.

    Raises:
        NotSignedIn: It has ended, or its secret has been changed already.
    """
    old = _locked(session, sign_in_hash, now)
    secret = new_secret()
    changed: dict[str, Any] = {
        **old.model_dump(),
        "hash": hash_of(secret),
        "methods": [*old.methods, *({method} - set(old.methods))],
        "seen_at": now,
        "stepped_up_at": now,
    }
    row = SignIn(**changed)
    old.ended_at = now
    session.add_all([old, row])
    note(session, "stepped_up", row, now, {"method": method})
    return opened(row, secret)


def sign_out(
    session: Session, sign_in_hash: bytes | None, request: NewSignOut, *, now: datetime
) -> SignOutView:
    """End a sign-in of one's own, or all others. What has ended stays so: twice is once.

    Raises:
        NotSignedIn: The asking sign-in has ended itself.
        Unknown: This account has no such sign-in.
    """
    own = _locked(session, sign_in_hash, now)
    mine = _open_ones(session, own.operator_id, own.account_id, now)
    if request.all_others:
        ending = [row for row in mine if row.id != own.id]
    else:
        ending = [row for row in mine if row.id == (request.sign_in_id or own.id)]
        if not ending:
            raise Unknown("sign_in", request.sign_in_id or own.id)
    _end(session, ending, now)
    return SignOutView(ended=len(ending), is_this_ended=own in ending)


def end_all(
    session: Session,
    operator_id: UUID,
    account_id: UUID,
    *,
    now: datetime,
    but: bytes | None = None,
) -> int:
    """End every sign-in of an account, except the one with this hash; return how many ended."""
    _in_turn(session, operator_id, account_id)
    mine = _open_ones(session, operator_id, account_id, now)
    ending = [row for row in mine if row.hash != but]
    _end(session, ending, now)
    return len(ending)


def sign_in_views(
    session: Session, sign_in_hash: bytes | None, *, now: datetime
) -> list[SignInView]:
    """Return the sign-ins of one's own that have not ended, the latest first.

    Raises:
        NotSignedIn: The asking sign-in has ended itself.
    """
    own = current(session, sign_in_hash, now=now)
    rows = _open_ones(session, own.operator_id, own.account_id, now)
    return [_view(row, own.hash) for row in reversed(rows)]


def current(session: Session, sign_in_hash: bytes | None, *, now: datetime) -> SignIn:
    """Return the asking person's own sign-in.

    Raises:
        NotSignedIn: It has ended; or whoever asks is no person.
    """
    row = None
    if sign_in_hash is not None:
        row = session.exec(select(SignIn).where(SignIn.hash == sign_in_hash)).one_or_none()
    if row is None or not _is_open(row, now):
        raise NotSignedIn
    return row


def person(account: Account, address: str | None) -> Actor:
    """Return how the record names this account's person."""
    return Actor(
        kind=ActorKind.PERSON,
        id=str(account.id),
        name=account.name,
        role=Role(account.role),
        address=address,
    )


def note(
    session: Session,
    kind: str,
    of: SignIn | Account,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write down what happened to an account. Never a secret, an address or a number."""
    about = {"sign_in_id": str(of.id)} if isinstance(of, SignIn) else {}
    events.note(
        session,
        events.happened(
            kind,
            of.account_id if isinstance(of, SignIn) else of.id,
            operator_id=of.operator_id,
            campaign_id=None,
            at=now,
            data={**about, **(data or {})},
        ),
    )


def _locked(session: Session, sign_in_hash: bytes | None, now: datetime) -> SignIn:
    row = current(session, sign_in_hash, now=now)
    _in_turn(session, row.operator_id, row.account_id)
    session.refresh(row)
    if not _is_open(row, now):
        raise NotSignedIn
    return row


def _in_turn(session: Session, operator_id: UUID, account_id: UUID) -> None:
    """Let whoever else opens, changes or ends a sign-in of this account wait until we are done.

    Else one whose secret is just being changed would outlive the end of all.
    """
    session.exec(
        select(Account.id)
        .where(Account.operator_id == operator_id, Account.id == account_id)
        .with_for_update(key_share=True)
    ).one_or_none()


def _is_open(row: SignIn, now: datetime) -> bool:
    return row.ended_at is None and now < row.expires_at and now < row.seen_at + IDLE


def _open_ones(
    session: Session, operator_id: UUID, account_id: UUID, now: datetime
) -> list[SignIn]:
    """Return the sign-ins of an account that have not ended, oldest first."""
    session.flush()
    rows = session.exec(
        select(SignIn)
        .where(
            SignIn.operator_id == operator_id,
            SignIn.account_id == account_id,
            col(SignIn.ended_at).is_(None),
        )
        .order_by(col(SignIn.id))
        .execution_options(populate_existing=True)
    ).all()
    return [row for row in rows if _is_open(row, now)]


def _end(session: Session, rows: Sequence[SignIn], now: datetime) -> None:
    for row in rows:
        row.ended_at = now
        session.add(row)
        note(session, "signed_out", row, now)


def _view(row: SignIn, this: bytes) -> SignInView:
    return SignInView.model_validate(
        {
            "id": row.id,
            "methods": row.methods,
            "created_at": row.created_at,
            "seen_at": row.seen_at,
            "expires_at": row.expires_at,
            "stepped_up_until": stepped_up_until(row),
            "address": row.address,
            "agent": row.agent,
            "is_this": row.hash == this,
        }
    )
