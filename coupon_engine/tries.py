"""How often may this be tried? Counted in rows: for all workers together, and after a restart.

For what matters: passcodes, PINs, passwords, pairings, guesses of short codes, claims. A try is
counted before it is judged, and stays counted when the rest of the transaction says no: raise an
error whose `is_answered` is set, and `transaction` commits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine.errors import TooManyTries


@dataclass(frozen=True, slots=True)
class Budget:
    """So many tries, in a window that opens with the first."""

    key: str
    most: int
    lasts: timedelta


def take(session: Session, operator_id: UUID, budgets: Sequence[Budget], *, now: datetime) -> None:
    """Count one try against each budget; the row is locked until the transaction ends.

    Raises:
        TooManyTries: One of them is used up. It says when to come back; the tries that the others
            have counted stay counted.
    """
    for budget in sorted(budgets, key=lambda each: each.key):  # in one order: no rings
        ends_at = session.connection().execute(
            _TAKE,
            {
                "operator_id": operator_id,
                "key": budget.key,
                "most": budget.most,
                "ends_at": now + budget.lasts,
                "now": now,
            },
        )
        if ends_at.first() is None:
            raise TooManyTries(_until(session, operator_id, budget.key) - now)


def forget(session: Session, operator_id: UUID, key: str) -> None:
    """Begin anew: what was tried for has been reached."""
    session.connection().execute(_FORGET, {"operator_id": operator_id, "key": key})


def _until(session: Session, operator_id: UUID, key: str) -> datetime:
    row = session.connection().execute(_UNTIL, {"operator_id": operator_id, "key": key})
    return row.scalar_one()


# The condition stands in the statement itself: fifty who come at once are counted one by one.
_TAKE = text("""
    INSERT INTO tries AS t (operator_id, key, count, ends_at)
    VALUES (:operator_id, :key, 1, :ends_at)
    ON CONFLICT (operator_id, key) DO UPDATE SET
        count = CASE WHEN t.ends_at <= :now THEN 1 ELSE t.count + 1 END,
        ends_at = CASE WHEN t.ends_at <= :now THEN :ends_at ELSE t.ends_at END
    WHERE t.ends_at <= :now OR t.count < :most
    RETURNING t.ends_at
""")
_FORGET = text("DELETE FROM tries WHERE operator_id = :operator_id AND key = :key")
_UNTIL = text("SELECT ends_at FROM tries WHERE operator_id = :operator_id AND key = :key")
