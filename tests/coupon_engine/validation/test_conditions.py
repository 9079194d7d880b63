"""Each condition: what it asks, what it tells, and where it stops asking."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from coupon_engine.validation.conditions import ORDER, unmet
from coupon_engine.validation.facts import Case
from schemas.base import Json
from schemas.campaigns import Stops
from schemas.offers import (
    AmountOff,
    BuyXGetY,
    FixedPrice,
    FreeItem,
    GiftBalance,
    OpenHours,
    PercentOff,
    Weekday,
)
from schemas.refusals import Why
from tests.coupon_engine.validation.cases import (
    CUSTOMER,
    HOLD,
    NOON,
    STORE,
    applied,
    basket,
    case,
    customer,
    line,
    terms,
    total,
)

A_MOMENT = timedelta(microseconds=1)
ELSEWHERE = UUID(int=99)


def told(asked: Case) -> list[tuple[Why, str, Json]]:
    return [(reason.code, reason.rule, reason.needs) for reason in unmet(asked)]


def test_a_good_coupon_meets_every_condition() -> None:
    assert told(case(terms(), total(1_000))) == []


def test_a_coupon_works_from_its_first_instant_and_not_before() -> None:
    start = NOON + A_MOMENT

    assert told(case(terms(), total(1_000), coupon_valid_from=NOON)) == []
    assert told(case(terms(), total(1_000), coupon_valid_from=start)) == [
        (Why.NOT_YET, "validity.from", {"from": "2026-03-04T12:00:00.000001+00:00"})
    ]


def test_a_coupon_works_until_its_last_instant_and_no_longer() -> None:
    assert told(case(terms(), total(1_000), coupon_valid_until=NOON + A_MOMENT)) == []
    assert told(case(terms(), total(1_000), coupon_valid_until=NOON)) == [
        (Why.EXPIRED, "validity.until", {"until": "2026-03-04T12:00:00+00:00"})
    ]


def test_a_coupon_of_three_uses_ends_with_the_third() -> None:
    offer = terms(uses=3)

    assert told(case(offer, total(1_000), coupon_uses_count=2)) == []
    assert told(case(offer, total(1_000), coupon_uses_count=3)) == [
        (Why.ALREADY_REDEEMED, "uses", {"uses": 3})
    ]


@pytest.mark.parametrize(
    ("ago", "needs"),
    [
        (timedelta(hours=24), {"uses": 1, "at": "2026-03-03T12:00:00+00:00"}),
        (timedelta(hours=24) + A_MOMENT, {"uses": 1}),
    ],
)
def test_the_hour_of_a_use_is_told_for_a_day(ago: timedelta, needs: Json) -> None:
    used = case(terms(), total(1_000), coupon_uses_count=1, coupon_last_redeemed_at=NOON - ago)

    assert told(used) == [(Why.ALREADY_REDEEMED, "uses", needs)]


def test_a_gift_is_spent_in_any_number_of_parts_until_it_is_empty() -> None:
    gift = terms(GiftBalance(balance_minor=1_000))

    assert told(case(gift, total(500), coupon_uses_count=7, coupon_spent_minor=999)) == []
    assert told(case(gift, total(500), coupon_uses_count=7, coupon_spent_minor=1_000)) == [
        (Why.BALANCE_EMPTY, "benefit.balance_minor", {})
    ]


@pytest.mark.parametrize(
    ("hold_id", "held_by", "until", "is_free"),
    [
        (None, HOLD, NOON + A_MOMENT, False),
        (ELSEWHERE, HOLD, NOON + A_MOMENT, False),
        (None, None, NOON + A_MOMENT, False),
        (HOLD, HOLD, NOON + A_MOMENT, True),
        (None, HOLD, NOON, True),
    ],
)
def test_a_held_coupon_waits_for_its_own_hold(
    hold_id: UUID | None, held_by: UUID | None, until: Any, is_free: bool
) -> None:
    held = case(
        terms(), total(1_000), hold_id=hold_id, coupon_held_by=held_by, coupon_held_until=until
    )

    expected = [(Why.HELD, "coupon.held", {"until": "2026-03-04T12:00:00.000001+00:00"})]
    assert told(held) == ([] if is_free else expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"coupon_is_revoked": True}, (Why.REVOKED, "coupon.revoked", {})),
        ({"coupon_is_claimed": False}, (Why.UNCLAIMED, "coupon.claimed", {})),
        ({"campaign_is_live": False}, (Why.CAMPAIGN_NOT_RUNNING, "campaign.state", {})),
        (
            {"campaign_stops": Stops.ISSUING_AND_REDEEMING},
            (Why.CAMPAIGN_PAUSED, "campaign.stops", {}),
        ),
        ({"campaign_has_ended_for_good": True}, (Why.CAMPAIGN_ENDED, "campaign.ended", {})),
        ({"campaign_is_batch_revoked": True}, (Why.REVOKED, "batch.revoked", {})),
        ({"coupon_store_id": ELSEWHERE}, (Why.WRONG_STORE, "coupon.store_id", {})),
    ],
)
def test_one_fact_stands_in_the_way(change: dict[str, Any], reason: tuple[Why, str, Json]) -> None:
    assert told(case(terms(), total(1_000), **change)) == [reason]


def test_a_pause_of_issuing_leaves_coupons_that_are_out_alone() -> None:
    assert told(case(terms(), total(1_000), campaign_stops=Stops.ISSUING)) == []


def test_an_offer_of_some_stores_works_in_them_alone() -> None:
    here = terms(stores=(ELSEWHERE, STORE))
    elsewhere = terms(stores=(ELSEWHERE,))

    assert told(case(here, total(1_000), coupon_store_id=STORE)) == []
    assert told(case(elsewhere, total(1_000))) == [(Why.WRONG_STORE, "conditions.stores", {})]


def test_a_closed_hour_tells_the_next_open_one() -> None:
    tuesdays = OpenHours(weekdays=(Weekday.TUESDAY,), from_time="09:30", until_time="17:00")  # pyright: ignore[reportArgumentType]

    assert told(case(terms(hours=(tuesdays,)), total(1_000))) == [
        (Why.OUTSIDE_HOURS, "conditions.hours", {"from": "2026-03-10T08:30:00+00:00"})
    ]


def test_hours_are_read_on_the_clock_of_the_store() -> None:
    lunch = OpenHours(weekdays=(Weekday.WEDNESDAY,), from_time="13:00", until_time="13:01")  # pyright: ignore[reportArgumentType]
    offer = terms(hours=(lunch,))

    assert NOON.astimezone(ZoneInfo("Europe/Berlin")).hour == 13
    assert told(case(offer, total(1_000))) == []


def test_a_coupon_serves_its_holder_alone() -> None:
    mine = case(terms(), total(1_000), coupon_customer_id=CUSTOMER, customer=customer())
    theirs = case(terms(), total(1_000), coupon_customer_id=ELSEWHERE, customer=customer())
    unknown = case(terms(), total(1_000), coupon_customer_id=ELSEWHERE)

    assert told(mine) == told(unknown) == []
    assert told(theirs) == [(Why.WRONG_CUSTOMER, "coupon.customer_id", {})]


@pytest.mark.parametrize(
    ("who", "is_in"),
    [
        (customer("students", "new"), True),
        (customer("new"), False),
        (customer(), False),
        (None, False),
    ],
)
def test_one_shared_segment_is_enough(who: object, is_in: bool) -> None:
    offer = terms(segments=("students", "seniors"))

    reason = (Why.WRONG_SEGMENT, "conditions.segments", {"any_of": ["students", "seniors"]})
    assert told(case(offer, total(1_000), customer=who)) == ([] if is_in else [reason])


@pytest.mark.parametrize(
    ("who", "is_first"),
    [(customer(), True), (customer(has_purchased=True), False), (None, False)],
)
def test_a_first_purchase_must_be_known_to_be_one(who: object, is_first: bool) -> None:
    offer = terms(first_purchase_only=True)

    reason = (Why.NOT_FIRST_PURCHASE, "conditions.first_purchase_only", {})
    assert told(case(offer, total(1_000), customer=who)) == ([] if is_first else [reason])


@pytest.mark.parametrize(
    ("offer", "spend", "is_told"),
    [
        (terms(AmountOff(amount_minor=500)), None, True),
        (terms(AmountOff(amount_minor=500), minimum_basket_minor=1), None, False),
        (terms(AmountOff(amount_minor=500), categories=("food",)), None, False),
        (terms(PercentOff(percent_off_bp=1_000)), None, False),
        (terms(GiftBalance(balance_minor=500)), None, False),
        (terms(GiftBalance(balance_minor=500)), 200, True),
        (terms(FreeItem(), products=("tea",)), None, False),
    ],
)
def test_only_a_plain_sum_can_be_told_without_a_basket(
    offer: Any, spend: int | None, is_told: bool
) -> None:
    reasons = told(case(offer, None, spend_minor=spend))

    assert reasons == ([] if is_told else [(Why.BASKET_REQUIRED, "basket", {})])


def test_a_coupon_beside_others_must_know_what_they_have_left() -> None:
    assert told(case(terms(), None, applied=(applied(100),))) == [
        (Why.BASKET_REQUIRED, "basket", {})
    ]


def test_coupons_of_one_receipt_are_for_one_basket() -> None:
    assert told(case(terms(), total(1_000), has_basket_changed=True)) == [
        (Why.BASKET_CHANGED, "basket.order_ref", {})
    ]


@pytest.mark.parametrize(
    "offer",
    [
        terms(products=("coffee",)),
        terms(categories=("food",)),
        terms(FixedPrice(price_minor=1), products=("coffee",)),
    ],
)
def test_what_is_for_some_products_needs_lines(offer: Any) -> None:
    assert told(case(offer, total(1_000))) == [(Why.LINES_REQUIRED, "basket.lines", {})]


def test_another_currency_is_told_once_and_not_compared() -> None:
    dollars = total(1).model_copy(update={"currency": "USD"})

    assert told(case(terms(minimum_basket_minor=500), dollars)) == [
        (Why.WRONG_CURRENCY, "campaign.currency", {"currency": "EUR"})
    ]


def test_the_minimum_is_asked_of_the_whole_basket_before_any_coupon() -> None:
    offer = terms(minimum_basket_minor=1_000, products=("coffee",))
    enough = basket(line("coffee", 400), line("cake", 600))
    short = basket(line("coffee", 400), line("cake", 250))

    assert told(case(offer, enough, applied=(applied(600, (1, 600)),))) == []
    assert told(case(offer, short)) == [
        (
            Why.BELOW_MINIMUM,
            "conditions.minimum_basket_minor",
            {"add_minor": 350, "currency": "EUR"},
        )
    ]


def test_a_product_or_its_category_brings_a_line_into_scope() -> None:
    offer = terms(products=("coffee",), categories=("cakes",))

    assert told(case(offer, basket(line("coffee")))) == []
    assert told(case(offer, basket(line("brownie", category="cakes")))) == []
    assert told(case(offer, basket(line("tea"), line("brownie", category="sweets")))) == [
        (Why.NO_MATCHING_ITEM, "conditions.products", {"add_units": 1})
    ]
    assert told(case(terms(categories=("cakes",)), basket(line("tea")))) == [
        (Why.NO_MATCHING_ITEM, "conditions.categories", {"add_units": 1})
    ]


def test_too_few_items_say_how_many_are_missing() -> None:
    offer = terms(BuyXGetY(buy=2, get=1), products=("coffee",))

    assert told(case(offer, basket(line("coffee", quantity=3)))) == []
    assert told(case(offer, basket(line("coffee", quantity=1), line("tea")))) == [
        (Why.TOO_FEW_ITEMS, "benefit.buy", {"add_units": 2})
    ]
    assert told(case(offer, basket(line("tea")))) == [
        (Why.NO_MATCHING_ITEM, "conditions.products", {"add_units": 3})
    ]


def test_a_minimum_of_units_counts_those_in_scope_whatever_other_coupons_took_off() -> None:
    offer = terms(AmountOff(amount_minor=100), products=("coffee",), minimum_units=2)
    free_coffee = applied(300, (0, 300))

    two = case(offer, basket(line("coffee", 300, quantity=2)), applied=(free_coffee,))
    assert told(two) == []
    assert told(case(offer, basket(line("coffee"), line("tea", quantity=5)))) == [
        (Why.TOO_FEW_ITEMS, "conditions.minimum_units", {"add_units": 1})
    ]
    assert told(case(offer, basket(line("tea")))) == [
        (Why.NO_MATCHING_ITEM, "conditions.products", {"add_units": 2})
    ]
    assert told(case(terms(AmountOff(amount_minor=100), minimum_units=2), total(500))) == [
        (Why.LINES_REQUIRED, "basket.lines", {})
    ]


def test_a_unit_that_is_free_already_is_not_bought() -> None:
    offer = terms(BuyXGetY(buy=2, get=1), products=("coffee",))
    free_coffee = applied(300, (0, 300), by_unit=True)

    three = case(offer, basket(line("coffee", 300, quantity=3)), applied=(free_coffee,))
    assert told(three) == [(Why.TOO_FEW_ITEMS, "benefit.buy", {"add_units": 1})]


def test_coupons_that_share_a_group_do_not_combine() -> None:
    offer = terms(exclusivity_groups=("drinks", "spring"))
    rival = applied(100, groups=("spring",), id=41)
    friend = applied(100, groups=("food",), id=42)

    assert told(case(offer, total(1_000), applied=(friend,))) == []
    assert told(case(offer, total(1_000), applied=(friend, rival))) == [
        (
            Why.NOT_COMBINABLE,
            "conditions.exclusivity_groups",
            {"reverse": [str(UUID(int=41))]},
        )
    ]


def test_the_same_offer_combines_with_itself_unless_it_is_in_a_group() -> None:
    free, grouped = terms(), terms(exclusivity_groups=("one",))
    same = applied(100)
    same_grouped = applied(100, groups=("one",))

    assert told(case(free, total(1_000), applied=(same,), offer_id=same.offer_id)) == []
    assert [
        code
        for code, _, _ in told(
            case(grouped, total(1_000), applied=(same_grouped,), offer_id=same_grouped.offer_id)
        )
    ] == [Why.NOT_COMBINABLE]


def test_a_lower_stacking_order_comes_first() -> None:
    offer = terms(stacking_order=500)
    earlier, equal, later = (
        applied(1, order=order, id=id) for order, id in ((499, 51), (500, 52), (501, 53))
    )

    assert told(case(offer, total(1_000), applied=(earlier, equal))) == []
    assert told(case(offer, total(1_000), applied=(earlier, later))) == [
        (Why.STACKING_ORDER, "conditions.stacking_order", {"reverse": [str(UUID(int=53))]})
    ]


def test_everything_that_is_wrong_is_told_in_the_order_of_asking() -> None:
    everything = case(
        terms(
            BuyXGetY(buy=2),
            products=("coffee",),
            segments=("students",),
            first_purchase_only=True,
            stores=(ELSEWHERE,),
            minimum_basket_minor=1_000,
            hours=(OpenHours(weekdays=(Weekday.SUNDAY,)),),
            exclusivity_groups=("one",),
            stacking_order=1,
        ),
        basket(line("coffee", 300)),
        applied=(applied(1, groups=("one",)),),
        coupon_is_revoked=True,
        coupon_is_claimed=False,
        coupon_valid_from=NOON + A_MOMENT,
        coupon_valid_until=NOON,
        coupon_uses_count=1,
        coupon_held_by=HOLD,
        coupon_held_until=NOON + A_MOMENT,
        coupon_store_id=ELSEWHERE,
        coupon_customer_id=ELSEWHERE,
        customer=customer(has_purchased=True),
        has_basket_changed=True,
        campaign_is_live=False,
        campaign_stops=Stops.ISSUING_AND_REDEEMING,
        campaign_has_ended_for_good=True,
        campaign_is_batch_revoked=True,
    )

    assert [code for code, _, _ in told(everything)] == [
        Why.REVOKED,
        Why.UNCLAIMED,
        Why.NOT_YET,
        Why.EXPIRED,
        Why.ALREADY_REDEEMED,
        Why.HELD,
        Why.CAMPAIGN_NOT_RUNNING,
        Why.CAMPAIGN_PAUSED,
        Why.CAMPAIGN_ENDED,
        Why.REVOKED,
        Why.WRONG_STORE,
        Why.WRONG_STORE,
        Why.OUTSIDE_HOURS,
        Why.WRONG_CUSTOMER,
        Why.WRONG_SEGMENT,
        Why.NOT_FIRST_PURCHASE,
        Why.BASKET_CHANGED,
        Why.BELOW_MINIMUM,
        Why.TOO_FEW_ITEMS,
        Why.NOT_COMBINABLE,
        Why.STACKING_ORDER,
    ]


def test_no_condition_is_asked_twice() -> None:
    assert len(set(ORDER)) == len(ORDER)
