"""Redemptions: coupons spent."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from fastapi import APIRouter, Response, status
from sqlalchemy import Engine
from sqlmodel import Session

from api.asking import guesses
from api.asking.who import Asking
from api.deps import Looking, Now, Reading
from api.door import Place
from api.problems import can_fail_with
from coupon_engine import redemption
from coupon_engine.acting import by_system
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
    request = reader.caller.at_counter(request)
    shown = await reader.read_soon(request.code, request.challenge)
    presented = Presented(request, shown, reader.caller.actor)
    body = await guesses.answered(
        reader.door,
        reader.caller,
        shown,
        request.id,
        partial(reader.door.batches.ask, reader.place, presented),
    )
    return Response(body, status.HTTP_201_CREATED, media_type="application/json")


@router.get("/redemptions/{redemption_id}", responses=can_fail_with(Unknown))
def one_redemption(
    redemption_id: UUID, session: Looking, caller: Asking, now: Now
) -> RedemptionView:
    """A redemption as it stands now: what was reversed since, and whether it has cleared."""
    return redemption.redemption_view(
        session, caller.operator_id, redemption_id, stores=caller.store_ids, now=now
    )


def redeem_together(
    engine: Engine,
    clock: Callable[[], datetime],
    place: Place,
    batch: Sequence[Presented],
) -> list[str | Exception]:
    """Redeem for everybody who is in one batch, in one transaction.

    An error at commit means *unknown*: `repeating` then asks again on another connection, and
    finds by their ids the answers that were committed. The hour is read as the work begins.
    """

    def work(session: Session) -> list[Outcome]:
        now = clock() + place.clock_ahead
        return redemption.redeem_many(session, place.operator_id, batch, now=now)

    outcomes = repeating(engine, work, by_system(place.operator_id))
    return [_answer(outcome) for outcome in outcomes]


def _answer(outcome: Outcome) -> str | Exception:
    if outcome.error:
        return outcome.error
    assert outcome.body is not None
    return outcome.body
