"""Paired terminals: whose key signs, when it was last heard of, and its end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.answers import answered
from coupon_engine.errors import Unknown
from coupon_engine.rows import locked
from coupon_engine.tables import Terminal
from coupon_engine.terminals import shifts
from schemas.campaigns import TerminalView
from schemas.terminals import NewTerminalRevocation

SEEN_EVERY = timedelta(minutes=1)

Stores = frozenset[UUID] | None
"""The stores that somebody is tied to; None is tied to none and sees all."""


@dataclass(frozen=True, slots=True)
class TerminalKey:
    """A terminal that may sign, and where it stands."""

    operator_id: UUID
    store_id: UUID
    name: str
    public_key: bytes


def key_of(session: Session, terminal_id: UUID) -> TerminalKey | None:
    """Return who signs by this id: nobody, unless paired and not revoked.

    The transaction was begun by `acting.on_showing` the id. No two paired terminals of any
    operators have one id: an index sees to it.
    """
    row = session.exec(
        select(Terminal).where(
            col(Terminal.id) == terminal_id, col(Terminal.public_key).is_not(None)
        )
    ).one_or_none()
    if row is None or row.public_key is None or row.revoked_at is not None:
        return None
    return TerminalKey(row.operator_id, row.store_id, row.name, row.public_key)


def seen(session: Session, operator_id: UUID, terminal_id: UUID, now: datetime) -> None:
    """Remember that it was heard of; at most once a minute, so that this costs nothing."""
    session.connection().execute(
        _SEEN,
        {"operator_id": operator_id, "id": terminal_id, "now": now, "before": now - SEEN_EVERY},
    )


@answered(TerminalView)
def revoke(
    session: Session,
    operator_id: UUID,
    request: NewTerminalRevocation,
    *,
    store_ids: Stores,
    now: datetime,
) -> TerminalView:
    """Let a terminal's key open nothing from now on. Its shifts end with it.

    Raises:
        Unknown: No such terminal in one's stores.
    """
    terminal = locked(session, Terminal, operator_id, request.terminal_id)
    see_store(store_ids, terminal.store_id, "terminal", terminal.id)
    if terminal.revoked_at is None:
        terminal.revoked_at = now
        session.add(terminal)
        session.flush()
        shifts.end_all(session, operator_id, now=now, terminal_id=terminal.id)
        events.record(
            session,
            events.happened(
                "terminal_revoked",
                terminal.id,
                operator_id=operator_id,
                campaign_id=None,
                at=now,
                data={
                    "store_id": terminal.store_id,
                    "reason": request.reason,
                    "before": {"revoked_at": None},
                    "after": {"revoked_at": now},
                },
            ),
        )
    return view(terminal)


def view(row: Terminal) -> TerminalView:
    return TerminalView(
        id=row.id,
        store_id=row.store_id,
        name=row.name,
        paired_at=row.paired_at,
        seen_at=row.seen_at,
        revoked_at=row.revoked_at,
    )


def see_store(store_ids: Stores, store_id: UUID, kind: str, id: UUID) -> None:
    """Let pass whoever may see what belongs to this store.

    Raises:
        Unknown: It is not theirs; whether it exists is not told.
    """
    if store_ids is not None and store_id not in store_ids:
        raise Unknown(kind, id)


_SEEN = text("""
    UPDATE terminal SET seen_at = :now
    WHERE operator_id = :operator_id AND id = :id
      AND (seen_at IS NULL OR seen_at <= :before)
""")
