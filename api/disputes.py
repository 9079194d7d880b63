"""Disputed redemptions: their share, and the phones that they are held against."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status
from pydantic import Field

from api.deps import Looking, Now, OperatorId, Page, Transaction
from api.problems import can_fail_with
from coupon_engine import holders
from coupon_engine.errors import MoveNotAllowed, RequestReused, Unknown
from coupon_engine.offline import dispute_shares
from schemas.base import Moment, Wire
from schemas.disputes import DisputedHolderView, DisputesView, NewLift

router = APIRouter(tags=["Disputes"])


class Time(Wire):
    """So many days, until now or another moment."""

    days: int = Field(default=dispute_shares.WATCHED.days, ge=1, le=92)
    until: Moment | None = None


class HolderPage(Page):
    """Whose key."""

    coupon_id: UUID | None = None


@router.get("/disputes", responses=can_fail_with())
def disputes(
    time: Annotated[Time, Query()], session: Looking, operator_id: OperatorId, now: Now
) -> DisputesView:
    """Which share of the redemptions without a network was disputed, by terminal and merchant."""
    until = time.until or now
    since = until - timedelta(days=time.days)
    return dispute_shares.disputes_view(session, operator_id, since=since, until=until)


@router.get("/disputed-holders", responses=can_fail_with(Unknown))
def disputed_holders(
    page: Annotated[HolderPage, Query()], session: Looking, operator_id: OperatorId
) -> list[DisputedHolderView]:
    """Phones whose coupons were spent twice, and which of them are suspended."""
    return holders.views(
        session, operator_id, coupon_id=page.coupon_id, after=page.after, most=page.most
    )


@router.post(
    "/holder-lifts",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, MoveNotAllowed),
)
def lift(
    request: NewLift, session: Transaction, operator_id: OperatorId, now: Now
) -> DisputedHolderView:
    """Let a suspended phone's coupons work again."""
    return holders.lift(session, operator_id, request, now=now)
