"""The counter app judges as the server does: one truth, written down for both languages.

What the app answers to the files in `tests/vectors/` is tested in TypeScript. Here those files are
held to what the code says now, and the app's judge is asked what nobody has written down.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coupon_engine.validation.conditions import ORDER
from coupon_engine.validation.facts import Applied, Case
from redemption_app import counter_wording
from schemas.base import MOST_MINOR
from schemas.baskets import Basket, Line, LineDiscount
from schemas.offers import (
    AmountOff,
    Benefit,
    BuyXGetY,
    Conditions,
    FixedPrice,
    FreeItem,
    GiftBalance,
    OpenHours,
    PercentOff,
    Weekday,
)
from tests.redemption_app.speaking import Spoken, spoken
from tests.vectors import make_counter_vectors, make_judge_vectors
from tests.vectors.make_judge_vectors import BASE, CHANGES, answered, told


def test_the_vectors_of_the_judge_are_fresh() -> None:
    assert make_judge_vectors.FILE.read_text(encoding="utf-8") == make_judge_vectors.written()


def test_the_vectors_of_a_whole_counter_are_fresh() -> None:
    assert make_counter_vectors.FILE.read_text(encoding="utf-8") == make_counter_vectors.written()


def test_the_vectors_stay_small_enough_to_read_in_every_test() -> None:
    sizes = [module.FILE.stat().st_size for module in (make_judge_vectors, make_counter_vectors)]

    assert max(sizes) < 400_000


def test_every_condition_is_broken_somewhere_in_the_vectors() -> None:
    cases = json.loads(make_judge_vectors.FILE.read_text(encoding="utf-8"))["judge"]

    rules = {reason["rule"] for case in cases for reason in case.get("reasons", ())}

    # Each has a rule of its own, no matching item has two, and "benefit" is the judge's own.
    assert len(rules) == len(ORDER) + 2


def test_the_words_of_the_app_are_those_of_the_counter() -> None:
    assert counter_wording.WORDING.read_text(encoding="utf-8") == counter_wording.wording_text()


def test_the_places_of_currencies_are_those_of_the_server() -> None:
    assert counter_wording.PLACES.read_text(encoding="utf-8") == counter_wording.places_text()


# What nobody has written down.

ALL = make_judge_vectors.PRODUCTS
PRODUCTS = st.sampled_from(ALL)
PRICES = st.one_of(st.sampled_from((1, 3, 333)), st.integers(0, 400), st.integers(0, 10**9))
QUANTITIES = st.one_of(st.just(1), st.integers(1, 3), st.integers(1, 100_000))
SUMS = st.one_of(st.integers(1, 20), st.integers(1, 2_000), st.integers(1, MOST_MINOR))
POINTS = st.integers(1, 10_000)
FEW = st.integers(1, 4)
BENEFITS: st.SearchStrategy[Benefit] = st.one_of(
    st.builds(AmountOff, amount_minor=SUMS),
    st.builds(PercentOff, percent_off_bp=POINTS, cap_minor=st.none() | SUMS),
    st.builds(FixedPrice, price_minor=PRICES, quantity=FEW),
    st.builds(FreeItem, quantity=FEW),
    st.builds(BuyXGetY, buy=FEW, get=FEW, percent_off_bp=POINTS, times=FEW),
    st.builds(GiftBalance, balance_minor=SUMS),
)
LINES = st.lists(
    st.builds(
        Line,
        product=PRODUCTS,
        category=st.sampled_from(make_judge_vectors.CATEGORIES),
        quantity=QUANTITIES,
        unit_price_minor=PRICES,
    ),
    max_size=6,
)
EARLIER = st.builds(
    Applied,
    redemption_id=st.just(UUID(int=20)),
    offer_id=st.just(UUID(int=21)),
    exclusivity_groups=st.frozensets(st.sampled_from("ab"), max_size=1),
    stacking_order=st.sampled_from((500, 500, 900)),
    discount_minor=st.one_of(st.integers(1, 50), SUMS),
    lines=st.lists(
        st.builds(LineDiscount, line=st.integers(0, 6), discount_minor=PRICES.filter(bool)),
        max_size=4,
    ).map(tuple),
    by_unit=st.booleans(),
)
TIMES = st.times().map(lambda time: time.replace(second=0, microsecond=0))
HOURS = st.lists(
    st.builds(
        OpenHours,
        weekdays=st.lists(st.sampled_from(list(Weekday)), min_size=1, unique=True).map(tuple),
        from_time=TIMES,
        until_time=TIMES,
    ),
    max_size=2,
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any offer, any basket, at any time round the year, of a coupon that works."""
    asked: dict[str, Any] = {}
    if draw(st.booleans()):
        asked["products"] = draw(st.sampled_from((ALL, ALL, ALL[:2])))
    if draw(st.integers(0, 4)) == 0:
        asked["minimum_units"] = draw(st.integers(1, 9))
        asked["hours"] = tuple(draw(HOURS))
    zone = draw(st.sampled_from(list(CHANGES)))
    change = datetime.fromisoformat(draw(st.sampled_from(CHANGES[zone]))).replace(tzinfo=UTC)
    now = change + draw(st.timedeltas(timedelta(days=-9), timedelta(days=9)))
    now = now.replace(microsecond=0)
    window = {"valid_from": now, "valid_until": now + timedelta(days=1)}
    changes = {"benefit": draw(BENEFITS), "conditions": Conditions(**asked)}
    return replace(
        BASE,
        coupon=replace(BASE.coupon, **window),
        terms=BASE.terms.model_copy(update=changes),
        store=replace(BASE.store, zone=zone),
        basket=draw(baskets()),
        applied=tuple(draw(st.lists(EARLIER, max_size=2))),
        spend_minor=draw(st.none() | SUMS),
        now=now,
    )


@st.composite
def baskets(draw: st.DrawFn) -> Basket | None:
    lines = draw(LINES)
    if not lines:
        return draw(st.none() | st.builds(Basket, currency=st.just("EUR"), total_minor=SUMS))
    sums = accumulate(line.amount_minor for line in lines)
    fitting = [line for line, total in zip(lines, sums, strict=True) if total <= MOST_MINOR]
    return Basket(currency="EUR", lines=tuple(fitting)) if fitting else None


@pytest.fixture(scope="module")
def app() -> Iterator[Spoken]:
    with spoken("spoken_judge.ts") as judge:
        yield judge


@settings(max_examples=250)
@given(cases())
@example(replace(BASE, basket=None))
def test_the_app_answers_any_case_as_the_server_does(app: Spoken, case: Case) -> None:
    assert app.says(told(case)) == json.loads(json.dumps(answered(case)))
