"""Looking changes nothing, promises nothing, and says what redeeming would."""

from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import holding, validating
from coupon_engine.errors import Unknown
from coupon_engine.validation.showing import Shown
from schemas.baskets import Basket
from schemas.coupons import CouponView
from schemas.offers import Conditions, GiftBalance, PercentOff
from schemas.redemptions import Acceptance, NewValidation, Refused, ValidationView
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count, redeemed, refused, totals
from tests.make import NOON, Shop

UNREADABLE = Shown(refused=Why.MALFORMED)


def looked(
    session: Session,
    at: Shop,
    *coupons: CouponView | Shown,
    basket: Basket | None = None,
    order_ref: str | None = None,
    store_id: UUID | None = None,
    spend_minor: int | None = None,
) -> ValidationView:
    request = NewValidation(
        codes=tuple(f"code {number}" for number, _ in enumerate(coupons)),
        store_id=store_id or at.store.id,
        basket=basket or make.basket(),
        order_ref=order_ref,
        spend_minor=spend_minor,
    )
    shown = [each if isinstance(each, Shown) else make.of_coupon(each) for each in coupons]
    return validating.validate(session, at.operator_id, request, shown, now=NOON)


def whys(view: ValidationView) -> list[Why | int]:
    return [
        each.discount_minor if isinstance(each, Acceptance) else each.refusal.code
        for each in view.verdicts
    ]


def test_looking_writes_nothing_at_all(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    tables = ("answer", "event", "outbox", "limit_row", "redemption", "receipt", "hold")
    before = [count(session, table) for table in tables]

    view = looked(session, at, coupon, UNREADABLE)

    assert [count(session, table) for table in tables] == before
    assert totals(session).standing == 0
    assert whys(view) == [200, Why.MALFORMED]
    assert view.discount_minor == 200


def test_looking_says_what_redeeming_then_does(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    basket = make.basket(333, 667)

    (verdict,) = looked(session, at, coupon, basket=basket).verdicts
    redemption = redeemed(session, at, coupon, basket=basket)

    assert isinstance(verdict, Acceptance)
    assert verdict.lines == redemption.lines
    assert (verdict.discount_minor, verdict.uses_left) == (redemption.discount_minor, 0)
    (after,) = looked(session, at, coupon).verdicts
    assert isinstance(after, Refused)
    assert after.refusal.code is Why.ALREADY_REDEEMED


def test_coupons_of_one_basket_are_told_in_the_order_in_which_to_redeem_them(
    session: Session,
) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)

    def coupon(order: int, percent_off_bp: int) -> CouponView:
        return make.coupon(
            session,
            at,
            make.batch(
                session,
                at,
                make.offer(
                    session,
                    at,
                    running,
                    benefit=PercentOff(percent_off_bp=percent_off_bp),
                    conditions=Conditions(stacking_order=order),
                ),
            ),
        )

    last, first = coupon(9, 1_000), coupon(1, 5_000)

    view = looked(session, at, last, first)

    assert [each.coupon_id for each in view.verdicts] == [first.id, last.id]
    assert whys(view) == [500, 50]
    assert view.discount_minor == 550
    spent = [redeemed(session, at, each, order_ref="R1").discount_minor for each in (first, last)]
    assert spent == [500, 50]


def test_coupons_that_do_not_combine_are_told_before_they_are_redeemed(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at, conditions=Conditions(exclusivity_groups=("spring",)))
    batch = make.batch(session, at, offer)
    one, two = (make.coupon(session, at, batch) for _ in range(2))

    assert whys(looked(session, at, one, two)) == [200, Why.NOT_COMBINABLE]


def test_one_coupon_shown_in_two_ways_counts_once(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    assert whys(looked(session, at, coupon, coupon)) == [200, Why.ALREADY_REDEEMED]


def test_looking_sees_the_coupons_that_the_receipt_already_has(session: Session) -> None:
    at = make.shop(session)
    half = make.offer(session, at, benefit=PercentOff(percent_off_bp=5_000))
    batch = make.batch(session, at, half)
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    redeemed(session, at, one, order_ref="R1")

    assert whys(looked(session, at, two, order_ref="R1")) == [250]
    assert whys(looked(session, at, two)) == [500]
    assert whys(looked(session, at, two, order_ref="R1", basket=make.basket(1))) == [
        Why.BASKET_CHANGED
    ]


def test_looking_sees_the_budget_that_is_left_and_what_is_held(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at, budget_minor=200)
    batch = make.batch(session, at, make.offer(session, at, running))
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    assert whys(looked(session, at, two)) == [200]

    holding.hold(session, at.operator_id, make.hold_request(at, one), make.of_coupon(one), now=NOON)

    assert whys(looked(session, at, one)) == [Why.HELD]
    assert whys(looked(session, at, two)) == [Why.BUDGET_SPENT]
    assert refused(session, at, two).code is Why.BUDGET_SPENT


def test_a_gift_tells_its_balance_and_what_would_remain(session: Session) -> None:
    at = make.shop(session)
    gift = make.offer(session, at, benefit=GiftBalance(balance_minor=1_500))
    coupon = make.coupon(session, at, make.batch(session, at, gift))

    (verdict,) = looked(session, at, coupon, spend_minor=400).verdicts

    assert isinstance(verdict, Acceptance)
    assert (verdict.discount_minor, verdict.balance_minor, verdict.uses_left) == (400, 1_100, 1)


def test_another_operators_store_is_unknown_and_so_is_their_coupon(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    coupon = make.coupon(session, at)

    with pytest.raises(Unknown):
        looked(session, stranger, coupon, store_id=at.store.id)

    assert whys(looked(session, stranger, coupon)) == [Why.COUPON_UNKNOWN]
