"""Ceilings on count and money: the last one fits, one more does not."""

from dataclasses import replace

from coupon_engine.validation.ceilings import LimitFacts, under
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.offers import LimitPer
from schemas.refusals import Reason, Why

OPEN = LimitFacts(
    rule="campaign",
    per=LimitPer.ALL,
    max_count=MOST_COUNT,
    used_count=0,
    held_count=0,
    max_minor=MOST_MINOR,
    spent_minor=0,
    held_minor=0,
)


def test_no_ceiling_is_no_reason() -> None:
    assert under((), 10**12) == ()


def test_the_last_place_may_be_taken_and_no_more() -> None:
    last = replace(OPEN, max_count=10, used_count=7, held_count=2)
    full = replace(last, held_count=3)

    assert under((last,), 1) == ()
    assert under((full,), 1) == (
        Reason(code=Why.LIMIT_REACHED, rule="campaign.max_count", needs={"max_count": 10}),
    )


def test_the_last_cent_may_be_spent_and_no_more() -> None:
    budget = replace(OPEN, max_minor=1_000, spent_minor=600, held_minor=100)

    assert under((budget,), 300) == ()
    assert under((budget,), 301) == (
        Reason(code=Why.BUDGET_SPENT, rule="campaign.max_minor", needs={"left_minor": 300}),
    )


def test_a_lowered_budget_has_nothing_left_rather_than_less() -> None:
    overdrawn = replace(OPEN, max_minor=1_000, spent_minor=1_200)

    assert [reason.needs for reason in under((overdrawn,), 1)] == [{"left_minor": 0}]


def test_a_customers_own_ceilings_sound_as_theirs() -> None:
    own = replace(
        OPEN,
        rule="limits[customer,day]",
        per=LimitPer.CUSTOMER,
        max_count=1,
        used_count=1,
        max_minor=500,
        spent_minor=500,
    )

    assert [(reason.code, reason.rule) for reason in under((own,), 1)] == [
        (Why.CUSTOMER_LIMIT_REACHED, "limits[customer,day].max_count"),
        (Why.CUSTOMER_LIMIT_REACHED, "limits[customer,day].max_minor"),
    ]


def test_a_stores_ceiling_sounds_like_everybodys() -> None:
    store = replace(OPEN, rule="limits[store,ever]", per=LimitPer.STORE, max_count=0)

    assert [reason.code for reason in under((store,), 1)] == [Why.LIMIT_REACHED]


def test_every_broken_ceiling_is_told_in_the_order_given() -> None:
    campaign = replace(OPEN, max_minor=0)
    batch = replace(OPEN, rule="batch", max_count=0)

    assert [reason.rule for reason in under((batch, OPEN, campaign), 1)] == [
        "batch.max_count",
        "campaign.max_minor",
    ]
