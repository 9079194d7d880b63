"""Making a customer's coupon good in one store alone."""

from fastapi import APIRouter, status

from api.deps import Now, OperatorId, Transaction
from api.problems import can_fail_with
from coupon_engine import activating
from coupon_engine.errors import (
    CouponNotUsable,
    CouponTaken,
    RequestReused,
    StillActivated,
    Unknown,
)
from schemas.coupons import ActivationView, NewActivation

router = APIRouter(tags=["Coupons"])


@router.post(
    "/activations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, CouponTaken, CouponNotUsable, StillActivated),
)
def activate(
    request: NewActivation, session: Transaction, operator_id: OperatorId, now: Now
) -> ActivationView:
    """Let a customer's coupon work in one store alone for a while, also without a network."""
    return activating.activate(session, operator_id, request, now=now)
