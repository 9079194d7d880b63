from datetime import timedelta

import pytest
from sqlmodel import Session, select

from coupon_engine.errors import CouponRefused, RequestReused
from coupon_engine.redemption import Presented, redeem, redeem_many
from coupon_engine.tables import Limit, Redemption
from schemas.redemptions import RedemptionState
from tests import make
from tests.make import NOON


def test_a_redeemed_coupon_takes_its_discount_off_the_lines(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    answer = redeem(
        session,
        at.operator_id,
        make.request(at, coupon, basket=make.basket(500, 1_500)),
        now=NOON,
    )

    assert answer.state is RedemptionState.ACCEPTED
    assert answer.discount_minor == 200
    assert [line.discount_minor for line in answer.lines] == [50, 150]
    assert answer.undo_until == NOON + timedelta(hours=1)
    assert answer.uses_left == 0
