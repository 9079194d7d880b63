"""How a campaign goes, for the curves of the console."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.asking.who import Asking
from api.deps import Looking, Now
from api.problems import can_fail_with
from coupon_engine import figures
from coupon_engine.errors import Unknown
from schemas.figures import Figured, FiguresView

router = APIRouter(tags=["Campaigns"])


@router.get("/campaigns/{campaign_id}/figures", responses=can_fail_with(Unknown))
def of_campaign(
    campaign_id: UUID,
    figured: Annotated[Figured, Query()],
    session: Looking,
    caller: Asking,
    now: Now,
) -> FiguresView:
    """Curve, hours, funnel and forecast; a shop manager's are of their own stores."""
    return figures.figures(
        session, caller.operator_id, campaign_id, figured, store_ids=caller.store_ids, now=now
    )
