"""A coupon that is good in one store alone for a while, so that it works there offline."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlmodel import Session

from coupon_engine import acting, activating
from coupon_engine.errors import (
    CouponNotUsable,
    CouponTaken,
    StillActivated,
    Unknown,
)
from coupon_engine.tables import Store
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.token import read
from schemas.campaigns import OfflinePolicy
from schemas.coupons import ActivationView, CouponView, NewActivation
from schemas.refusals import Why
from schemas.token import ANYWHERE, CouponFields
from tests import make
from tests.coupon_engine.record import kinds, redeemed, refused
from tests.make import NOON, Shop

SOON = NOON + timedelta(minutes=1)
UNTIL = NOON + timedelta(hours=2)


def activated(
    session: Session, at: Shop, of: CouponView, *, now: datetime = NOON, **more: Any
) -> ActivationView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "coupon_id": of.id,
        "customer_id": of.customer_id,
        "store_id": at.store.id,
    }
    request = NewActivation(**{**asked, **more})
    return activating.activate(session, at.operator_id, request, now=now)


def a_coupon(session: Session, at: Shop, **more: Any) -> CouponView:
    campaign = make.campaign(session, at, offline=OfflinePolicy.ACTIVATED)
    batch = make.batch(session, at, make.offer(session, at, campaign, **more))
    return make.coupon(session, at, batch, customer_id=make.customer(session, at))


def another_store(session: Session, at: Shop) -> UUID:
    merchant_id = session.get_one(Store, (at.operator_id, at.store.id)).merchant_id
    return make.another_store(session, at.operator_id, merchant_id).id


def fields(
    session: Session, at: Shop, of: CouponView, ring: KeyRing, now: datetime
) -> CouponFields:
    text = make.code(session, at, of, ring, now=now)
    return read(text, ring, now=now, audiences=(ANYWHERE,)).fields


def test_an_activated_coupons_code_is_that_stores_and_ends_with_the_activation(
    session: Session,
) -> None:
    at = make.shop(session)
    coupon = a_coupon(session, at)

    view = activated(session, at, coupon)

    assert (view.store_id, view.activated_until) == (at.store.id, UNTIL)
    told = fields(session, at, coupon, make.signing_key(session, at), SOON)
    assert (told.sto, told.exp) == (at.store.number, UNTIL.timestamp())
    assert told.policy.activation_required
    assert kinds(session, coupon.id)[-1] == "coupon_activated"


def test_elsewhere_it_waits_and_here_it_works(session: Session) -> None:
    at = make.shop(session)
    elsewhere = another_store(session, at)
    coupon = a_coupon(session, at)
    activated(session, at, coupon)

    no = refused(session, at, coupon, now=SOON, store_id=elsewhere, terminal_id=None)

    assert no.code is Why.SUSPENDED
    assert no.reasons[0].needs == {"until": UNTIL.isoformat()}
    assert redeemed(session, at, coupon, now=SOON).store_id == at.store.id


def test_when_it_is_over_the_coupon_is_what_it_was(session: Session) -> None:
    at = make.shop(session)
    elsewhere = another_store(session, at)
    coupon = a_coupon(session, at)
    ring = make.signing_key(session, at)
    before = fields(session, at, coupon, ring, NOON)
    activated(session, at, coupon)

    after = fields(session, at, coupon, ring, UNTIL)

    assert after == before
    assert redeemed(session, at, coupon, now=UNTIL, store_id=elsewhere, terminal_id=None)


def test_every_activation_has_a_place_that_none_ever_had(session: Session) -> None:
    at = make.shop(session)
    coupon, ring = a_coupon(session, at), make.signing_key(session, at)
    places = {fields(session, at, coupon, ring, NOON).idx}
    for again in range(3):
        now = NOON + again * timedelta(hours=2)
        activated(session, at, coupon, now=now)
        places.add(fields(session, at, coupon, ring, now).idx)

    assert len(places) == 4
    assert max(places) < 2**21  # the list stays as short as can be


def test_nobody_ends_it_early_and_asking_twice_is_harmless(session: Session) -> None:
    at = make.shop(session)
    coupon = a_coupon(session, at)
    id = make.an_id()
    first = activated(session, at, coupon, id=id)

    assert activated(session, at, coupon, id=id, now=SOON) == first
    with pytest.raises(StillActivated) as still:
        activated(session, at, coupon, now=SOON)
    assert still.value.details == {"until": UNTIL.isoformat()}


def test_only_a_coupon_that_can_be_activated_is(session: Session) -> None:
    at = make.shop(session)
    spent = a_coupon(session, at)
    redeemed(session, at, spent)
    plain = make.coupon(session, at, customer_id=make.customer(session, at))
    twice = a_coupon(session, at, uses=2)
    for coupon in (plain, twice, spent):
        with pytest.raises(CouponNotUsable):
            activated(session, at, coupon)


def test_another_persons_coupon_and_another_operators_store_are_refused(session: Session) -> None:
    at, other = make.shop(session), make.shop(session)
    acting.enter(session, at.operator_id)
    coupon = a_coupon(session, at)

    with pytest.raises(CouponTaken):
        activated(session, at, coupon, customer_id=make.customer(session, at))
    with pytest.raises(Unknown):
        activated(session, at, coupon, store_id=other.store.id)


@pytest.mark.parametrize("seconds", [0, 299, 7_201])
def test_it_lasts_from_five_minutes_to_two_hours(session: Session, seconds: int) -> None:
    at = make.shop(session)
    coupon = a_coupon(session, at)
    with pytest.raises(ValidationError):
        activated(session, at, coupon, lasts_seconds=seconds)
