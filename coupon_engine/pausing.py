"""Telling terminals what has stopped: PostgreSQL rings, and whoever listens looks.

A notification says for which operator something changed and nothing more, so one that is lost, or
comes twice, does no harm. It leaves with the commit, never before.
"""

from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from schemas.approvals import PauseView

CHANNEL = "counterfoil_pauses"
MOST_TOLD = 2_000


def tell(session: Session, operator_id: UUID) -> None:
    """Let every process know, at commit, that a campaign of this operator stopped or goes on."""
    session.connection().execute(_NOTIFY, {"channel": CHANNEL, "operator_id": str(operator_id)})


def stopped(session: Session, operator_id: UUID) -> list[PauseView]:
    """Return the campaigns that issue or redeem nothing now because somebody decided so.

    What has ended goes on redeeming unless told not to, and is of no interest at a counter.
    """
    rows = session.connection().execute(STOPPED, {"operator_id": operator_id, "most": MOST_TOLD})
    return [PauseView(campaign_id=row.id, state=row.decided, stops=row.stops) for row in rows]


_NOTIFY = text("SELECT pg_notify(:channel, :operator_id)")
# What stops redeeming comes first, the newest before the others: no old end hides a new pause.
STOPPED = text("""
    SELECT id, decided, stops FROM campaign
    WHERE operator_id = :operator_id
      AND (decided = 'paused'
           OR decided IN ('ended', 'archived') AND stops = 'issuing_and_redeeming')
    ORDER BY decided = 'paused' DESC, id DESC LIMIT :most
""")
