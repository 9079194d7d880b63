"""Taking away what has been over for a day: counts of tries, sign-ins that came to nothing, codes.

Nothing depends on it: what is over is over by the clock. It keeps tables small, and addresses to
which codes went from lying about. Leases of terminals that were never heard of again are closed,
so that the money which was set aside for them is back in its budget, and what was waiting for them
is decided.
"""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine, text

from coupon_engine.acting import EVERYWHERE, by_system
from coupon_engine.database import repeating, transaction
from coupon_engine.offline import claims, journals, leases

KEPT = timedelta(days=1)
MOST_AT_ONCE = 1_000
MOST_LEASES_AT_ONCE = 100


def sweep(engine: Engine, *, now: datetime) -> int:
    """Put away some of what is over; return how much it was, nought when all is swept."""
    swept = 0
    for statement in _SWEEP:
        with transaction(engine, EVERYWHERE) as session:
            done = session.connection().execute(
                statement, {"before": now - KEPT, "most": MOST_AT_ONCE}
            )
            swept += done.rowcount
    return swept + _close_leases(engine, now=now) + _decide(engine, now=now)


def _close_leases(engine: Engine, *, now: datetime) -> int:
    """Close leases under which nothing can come in any more, each in a transaction of its own."""
    late = {"before": now - leases.LATEST_UPLOAD, "most": MOST_LEASES_AT_ONCE}
    with transaction(engine, EVERYWHERE) as session:
        rows = session.connection().execute(_LATE_LEASES, late).all()
    for row in rows:
        repeating(
            engine,
            partial(leases.close, operator_id=row.operator_id, lease_id=row.id, now=now),
            by_system(row.operator_id),
        )
    return len(rows)


def _decide(engine: Engine, *, now: datetime) -> int:
    """Decide about redemptions without a network for which nothing need be waited for any more."""
    decided = 0
    with transaction(engine, EVERYWHERE) as session:
        operators = session.connection().execute(_WAITING).scalars().all()
    for operator_id in operators:
        for decide in (journals.settle_late, claims.decide_due):
            decided += repeating(
                engine,
                partial(decide, operator_id=operator_id, now=now),
                by_system(operator_id),
            )
    return decided


# Whatever somebody is just using is passed over.
_SWEEP = tuple(
    text(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {ends} < :before LIMIT :most FOR UPDATE SKIP LOCKED
        ))
    """)  # noqa: S608 (our own names)
    for table, ends in (
        ("tries", "ends_at"),
        ("ceremony", "expires_at"),
        ("passcode", "expires_at"),
    )
)
_WAITING = text("""
    SELECT DISTINCT operator_id FROM journal_entry WHERE answer = 'provisional'
""")
_LATE_LEASES = text("""
    SELECT operator_id, id FROM lease
    WHERE closed_at IS NULL AND ends_at <= :before ORDER BY ends_at LIMIT :most
""")
