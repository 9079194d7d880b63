"""The judge: one answer, yes with an amount or no with every reason."""

import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation.discounts import left_of_lines
from coupon_engine.validation.facts import Applied, Case, Discount
from coupon_engine.validation.judge import judge
from schemas.baskets import LineDiscount
from schemas.offers import AmountOff, BuyXGetY, FixedPrice, FreeItem, GiftBalance, PercentOff
from schemas.refusals import Refusal, Why
from tests.coupon_engine.validation.cases import NOON, applied, basket, case, line, terms, total


def refused(asked: Case) -> Refusal:
    answer = judge(asked)
    assert isinstance(answer, Refusal)
    return answer


def test_a_good_coupon_says_what_it_takes_off_and_where() -> None:
    contents = basket(line("coffee", 300, quantity=2), line("cake", 200))

    assert judge(case(terms(AmountOff(amount_minor=500)), contents)) == Discount(
        minor=500,
        lines=(
            LineDiscount(line=0, discount_minor=375),
            LineDiscount(line=1, discount_minor=125),
        ),
    )


def test_the_first_reason_is_the_code_and_none_is_kept_back() -> None:
    late_and_short = case(terms(minimum_basket_minor=1_000), total(650), coupon_valid_until=NOON)

    no = refused(late_and_short)

    assert no.code is Why.EXPIRED
    assert [reason.code for reason in no.reasons] == [Why.EXPIRED, Why.BELOW_MINIMUM]
    assert no.cashier.en == "Expired today 13:00."


def test_a_cashier_hears_how_much_is_missing() -> None:
    no = refused(case(terms(minimum_basket_minor=1_000), total(650)))

    assert no.cashier.en == "Add €3.50 more."
    assert no.developer.en.startswith("conditions.minimum_basket_minor: ")


def test_a_coupon_that_takes_nothing_off_is_not_used_up() -> None:
    nothing = [
        case(terms(), total(0)),
        case(terms(PercentOff(percent_off_bp=1)), total(1)),
        case(terms(GiftBalance(balance_minor=500)), total(900), spend_minor=0),
        case(terms(), total(900), applied=(applied(900),)),
        case(
            terms(FixedPrice(price_minor=300), products=("coffee",)),
            basket(line("coffee", 300)),
        ),
        case(terms(FreeItem(), products=("coffee",)), basket(line("coffee", 0))),
        case(terms(products=("coffee",)), basket(line("coffee", 0), line("cake", 900))),
    ]

    for asked in nothing:
        no = refused(asked)
        assert [(reason.code, reason.rule) for reason in no.reasons] == [
            (Why.NOTHING_TO_DISCOUNT, "benefit")
        ]


def test_twice_the_same_question_has_the_same_answer() -> None:
    good, bad = case(terms(), total(900)), case(terms(), total(900), coupon_is_revoked=True)

    assert judge(good) == judge(good)
    assert judge(bad) == judge(bad)


BENEFITS = st.one_of(
    st.builds(AmountOff, amount_minor=st.integers(1, 500)),
    st.builds(PercentOff, percent_off_bp=st.integers(1, 10_000)),
    st.builds(GiftBalance, balance_minor=st.integers(1, 500)),
    st.builds(FreeItem, quantity=st.integers(1, 3)),
    st.builds(FixedPrice, price_minor=st.integers(0, 50), quantity=st.integers(1, 3)),
    st.builds(BuyXGetY, buy=st.integers(1, 2), get=st.integers(1, 2)),
)
LINES = st.builds(
    line,
    product=st.sampled_from(["coffee", "cake"]),
    price=st.integers(0, 120),
    quantity=st.integers(1, 4),
)


@given(st.lists(BENEFITS, min_size=1, max_size=3), st.lists(LINES, min_size=1, max_size=4))
def test_in_any_order_the_customer_pays_nought_or_more_and_every_yes_takes_something_off(
    benefits: list[Any], lines: list[Any]
) -> None:
    contents = basket(*lines)
    for order in permutations(benefits):
        earlier: tuple[Applied, ...] = ()
        for benefit in order:
            answer = judge(case(terms(benefit, products=("coffee",)), contents, applied=earlier))
            if isinstance(answer, Discount):
                assert answer.minor > 0
                taken = applied(answer.minor)
                earlier = (*earlier, replace(taken, lines=answer.lines))

        payable = contents.amount_minor - sum(one.discount_minor for one in earlier)
        assert payable >= 0
        assert payable == sum(left_of_lines(contents, earlier))


def test_the_judge_needs_no_database_no_server_and_no_network() -> None:
    code = (
        "import sys, coupon_engine.validation.judge, coupon_engine.validation.ceilings\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )

    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    loaded = set(run.stdout.split())
    assert "schemas" in loaded
    assert not loaded & {"sqlalchemy", "sqlmodel", "psycopg", "fastapi", "httpx"}
