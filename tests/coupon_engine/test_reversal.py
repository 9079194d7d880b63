"""A redemption taken back leaves nothing behind, to the minor unit, until it has cleared."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from coupon_engine import coupons
from coupon_engine.errors import (
    AlreadyReversed,
    CouponRefused,
    LineUnknown,
    RequestReused,
    StillProvisional,
    UndoWindowClosed,
    Unknown,
)
from coupon_engine.redemption import MOVES, redemption_view
from coupon_engine.reversal import reverse
from schemas.coupons import CouponView, NewRevocation
from schemas.offers import GiftBalance, LimitPer, LimitRule, PercentOff, Period
from schemas.redemptions import NewReversal, RedemptionState, RedemptionView
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, rows, taken_back, totals, used
from tests.make import NOON, Shop

EVERY_LIMIT = tuple(
    LimitRule(per=per, period=period, max_count=1_000, max_minor=100_000)
    for per in LimitPer
    for period in (Period.EVER, Period.DAY, Period.MONTH)
)


def everywhere(session: Session, at: Shop, **terms: Any) -> CouponView:
    """A coupon that comes under every kind of limit there is."""
    running = make.campaign(session, at, limits=EVERY_LIMIT)
    offer = make.offer(session, at, running, limits=EVERY_LIMIT, **terms)
    batch = make.batch(session, at, offer, budget_minor=100_000, max_redemptions=1_000)
    return make.coupon(session, at, batch, customer_id=make.customer(session, at))


def test_a_whole_reversal_returns_every_total(session: Session) -> None:
    at = make.shop(session)
    coupon = everywhere(session, at)
    before = totals(session)
    redemption = redeemed(session, at, coupon, order_ref="R1")
    assert len(totals(session).limits) == 3 + 2 * len(EVERY_LIMIT)
    assert set(totals(session).limits.values()) == {(1, 200)}

    reversal = taken_back(session, at, redemption, cashier="Ada")

    assert totals(session) == before
    assert (reversal.is_whole, reversal.coupon_is_usable) == (True, True)
    assert reversal.discount_minor == 200
    assert reversal.lines == redemption.lines
    seen = redemption_view(session, at.operator_id, redemption.id, now=NOON)
    assert (seen.state, seen.reversed_minor, seen.uses_left) == (RedemptionState.REVERSED, 200, 1)
    assert kinds(session, coupon.id)[-1] == "redemption_reversed"


def test_lines_come_back_one_by_one_and_the_use_with_the_last(session: Session) -> None:
    at = make.shop(session)
    coupon = everywhere(session, at)
    before = totals(session)
    redemption = redeemed(session, at, coupon, order_ref="R1", basket=make.basket(500, 700, 800))
    off = [line.discount_minor for line in redemption.lines]
    assert off == [50, 70, 80]

    first = taken_back(session, at, redemption, lines=(1,))

    assert (first.discount_minor, first.is_whole, first.coupon_is_usable) == (70, False, False)
    assert set(totals(session).limits.values()) == {(1, 130)}
    assert totals(session).receipts["R1"][0] == 130
    assert totals(session).coupons == {coupon.id: (1, 0)}
    second = taken_back(session, at, redemption, lines=(2, 0))
    assert (second.discount_minor, second.is_whole, second.coupon_is_usable) == (130, True, True)
    assert totals(session) == before


def test_the_rest_comes_back_after_a_line(session: Session) -> None:
    at = make.shop(session)
    coupon = everywhere(session, at)
    before = totals(session)
    redemption = redeemed(session, at, coupon, basket=make.basket(500, 1_500))
    taken_back(session, at, redemption, lines=(0,))

    rest = taken_back(session, at, redemption)

    assert [line.line for line in rest.lines] == [1]
    assert (rest.discount_minor, rest.is_whole) == (150, True)
    assert totals(session) == before


def test_a_line_that_got_nothing_cannot_come_back(session: Session) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))
    before = totals(session)

    with pytest.raises(LineUnknown) as raised:
        taken_back(session, at, redemption, lines=(0, 3))

    assert raised.value.details == {"lines": [3]}
    assert totals(session) == before


def test_nothing_comes_back_twice(session: Session) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at), basket=make.basket(500, 500))
    taken_back(session, at, redemption, lines=(0,))
    half = totals(session)

    with pytest.raises(AlreadyReversed) as raised:
        taken_back(session, at, redemption, lines=(0, 1))

    assert raised.value.details == {"lines": [0]}
    assert totals(session) == half
    taken_back(session, at, redemption)
    with pytest.raises(AlreadyReversed):
        taken_back(session, at, redemption)
    assert count(session, "reversal") == 2


def test_a_redemption_comes_back_until_its_undo_window_closes(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    early, late = (redeemed(session, at, make.coupon(session, at, batch)) for _ in range(2))
    last_moment = early.undo_until - timedelta(microseconds=1)

    taken_back(session, at, early, now=last_moment)
    with pytest.raises(UndoWindowClosed) as raised:
        taken_back(session, at, late, now=late.undo_until)

    assert raised.value.details == {"undo_until": late.undo_until.isoformat()}
    assert used(session, "9/") == [(1, 200)]


def test_a_repeat_gets_the_first_answer_though_the_window_is_closed(session: Session) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))
    request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")
    first = reverse(session, at.operator_id, request, now=NOON)

    again = reverse(session, at.operator_id, request, now=NOON + timedelta(days=9))

    assert again == first
    assert count(session, "reversal") == 1
    other = request.model_copy(update={"reason": "another"})
    with pytest.raises(RequestReused):
        reverse(session, at.operator_id, other, now=NOON)


def test_a_no_to_a_reversal_is_kept_as_well(session: Session) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))
    request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="late")
    with pytest.raises(UndoWindowClosed) as first:
        reverse(session, at.operator_id, request, now=redemption.undo_until)

    with pytest.raises(UndoWindowClosed) as again:
        reverse(session, at.operator_id, request, now=NOON)

    assert again.value.details == first.value.details
    assert count(session, "reversal") == 0


def test_a_coupon_that_expired_meanwhile_comes_back_and_does_not_work(session: Session) -> None:
    at = make.shop(session)
    long = make.offer(session, at, undo_seconds=90 * 86_400)
    coupon = make.coupon(session, at, make.batch(session, at, long))
    redemption = redeemed(session, at, coupon)

    reversal = taken_back(session, at, redemption, now=coupon.valid_until)

    assert (reversal.is_whole, reversal.coupon_is_usable) == (True, False)


def test_a_revoked_coupon_comes_back_and_does_not_work(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    redemption = redeemed(session, at, coupon)
    coupons.revoke(
        session,
        at.operator_id,
        NewRevocation(id=make.an_id(), coupon_id=coupon.id, reason="fraud"),
        code_secret=make.SECRET,
        now=NOON,
    )

    assert not taken_back(session, at, redemption).coupon_is_usable


def test_a_coupon_with_uses_left_is_usable_though_only_a_line_came_back(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, uses=2)))
    redemption = redeemed(session, at, coupon, basket=make.basket(500, 500))

    reversal = taken_back(session, at, redemption, lines=(0,))

    assert reversal.coupon_is_usable
    assert redeemed(session, at, coupon).use_no == 2


def test_a_use_that_came_back_is_used_again_under_a_new_number(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    taken_back(session, at, redeemed(session, at, coupon))

    again = redeemed(session, at, coupon)

    assert (again.use_no, again.uses_left) == (2, 0)
    assert used(session, "9/") == [(1, 200)]


def test_money_returns_to_the_period_it_came_from(session: Session) -> None:
    at = make.shop(session)
    daily = (LimitRule(per=LimitPer.ALL, period=Period.DAY, max_count=1),)
    long = make.offer(session, at, limits=daily, undo_seconds=3 * 86_400)
    batch = make.batch(session, at, long)
    monday = redeemed(session, at, make.coupon(session, at, batch))
    tuesday = NOON + timedelta(days=1)
    redeemed(session, at, make.coupon(session, at, batch), now=tuesday)

    taken_back(session, at, monday, now=tuesday)

    assert used(session, "5/") == [(0, 0), (1, 200)]


def test_the_next_coupon_of_the_receipt_sees_what_a_line_left_behind(session: Session) -> None:
    at = make.shop(session)
    half = make.offer(session, at, benefit=PercentOff(percent_off_bp=5_000))
    batch = make.batch(session, at, half)
    basket = make.basket(400, 600)
    first = redeemed(session, at, make.coupon(session, at, batch), order_ref="R1", basket=basket)
    taken_back(session, at, first, lines=(0,))

    second = redeemed(session, at, make.coupon(session, at, batch), order_ref="R1", basket=basket)

    assert [line.discount_minor for line in second.lines] == [200, 150]
    assert totals(session).receipts["R1"][0] == 300 + 350


def test_a_receipt_forgets_nothing_in_one_transaction(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    before = totals(session)
    taken_back(session, at, redeemed(session, at, one, order_ref="R1"))
    redemptions = [redeemed(session, at, coupon, order_ref="R1") for coupon in (one, two)]

    for redemption in redemptions:
        taken_back(session, at, redemption)

    assert totals(session) == before


def test_another_operators_redemption_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))

    with pytest.raises(Unknown):
        taken_back(session, stranger, redemption)

    assert totals(session).standing == 1


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_redeeming_and_reversing_in_any_order_returns_every_total(
    session: Session, data: st.DataObject
) -> None:
    at = make.shop(session)
    running = make.campaign(session, at, limits=EVERY_LIMIT)
    customer = make.customer(session, at)
    kinds_of_terms: list[dict[str, Any]] = [
        {"uses": 3},
        {"benefit": PercentOff(percent_off_bp=3_333)},
        {"benefit": GiftBalance(balance_minor=2_000)},
    ]
    issued = [
        make.coupon(
            session,
            at,
            make.batch(session, at, make.offer(session, at, running, limits=EVERY_LIMIT, **terms)),
            customer_id=customer,
        )
        for terms in kinds_of_terms
    ]
    before = totals(session)
    redemptions: list[RedemptionView] = []
    for _ in range(data.draw(st.integers(1, 6))):
        prices = data.draw(st.lists(st.integers(1, 999), min_size=1, max_size=4))
        order = data.draw(st.sampled_from([None, "R1", "R2"]))
        coupon = data.draw(st.sampled_from(issued))
        with suppress(CouponRefused):
            redemptions.append(
                redeemed(session, at, coupon, basket=make.basket(*prices), order_ref=order)
            )

    for redemption in data.draw(st.permutations(redemptions)):
        lines = [line.line for line in redemption.lines]
        some = data.draw(st.lists(st.sampled_from(lines), unique=True))
        for line in some:
            taken_back(session, at, redemption, lines=(line,))
        if len(some) < len(lines):
            taken_back(session, at, redemption)

    assert totals(session) == before


@pytest.mark.parametrize("state", RedemptionState)
def test_a_redemption_is_reversed_from_where_its_table_allows_it(
    session: Session, state: RedemptionState
) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))
    now = NOON
    if state is RedemptionState.REVERSED:
        taken_back(session, at, redemption)
    elif state is RedemptionState.CLEARED:
        now = redemption.undo_until
    else:  # an upload decides so; until there are terminals, the test does
        put = "UPDATE redemption SET decided = :decided WHERE id = :id RETURNING id"
        rows(session, put, decided=state, id=redemption.id)
    session.expire_all()
    request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")

    if RedemptionState.REVERSED in MOVES[state]:
        assert reverse(session, at.operator_id, request, now=now).is_whole
    else:
        with pytest.raises((AlreadyReversed, StillProvisional, UndoWindowClosed)):
            reverse(session, at.operator_id, request, now=now)
