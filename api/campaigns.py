"""Campaigns, what people decide about them, and their ceilings."""

from uuid import UUID

from fastapi import APIRouter, status

from api.deps import Looking, Now, OperatorId, Paging, Transaction
from api.problems import can_fail_with
from coupon_engine import campaigns
from coupon_engine.errors import (
    ApprovalNeeded,
    CeilingBelowUse,
    CeilingMoved,
    MoveNotAllowed,
    RequestReused,
    Unknown,
)
from schemas.campaigns import CampaignView, CeilingView, NewCampaign, NewCeiling, NewMove

router = APIRouter(tags=["Campaigns"])


@router.post(
    "/campaigns",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused),
)
def create_campaign(
    request: NewCampaign, session: Transaction, operator_id: OperatorId, now: Now
) -> CampaignView:
    """Make a campaign as a draft. It gives out nothing until an approval has covered it."""
    return campaigns.create_campaign(session, operator_id, request, now=now)


@router.get("/campaigns", responses=can_fail_with())
def all_campaigns(
    page: Paging, session: Looking, operator_id: OperatorId, now: Now
) -> list[CampaignView]:
    return campaigns.campaign_views(session, operator_id, after=page.after, most=page.most, now=now)


@router.get("/campaigns/{campaign_id}", responses=can_fail_with(Unknown))
def one_campaign(
    campaign_id: UUID, session: Looking, operator_id: OperatorId, now: Now
) -> CampaignView:
    return campaigns.campaign_view(session, operator_id, campaign_id, now=now)


@router.post(
    "/moves",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, MoveNotAllowed, ApprovalNeeded),
)
def decide(
    request: NewMove, session: Transaction, operator_id: OperatorId, now: Now
) -> CampaignView:
    """Submit, pause, resume, end. A pause stops issuing; it stops redeeming only if asked to."""
    return campaigns.decide(session, operator_id, request, now=now)


@router.post(
    "/ceilings",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, CeilingMoved, CeilingBelowUse),
)
def move_ceiling(
    request: NewCeiling, session: Transaction, operator_id: OperatorId, now: Now
) -> CeilingView:
    """Move a ceiling from where you believe it stands to where it should stand.

    Down at once. Up, beyond what was approved, it is `pending` until somebody approves it.
    """
    return campaigns.move_ceiling(session, operator_id, request, now=now)
