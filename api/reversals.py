"""Reversals: redemptions taken back."""

from fastapi import APIRouter, status

from api.asking.who import Asking
from api.deps import Now, Transaction
from api.problems import can_fail_with
from coupon_engine import reversal
from coupon_engine.errors import (
    AlreadyReversed,
    LineUnknown,
    NotAllowed,
    RequestReused,
    SecondPersonNeeded,
    StillProvisional,
    UndoWindowClosed,
    Unknown,
)
from schemas.redemptions import NewReversal, ReversalView

router = APIRouter(tags=["Redemptions"])


@router.post(
    "/reversals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        RequestReused,
        Unknown,
        NotAllowed,
        StillProvisional,
        UndoWindowClosed,
        AlreadyReversed,
        LineUnknown,
        SecondPersonNeeded,
    ),
)
def reverse(request: NewReversal, session: Transaction, caller: Asking, now: Now) -> ReversalView:
    """Take a redemption back, whole or by line, until its `undo_until`."""
    return reversal.reverse(
        session, caller.operator_id, request, store_ids=caller.store_ids, now=now
    )
