"""Every no in words: complete, in both languages, and fit to be said across a counter."""

import re
from collections.abc import Iterator
from datetime import datetime
from string import Formatter
from typing import Any

import pytest

from coupon_engine.validation import wording
from coupon_engine.validation.wording import refusal
from schemas.base import Json
from schemas.refusals import Reason, Refusal, Why
from tests.coupon_engine.validation.cases import BERLIN, NOON

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
