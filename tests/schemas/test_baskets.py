"""A basket adds up, or is none."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.base import MOST_MINOR
from schemas.baskets import Basket

LINE: dict[str, Any] = {"product": "milk", "quantity": 2, "unit_price_minor": 150}


def basket(**more: Any) -> Basket:
    return Basket.model_validate({"currency": "EUR", **more})


def test_lines_add_up_and_a_total_beside_them_agrees() -> None:
    lines = [LINE, {**LINE, "quantity": 1, "unit_price_minor": 1}]

    assert basket(lines=lines).amount_minor == 301
    assert basket(lines=lines, total_minor=301).amount_minor == 301
    with pytest.raises(ValidationError, match="differs"):
        basket(lines=lines, total_minor=300)


def test_a_total_alone_is_a_basket_and_nothing_is_none() -> None:
    assert basket(total_minor=500).amount_minor == 500
    assert basket(total_minor=0).amount_minor == 0
    with pytest.raises(ValidationError, match="lines or a total"):
        basket()


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": 1.5},
        {"quantity": True},
        {"unit_price_minor": -1},
        {"unit_price_minor": 1.0},
        {"unit_price_minor": "150"},
        {"unit_price_minor": 10**9 + 1},
        {"product": ""},
        {"discount": 5},
    ],
)
def test_a_line_that_is_not_whole_is_no_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        basket(lines=[{**LINE, **wrong}])


def test_a_basket_has_its_bounds() -> None:
    dear = {"product": "yacht", "quantity": 100_000, "unit_price_minor": 10**9}

    with pytest.raises(ValidationError, match="more than any amount"):
        basket(lines=[dear])
    with pytest.raises(ValidationError):
        basket(lines=[LINE] * 1_001)
    with pytest.raises(ValidationError):
        basket(total_minor=MOST_MINOR + 1)
    assert basket(lines=[LINE] * 1_000).amount_minor == 300_000
