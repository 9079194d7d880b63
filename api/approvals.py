"""A second person's yes, and what they look at before they say it."""

from uuid import UUID

from fastapi import APIRouter, status

from api.deps import Looking, Now, OperatorId, Transaction
from api.problems import can_fail_with
from coupon_engine import approving
from coupon_engine.errors import (
    ChangedSince,
    MoveNotAllowed,
    RequestReused,
    SecondPersonNeeded,
    Unknown,
)
from schemas.approvals import ApprovalView, DiffView, NewApproval

router = APIRouter(tags=["Campaigns"])


@router.get("/campaigns/{campaign_id}/diff", responses=can_fail_with(Unknown))
def diff(campaign_id: UUID, session: Looking, operator_id: OperatorId, now: Now) -> DiffView:
    """What an approval would change, in words, and the worst that could come of it."""
    return approving.diff(session, operator_id, campaign_id, now=now)


@router.post(
    "/approvals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        RequestReused, Unknown, MoveNotAllowed, ChangedSince, SecondPersonNeeded
    ),
)
def approve(
    request: NewApproval, session: Transaction, operator_id: OperatorId, now: Now
) -> ApprovalView:
    """Say yes to a campaign as it was seen. Over the operator's threshold, to no change of one's
    own: that takes a second person."""
    return approving.approve(session, operator_id, request, now=now)
