"""What happened, one row for each transition, and the message that tells others about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import bulk
from coupon_engine.tables import Event, Outbox
from schemas.access import Actor
from schemas.ids import new_id


def happened(
    kind: str,
    subject_id: UUID,
    *,
    operator_id: UUID,
    campaign_id: UUID | None,
    at: datetime,
    data: Mapping[str, Any],
    recorded_at: datetime | None = None,
    actor: Actor | None = None,
) -> dict[str, Any]:
    """Return one event as a row. `recorded_at` differs from `at` where news came late.

    Who acts in the transaction is named by the database itself; `actor` is for those who share
    one. All rows that are written together name an actor, or none of them does.
    """
    named = {"actor": actor.model_dump(mode="json", exclude_none=True)} if actor else {}
    return {
        "operator_id": operator_id,
        "id": new_id(at),
        "kind": kind,
        "subject_id": subject_id,
        "campaign_id": campaign_id,
        "at": at,
        "recorded_at": recorded_at or at,
        "data": data,
        **named,
    }


def changes(rows: Sequence[Mapping[str, Any]]) -> tuple[bulk.Change, ...]:
    """Return the writes that put these events, and their messages, into the record."""
    messages = [
        {
            "operator_id": row["operator_id"],
            "id": row["id"],
            "kind": row["kind"],
            "body": row,
            "attempts": 0,
            "due_at": row["recorded_at"],
        }
        for row in rows
    ]
    return bulk.Insert(Event, rows), bulk.Insert(Outbox, messages)


def note(session: Session, *rows: Mapping[str, Any]) -> None:
    """Write events that nobody else needs to hear of."""
    session.flush()
    bulk.write(session, bulk.Insert(Event, rows))


def record(session: Session, *rows: Mapping[str, Any]) -> None:
    """Write events and their messages now."""
    session.flush()  # the rows they speak of go first
    bulk.write(session, *changes(rows))
