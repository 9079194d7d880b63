"""Builders for the judge: each makes something that works, and takes what a test cares about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from coupon_engine.validation.facts import (
    Applied,
    CampaignFacts,
    Case,
    CouponFacts,
    CustomerFacts,
    StoreFacts,
)
from schemas.baskets import Basket, Line, LineDiscount
from schemas.offers import AmountOff, Benefit, Conditions, Terms, Title, Validity

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday; 13:00 in Berlin
BERLIN = "Europe/Berlin"
STORE = UUID(int=1)
CUSTOMER = UUID(int=2)
HOLD = UUID(int=3)

FIVE_OFF = AmountOff(amount_minor=500)


def terms(benefit: Benefit = FIVE_OFF, uses: int = 1, **conditions: Any) -> Terms:
    return Terms(
        title=Title(en="Five off", zh="立减五元"),
        benefit=benefit,
        uses=uses,
        conditions=Conditions(**conditions),
        validity=Validity(days_after_issue=30),
    )


def line(
    product: str = "coffee", price: int = 300, quantity: int = 1, category: str | None = None
) -> Line:
    return Line(product=product, category=category, quantity=quantity, unit_price_minor=price)


def basket(*lines: Line) -> Basket:
    return Basket(currency="EUR", lines=lines)


def total(minor: int) -> Basket:
    return Basket(currency="EUR", total_minor=minor)


def case(offer: Terms, contents: Basket | None, **changes: Any) -> Case:
    """A case that is met. `coupon_...` and `campaign_...` change those facts."""
    coupon = CouponFacts(
        id=UUID(int=10),
        customer_id=None,
        store_id=None,
        valid_from=NOON - timedelta(days=1),
        valid_until=NOON + timedelta(days=1),
        uses_count=0,
        spent_minor=0,
        is_claimed=True,
        is_revoked=False,
    )
    campaign = CampaignFacts(
        id=UUID(int=11),
        currency="EUR",
        zone=BERLIN,
        is_live=True,
        stops=None,
        has_ended_for_good=False,
        is_batch_revoked=False,
    )
    plain = Case(
        coupon=replace(coupon, **_of("coupon_", changes)),
        campaign=replace(campaign, **_of("campaign_", changes)),
        offer_id=UUID(int=12),
        terms=offer,
        store=StoreFacts(id=STORE, zone=BERLIN),
        customer=None,
        basket=contents,
        applied=(),
        spend_minor=None,
        hold_id=None,
        now=NOON,
    )
    rest = {key: at for key, at in changes.items() if not key.startswith(("coupon_", "campaign_"))}
    return replace(plain, **rest)


def customer(*segments: str, has_purchased: bool = False) -> CustomerFacts:
    return CustomerFacts(id=CUSTOMER, segments=frozenset(segments), has_purchased=has_purchased)


def applied(
    minor: int,
    *lines: tuple[int, int],
    groups: tuple[str, ...] = (),
    order: int = 500,
    by_unit: bool = False,
    id: int = 20,
) -> Applied:
    """An earlier coupon of the basket; its lines are pairs of line and discount."""
    return Applied(
        redemption_id=UUID(int=id),
        offer_id=UUID(int=21),
        exclusivity_groups=frozenset(groups),
        stacking_order=order,
        discount_minor=minor,
        lines=tuple(LineDiscount(line=at, discount_minor=off) for at, off in lines),
        by_unit=by_unit,
    )


def _of(prefix: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): at for key, at in changes.items() if key.startswith(prefix)}
