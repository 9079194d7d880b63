"""An offer in words: everything that decides is told, in both languages, and nothing raw."""

import re
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation.telling import OFFER, describe, face
from schemas.offers import (
    AmountOff,
    Benefit,
    BuyXGetY,
    Conditions,
    Face,
    FixedPrice,
    FreeItem,
    GiftBalance,
    LimitOf,
    LimitPer,
    LimitRule,
    OpenHours,
    PercentOff,
    Period,
    Terms,
    Title,
    Validity,
    Weekday,
)
from schemas.refusals import Sentences
from tests.coupon_engine.validation.cases import BERLIN, terms

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize(
    ("benefit", "en", "zh"),
    [
        (AmountOff(amount_minor=500), ["¥5.00 off selected items."], ["指定商品立减¥5.00。"]),
        (
            PercentOff(percent_off_bp=2_000, cap_minor=1_000),
            ["20% off selected items.", "At most ¥10.00 off."],
            ["指定商品8折。", "最高优惠¥10.00。"],
        ),
        (
            PercentOff(percent_off_bp=1_250),
            ["12.5% off selected items."],
            ["指定商品8.75折。"],
        ),
        (PercentOff(percent_off_bp=10_000), ["Selected items free."], ["指定商品免单。"]),
        (
            FixedPrice(price_minor=990, quantity=2),
            ["Selected items for ¥9.90 each, up to 2."],
            ["指定商品每件¥9.90，最多2件。"],
        ),
        (FreeItem(), ["Free selected items: 1."], ["指定商品免费1件。"]),
        (
            BuyXGetY(buy=2, get=1, times=3),
            ["Selected items: buy 2, get 1 free.", "Up to 3 times in one purchase."],
            ["指定商品买2件送1件。", "单次消费最多享3次。"],
        ),
        (
            BuyXGetY(buy=1, get=1, percent_off_bp=5_000),
            ["Selected items: buy 1, get 1 at 50% off."],
            ["指定商品买1件，另1件享5折。"],
        ),
        (
            GiftBalance(balance_minor=10_000),
            ["A balance of ¥100.00 to spend on selected items."],
            ["可用于指定商品的余额¥100.00。"],
        ),
    ],
)
def test_a_benefit_is_told_in_plain_words(benefit: Any, en: list[str], zh: list[str]) -> None:
    offer = terms(benefit, products=("coffee",))

    assert describe(offer, "en", "CNY")[:-1] == [s.replace("¥", "CN¥") for s in en]
    assert describe(offer, "zh", "CNY")[:-1] == zh


def test_an_offer_for_everything_says_so() -> None:
    assert describe(terms(PercentOff(percent_off_bp=2_000)), "en", "EUR")[0] == "20% off."
    assert describe(terms(PercentOff(percent_off_bp=2_000)), "zh", "EUR")[0] == "全场8折。"


def everything() -> Terms:
    return Terms(
        title=Title(en="All", zh="全部"),
        benefit=AmountOff(amount_minor=500),
        uses=3,
        conditions=terms(
            minimum_basket_minor=2_000,
            stores=(UUID(int=1),),
            hours=(
                OpenHours(
                    weekdays=(*tuple(Weekday)[4::-1], Weekday.SUNDAY),
                    from_time=time(9, 0),
                    until_time=time(17, 30),
                ),
                OpenHours(weekdays=tuple(Weekday), from_time=time(22, 0), until_time=time(2, 0)),
                OpenHours(weekdays=(Weekday.SATURDAY, Weekday.SUNDAY), from_time=time(12, 0)),
            ),
            first_purchase_only=True,
            segments=("students",),
            exclusivity_groups=("spring",),
        ).conditions,
        validity=Validity(
            starts_at=datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
            ends_at=datetime(2026, 4, 30, 22, 0, tzinfo=UTC),
            wait_days=1,
            days_after_issue=30,
        ),
        limits=tuple(
            LimitRule(per=per, period=period, max_count=2) for per in LimitPer for period in Period
        ),
    )


def test_every_condition_is_told_in_english() -> None:
    assert describe(everything(), "en", "EUR", BERLIN) == [
        "€5.00 off.",
        "Can be used 3 times.",
        "From a purchase of €20.00.",
        "In selected stores only.",
        "Monday–Friday, Sunday, 09:00–17:30.",
        "Every day, 22:00–02:00 of the next day.",
        "Saturday, Sunday, 12:00–24:00.",
        "For a first purchase only.",
        "For selected customers.",
        "Does not combine with some other coupons.",
        "Valid from March 1, 2026, 09:00.",
        "Valid until April 30, 2026, 24:00.",
        "Starts on day 1 after you get it.",
        "Valid through day 30 after you get it.",
        "At most 2 for each customer.",
        "At most 2 a day for each customer.",
        "At most 2 a week for each customer.",
        "At most 2 a month for each customer.",
    ]


