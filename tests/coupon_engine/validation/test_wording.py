"""Every no in words: complete, in both languages, and fit to be said across a counter."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time
from string import Formatter
from typing import Any
from uuid import UUID

import pytest

from coupon_engine.validation import wording
from coupon_engine.validation.wording import describe, refusal
from schemas.base import Json
from schemas.offers import (
    AmountOff,
    BuyXGetY,
    FixedPrice,
    FreeItem,
    GiftBalance,
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
from schemas.refusals import Reason, Refusal, Why
from tests.coupon_engine.validation.cases import BERLIN, NOON, terms

# A fact for every placeholder that any sentence may have.
FACTS: Json = {
    "add_minor": 350,
    "left_minor": 350,
    "add_units": 2,
    "from": "2026-03-10T08:30:00+00:00",
    "until": "2026-03-10T08:30:00+00:00",
    "at": "2026-03-10T08:30:00+00:00",
    "currency": "EUR",
    "challenge": "4711",
}
FORGED = (
    Why.MALFORMED,
    Why.UNKNOWN_KEY,
    Why.KEY_SCOPE,
    Why.BAD_SIGNATURE,
    Why.BAD_HOLDER_SIGNATURE,
    Why.COUPON_UNKNOWN,
)
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def refused(
    code: Why, needs: Json | None = None, *, now: datetime | None = NOON, currency: str = "EUR"
) -> Refusal:
    reason = Reason(code=code, rule="the.rule", needs=needs or {})
    return refusal((reason,), currency=currency, zone=BERLIN, now=now)


def sentences(no: Refusal) -> Iterator[tuple[str, str]]:
    for who in (no.customer, no.cashier, no.developer):
        yield who.en, who.zh


@pytest.mark.parametrize("needs", [{}, FACTS], ids=["plain", "exact"])
@pytest.mark.parametrize("code", Why)
def test_every_no_has_a_sentence_for_everybody_in_both_languages(code: Why, needs: Json) -> None:
    for en, zh in sentences(refused(code, needs)):
        assert en.endswith(".")
        assert zh.endswith("。")
        assert not CHINESE.search(en)
        assert CHINESE.search(zh)
        assert not set("{}") & set(en + zh)


@pytest.mark.parametrize("code", Why)
def test_what_is_said_at_the_counter_is_short(code: Why) -> None:
    for needs in ({}, FACTS):
        no = refused(code, needs)
        assert len(no.cashier.en) <= 60
        assert len(no.cashier.zh) <= 30


@pytest.mark.parametrize("table", [wording.CUSTOMER_EXACT, wording.CASHIER_EXACT])
def test_every_exact_sentence_tells_its_one_fact_in_both_languages(table: Any) -> None:
    for key, both in table.values():
        for sentence in both:
            assert {name for _, name, _, _ in Formatter().parse(sentence) if name} == {key}
        assert key in FACTS


@pytest.mark.parametrize("code", FORGED)
def test_every_forgery_sounds_alike(code: Why) -> None:
    no = refused(code, FACTS)

    assert (no.customer.en, no.customer.zh) == ("Not a valid coupon.", "无效的券。")
    assert no.cashier == no.customer


def test_the_first_reason_decides_and_the_others_are_kept() -> None:
    reasons = [
        Reason(code=Why.EXPIRED, rule="validity.until", needs={"until": "2026-03-01T17:00:00Z"}),
        Reason(code=Why.WRONG_STORE, rule="conditions.stores", needs={}),
    ]

    no = refusal(reasons, currency="EUR", zone=BERLIN, now=NOON)

    assert no.code is Why.EXPIRED
    assert no.reasons == tuple(reasons)
    assert no.cashier.en == "Expired Sunday 18:00."
    assert no.developer.en == "validity.until: now is not before the end of validity."
    assert no.developer.zh == "validity.until：当前时间已过有效期。"


@pytest.mark.parametrize(
    ("code", "needs", "en", "zh"),
    [
        (Why.BELOW_MINIMUM, {"add_minor": 350}, "Add €3.50 more.", "还差€3.50。"),
        (
            Why.TOO_FEW_ITEMS,
            {"add_units": 2},
            "Add 2 more from the offer.",
            "还差2件适用商品。",
        ),
        (Why.EXPIRED, {}, "Expired.", "已过期。"),
        (
            Why.BUDGET_SPENT,
            {"left_minor": 120},
            "The offer has only €1.20 left.",
            "预算仅剩€1.20。",
        ),
        (
            Why.BUDGET_SPENT,
            {"left_minor": 0},
            "The offer's budget is used up.",
            "预算已用完。",
        ),
        (
            Why.CHALLENGE_REQUIRED,
            {"challenge": "4711"},
            "The customer types 4711 into the app.",
            "请顾客在应用中输入4711。",
        ),
    ],
)
def test_the_cashier_hears_what_would_help(code: Why, needs: Json, en: str, zh: str) -> None:
    cashier = refused(code, needs).cashier

    assert (cashier.en, cashier.zh) == (en, zh)


def test_amounts_are_told_in_the_coupons_currency() -> None:
    assert refused(Why.BELOW_MINIMUM, {"add_minor": 350}, currency="JPY").cashier.en == (
        "Add ¥350 more."
    )
    assert refused(Why.BELOW_MINIMUM, {"add_minor": 350}, currency="CNY").customer.zh == (
        "再买¥3.50即可使用此券。"
    )


@pytest.mark.parametrize(
    ("until", "en", "zh"),
    [
        ("2026-03-04T11:00:00+00:00", "Expired today 12:00.", "已于今天 12:00过期。"),
        ("2026-03-03T11:00:00+00:00", "Expired yesterday 12:00.", "已于昨天 12:00过期。"),
        ("2026-02-26T17:00:00+00:00", "Expired Thursday 18:00.", "已于周四 18:00过期。"),
        ("2026-02-25T17:00:00+00:00", "Expired February 25, 18:00.", "已于2月25日 18:00过期。"),
        (
            "2025-12-31T17:00:00+00:00",
            "Expired December 31, 2025, 18:00.",
            "已于2025年12月31日 18:00过期。",
        ),
        # The last instant of a day belongs to that day.
        ("2026-02-24T23:00:00+00:00", "Expired February 24, 24:00.", "已于2月24日 24:00过期。"),
        ("2026-03-03T23:00:00+00:00", "Expired yesterday 24:00.", "已于昨天 24:00过期。"),
    ],
)
def test_an_end_is_told_as_people_say_it_on_the_clock_of_the_store(
    until: str, en: str, zh: str
) -> None:
    cashier = refused(Why.EXPIRED, {"until": until}).cashier

    assert (cashier.en, cashier.zh) == (en, zh)


def test_a_beginning_at_midnight_belongs_to_the_day_that_begins() -> None:
    cashier = refused(Why.NOT_YET, {"from": "2026-03-04T23:00:00+00:00"}).cashier

    assert (cashier.en, cashier.zh) == ("Valid from tomorrow 00:00.", "明天 00:00起可用。")


def test_a_coming_day_of_this_week_has_its_name() -> None:
    cashier = refused(Why.OUTSIDE_HOURS, {"from": FACTS["from"]}).cashier

    assert (cashier.en, cashier.zh) == (
        "Not now. Valid from Tuesday 09:30.",
        "现在不可用，周二 09:30起可用。",
    )


def test_who_does_not_say_what_day_it_is_hears_the_whole_date() -> None:
    cashier = refused(Why.NOT_YET, {"from": FACTS["from"]}, now=None).cashier

    assert (cashier.en, cashier.zh) == (
        "Valid from March 10, 2026, 09:30.",
        "2026年3月10日 09:30起可用。",
    )


def test_an_amount_without_a_currency_is_not_told() -> None:
    reason = Reason(code=Why.BELOW_MINIMUM, rule="the.rule", needs={"add_minor": 350})

    no = refusal([reason], currency=None, zone="UTC", now=NOON)

    assert no.cashier.en == "Amount too small."


# Offers.


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
