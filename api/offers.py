"""Offers: what a coupon is worth, and when it works."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.deps import Looking, Now, OperatorId, Page, Transaction
from api.problems import can_fail_with
from coupon_engine import offers
from coupon_engine.errors import (
    OfferFrozen,
    OfferSuperseded,
    RequestReused,
    TermsMismatch,
    Unknown,
)
from schemas.campaigns import NewOffer, NewTerms, OfferView

router = APIRouter(tags=["Offers"])


@router.post(
    "/offers",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, TermsMismatch, OfferSuperseded),
)
def create_offer(
    request: NewOffer, session: Transaction, operator_id: OperatorId, now: Now
) -> OfferView:
    """Make an offer, or with `replaces` its next version. Coupons keep the version they have."""
    return offers.create_offer(session, operator_id, request, now=now)


class OfferPage(Page):
    """Which offers."""

    campaign_id: UUID | None = None


@router.get("/offers", responses=can_fail_with())
def all_offers(
    page: Annotated[OfferPage, Query()], session: Looking, operator_id: OperatorId
) -> list[OfferView]:
    """All versions of offers, of one campaign or of all."""
    return offers.offer_views(session, operator_id, **page.model_dump())


@router.post(
    "/terms",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, OfferFrozen, TermsMismatch),
)
def change_terms(
    request: NewTerms, session: Transaction, operator_id: OperatorId, now: Now
) -> OfferView:
    """Change an offer that no coupon has yet."""
    return offers.change_terms(session, operator_id, request, now=now)
