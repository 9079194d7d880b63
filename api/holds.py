"""Holds: a redemption promised for minutes."""

from fastapi import APIRouter, status

from api.asking import guesses
from api.asking.who import Asking
from api.deps import Now, Reading, Transaction
from api.problems import can_fail_with
from coupon_engine import holding
from coupon_engine.errors import CouponRefused, HoldOver, RequestReused, Unknown
from schemas.redemptions import HoldView, NewHold, NewRelease

router = APIRouter(tags=["Holds"])


@router.post(
    "/holds",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, CouponRefused, Unknown),
)
def hold(
    request: NewHold,
    session: Transaction,
    reader: Reading,
    now: Now,
) -> HoldView:
    """Keep a coupon for one counter. Redeem with `hold_id` before it lapses."""
    request = reader.caller.at_counter(request)
    shown = reader.read(request.code, request.challenge)
    with guesses.watched(reader.door, reader.caller, shown, request.id):
        return holding.hold(session, reader.caller.operator_id, request, shown, now=now)


@router.post(
    "/releases",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, HoldOver),
)
def release(request: NewRelease, session: Transaction, caller: Asking, now: Now) -> HoldView:
    """Let a held coupon go before its time."""
    return holding.release(
        session, caller.operator_id, request, store_ids=caller.store_ids, now=now
    )