def test_every_condition_is_told_in_chinese() -> None:
    assert describe(everything(), "zh", "CNY", BERLIN) == [
        "立减¥5.00。",
        "可使用3次。",
        "消费满¥20.00可用。",
        "仅限指定门店使用。",
        "周一至周五、周日 09:00–17:30可用。",
        "每天 22:00–次日02:00可用。",
        "周六、周日 12:00–24:00可用。",
        "仅限首次消费使用。",
        "仅限指定顾客使用。",
        "不可与部分其他券同时使用。",
        "2026年3月1日 09:00起可用。",
        "有效期至2026年4月30日 24:00。",
        "领取1天后生效。",
        "领取后30天内有效。",
        "每位顾客限用2次。",
        "每位顾客每天限用2次。",
        "每位顾客每周限用2次。",
        "每位顾客每月限用2次。",
    ]


def test_fixed_dates_need_a_zone_to_be_told() -> None:
    assert not [line for line in describe(everything(), "en", "EUR") if "2026" in line]


def english(told: tuple[Sentences, ...]) -> list[str]:
    return [each.en for each in told]


def chinese(told: tuple[Sentences, ...]) -> list[str]:
    return [each.zh for each in told]


def test_a_face_sorts_what_is_given_from_what_is_asked() -> None:
    told = face(everything(), "EUR", zone=BERLIN, stores=["Main street"])

    assert told.title == Title(en="All", zh="全部")
    assert english(told.benefit) == ["€5.00 off.", "Can be used 3 times."]
    assert english(told.conditions) == [
        "From a purchase of €20.00.",
        "Only at Main street.",
        "Monday–Friday, Sunday, 09:00–17:30.",
        "Every day, 22:00–02:00 of the next day.",
        "Saturday, Sunday, 12:00–24:00.",
        "For a first purchase only.",
        "For selected customers.",
        "Does not combine with some other coupons.",
        "At most 2 for each customer.",
        "At most 2 a day for each customer.",
        "At most 2 a week for each customer.",
        "At most 2 a month for each customer.",
    ]
    assert chinese(told.validity) == [
        "2026年3月1日 09:00起可用。",
        "有效期至2026年4月30日 24:00。",
        "领取1天后生效。",
        "领取后30天内有效。",
    ]


def test_many_stores_are_counted_and_the_first_are_named() -> None:
    offer = terms(stores=tuple(UUID(int=at) for at in range(1, 6)))

    three = face(offer, "EUR", stores=["A", "B", "C"]).conditions
    five = face(offer, "EUR", stores=["A", "B", "C", "D", "E"]).conditions

    assert three == (Sentences(en="Only at A, B, C.", zh="仅限以下门店使用：A、B、C。"),)
    assert five == (
        Sentences(en="Only at A, B, C and in 2 more.", zh="仅限A、B、C等5家门店使用。"),
    )


def test_a_customers_ceilings_on_money_and_on_claims_are_told() -> None:
    offer = terms().model_copy(
        update={
            "limits": (
                LimitRule(per=LimitPer.CUSTOMER, period=Period.WEEK, max_count=2, max_minor=900),
                LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=3),
                LimitRule(of=LimitOf.ISSUE, per=LimitPer.ALL, max_count=9),
                LimitRule(per=LimitPer.STORE, max_count=9, max_minor=900),
            )
        }
    )

    told = face(offer, "EUR").conditions

    assert english(told) == [
        "At most 2 a week for each customer.",
        "At most €9.00 off a week for each customer.",
        "Each customer can get 3.",
    ]
    assert chinese(told) == [
        "每位顾客每周限用2次。",
        "每位顾客每周最多优惠€9.00。",
        "每位顾客限领3张。",
    ]


@pytest.mark.parametrize(
    ("currency", "en", "zh"),
    [
        ("JPY", "¥1,234 off.", "立减JP¥1,234。"),
        ("EUR", "€12.34 off.", "立减€12.34。"),
        ("KWD", "KWD1.234 off.", "立减KWD1.234。"),
    ],
)
def test_money_has_as_many_places_as_its_currency(currency: str, en: str, zh: str) -> None:
    (told,) = face(terms(AmountOff(amount_minor=1_234)), currency).benefit

    assert (told.en, told.zh) == (en, zh)


