"""Reversals: redemptions taken back."""

from fastapi import APIRouter, status

from api.deps import Now, OperatorId, Transaction
from api.problems import can_fail_with
from coupon_engine import reversal
from coupon_engine.errors import (
    AlreadyReversed,
    LineUnknown,
    RequestReused,
    UndoWindowClosed,
    Unknown,
)
from schemas.redemptions import NewReversal, ReversalView

router = APIRouter(tags=["Redemptions"])


@router.post(
    "/reversals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, UndoWindowClosed, AlreadyReversed, LineUnknown),
)
def reverse(
    request: NewReversal, session: Transaction, operator_id: OperatorId, now: Now
) -> ReversalView:
    """Take a redemption back, whole or by line, until its `undo_until`."""
    return reversal.reverse(session, operator_id, request, now=now)
