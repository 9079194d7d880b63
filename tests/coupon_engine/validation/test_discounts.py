"""What a coupon takes off: exact values, what must hold for every basket, and a second opinion."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation.discounts import discount_of, left_of_lines, left_of_total, scope_of
from coupon_engine.validation.facts import Applied, Case, Discount
from schemas.baskets import Basket, Line
from schemas.money import part
from schemas.offers import (
    AmountOff,
    Benefit,
    BuyXGetY,
    Conditions,
    FixedPrice,
    FreeItem,
    GiftBalance,
    PercentOff,
)
from tests.coupon_engine.validation.cases import applied, basket, case, line, terms, total

SCOPE = ("coffee", "cake")


def off(benefit: Benefit, contents: Basket | None, **more: Any) -> tuple[int, dict[int, int]]:
    """Return the discount and its lines; offers on units are for coffee and cake."""
    needs_scope = isinstance(benefit, FixedPrice | FreeItem | BuyXGetY)
    conditions: dict[str, Any] = {"products": SCOPE} if needs_scope else more.pop("conditions", {})
    discount = discount_of(case(terms(benefit, **conditions), contents, **more))
    return discount.minor, {part.line: part.discount_minor for part in discount.lines}


# Exact values.


def test_a_sum_is_divided_in_proportion_and_the_odd_cent_goes_to_the_largest_remainder() -> None:
    contents = basket(line("coffee", 300), line("tea", 300), line("cake", 100))

    assert off(AmountOff(amount_minor=100), contents) == (100, {0: 43, 1: 43, 2: 14})


def test_a_sum_never_exceeds_what_the_lines_cost() -> None:
    assert off(AmountOff(amount_minor=500), basket(line("coffee", 300))) == (300, {0: 300})
    assert off(AmountOff(amount_minor=500), total(300)) == (300, {})


def test_a_sum_is_taken_at_its_word_where_nobody_knows_the_basket() -> None:
    assert off(AmountOff(amount_minor=500), None) == (500, {})


@pytest.mark.parametrize(
    ("minor", "basis_points", "expected"),
    [(25, 5_800, 15), (24, 5_800, 14), (1, 5_000, 1), (1, 4_999, 0), (24_375, 10_000, 24_375)],
)
def test_half_a_cent_is_rounded_up_once_for_all_lines(
    minor: int, basis_points: int, expected: int
) -> None:
    assert off(PercentOff(percent_off_bp=basis_points), total(minor)) == (expected, {})


def test_a_hundred_percent_leaves_nothing_to_pay() -> None:
    contents = basket(line("coffee", 333, quantity=3), line("cake", 1))

    assert off(PercentOff(percent_off_bp=10_000), contents) == (1_000, {0: 999, 1: 1})


def test_a_percentage_stops_at_its_cap() -> None:
    capped = PercentOff(percent_off_bp=5_000, cap_minor=200)

    assert off(capped, total(390)) == (195, {})
    assert off(capped, total(1_000)) == (200, {})


def test_only_lines_in_scope_are_reduced() -> None:
    contents = basket(line("tea", 500), line("coffee", 300), line("brownie", 100, category="cakes"))
    some = {"products": ("coffee",), "categories": ("cakes",)}

    assert off(AmountOff(amount_minor=200), contents, conditions=some) == (200, {1: 150, 2: 50})


def test_a_percentage_is_of_what_earlier_coupons_have_left() -> None:
    """40 % and then 70 % is 82 % off, not more than everything."""
    contents = basket(line("coffee", 1_000))
    first = applied(400, (0, 400))

    assert off(PercentOff(percent_off_bp=7_000), contents, applied=(first,)) == (420, {0: 420})


def test_a_gift_is_spent_as_far_as_it_lasts() -> None:
    gift = GiftBalance(balance_minor=1_000)

    assert off(gift, total(400)) == (400, {})
    assert off(gift, total(1_500)) == (1_000, {})
    assert off(gift, total(1_500), coupon_spent_minor=700) == (300, {})
    assert off(gift, total(1_500), spend_minor=250) == (250, {})
    assert off(gift, total(200), spend_minor=250) == (200, {})
    assert off(gift, total(1_500), spend_minor=0) == (0, {})
    assert off(gift, None, spend_minor=250) == (250, {})
    assert off(gift, None, spend_minor=2_500) == (1_000, {})
    assert off(gift, None) == (0, {})


def test_a_wish_to_spend_less_does_not_spoil_another_coupon() -> None:
    assert off(AmountOff(amount_minor=500), total(900), spend_minor=100) == (500, {})


def test_the_dearest_item_is_the_free_one() -> None:
    contents = basket(line("coffee", 300, quantity=2), line("cake", 450), line("champagne", 9_900))

    assert off(FreeItem(), contents) == (450, {1: 450})
    assert off(FreeItem(quantity=2), contents) == (750, {0: 300, 1: 450})
    assert off(FreeItem(quantity=9), contents) == (1_050, {0: 600, 1: 450})


def test_a_fixed_price_helps_the_dearest_first_and_never_makes_dearer() -> None:
    contents = basket(line("coffee", 300, quantity=3), line("cake", 450), line("cake", 150))

    assert off(FixedPrice(price_minor=200), contents) == (250, {1: 250})
    assert off(FixedPrice(price_minor=200, quantity=2), contents) == (350, {0: 100, 1: 250})
    assert off(FixedPrice(price_minor=200, quantity=9), contents) == (550, {0: 300, 1: 250})
    assert off(FixedPrice(price_minor=450, quantity=9), contents) == (0, {})


def test_of_three_the_cheapest_is_free_and_only_whole_groups_count() -> None:
    deal = BuyXGetY(buy=2, get=1, times=2)
    dear, cheap = line("coffee", 300, quantity=4), line("cake", 100)

    assert off(deal, basket(dear, cheap)) == (100, {1: 100})
    assert off(deal, basket(dear, cheap, cheap)) == (200, {1: 100, 2: 100})
    assert off(deal, basket(line("coffee", 300, quantity=9))) == (600, {0: 600})
    assert off(deal, basket(line("coffee", 300, quantity=2))) == (0, {})


def test_what_costs_nothing_is_neither_bought_nor_given() -> None:
    deal = BuyXGetY(buy=2, get=1)
    contents = basket(line("coffee", 300, quantity=3), line("cake", 0))

    assert off(deal, contents) == (300, {0: 300})


def test_the_second_at_half_price_rounds_each_unit() -> None:
    deal = BuyXGetY(buy=1, get=1, percent_off_bp=5_000, times=2)

    assert off(deal, basket(line("coffee", 301, quantity=4))) == (302, {0: 302})


def test_two_coupons_for_a_free_coffee_make_two_coffees_free() -> None:
    contents = basket(line("coffee", 300, quantity=2))
    first = applied(300, (0, 300), by_unit=True)

    assert off(FreeItem(), contents, applied=(first,)) == (300, {0: 300})


def test_a_free_coffee_after_half_price_saves_half_a_coffee() -> None:
    contents = basket(line("coffee", 301, quantity=2))
    half = applied(301, (0, 301))

    assert off(FreeItem(), contents, applied=(half,)) == (151, {0: 151})


def test_a_discount_without_lines_came_off_all_lines_alike() -> None:
    contents = basket(line("coffee", 300), line("cake", 100))

    assert left_of_lines(contents, (applied(100),)) == [225, 75]
    assert left_of_lines(contents, (applied(100, (1, 60)),)) == [265, 35]
    assert left_of_total(contents, (applied(100), applied(999))) == 0


def test_a_line_that_has_gone_from_the_basket_takes_nothing_below_nought() -> None:
    contents = basket(line("coffee", 300))

    assert left_of_lines(contents, (applied(900, (0, 500), (7, 400)),)) == [0]


def test_what_was_taken_off_a_line_that_has_shrunk_comes_off_the_others() -> None:
    contents = basket(line("coffee", 300), line("cake", 300))

    assert left_of_lines(contents, (applied(500, (0, 500)),)) == [0, 100]


def test_a_scope_is_made_once_for_each_offer_and_never_mistaken() -> None:
    one, other = Conditions(products=("coffee",)), Conditions(products=("tea",))

    assert scope_of(one) is scope_of(one)
    assert scope_of(one).has(line("coffee"))
    assert not scope_of(other).has(line("coffee"))
    assert scope_of(Conditions()).has(line("anything"))


# What must hold for every basket.

PRICES = st.one_of(st.integers(0, 12), st.integers(0, 10**6))
LINES = st.builds(
    line,
    product=st.sampled_from((*SCOPE, "tea")),
    price=PRICES,
    quantity=st.one_of(st.integers(1, 6), st.integers(1, 100_000)),
)
SMALL_LINES = st.builds(
    line,
    product=st.sampled_from((*SCOPE, "tea")),
    price=st.integers(0, 40),
    quantity=st.integers(1, 5),
)
SUMS = st.one_of(st.integers(1, 50), st.integers(1, 10**12))
PARTS = st.one_of(st.integers(1, 10_000), st.just(10_000))
COUNTS = st.one_of(st.integers(1, 4), st.integers(1, 10**9))
ON_UNITS = st.one_of(
    st.builds(FixedPrice, price_minor=PRICES, quantity=COUNTS),
    st.builds(FreeItem, quantity=COUNTS),
    st.builds(BuyXGetY, buy=COUNTS, get=COUNTS, percent_off_bp=PARTS, times=COUNTS),
)
BENEFITS = st.one_of(
    st.builds(AmountOff, amount_minor=SUMS),
    st.builds(PercentOff, percent_off_bp=PARTS, cap_minor=st.none() | SUMS),
    st.builds(GiftBalance, balance_minor=SUMS),
    ON_UNITS,
)
OFF_LINES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 60)), max_size=3, unique_by=lambda pair: pair[0]
)


@st.composite
def earlier_coupons(draw: st.DrawFn) -> tuple[Applied, ...]:
    """Anything a record may hold, also what never fitted this basket."""
    return tuple(
        applied(
            sum(minor for _, minor in lines) + draw(st.sampled_from((0, 0, 7))),
            *lines,
            by_unit=draw(st.booleans()),
        )
        for lines in draw(st.lists(OFF_LINES, max_size=3))
        if lines
    )


def asked(benefit: Benefit, lines: Sequence[Line], earlier: tuple[Applied, ...] = ()) -> Case:
    return case(terms(benefit, products=SCOPE), basket(*lines), applied=earlier)


@given(BENEFITS, st.lists(LINES | SMALL_LINES, min_size=1, max_size=7), earlier_coupons())
def test_no_line_is_reduced_by_more_than_is_left_of_it(
    benefit: Benefit, lines: list[Line], earlier: tuple[Applied, ...]
) -> None:
    asking = asked(benefit, lines, earlier)
    left = left_of_lines(basket(*lines), earlier)

    discount = discount_of(asking)

    assert discount.minor == sum(part.discount_minor for part in discount.lines)
    assert all(0 < part.discount_minor <= left[part.line] for part in discount.lines)
    assert all(lines[part.line].product in SCOPE for part in discount.lines)
    assert all(one.line < other.line for one, other in pairwise(discount.lines))


@given(BENEFITS, st.integers(0, 10**12), st.lists(SUMS.map(applied), max_size=3))
def test_a_total_is_reduced_by_no_more_than_is_left_of_it(
    benefit: Benefit, minor: int, earlier: list[Applied]
) -> None:
    plain = case(terms(AmountOff(amount_minor=1)), total(minor), applied=tuple(earlier))
    asking = replace(plain, terms=plain.terms.model_copy(update={"benefit": benefit}))

    discount = discount_of(asking)

    assert 0 <= discount.minor <= max(0, minor - sum(one.discount_minor for one in earlier))
    assert discount.lines == ()


@given(
    BENEFITS,
    st.lists(st.tuples(SMALL_LINES, st.integers(0, 30)), min_size=1, max_size=6),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_order_of_lines_does_not_change_the_discount(
    benefit: Benefit, pairs: list[tuple[Line, int]], by_unit: bool, random: Any
) -> None:
    shuffled = random.sample(pairs, k=len(pairs))

    def discount(of: list[tuple[Line, int]]) -> int:
        taken = [(at, min(minor, one.amount_minor)) for at, (one, minor) in enumerate(of)]
        taken = [pair for pair in taken if pair[1]]
        earlier = (applied(sum(minor for _, minor in taken), *taken, by_unit=by_unit),)
        return discount_of(asked(benefit, [one for one, _ in of], earlier)).minor

    assert discount(pairs) == discount(shuffled)


@given(st.lists(BENEFITS, max_size=6), st.lists(SMALL_LINES, min_size=1, max_size=5))
def test_no_pile_of_coupons_makes_the_shop_pay(benefits: list[Benefit], lines: list[Line]) -> None:
    earlier: tuple[Applied, ...] = ()
    for benefit in benefits:
        discount = discount_of(asked(benefit, lines, earlier))
        earlier = (*earlier, as_applied(discount, benefit))

    payable = basket(*lines).amount_minor - sum(one.discount_minor for one in earlier)
    assert payable >= 0
    assert payable == sum(left_of_lines(basket(*lines), earlier))


@given(SUMS, st.lists(SMALL_LINES, min_size=1, max_size=5))
def test_everything_off_leaves_nothing_of_the_lines_in_scope(minor: int, lines: list[Line]) -> None:
    earlier = (as_applied(discount_of(asked(AmountOff(amount_minor=minor), lines)), None),)

    rest = discount_of(asked(PercentOff(percent_off_bp=10_000), lines, earlier))

    in_scope = sum(one.amount_minor for one in lines if one.product in SCOPE)
    assert earlier[0].discount_minor + rest.minor == in_scope


def as_applied(discount: Discount, benefit: Benefit | None) -> Applied:
    lines = [(part.line, part.discount_minor) for part in discount.lines]
    by_unit = isinstance(benefit, FixedPrice | FreeItem | BuyXGetY)
    return applied(discount.minor, *lines, by_unit=by_unit)


# A second opinion: the same rules, one unit after the other.


def unit_by_unit(benefit: Benefit, lines: list[Line], earlier: tuple[Applied, ...]) -> int:
    units = [[one.unit_price_minor] * one.quantity for one in lines]
    for coupon in earlier:
        for taken in coupon.lines:
            units[taken.line] = after_coupon(
                units[taken.line], taken.discount_minor, by_unit=coupon.by_unit
            )
    bought = sorted(
        left
        for one, of_line in zip(lines, units, strict=True)
        for left in of_line
        if one.product in SCOPE and left
    )
    match benefit:
        case FreeItem(quantity=quantity):
            return sum(bought[-quantity:])
        case FixedPrice(price_minor=price, quantity=quantity):
            return sum(max(0, left - price) for left in bought[-quantity:])
        case BuyXGetY(buy=buy, get=get, percent_off_bp=basis_points, times=times):
            discount, done = 0, 0
            waiting = len(bought)
            while done < times and waiting >= buy + get:
                waiting -= buy + get
                for left in bought[done * get : (done + 1) * get]:
                    discount += part(left, basis_points)
                done += 1
            return discount
        case _:
            raise AssertionError(benefit)


def after_coupon(units: list[int], taken: int, *, by_unit: bool) -> list[int]:
    taken = min(taken, sum(units))
    units = sorted((left for left in units if left), reverse=True)
    for at in range(len(units)) if by_unit else ():
        step = min(units[at], taken)
        units[at] -= step
        taken -= step
    return even(sum(units) - taken, len(units)) if taken else units


def even(whole: int, count: int) -> list[int]:
    shares = [0] * count
    for at in range(whole):
        shares[at % count] += 1
    return shares


@st.composite
def fitting_coupons(draw: st.DrawFn, lines: list[Line]) -> tuple[Applied, ...]:
    """Up to two earlier coupons, of which each line gave no more than it had."""
    left = [one.amount_minor for one in lines]
    earlier: list[Applied] = []
    for _ in range(draw(st.integers(0, 2))):
        taken = [(at, draw(st.integers(0, amount))) for at, amount in enumerate(left)]
        taken = [pair for pair in taken if pair[1]]
        for at, minor in taken:
            left[at] -= minor
        if taken:
            whole = sum(minor for _, minor in taken)
            earlier.append(applied(whole, *taken, by_unit=draw(st.booleans())))
    return tuple(earlier)


SMALL_COUNTS = st.integers(1, 7)
SMALL_ON_UNITS = st.one_of(
    st.builds(FixedPrice, price_minor=st.integers(0, 30), quantity=SMALL_COUNTS),
    st.builds(FreeItem, quantity=SMALL_COUNTS),
    st.builds(
        BuyXGetY,
        buy=st.integers(1, 3),
        get=st.integers(1, 3),
        percent_off_bp=PARTS,
        times=SMALL_COUNTS,
    ),
)


@given(st.data(), SMALL_ON_UNITS, st.lists(SMALL_LINES, min_size=1, max_size=5))
def test_counting_unit_by_unit_comes_to_the_same(
    data: st.DataObject, benefit: Benefit, lines: list[Line]
) -> None:
    earlier = data.draw(fitting_coupons(lines))

    assert discount_of(asked(benefit, lines, earlier)).minor == unit_by_unit(
        benefit, lines, earlier
    )