minor = st.integers(1, 10**12)
some = st.integers(1, 1_000)
BENEFITS: st.SearchStrategy[Benefit] = st.one_of(
    st.builds(AmountOff, amount_minor=minor),
    st.builds(PercentOff, percent_off_bp=st.integers(1, 10_000), cap_minor=st.none() | minor),
    st.builds(FixedPrice, price_minor=minor, quantity=some),
    st.builds(FreeItem, quantity=some),
    st.builds(BuyXGetY, buy=some, get=some, percent_off_bp=st.integers(1, 10_000), times=some),
    st.builds(GiftBalance, balance_minor=minor),
)
codes = st.lists(st.sampled_from(["sku_1", "cat_2"]), unique=True).map(tuple)
ids = st.lists(st.uuids(), max_size=6, unique=True).map(tuple)
hours = st.lists(
    st.builds(
        OpenHours,
        weekdays=st.lists(st.sampled_from(Weekday), min_size=1, unique=True).map(tuple),
        from_time=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
        until_time=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    ),
    max_size=3,
).map(tuple)
limit_rules = st.lists(
    st.sampled_from(
        [
            LimitRule(of=of, per=per, period=period, max_count=2, max_minor=most_minor)
            for of in LimitOf
            for per in LimitPer
            for period in Period
            for most_minor in (None, 500)
            if of is LimitOf.REDEEM or (most_minor is None and per is not LimitPer.STORE)
        ]
    ),
    max_size=12,
    unique_by=lambda rule: (rule.of, rule.per, rule.period),
).map(tuple)


@st.composite
def offers(draw: st.DrawFn) -> Terms:
    benefit = draw(BENEFITS)
    needs_scope = isinstance(benefit, FixedPrice | FreeItem | BuyXGetY)
    starts_at = draw(st.none() | st.just(datetime(2026, 3, 1, 8, 0, tzinfo=UTC)))
    return Terms(
        title=Title(en="Something", zh="优惠"),
        benefit=benefit,
        uses=1 if isinstance(benefit, GiftBalance) else draw(st.integers(1, 1_000)),
        conditions=Conditions(
            minimum_basket_minor=draw(st.integers(0, 10**12)),
            minimum_units=draw(some),
            products=("sku_1",) if needs_scope else draw(codes),
            categories=draw(codes),
            stores=draw(ids),
            hours=draw(hours),
            first_purchase_only=draw(st.booleans()),
            segments=draw(codes),
            exclusivity_groups=draw(codes),
            stacking_order=draw(st.integers(0, 1_000)),
        ),
        validity=Validity(
            starts_at=starts_at,
            ends_at=draw(st.none() | st.just(datetime(2026, 4, 30, 22, 0, tzinfo=UTC))),
            wait_days=draw(st.integers(0, 5)),
            days_after_issue=draw(st.integers(6, 3_660)),
        ),
        limits=draw(limit_rules),
    )


@given(
    offers(),
    st.sampled_from(["JPY", "EUR", "KWD"]),
    st.sampled_from([None, BERLIN]),
    st.lists(st.sampled_from(["Main", "Side"]), max_size=5),
)
def test_every_offer_is_told_whole_in_both_languages_and_nothing_raw(
    offer: Terms, currency: str, zone: str | None, stores: list[str]
) -> None:
    told = face(offer, currency, zone=zone, stores=stores)

    assert told.benefit
    for each in sentences(told):
        assert each.en.endswith(".")
        assert each.zh.endswith("。")
        assert not CHINESE.search(each.en)
        assert CHINESE.search(each.zh)
        assert not set("{}_") & set(each.en + each.zh)
    assert len(told.conditions) == conditions_of(offer, stores)


def sentences(told: Face) -> tuple[Sentences, ...]:
    return (*told.benefit, *told.conditions, *told.validity)


def conditions_of(offer: Terms, stores: list[str]) -> int:
    """Count what a customer must know, by another way than telling it."""
    asked = offer.conditions
    own = [rule for rule in offer.limits if rule.per is LimitPer.CUSTOMER]
    return (
        bool(asked.minimum_basket_minor)
        + (asked.minimum_units > 1)
        + bool(asked.stores or stores)
        + len(asked.hours)
        + asked.first_purchase_only
        + bool(asked.segments)
        + bool(asked.exclusivity_groups)
        + len(own)
        + sum(rule.max_minor is not None for rule in own)
    )


def test_every_sentence_has_its_facts_in_both_languages() -> None:
    only_once = {"percent", "folds", "more", "count"}  # the two languages count otherwise
    for key, (en, zh) in OFFER.items():
        names = [set(re.findall(r"{(\w+)}", each)) - only_once for each in (en, zh)]
        assert names[0] == names[1], key
