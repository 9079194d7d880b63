"""A coupon at the counter: spent as often as it may be, refused for a reason, answered once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlmodel import Session

from coupon_engine import batches, campaigns, coupons
from coupon_engine.errors import CouponRefused, RequestReused, Unknown
from coupon_engine.redemption import Presented, redeem, redeem_many, redemption_view
from coupon_engine.validation import short_code
from coupon_engine.validation.showing import Shown
from schemas.baskets import Basket, Line
from schemas.campaigns import BatchMove, Decidable, Move, NewBatchMove, NewMove, Stops
from schemas.coupons import NewRevocation
from schemas.offers import (
    BuyXGetY,
    Conditions,
    FixedPrice,
    FreeItem,
    GiftBalance,
    OpenHours,
    PercentOff,
    Validity,
    Weekday,
)
from schemas.redemptions import RedemptionState
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import (
    count,
    counted,
    kinds,
    redeemed,
    refused,
    rows,
    taken_back,
    totals,
)
from tests.make import NOON

SOON = NOON + timedelta(minutes=1)
LONG_AFTER = NOON + timedelta(days=40)


def test_a_redeemed_coupon_takes_its_discount_off_the_lines(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    answer = redeemed(session, at, coupon, basket=make.basket(500, 1_500))

    assert answer.state is RedemptionState.ACCEPTED
    assert answer.discount_minor == 200
    assert [line.discount_minor for line in answer.lines] == [50, 150]
    assert answer.undo_until == NOON + timedelta(hours=1)
    assert answer.uses_left == 0


def test_a_redemption_moves_budget_coupon_and_receipt_and_nothing_else(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, running)))

    answer = redeemed(session, at, coupon, order_ref="R1", cashier="Ada")

    after = totals(session)
    assert after.limits == {f"9/{running.id}/redeem": (1, 200)}
    assert after.coupons == {coupon.id: (1, 0)}
    assert after.receipts["R1"][0] == 200
    assert after.standing == 1
    assert kinds(session, coupon.id) == ["coupon_issued", "coupon_redeemed"]
    told = rows(session, "SELECT data FROM event WHERE kind = 'coupon_redeemed'")[0].data
    assert told["redemption_id"] == str(answer.id)
    assert told["store_id"] == str(at.store.id)
    assert told["cashier"] == "Ada"
    assert told["discount_minor"] == 200
    assert count(session, "outbox WHERE kind = 'coupon_redeemed'") == 1


@pytest.mark.parametrize(
    "why",
    [
        Why.NOT_A_COUPON,
        Why.MALFORMED,
        Why.UNKNOWN_KEY,
        Why.KEY_SCOPE,
        Why.BAD_SIGNATURE,
        Why.BAD_HOLDER_SIGNATURE,
        Why.STALE,
        Why.CLOCK_AHEAD,
        Why.CHALLENGE_REQUIRED,
        Why.LIVE_CODE_REQUIRED,
    ],
)
def test_a_code_that_was_not_taken_is_refused_with_its_own_reason(
    session: Session, why: Why
) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at)).request
    before = totals(session)

    with pytest.raises(CouponRefused) as raised:
        redeem(session, at.operator_id, Presented(request, Shown(refused=why)), now=NOON)

    assert raised.value.refusal.code is why
    assert totals(session) == before
    assert count(session, "event WHERE kind = 'redemption_refused'") == 0


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ({"coupon_id": UUID(int=7)}, Why.COUPON_UNKNOWN),
        ({"campaign_number": 2}, Why.COUPON_UNKNOWN),
        ({"coupon_id": None, "code_hash": bytes(32)}, Why.SHORT_CODE_UNKNOWN),
        ({"holder_key": b"\x02" + bytes(32)}, Why.SUPERSEDED),
    ],
)
def test_a_code_that_the_record_does_not_know_so_is_refused(
    session: Session, shown: dict[str, Any], why: Why
) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    read: dict[str, Any] = {"coupon_id": coupon.id, "campaign_number": 1, **shown}
    request = make.request(at, coupon).request

    with pytest.raises(CouponRefused) as raised:
        redeem(session, at.operator_id, Presented(request, Shown(**read)), now=NOON)

    assert raised.value.refusal.code is why
    assert totals(session).standing == 0


def test_a_coupon_is_redeemed_by_its_short_code(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, has_short_codes=True))
    assert coupon.short_code is not None
    typed = short_code.fingerprint(coupon.short_code.lower(), make.SECRET)
    request = make.request(at, coupon).request

    answer = redeem(session, at.operator_id, Presented(request, Shown(code_hash=typed)), now=NOON)

    assert answer.coupon_id == coupon.id


def milk(quantity: int = 1) -> Basket:
    line = Line(product="milk", category="dairy", quantity=quantity, unit_price_minor=100)
    return Basket(currency="EUR", lines=(line,))


@pytest.mark.parametrize(
    ("why", "terms", "asked"),
    [
        (
            Why.OUTSIDE_HOURS,
            {"conditions": Conditions(hours=(OpenHours(weekdays=(Weekday.TUESDAY,)),))},
            {},
        ),
        (Why.WRONG_SEGMENT, {"conditions": Conditions(segments=("vip",))}, {}),
        (Why.NOT_FIRST_PURCHASE, {"conditions": Conditions(first_purchase_only=True)}, {}),
        (Why.BASKET_REQUIRED, {"benefit": PercentOff(percent_off_bp=1_000)}, {"basket": None}),
        (
            Why.LINES_REQUIRED,
            {"conditions": Conditions(products=("milk",))},
            {"basket": Basket(currency="EUR", total_minor=500)},
        ),
        (Why.WRONG_CURRENCY, {}, {"basket": make.basket(500, currency="USD")}),
        (Why.BELOW_MINIMUM, {"conditions": Conditions(minimum_basket_minor=1_001)}, {}),
        (Why.NO_MATCHING_ITEM, {"conditions": Conditions(categories=("dairy",))}, {}),
        (
            Why.TOO_FEW_ITEMS,
            {"benefit": BuyXGetY(buy=2), "conditions": Conditions(products=("milk",))},
            {"basket": milk(2)},
        ),
        (
            Why.NOTHING_TO_DISCOUNT,
            {"benefit": FixedPrice(price_minor=100), "conditions": Conditions(products=("milk",))},
            {"basket": milk()},
        ),
        (Why.NOT_YET, {"validity": Validity(wait_days=1, days_after_issue=3)}, {}),
    ],
)
def test_a_condition_that_is_not_met_refuses_the_coupon(
    session: Session, why: Why, terms: dict[str, Any], asked: dict[str, Any]
) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, **terms)))

    refusal = refused(session, at, coupon, **asked)

    assert refusal.code is why
    assert kinds(session, coupon.id) == ["coupon_issued", "redemption_refused"]


def test_a_coupon_is_expired_from_the_very_end_of_its_window(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    refusal = refused(session, at, coupon, now=coupon.valid_until)
    answer = redeemed(session, at, coupon, now=coupon.valid_until - timedelta(microseconds=1))

    assert refusal.code is Why.EXPIRED
    assert answer.discount_minor == 200


def test_a_coupon_is_spent_once(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    redeemed(session, at, coupon)

    refusal = refused(session, at, coupon, now=SOON)

    assert refusal.code is Why.ALREADY_REDEEMED
    assert refusal.reasons[0].needs["at"] == NOON.isoformat()


def test_a_coupon_of_three_uses_is_spent_three_times(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, uses=3)))

    answers = [redeemed(session, at, coupon) for _ in range(3)]

    assert [(each.use_no, each.uses_left) for each in answers] == [(1, 2), (2, 1), (3, 0)]
    assert refused(session, at, coupon).code is Why.ALREADY_REDEEMED


def test_a_coupon_that_waits_to_be_claimed_is_nobodys(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, needs_claim=True))

    assert refused(session, at, coupon).code is Why.UNCLAIMED


def test_a_revoked_coupon_is_refused(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    coupons.revoke(
        session,
        at.operator_id,
        NewRevocation(id=make.an_id(), coupon_id=coupon.id, reason="misprint"),
        code_secret=make.SECRET,
        now=NOON,
    )

    assert refused(session, at, coupon).code is Why.REVOKED


@pytest.mark.parametrize(("stay", "why"), [(True, None), (False, Why.REVOKED)])
def test_a_revoked_batch_takes_its_coupons_along_only_when_told(
    session: Session, stay: bool, why: Why | None
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    coupon = make.coupon(session, at, batch)
    batches.decide_batch(
        session,
        at.operator_id,
        NewBatchMove(
            id=make.an_id(),
            batch_id=batch.id,
            move=BatchMove.REVOKE,
            reason="wrong price",
            coupons_stay_valid=stay,
        ),
        now=NOON,
    )

    if why is None:
        assert redeemed(session, at, coupon).discount_minor == 200
    else:
        assert refused(session, at, coupon).code is why


@pytest.mark.parametrize(
    ("moves", "stops", "why"),
    [
        ([Move.PAUSE], Stops.ISSUING, None),
        ([Move.PAUSE], Stops.ISSUING_AND_REDEEMING, Why.CAMPAIGN_PAUSED),
        ([Move.PAUSE, Move.RESUME], Stops.ISSUING_AND_REDEEMING, None),
        ([Move.END], Stops.ISSUING, None),
        ([Move.END], Stops.ISSUING_AND_REDEEMING, Why.CAMPAIGN_ENDED),
        ([Move.END, Move.ARCHIVE], Stops.ISSUING, None),
        ([Move.END, Move.ARCHIVE], Stops.ISSUING_AND_REDEEMING, Why.CAMPAIGN_ENDED),
    ],
)
def test_a_decision_about_the_campaign_stops_redeeming_only_when_told(
    session: Session, moves: list[Decidable], stops: Stops, why: Why | None
) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, running)))
    for move in moves:
        campaigns.decide(
            session,
            at.operator_id,
            NewMove(id=make.an_id(), campaign_id=running.id, move=move, reason="told", stops=stops),
            now=NOON,
        )

    if why is None:
        assert redeemed(session, at, coupon).discount_minor == 200
    else:
        assert refused(session, at, coupon).code is why


def test_a_coupon_bound_to_a_store_works_there_alone(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    coupon = make.coupon(session, at, store_id=at.store.id)

    refusal = refused(session, at, coupon, store_id=other.id, terminal_id=None)

    assert refusal.code is Why.WRONG_STORE
    assert redeemed(session, at, coupon).discount_minor == 200


def test_a_customers_first_purchase_is_made_once(session: Session) -> None:
    at = make.shop(session)
    customer = make.customer(session, at)
    batch = make.batch(
        session, at, make.offer(session, at, conditions=Conditions(first_purchase_only=True))
    )
    first = make.coupon(session, at, batch, customer_id=customer)
    second = make.coupon(session, at, batch, customer_id=customer)

    redeemed(session, at, first)

    assert refused(session, at, second).code is Why.NOT_FIRST_PURCHASE


def test_a_first_purchase_taken_back_can_be_made_again(session: Session) -> None:
    at = make.shop(session)
    customer = make.customer(session, at)
    batch = make.batch(
        session, at, make.offer(session, at, conditions=Conditions(first_purchase_only=True))
    )
    coupon = make.coupon(session, at, batch, customer_id=customer)
    other = make.coupon(session, at, batch, customer_id=customer)
    taken_back(session, at, redeemed(session, at, coupon))

    again = redeemed(session, at, coupon, now=SOON)

    assert again.discount_minor == 200
    assert refused(session, at, other, now=SOON).code is Why.NOT_FIRST_PURCHASE


def test_a_customer_who_has_bought_before_makes_no_first_purchase(session: Session) -> None:
    at = make.shop(session)
    customer = make.customer(session, at, has_purchased=True)
    batch = make.batch(
        session, at, make.offer(session, at, conditions=Conditions(first_purchase_only=True))
    )
    coupon = make.coupon(session, at, batch, customer_id=customer)

    assert refused(session, at, coupon).code is Why.NOT_FIRST_PURCHASE


def test_a_customer_of_one_of_the_segments_may_use_the_coupon(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(
        session, at, make.offer(session, at, conditions=Conditions(segments=("vip", "staff")))
    )
    staff = make.customer(session, at, segments=("staff",))
    guest = make.customer(session, at, segments=("guest",))

    answer = redeemed(session, at, make.coupon(session, at, batch, customer_id=staff))

    assert answer.customer_id == staff
    stranger = make.coupon(session, at, batch, customer_id=guest)
    assert refused(session, at, stranger).code is Why.WRONG_SEGMENT


# A gift balance is spent in parts.


def test_a_gift_balance_is_spent_in_parts_until_nothing_remains(session: Session) -> None:
    at = make.shop(session)
    gift = make.offer(session, at, benefit=GiftBalance(balance_minor=1_500))
    coupon = make.coupon(session, at, make.batch(session, at, gift))

    first = redeemed(session, at, coupon, basket=make.basket(700), spend_minor=400)
    second = redeemed(session, at, coupon, basket=make.basket(900))
    third = redeemed(session, at, coupon, basket=make.basket(900))

    spent = [(each.discount_minor, each.balance_minor) for each in (first, second, third)]
    assert spent == [(400, 1_100), (900, 200), (200, 0)]
    assert [each.uses_left for each in (first, second, third)] == [1, 1, 0]
    assert refused(session, at, coupon).code is Why.BALANCE_EMPTY


def test_a_part_of_a_gift_that_is_taken_back_can_be_spent_again(session: Session) -> None:
    at = make.shop(session)
    gift = make.offer(session, at, benefit=GiftBalance(balance_minor=1_000))
    coupon = make.coupon(session, at, make.batch(session, at, gift))
    redeemed(session, at, coupon, basket=make.basket(300))
    second = redeemed(session, at, coupon, basket=make.basket(700))

    taken_back(session, at, second)

    seen = redemption_view(session, at.operator_id, second.id, now=SOON)
    assert seen.balance_minor == 700
    assert redeemed(session, at, coupon, basket=make.basket(2_000)).discount_minor == 700


# Several coupons on one receipt.


def test_a_second_coupon_sees_what_the_first_has_left_of_the_basket(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    half = make.offer(session, at, running, benefit=PercentOff(percent_off_bp=5_000))
    batch = make.batch(session, at, half)
    one, two = (make.coupon(session, at, batch) for _ in range(2))

    first = redeemed(session, at, one, order_ref="R1")
    second = redeemed(session, at, two, order_ref="R1")

    assert (first.discount_minor, second.discount_minor) == (500, 250)
    assert totals(session).receipts["R1"][0] == 750


def test_coupons_of_one_receipt_share_it_inside_one_batch_too(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    half = make.offer(session, at, running, benefit=PercentOff(percent_off_bp=5_000))
    batch = make.batch(session, at, half)
    asked = [
        make.request(at, make.coupon(session, at, batch), order_ref=order)
        for order in ("R1", "R1", "R2")
    ]

    outcomes = redeem_many(session, at.operator_id, asked, now=NOON)

    assert [each.error for each in outcomes] == [None, None, None]
    spent = {ref: receipt[0] for ref, receipt in totals(session).receipts.items()}
    assert spent == {"R1": 750, "R2": 500}


def exclusive(session: Session, at: make.Shop, *groups: str) -> list[Any]:
    running = make.campaign(session, at)
    return [
        make.coupon(
            session,
            at,
            make.batch(
                session,
                at,
                make.offer(
                    session, at, running, conditions=Conditions(exclusivity_groups=(group,))
                ),
            ),
        )
        for group in groups
    ]


def test_two_coupons_of_one_group_do_not_combine_on_a_receipt(session: Session) -> None:
    at = make.shop(session)
    one, rival, friend = exclusive(session, at, "spring", "spring", "summer")
    first = redeemed(session, at, one, order_ref="R1")

    refusal = refused(session, at, rival, order_ref="R1")

    assert refusal.code is Why.NOT_COMBINABLE
    assert refusal.reasons[0].needs == {"reverse": [str(first.id)]}
    assert redeemed(session, at, friend, order_ref="R1").discount_minor == 200
    assert redeemed(session, at, rival, order_ref="R2").discount_minor == 200


def test_two_coupons_of_one_group_do_not_combine_inside_one_batch(session: Session) -> None:
    at = make.shop(session)
    one, rival = exclusive(session, at, "spring", "spring")
    asked = [make.request(at, coupon, order_ref="R1") for coupon in (one, rival)]

    first, second = redeem_many(session, at.operator_id, asked, now=NOON)

    assert first.error is None
    assert isinstance(second.error, CouponRefused)
    assert second.error.refusal.code is Why.NOT_COMBINABLE
    assert totals(session).standing == 1


def test_a_group_is_free_again_when_its_coupon_is_taken_back(session: Session) -> None:
    at = make.shop(session)
    one, rival = exclusive(session, at, "spring", "spring")
    taken_back(session, at, redeemed(session, at, one, order_ref="R1"))

    assert redeemed(session, at, rival, order_ref="R1").discount_minor == 200


def test_a_coupon_without_a_basket_cannot_claim_a_receipt(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    with pytest.raises(ValidationError, match="each comes with its basket"):
        make.request(at, coupon, order_ref="R1", basket=None)


def test_a_coupon_that_comes_too_late_in_the_stacking_order_is_refused(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    early, late = (
        make.coupon(
            session,
            at,
            make.batch(
                session,
                at,
                make.offer(session, at, running, conditions=Conditions(stacking_order=order)),
            ),
        )
        for order in (1, 9)
    )
    redeemed(session, at, late, order_ref="R1")

    refusal = refused(session, at, early, order_ref="R1")

    assert refusal.code is Why.STACKING_ORDER


def test_a_basket_that_changed_between_two_coupons_is_refused(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    redeemed(session, at, one, order_ref="R1")

    refusal = refused(session, at, two, order_ref="R1", basket=make.basket(1_000, 1))

    assert refusal.code is Why.BASKET_CHANGED


def test_a_basket_may_change_once_all_its_coupons_are_taken_back(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    taken_back(session, at, redeemed(session, at, one, order_ref="R1", basket=make.basket(150)))

    answer = redeemed(session, at, one, order_ref="R1", basket=make.basket(150, 800))

    assert answer.discount_minor == 200
    assert (
        redeemed(session, at, two, order_ref="R1", basket=make.basket(150, 800)).discount_minor
        == 200
    )
    assert totals(session).receipts["R1"][0] == 400


def test_units_that_one_coupon_made_free_are_not_given_by_the_next(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    dairy = Conditions(products=("milk",))
    free = make.offer(session, at, running, benefit=FreeItem(), conditions=dairy)
    batch = make.batch(session, at, free)
    one, two, three = (make.coupon(session, at, batch) for _ in range(3))

    first = redeemed(session, at, one, order_ref="R1", basket=milk(2))
    second = redeemed(session, at, two, order_ref="R1", basket=milk(2))

    assert (first.discount_minor, second.discount_minor) == (100, 100)
    refusal = refused(session, at, three, order_ref="R1", basket=milk(2))
    assert refusal.code is Why.NOTHING_TO_DISCOUNT


# Asking twice.


def test_a_repeat_gets_the_first_answer(session: Session) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at))
    first = redeem(session, at.operator_id, request, now=NOON)
    before = totals(session)

    again = redeem(session, at.operator_id, request, now=LONG_AFTER)

    assert again == first
    assert totals(session) == before
    assert count(session, "event WHERE kind = 'coupon_redeemed'") == 1


def test_a_repeat_of_a_refusal_hears_no_again_though_the_coupon_would_work_now(
    session: Session,
) -> None:
    at = make.shop(session)
    waits = make.offer(session, at, validity=Validity(wait_days=1, days_after_issue=3))
    request = make.request(at, make.coupon(session, at, make.batch(session, at, waits)))
    with pytest.raises(CouponRefused) as first:
        redeem(session, at.operator_id, request, now=NOON)

    with pytest.raises(CouponRefused) as again:
        redeem(session, at.operator_id, request, now=NOON + timedelta(days=2))

    assert again.value.refusal == first.value.refusal
    assert totals(session).standing == 0


def test_a_repeat_of_an_unknown_store_hears_the_same(session: Session) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at), store_id=UUID(int=5))
    with pytest.raises(Unknown) as first:
        redeem(session, at.operator_id, request, now=NOON)

    with pytest.raises(Unknown) as again:
        redeem(session, at.operator_id, request, now=NOON)

    assert again.value.details == first.value.details == {"kind": "store", "id": str(UUID(int=5))}


@pytest.mark.parametrize(
    "changed",
    [
        {"basket": make.basket(999)},
        {"cashier": "Eve"},
        {"order_ref": "R2"},
        {"terminal_id": None},
        {"code": "another"},
    ],
)
def test_an_id_used_for_other_contents_is_no_repeat(
    session: Session, changed: dict[str, Any]
) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at))
    redeem(session, at.operator_id, request, now=NOON)
    before = totals(session)
    other = Presented(request.request.model_copy(update=changed), request.shown)

    with pytest.raises(RequestReused):
        redeem(session, at.operator_id, other, now=NOON)

    assert totals(session) == before


def test_repeats_inside_one_batch_share_the_first_answer(session: Session) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at))
    other = Presented(request.request.model_copy(update={"cashier": "Eve"}), request.shown)
    no = make.request(at, make.coupon(session, at), basket=make.basket(1, currency="USD"), of=None)

    outcomes = redeem_many(session, at.operator_id, [request, no, request, other, no], now=NOON)

    assert outcomes[0].body is not None
    assert outcomes[2] == outcomes[0]
    assert isinstance(outcomes[3].error, RequestReused)
    assert outcomes[4].error is outcomes[1].error is not None
    assert count(session, "answer WHERE verb = 'redeem'") == 2
    assert totals(session).standing == 1


def test_one_coupon_asked_for_twice_in_one_batch_is_spent_once(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    asked = [make.request(at, coupon) for _ in range(3)]

    outcomes = redeem_many(session, at.operator_id, asked, now=NOON)

    assert [each.error is None for each in outcomes] == [True, False, False]
    assert totals(session).coupons == {coupon.id: (1, 0)}


def test_a_no_never_harms_its_neighbours(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    asked = [make.request(at, make.coupon(session, at, batch)) for _ in range(5)]
    asked[1] = make.request(at, make.coupon(session, at, batch), store_id=UUID(int=5))
    asked[3] = Presented(asked[3].request, Shown(refused=Why.BAD_SIGNATURE))

    outcomes = redeem_many(session, at.operator_id, asked, now=NOON)

    assert [each.error is None for each in outcomes] == [True, False, True, False, True]
    assert totals(session).standing == 3


# Whose store, whose coupon.


def test_a_terminal_of_another_store_is_unknown_even_beside_a_request_of_that_store(
    session: Session,
) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    batch = make.batch(session, at)
    here = make.request(at, make.coupon(session, at, batch))
    there = make.request(at, make.coupon(session, at, batch), store_id=other.id)

    first, second = redeem_many(session, at.operator_id, [here, there], now=NOON)

    assert first.error is None
    assert isinstance(second.error, Unknown)
    assert second.error.details["kind"] == "terminal"


def test_another_operators_coupon_store_and_terminal_are_as_unknown_as_any(
    session: Session,
) -> None:
    at, stranger = make.shop(session), make.shop(session)
    coupon = make.coupon(session, at)

    refusal = refused(session, stranger, coupon)
    with pytest.raises(Unknown) as no_store:
        redeemed(session, stranger, coupon, store_id=at.store.id)
    with pytest.raises(Unknown) as no_terminal:
        redeemed(session, stranger, coupon, terminal_id=at.terminal.id)

    assert refusal.code is Why.COUPON_UNKNOWN
    assert no_store.value.details["kind"] == "store"
    assert no_terminal.value.details["kind"] == "terminal"
    assert totals(session).standing == 0


def test_another_operators_redemption_cannot_be_seen(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))

    with pytest.raises(Unknown):
        redemption_view(session, stranger.operator_id, redemption.id, now=NOON)


def test_a_redemption_is_cleared_when_its_undo_window_is_over(session: Session) -> None:
    at = make.shop(session)
    redemption = redeemed(session, at, make.coupon(session, at))

    def seen(now: Any) -> RedemptionState:
        return redemption_view(session, at.operator_id, redemption.id, now=now).state

    assert seen(redemption.undo_until - timedelta(microseconds=1)) is RedemptionState.ACCEPTED
    assert seen(redemption.undo_until) is RedemptionState.CLEARED
    taken_back(session, at, redemption)
    assert seen(LONG_AFTER) is RedemptionState.REVERSED


def test_a_batch_of_redemptions_takes_the_same_statements_whatever_its_size(
    session: Session,
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    redeemed(session, at, make.coupon(session, at, batch))  # the terms are known from here on

    def statements(size: int) -> int:
        asked = [make.request(at, make.coupon(session, at, batch)) for _ in range(size)]
        with counted() as seen:
            redeem_many(session, at.operator_id, asked, now=NOON)
        return len(seen)

    assert statements(40) == statements(1) < 12


def test_a_coupon_of_some_stores_works_in_them_alone(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    some = make.offer(session, at, conditions=Conditions(stores=(other.id,)))
    coupon = make.coupon(session, at, make.batch(session, at, some))

    refusal = refused(session, at, coupon)

    assert refusal.code is Why.WRONG_STORE
    assert redeemed(session, at, coupon, store_id=other.id, terminal_id=None).discount_minor == 200


def test_a_coupon_issued_ahead_waits_for_its_campaign(session: Session) -> None:
    at = make.shop(session)
    tomorrow = NOON + timedelta(days=1)
    coming = make.campaign(session, at, starts_at=tomorrow)
    coupon = make.coupon(session, at, make.batch(session, at, make.offer(session, at, coming)))

    assert refused(session, at, coupon).code is Why.NOT_YET
    assert coupon.valid_from == tomorrow
    assert redeemed(session, at, coupon, now=tomorrow).discount_minor == 200


def test_a_total_beside_the_lines_is_the_same_basket(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    lines = make.basket(1_000)
    redeemed(session, at, make.coupon(session, at, batch), order_ref="R1", basket=lines)

    told = lines.model_copy(update={"total_minor": 1_000})
    again = redeemed(session, at, make.coupon(session, at, batch), order_ref="R1", basket=told)

    assert again.discount_minor == 200


def test_a_strangers_hold_is_not_written_beside_a_redemption(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    redemption = redeemed(session, at, coupon, hold_id=make.an_id())

    (row,) = rows(session, "SELECT hold_id FROM redemption WHERE id = :id", id=redemption.id)
    assert row.hold_id is None
