"""Coupons are found by what is known of them, in every state alike in SQL and in Python."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import batches, coupons
from coupon_engine.errors import Unknown
from coupon_engine.finding import coupon_lines, found_coupons
from coupon_engine.tables import Coupon
from schemas.campaigns import BatchMove, NewBatchMove
from schemas.coupons import CouponState, CouponView, NewRevocation, Sought
from schemas.offers import GiftBalance, Validity
from tests import make
from tests.coupon_engine.record import redeemed
from tests.coupon_engine.test_holding import held
from tests.make import NOON, Shop


def one_of_each(session: Session, at: Shop) -> dict[CouponState, CouponView]:
    """A coupon in every state there is, at noon of the second day."""
    running = make.campaign(session, at, starts_at=NOON - timedelta(days=9))
    plain = make.batch(session, at, make.offer(session, at, running, uses=2))
    short = Validity(days_after_issue=1)
    brief = make.batch(session, at, make.offer(session, at, running, validity=short))
    later = Validity(days_after_issue=30, wait_days=5)
    waiting = make.batch(session, at, make.offer(session, at, running, validity=later))
    gift = make.offer(session, at, running, benefit=GiftBalance(balance_minor=500))
    unclaimed = make.batch(session, at, make.offer(session, at, running), needs_claim=True)
    used = make.coupon(session, at, make.batch(session, at, gift))
    redeemed(session, at, used, basket=make.basket(500))
    revoked, held_one = make.coupon(session, at, plain), make.coupon(session, at, plain)
    coupons.revoke(
        session,
        at.operator_id,
        NewRevocation(id=make.an_id(), coupon_id=revoked.id, reason="misprint"),
        code_secret=make.SECRET,
        now=NOON,
    )
    held(session, at, held_one)
    given = make.coupon(session, at, plain)
    row = session.get_one(Coupon, (at.operator_id, given.id))
    row.given_until, row.gift_hash = NOON + timedelta(days=1), b"a secret's hash"
    session.add(row)
    session.flush()
    return {
        CouponState.REDEEMED: used,
        CouponState.REVOKED: revoked,
        CouponState.HELD: held_one,
        CouponState.GIVEN: given,
        CouponState.EXPIRED: make.coupon(session, at, brief, now=NOON - timedelta(days=3)),
        CouponState.PENDING: make.coupon(session, at, waiting),
        CouponState.MINTED: make.coupon(session, at, unclaimed),
        CouponState.ACTIVE: make.coupon(session, at, plain),
    }


def seek(session: Session, at: Shop, **sought: Any) -> list[CouponView]:
    return found_coupons(
        session,
        at.operator_id,
        Sought(**sought),
        after=None,
        most=100,
        code_secret=make.SECRET,
        now=NOON,
    )


def test_every_state_is_found_by_its_name_as_it_is_told(session: Session) -> None:
    at = make.shop(session)
    each = one_of_each(session, at)

    for state in CouponState:
        found = seek(session, at, state=state)
        assert [one.id for one in found] == [each[state].id], state
        assert {one.state for one in found} == {state}


def test_coupons_of_a_revoked_batch_are_found_as_revoked(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    coupon = make.coupon(session, at, batch)
    asked = NewBatchMove(
        id=make.an_id(),
        batch_id=batch.id,
        move=BatchMove.REVOKE,
        reason="lost",
        coupons_stay_valid=False,
    )
    batches.decide_batch(session, at.operator_id, asked, now=NOON)

    (found,) = seek(session, at, state=CouponState.REVOKED)

    assert (found.id, found.state) == (coupon.id, CouponState.REVOKED)


def test_a_coupon_is_found_by_its_short_code_however_it_is_typed(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, has_short_codes=True)
    make.coupon(session, at, batch)
    coupon = make.coupon(session, at, batch)
    assert coupon.short_code

    (found,) = seek(session, at, short_code=coupon.short_code.lower().replace("-", " "))

    assert found.id == coupon.id


def test_a_short_code_that_nobody_has_is_unknown_and_not_an_empty_list(session: Session) -> None:
    at = make.shop(session)
    make.coupon(session, at, make.batch(session, at, has_short_codes=True))

    with pytest.raises(Unknown):
        seek(session, at, short_code="0000-0000-0000")


def test_filters_narrow_each_other_and_no_stranger_is_found(session: Session) -> None:
    at, other = make.shop(session), make.shop(session)
    first, second = make.batch(session, at), make.batch(session, at)
    customer_id = make.customer(session, at)
    mine = make.coupon(session, at, first, customer_id=customer_id)
    make.coupon(session, at, first)
    make.coupon(session, at, second, customer_id=customer_id)
    make.coupon(session, other)

    assert len(seek(session, at)) == 3
    (found,) = seek(session, at, batch_id=first.id, customer_id=customer_id)
    assert found.id == mine.id
    assert seek(session, at, campaign_id=second.campaign_id, batch_id=first.id) == []
    assert seek(session, at, issued_since=NOON + timedelta(seconds=1)) == []


def test_a_line_of_a_file_tells_no_short_code(session: Session) -> None:
    at = make.shop(session)
    customer_id = make.customer(session, at, ref="c-17")
    batch = make.batch(session, at, has_short_codes=True)
    coupon = make.coupon(session, at, batch, customer_id=customer_id)
    assert coupon.short_code

    (line,) = coupon_lines(session, at.operator_id, Sought(), after=None, most=10, now=NOON)

    assert (line.customer_ref, line.state, line.batch) == ("c-17", "active", "First")
    assert coupon.short_code not in line.model_dump_json()
