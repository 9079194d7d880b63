"""Redeeming through the door."""

from collections.abc import Callable

from sqlalchemy import Engine, text

from schemas.coupons import CouponView
from tests import make
from tests.api.conftest import Clock, Counter, redemption


def test_a_coupon_is_spent_once(counter: Counter, code: str) -> None:
    first = counter.redeems(code)
    second = counter.redeems(code)

    assert (first.status_code, first.json()["discount_minor"]) == (201, 200)
    assert (second.status_code, second.json()["code"]) == (409, "already_redeemed")
