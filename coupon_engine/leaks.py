"""The leak alarm: a spent coupon that is shown again and again is going round.

Refused attempts are counted in rows, each coupon's in an hour that begins with the first, and only
when somebody was refused: redeeming itself pays nothing for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import events

WINDOW = timedelta(hours=1)
MOST_ATTEMPTS = 10
"""A family that tries one coupon at every counter stays below; a code in a chat group does not."""


def notice(
    session: Session,
    operator_id: UUID,
    attempts: Sequence[UUID],
    campaign_of: Mapping[UUID, UUID],
    *,
    now: datetime,
) -> None:
    """Count attempts to spend these coupons again; tell once an hour of each that is too many."""
    more = Counter(attempts)
    if not more:
        return
    counted = session.connection().execute(
        _COUNT,
        {
            "operator_id": operator_id,
            "ids": list(more),
            "more": list(more.values()),
            "now": now,
            "ends_at": now + WINDOW,
        },
    )
    leaked = {
        id: row.attempts
        for row in counted
        if (id := UUID(row.key.removeprefix("leak/")))
        and row.attempts >= MOST_ATTEMPTS > row.attempts - more[id]
    }
    if leaked:
        events.record(
            session,
            *(
                events.happened(
                    "code_leaked",
                    id,
                    operator_id=operator_id,
                    campaign_id=campaign_of[id],
                    at=now,
                    data={"attempts": count, "within_seconds": int(WINDOW.total_seconds())},
                )
                for id, count in leaked.items()
            ),
        )


_COUNT = text("""
    INSERT INTO tries AS t (operator_id, key, count, ends_at)
    SELECT :operator_id, 'leak/' || id, more, :ends_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:more AS int[])) AS refused (id, more)
    ORDER BY id
    ON CONFLICT (operator_id, key) DO UPDATE SET
        count = CASE WHEN t.ends_at <= :now THEN excluded.count ELSE t.count + excluded.count END,
        ends_at = CASE WHEN t.ends_at <= :now THEN excluded.ends_at ELSE t.ends_at END
    RETURNING key, count AS attempts
""")
