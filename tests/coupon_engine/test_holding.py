"""A hold keeps a coupon and its share of every limit; it frees itself, and nothing has to run."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import campaigns, holding
from coupon_engine.errors import CeilingBelowUse, CouponRefused, HoldOver, RequestReused, Unknown
from coupon_engine.redemption import redeem_many
from coupon_engine.rows import found
from coupon_engine.tables import Hold
from schemas.campaigns import Ceiling, NewCeiling
from schemas.coupons import CouponView
from schemas.offers import LimitPer, LimitRule
from schemas.redemptions import HoldState, HoldView, NewRelease
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, refused, rows, totals, used
from tests.make import NOON, Shop

LASTS = 60
LAPSED = NOON + timedelta(seconds=LASTS)
BEFORE = LAPSED - timedelta(microseconds=1)


def held(
    session: Session, at: Shop, coupon: CouponView, *, now: Any = NOON, **more: Any
) -> HoldView:
    asked = {"lasts_seconds": LASTS, **more}
    request = make.hold_request(at, coupon, **asked)
    return holding.hold(session, at.operator_id, request, make.of_coupon(coupon), now=now)


def released(session: Session, at: Shop, hold_id: UUID, *, now: Any = NOON) -> HoldView:
    request = NewRelease(id=make.an_id(), hold_id=hold_id)
    return holding.release(session, at.operator_id, request, now=now)


def scarce(session: Session, at: Shop, *, budget_minor: int, coupons: int = 2) -> list[CouponView]:
    """Coupons of two euros each, of a campaign with this budget."""
    running = make.campaign(session, at, budget_minor=budget_minor)
    batch = make.batch(session, at, make.offer(session, at, running))
    return [make.coupon(session, at, batch) for _ in range(coupons)]


def test_a_held_coupon_is_redeemed_by_its_hold_alone(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    hold = held(session, at, coupon)

    assert (hold.state, hold.discount_minor) == (HoldState.OPEN, 200)
    assert refused(session, at, coupon).code is Why.HELD
    assert refused(session, at, coupon, hold_id=make.an_id()).code is Why.HELD
    assert redeemed(session, at, coupon, hold_id=hold.id).discount_minor == 200
    assert kinds(session, coupon.id)[-1] == "coupon_redeemed"
    assert count(session, "hold_claim") == 0
    assert [row.decided for row in rows(session, "SELECT decided FROM hold")] == ["committed"]


def test_a_hold_takes_nothing_until_it_is_redeemed(session: Session) -> None:
    at = make.shop(session)
    (coupon, _) = scarce(session, at, budget_minor=400)
    before = totals(session)

    hold = held(session, at, coupon)

    assert totals(session) == before
    redeemed(session, at, coupon, hold_id=hold.id)
    assert used(session, "9/") == [(1, 200)]


def test_a_held_coupon_is_free_again_the_moment_its_hold_lapses(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    held(session, at, coupon)

    assert refused(session, at, coupon, now=BEFORE).code is Why.HELD
    assert redeemed(session, at, coupon, now=LAPSED).discount_minor == 200


def test_a_hold_keeps_the_budget_from_others_until_it_lapses(session: Session) -> None:
    at = make.shop(session)
    mine, other = scarce(session, at, budget_minor=200)
    held(session, at, mine)

    refusal = refused(session, at, other, now=BEFORE)

    assert refusal.code is Why.BUDGET_SPENT
    assert refusal.reasons[0].needs == {"left_minor": 0}
    assert redeemed(session, at, other, now=LAPSED).discount_minor == 200


def test_a_hold_keeps_its_budget_from_neighbours_in_its_own_batch(session: Session) -> None:
    at = make.shop(session)
    mine, other = scarce(session, at, budget_minor=200)
    hold = held(session, at, mine)
    asked = [make.request(at, other), make.request(at, mine, hold_id=hold.id)]

    greedy, kept = redeem_many(session, at.operator_id, asked, now=NOON)

    assert kept.error is None
    assert isinstance(greedy.error, CouponRefused)
    assert greedy.error.refusal.code is Why.BUDGET_SPENT


def test_naming_somebody_elses_hold_opens_no_budget(session: Session) -> None:
    at = make.shop(session)
    mine, other = scarce(session, at, budget_minor=200)
    hold = held(session, at, mine)

    refusal = refused(session, at, other, hold_id=hold.id)

    assert refusal.code is Why.BUDGET_SPENT
    assert redeemed(session, at, mine, hold_id=hold.id).discount_minor == 200


def test_two_holds_share_a_budget_like_two_redemptions(session: Session) -> None:
    at = make.shop(session)
    one, two, three = scarce(session, at, budget_minor=400, coupons=3)
    holds = [held(session, at, one), held(session, at, two)]

    with pytest.raises(CouponRefused) as raised:
        held(session, at, three)

    assert raised.value.refusal.code is Why.BUDGET_SPENT
    for hold, coupon in zip(holds, (one, two), strict=True):
        redeemed(session, at, coupon, hold_id=hold.id)
    assert used(session, "9/") == [(2, 400)]


@pytest.mark.parametrize("lasting", [(600, LASTS), (LASTS, 600)])
def test_of_two_holds_one_lapses_and_the_other_keeps_its_budget(
    session: Session, lasting: tuple[int, int]
) -> None:
    at = make.shop(session)
    one, two, third, fourth = scarce(session, at, budget_minor=400, coupons=4)
    for coupon, seconds in zip((one, two), lasting, strict=True):
        held(session, at, coupon, lasts_seconds=seconds)

    redeemed(session, at, third, now=LAPSED)

    assert refused(session, at, fourth, now=LAPSED).code is Why.BUDGET_SPENT


def test_a_hold_counts_against_the_customers_own_limit(session: Session) -> None:
    at = make.shop(session)
    customer = make.customer(session, at)
    once = make.offer(session, at, limits=(LimitRule(per=LimitPer.CUSTOMER, max_count=1),))
    batch = make.batch(session, at, once)
    one, two = (make.coupon(session, at, batch, customer_id=customer) for _ in range(2))
    held(session, at, one)

    assert refused(session, at, two).code is Why.CUSTOMER_LIMIT_REACHED
    assert redeemed(session, at, two, now=LAPSED).discount_minor == 200


def test_a_coupon_is_held_once_at_a_time(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    held(session, at, coupon)

    with pytest.raises(CouponRefused) as raised:
        held(session, at, coupon)

    assert raised.value.refusal.code is Why.HELD
    assert count(session, "hold") == 1
    assert held(session, at, coupon, now=LAPSED).state is HoldState.OPEN


def test_a_released_coupon_and_its_budget_are_free_at_once(session: Session) -> None:
    at = make.shop(session)
    mine, other = scarce(session, at, budget_minor=200)
    hold = held(session, at, mine)

    answer = released(session, at, hold.id)

    assert answer.state is HoldState.RELEASED
    assert count(session, "hold_claim") == 0
    assert redeemed(session, at, other).discount_minor == 200
    assert kinds(session, mine.id) == ["coupon_issued", "coupon_held", "hold_released"]


def test_a_hold_that_is_over_cannot_be_released(session: Session) -> None:
    at = make.shop(session)
    lapsed, let_go, used_up = scarce(session, at, budget_minor=600, coupons=3)
    holds = [held(session, at, coupon) for coupon in (lapsed, let_go, used_up)]
    released(session, at, holds[1].id)
    redeemed(session, at, used_up, hold_id=holds[2].id)

    states: list[Any] = []
    for hold in holds:
        with pytest.raises(HoldOver) as raised:
            released(session, at, hold.id, now=LAPSED)
        states.append(raised.value.details["state"])

    assert states == [HoldState.TIMED_OUT, HoldState.RELEASED, HoldState.COMMITTED]


def test_releasing_a_lapsed_hold_leaves_the_next_one_alone(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    old = held(session, at, coupon)
    held(session, at, coupon, now=LAPSED)

    with pytest.raises(HoldOver):
        released(session, at, old.id, now=LAPSED)

    assert refused(session, at, coupon, now=LAPSED).code is Why.HELD


def test_a_coupon_that_would_not_work_is_not_held(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    with pytest.raises(CouponRefused) as raised:
        held(session, at, coupon, now=coupon.valid_until)

    assert raised.value.refusal.code is Why.EXPIRED
    assert count(session, "hold") == 0
    assert kinds(session, coupon.id) == ["coupon_issued"]


def test_asking_for_a_hold_again_gets_the_first_answer_though_it_has_lapsed(
    session: Session,
) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    request = make.hold_request(at, coupon, lasts_seconds=LASTS)
    shown = make.of_coupon(coupon)
    first = holding.hold(session, at.operator_id, request, shown, now=NOON)

    again = holding.hold(session, at.operator_id, request, shown, now=LAPSED)

    assert again == first
    longer = request.model_copy(update={"lasts_seconds": 61})
    with pytest.raises(RequestReused):
        holding.hold(session, at.operator_id, longer, shown, now=NOON)


def test_another_operators_hold_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    hold = held(session, at, make.coupon(session, at))

    with pytest.raises(Unknown):
        released(session, stranger, hold.id)


def test_the_budget_is_not_lowered_below_what_is_promised(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at, budget_minor=1_000)
    batch = make.batch(session, at, make.offer(session, at, running))
    held(session, at, make.coupon(session, at, batch))
    redeemed(session, at, make.coupon(session, at, batch))
    asked = NewCeiling(
        id=make.an_id(),
        campaign_id=running.id,
        ceiling=Ceiling.BUDGET_MINOR,
        current=1_000,
        target=399,
        reason="less",
    )

    with pytest.raises(CeilingBelowUse) as raised:
        campaigns.move_ceiling(session, at.operator_id, asked, now=NOON)

    assert raised.value.details == {"in_use": 400}
    seen = campaigns.campaign_view(session, at.operator_id, running.id, now=NOON)
    assert (seen.spent_minor, seen.held_minor, seen.budget_minor) == (200, 200, 1_000)


@pytest.mark.parametrize("state", HoldState)
@pytest.mark.parametrize("target", HoldState)
def test_a_hold_moves_as_its_table_says_and_ends_once(
    session: Session, state: HoldState, target: HoldState
) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    promise = make.hold_request(at, coupon)
    holding.hold(session, at.operator_id, promise, make.of_coupon(coupon), now=NOON)
    now = NOON + timedelta(seconds=1)
    if state is HoldState.COMMITTED:
        redeemed(session, at, coupon, hold_id=promise.id, now=now)
    elif state is HoldState.RELEASED:
        release = NewRelease(id=make.an_id(), hold_id=promise.id)
        holding.release(session, at.operator_id, release, now=now)
    elif state is HoldState.TIMED_OUT:
        now = NOON + timedelta(hours=1)
    session.expire_all()
    row = found(session, Hold, at.operator_id, promise.id)
    assert holding.state_of(row, now) is state

    if target is HoldState.RELEASED:
        asked = NewRelease(id=make.an_id(), hold_id=promise.id)
        if target in holding.MOVES[state]:
            assert holding.release(session, at.operator_id, asked, now=now).state is target
        else:
            with pytest.raises(HoldOver):
                holding.release(session, at.operator_id, asked, now=now)
    elif target is HoldState.TIMED_OUT:
        much_later = holding.state_of(row, NOON + timedelta(days=1))
        assert (much_later is target) == (target in holding.MOVES[state] or state is target)
    else:
        assert (target in holding.MOVES[state]) == (
            state is HoldState.OPEN and target is HoldState.COMMITTED
        )
