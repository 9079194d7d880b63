"""Redemptions: coupons spent."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response, status
from sqlalchemy import Engine
from sqlmodel import Session

from api.deps import Looking, Now, OperatorId, Reading
from api.problems import can_fail_with
from coupon_engine import redemption
from coupon_engine.database import repeating
from coupon_engine.errors import CouponRefused, RequestReused, Unknown
from coupon_engine.redemption import Outcome, Presented
from schemas.redemptions import NewRedemption, RedemptionView

router = APIRouter(tags=["Redemptions"])


@router.post(
    "/redemptions",
    status_code=status.HTTP_201_CREATED,
    response_model=RedemptionView,
    responses=can_fail_with(CouponRefused, RequestReused, Unknown),
)
async def redeem(request: NewRedemption, reader: Reading) -> Response:
    """Spend a coupon. Repeating the same id is safe: it gets the first answer."""
    # `async` because it waits for its batch: a thousand who wait need no thousand threads. The
    # answer leaves as it stands in the record.
    presented = Presented(request, await reader.read_soon(request.code, request.challenge))
    body = await reader.door.batches.ask(reader.operator_id, presented)
    return Response(body, status.HTTP_201_CREATED, media_type="application/json")


@router.get("/redemptions/{redemption_id}", responses=can_fail_with(Unknown))
def one_redemption(
    redemption_id: UUID, session: Looking, operator_id: OperatorId, now: Now
) -> RedemptionView:
    """A redemption as it stands now: what was reversed since, and whether it has cleared."""
    return redemption.redemption_view(session, operator_id, redemption_id, now=now)


def redeem_together(
    engine: Engine,
    clock: Callable[[], datetime],
    operator_id: UUID,
    batch: Sequence[Presented],
) -> list[str | Exception]:
    """Redeem for everybody who is in one batch, in one transaction.

    An error at commit means *unknown*: `repeating` then asks again on another connection, and
    finds by their ids the answers that were committed. The hour is read as the work begins.
    """

    def work(session: Session) -> list[Outcome]:
        return redemption.redeem_many(session, operator_id, batch, now=clock())

    return [_answer(outcome) for outcome in repeating(engine, work)]


def _answer(outcome: Outcome) -> str | Exception:
    if outcome.error:
        return outcome.error
    assert outcome.body is not None
    return outcome.body
