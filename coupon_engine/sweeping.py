"""Taking away what has been over for a day: counts of tries, sign-ins that came to nothing, codes.

Nothing depends on it: what is over is over by the clock. It keeps tables small, and addresses to
which codes went from lying about.
"""

from datetime import datetime, timedelta

from sqlalchemy import Engine, text

from coupon_engine.acting import EVERYWHERE
from coupon_engine.database import transaction

KEPT = timedelta(days=1)
MOST_AT_ONCE = 1_000


def sweep(engine: Engine, *, now: datetime) -> int:
    """Delete some of what is over; return how much it was, nought when all is swept."""
    swept = 0
    for statement in _SWEEP:
        with transaction(engine, EVERYWHERE) as session:
            done = session.connection().execute(
                statement, {"before": now - KEPT, "most": MOST_AT_ONCE}
            )
            swept += done.rowcount
    return swept


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
