"""Messages on their way out: written with what they tell of, delivered at least once, in any order.

A dispatcher leases messages in one transaction, sends them in none, and strikes them off in
another. Nothing waits for a stranger's server while a row is locked, and a dispatcher that dies
loses nothing: its lease runs out and another one sends the messages again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine import bulk
from coupon_engine.acting import EVERYWHERE
from coupon_engine.database import transaction
from coupon_engine.tables import Outbox
from schemas.base import Json, Wire

LEASE = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=6)


class Message(Wire):
    """One event, as others hear of it. Its id is the event's: hear it twice, count it once."""

    operator_id: UUID
    id: UUID
    kind: str
    attempts: int
    sandbox: bool  # somebody was trying things out: nothing of it really happened
    body: Json


Send = Callable[[Sequence[Message]], Sequence[UUID]]
"""Sends messages somewhere and returns the ids of those that arrived."""


def dispatch(engine: Engine, send: Send, *, now: datetime, most: int = 100) -> int:
    """Lease what is due, send it, and strike off what arrived; return how many that were.

    What did not arrive is due again later, each time twice as late, at most six hours.
    """
    with transaction(engine, EVERYWHERE) as session:
        messages = lease(session, now=now, most=most)
    if not messages:
        return 0
    arrived = send(messages)
    with transaction(engine, EVERYWHERE) as session:
        strike_off(session, [message for message in messages if message.id in set(arrived)])
    return len(arrived)


def lease(session: Session, *, now: datetime, most: int) -> list[Message]:
    """Take messages that are due; nobody else gets them before the lease runs out."""
    rows = session.connection().execute(
        _LEASE,
        {"now": now, "most": most, "lease": LEASE, "longest": LONGEST_WAIT},
    )
    return [Message.model_validate(dict(row)) for row in rows.mappings()]


def strike_off(session: Session, messages: Sequence[Message]) -> None:
    """Forget messages that have arrived; the events they told of remain."""
    rows: list[dict[str, Any]] = [
        {"operator_id": each.operator_id, "id": each.id} for each in messages
    ]
    bulk.write(session, bulk.Delete(Outbox, rows, key=("operator_id", "id")))


# The wait after a failure is the lease itself, doubled with every attempt. What a sandbox says for
# the first time is due at once: its own clock, which may be years ahead, has dated it.
_LEASE = text("""
    WITH due AS (
        SELECT operator_id, id FROM outbox WHERE due_at <= :now
        ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), tried AS (
        SELECT outbox.operator_id, outbox.id FROM operator
        JOIN outbox ON outbox.operator_id = operator.id
        WHERE operator.sandbox_of IS NOT NULL AND outbox.attempts = 0 AND outbox.due_at > :now
        LIMIT :most FOR UPDATE OF outbox SKIP LOCKED
    )
    UPDATE outbox SET
        attempts = least(attempts + 1, 1000),
        due_at = :now + least(:lease * power(2, least(attempts, 20)), :longest)
    WHERE (operator_id, id) IN (SELECT * FROM due UNION ALL SELECT * FROM tried)
    RETURNING operator_id, id, kind, attempts, body,
        (SELECT sandbox_of IS NOT NULL FROM operator WHERE operator.id = operator_id) AS sandbox
""")
