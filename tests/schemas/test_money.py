"""Money is whole, and whatever is divided adds up again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import MOST_MINOR
from schemas.money import Money, in_words, part, split

WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(minor=st.integers(0, MOST_MINOR), weights=WEIGHTS.filter(any))
def test_any_split_adds_up(minor: int, weights: list[int]) -> None:
    parts = split(minor, weights)

    assert sum(parts) == minor
    assert len(parts) == len(weights)


@given(data=st.data(), weights=WEIGHTS)
def test_no_part_is_larger_than_what_it_is_taken_from(
    data: st.DataObject, weights: list[int]
) -> None:
    minor = data.draw(st.integers(0, sum(weights)))

    parts = split(minor, weights)

    assert all(0 <= one <= weight for one, weight in zip(parts, weights, strict=True))


@given(minor=st.integers(0, MOST_MINOR), weights=WEIGHTS.filter(any))
def test_every_part_is_within_one_of_its_fair_share(minor: int, weights: list[int]) -> None:
    whole = sum(weights)

    for one, weight in zip(split(minor, weights), weights, strict=True):
        assert abs(one * whole - minor * weight) < whole


def test_the_largest_remainder_is_served_first_and_the_earlier_line_before_the_later() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(2, [1, 1, 1]) == [1, 1, 0]
    assert split(10, [1, 5, 1]) == [2, 7, 1]
    assert split(0, [3, 4]) == [0, 0]
    assert split(0, [0, 0]) == [0, 0]


@pytest.mark.parametrize(
    ("minor", "basis_points", "expected"),
    [(25, 5_800, 15), (25, 5_799, 14), (1, 5_000, 1), (1, 4_999, 0), (999, 10_000, 999)],
)
def test_a_part_is_rounded_half_up(minor: int, basis_points: int, expected: int) -> None:
    assert part(minor, basis_points) == expected
    assert Money(minor=minor, currency="EUR").share(basis_points).minor == expected


@given(minor=st.integers(0, MOST_MINOR), basis_points=st.integers(1, 10_000))
def test_a_part_is_never_more_than_the_whole_nor_off_by_one(minor: int, basis_points: int) -> None:
    one = part(minor, basis_points)

    assert 0 <= one <= minor
    assert abs(2 * (one * 10_000 - minor * basis_points)) <= 10_000


@pytest.mark.parametrize("wrong", [3.0, "3", True, None, MOST_MINOR + 1])
def test_nothing_but_a_whole_number_is_money(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"minor": wrong, "currency": "EUR"})


@pytest.mark.parametrize("wrong", ["eur", "EURO", "ZZZ", "", None, "E1R"])
def test_nothing_but_an_iso_currency_is_a_currency(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"minor": 3, "currency": wrong})


def test_money_is_divided_in_its_own_currency() -> None:
    parts = Money(minor=100, currency="CNY").split([1, 2])

    assert parts == [Money(minor=33, currency="CNY"), Money(minor=67, currency="CNY")]


def test_money_is_told_as_people_of_each_language_write_it() -> None:
    assert in_words(350, "EUR", "en") == "€3.50"
    assert in_words(350, "CNY", "zh") == "¥3.50"
    assert in_words(350, "JPY", "en") == "¥350"
    assert in_words(1_234_567, "KWD", "en").endswith("1,234.567")
