"""An offer changes until the first coupon is out. Then a new version; coupons keep theirs."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import offers
from coupon_engine.errors import OfferFrozen, OfferSuperseded, TermsMismatch, Unknown
from coupon_engine.tables import Offer
from schemas.campaigns import CampaignView, NewOffer, NewTerms, OfferState, OfferView
from schemas.offers import AmountOff, Terms, Validity
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed
from tests.make import NOON, Shop


def versioned(
    session: Session, at: Shop, of: CampaignView, replaces: UUID, terms: Terms | None = None
) -> OfferView:
    asked = NewOffer(
        id=make.an_id(), campaign_id=of.id, terms=terms or make.terms(), replaces=replaces
    )
    return offers.create_offer(session, at.operator_id, asked, now=NOON)


def changed(session: Session, at: Shop, offer: OfferView, terms: Terms) -> OfferView:
    asked = NewTerms(id=make.an_id(), offer_id=offer.id, terms=terms)
    return offers.change_terms(session, at.operator_id, asked, now=NOON)


def five_off(**more: Any) -> Terms:
    return make.terms(AmountOff(amount_minor=500), **more)


def seen(session: Session, at: Shop, offer: OfferView) -> OfferView:
    row = session.get(Offer, (at.operator_id, offer.id), populate_existing=True)
    assert row is not None
    return offers.view(session, row)


def test_an_offer_comes_back_as_it_was_asked_for(session: Session) -> None:
    at = make.shop(session)

    made = make.offer(session, at)

    assert (made.version, made.replaces, made.state) == (1, None, OfferState.DRAFT)
    assert seen(session, at, made).terms == make.terms()
    assert kinds(session, made.id) == ["offer_created"]


def test_an_offer_changes_until_its_first_coupon_and_never_after(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at)
    batch = make.batch(session, at, offer)
    assert changed(session, at, offer, five_off()).terms == five_off()
    make.approved(session, at, offer.campaign_id)
    coupon = make.coupon(session, at, batch)

    with pytest.raises(OfferFrozen) as raised:
        changed(session, at, offer, make.terms())

    assert raised.value.details == {"offer_id": str(offer.id)}
    assert redeemed(session, at, coupon).discount_minor == 500
    frozen = seen(session, at, offer)
    assert (frozen.state, frozen.frozen_at) == (OfferState.FROZEN, NOON)
    assert kinds(session, offer.id) == ["offer_created", "offer_changed", "offer_frozen"]


def test_coupons_keep_the_version_they_were_issued_with(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    old = make.offer(session, at, running)
    old_batch = make.batch(session, at, old)
    before = make.coupon(session, at, old_batch)

    new = versioned(session, at, running, old.id, five_off())

    after = make.coupon(session, at, make.batch(session, at, new))
    late = make.coupon(session, at, old_batch)
    assert (new.version, new.replaces) == (2, old.id)
    assert seen(session, at, old).state is OfferState.SUPERSEDED
    worth = [redeemed(session, at, coupon).discount_minor for coupon in (before, after, late)]
    assert worth == [200, 500, 200]


def test_a_version_is_replaced_once(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    first = make.offer(session, at, running)
    second = versioned(session, at, running, first.id)

    with pytest.raises(OfferSuperseded) as raised:
        versioned(session, at, running, first.id)

    assert raised.value.details == {"offer_id": str(first.id)}
    assert versioned(session, at, running, second.id).version == 3
    assert count(session, "offer") == 3


@pytest.mark.parametrize(
    "validity",
    [
        Validity(starts_at=NOON - timedelta(days=2), days_after_issue=9),
        Validity(ends_at=NOON - timedelta(days=1)),
    ],
)
def test_a_coupon_does_not_begin_or_end_before_its_campaign(
    session: Session, validity: Validity
) -> None:
    at = make.shop(session)
    offer = make.offer(session, at)

    with pytest.raises(TermsMismatch):
        make.offer(session, at, validity=validity)
    with pytest.raises(TermsMismatch):
        changed(session, at, offer, make.terms(validity=validity))

    assert seen(session, at, offer).terms == make.terms()


def test_a_version_belongs_to_the_campaign_of_the_one_before(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at)

    with pytest.raises(TermsMismatch):
        versioned(session, at, make.campaign(session, at), offer.id)

    assert count(session, "offer") == 1


def test_another_operators_offer_and_campaign_are_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    running = make.campaign(session, at)
    offer = make.offer(session, at, running)

    for attempt in (
        lambda: changed(session, stranger, offer, five_off()),
        lambda: make.offer(session, stranger, running),
        lambda: versioned(session, stranger, make.campaign(session, stranger), offer.id),
    ):
        with pytest.raises(Unknown):
            attempt()


def test_an_issue_that_failed_leaves_the_offer_free_to_change(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at)
    batch = make.batch(session, at, offer)
    savepoint = session.begin_nested()
    make.coupon(session, at, batch)
    savepoint.rollback()

    changed(session, at, offer, five_off())
    make.approved(session, at, offer.campaign_id)

    assert redeemed(session, at, make.coupon(session, at, batch)).discount_minor == 500
