"""The breaker: a campaign that gives out far more than was planned pauses by itself.

It is judged under the lock of the campaign's own limit row, by whoever issues or redeems, in that
very transaction: no job has to notice anything. It counts claims and single issues; a lot, which
one person asks for by its number, counts against the ceilings alone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import events, pausing
from coupon_engine.rows import locked
from coupon_engine.tables import Campaign
from coupon_engine.validation.ceilings import LimitFacts
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.campaigns import CampaignState, StoppedBy, Stops

TIMES_THE_PLAN = 5


def most_in_a_minute(planned_per_minute: int) -> int:
    """Return at how many in one minute the breaker trips."""
    return min(MOST_COUNT, TIMES_THE_PLAN * planned_per_minute)


LOT = 100
"""So many at once were meant so; fewer count like those that are issued one by one."""


def most_minor_in_a_minute(planned_minor_per_minute: int) -> int:
    return min(MOST_MINOR, TIMES_THE_PLAN * planned_minor_per_minute)


def has_issued_too_fast(issuing: LimitFacts) -> bool:
    """Is this minute full? The one that fills it is still given out, and is the last."""
    return issuing.minute_count >= issuing.max_per_minute


def has_spent_too_fast(redeeming: LimitFacts) -> bool:
    return redeeming.minute_minor >= redeeming.max_minor_per_minute


def trip(
    session: Session,
    operator_id: UUID,
    campaign_id: UUID,
    stops: Stops,
    counted: Mapping[str, int],
    *,
    now: datetime,
) -> None:
    """Pause a campaign until a person has looked.

    Twice is once. Whoever resumes it needs an approval first, see approving.py.
    """
    campaign = locked(session, Campaign, operator_id, campaign_id)
    if campaign.decided != CampaignState.APPROVED:
        return
    campaign.decided = CampaignState.PAUSED
    campaign.stops = stops
    campaign.stopped_by = StoppedBy.BREAKER
    session.add(campaign)
    data: dict[str, Any] = {
        **counted,
        "before": {"state": CampaignState.APPROVED, "stops": None},
        "after": {"state": CampaignState.PAUSED, "stops": stops},
    }
    events.record(
        session,
        events.happened(
            "breaker_tripped",
            campaign.id,
            operator_id=operator_id,
            campaign_id=campaign.id,
            at=now,
            data=data,
        ),
    )
    pausing.tell(session, operator_id)
