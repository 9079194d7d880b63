"""An offer that is still being written is read and tried, and nothing comes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import previewing
from coupon_engine.errors import Unknown
from schemas.offers import Benefit, Conditions, GiftBalance, PercentOff, Terms, Validity
from schemas.previews import (
    NewPreview,
    NewTrial,
    TrialAccepted,
    TrialCustomer,
    TrialRefused,
    TrialView,
)
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count
from tests.make import NOON, Shop

BERLIN = "Europe/Berlin"


def tried(session: Session, shop: Shop, terms: Terms, **more: Any) -> TrialView:
    asked: dict[str, Any] = {"terms": terms, "currency": "EUR", "zone": BERLIN}
    return previewing.trial(session, shop.operator_id, NewTrial(**{**asked, **more}), now=NOON)


def terms(benefit: Benefit | None = None, **conditions: Any) -> Terms:
    return make.terms(benefit, conditions=Conditions(**conditions))


def test_a_draft_reads_as_its_coupons_will(session: Session) -> None:
    at = make.shop(session)
    draft = terms(stores=(at.store.id,), minimum_basket_minor=1_000)

    told = previewing.preview(
        session, at.operator_id, NewPreview(terms=draft, currency="EUR", zone=BERLIN)
    ).face

    assert [each.en for each in told.benefit] == ["€2.00 off."]
    assert [each.en for each in told.conditions] == [
        "From a purchase of €10.00.",
        "Only at Main street.",
    ]
    assert [each.zh for each in told.validity] == ["领取后30天内有效。"]


def test_a_trial_takes_off_what_a_coupon_would_and_writes_nothing(session: Session) -> None:
    at = make.shop(session)
    half = terms(PercentOff(percent_off_bp=5_000), products=("p1",))

    took = tried(session, at, half, basket=make.basket(900, 250))

    assert isinstance(took, TrialAccepted)
    assert (took.discount_minor, took.currency, took.at) == (125, "EUR", NOON)
    assert [(line.line, line.discount_minor) for line in took.lines] == [(1, 125)]
    assert [count(session, each) for each in ("offer", "coupon", "redemption")] == [0, 0, 0]


def test_a_trial_says_why_not(session: Session) -> None:
    at = make.shop(session)

    told = tried(session, at, terms(minimum_basket_minor=1_500), basket=make.basket(1_000))

    assert isinstance(told, TrialRefused)
    assert told.refusal.code is Why.BELOW_MINIMUM
    assert told.refusal.customer.en == "Add €5.00 more to use this coupon."


def test_without_an_hour_it_is_tried_as_soon_as_it_works(session: Session) -> None:
    at = make.shop(session)
    later = make.terms(validity=Validity(wait_days=2, days_after_issue=9))

    soon = tried(session, at, later, basket=make.basket())
    today = tried(session, at, later, basket=make.basket(), at=NOON + timedelta(hours=1))

    assert isinstance(soon, TrialAccepted)
    assert soon.at == datetime(2026, 3, 3, 23, 0, tzinfo=UTC)  # midnight in Berlin
    assert isinstance(today, TrialRefused)
    assert today.refusal.code is Why.NOT_YET


def test_a_trial_stands_in_a_store_that_the_terms_name_or_in_the_one_that_is_told(
    session: Session,
) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    here = terms(stores=(at.store.id,))

    anywhere = tried(session, at, here, basket=make.basket())
    elsewhere = tried(session, at, here, basket=make.basket(), store_id=other.id)

    assert isinstance(anywhere, TrialAccepted)
    assert isinstance(elsewhere, TrialRefused)
    assert elsewhere.refusal.code is Why.WRONG_STORE


def test_a_trial_makes_up_who_holds_the_coupon(session: Session) -> None:
    at = make.shop(session)
    regulars = terms(segments=("regular",), first_purchase_only=True)

    def code(customer: TrialCustomer | None) -> Why | None:
        told = tried(session, at, regulars, basket=make.basket(), customer=customer)
        return told.refusal.code if isinstance(told, TrialRefused) else None

    assert code(None) is Why.WRONG_SEGMENT
    assert code(TrialCustomer()) is Why.WRONG_SEGMENT
    assert code(TrialCustomer(segments=("regular",), has_purchased=True)) is Why.NOT_FIRST_PURCHASE
    assert code(TrialCustomer(segments=("regular",))) is None


def test_a_trial_spends_part_of_a_balance(session: Session) -> None:
    at = make.shop(session)

    took = tried(
        session,
        at,
        terms(GiftBalance(balance_minor=5_000)),
        basket=make.basket(2_000),
        spend_minor=300,
    )

    assert isinstance(took, TrialAccepted)
    assert took.discount_minor == 300


@pytest.mark.parametrize("is_foreign", [True, False])
def test_a_store_of_somebody_else_is_as_unknown_as_none(session: Session, is_foreign: bool) -> None:
    at, other = make.shop(session), make.shop(session)
    id: UUID = other.store.id if is_foreign else make.an_id()
    draft = terms(stores=(at.store.id, id))

    with pytest.raises(Unknown) as on_preview:
        previewing.preview(
            session, at.operator_id, NewPreview(terms=draft, currency="EUR", zone=BERLIN)
        )
    with pytest.raises(Unknown) as on_trial:
        tried(session, at, draft, basket=make.basket())
    with pytest.raises(Unknown):
        tried(session, at, terms(), basket=make.basket(), store_id=id)

    told = {"kind": "store", "id": str(id)}
    assert on_preview.value.details == on_trial.value.details == told
