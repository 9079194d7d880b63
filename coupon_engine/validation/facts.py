"""All that the judge may know. Whoever asks gathers it; the judge opens nothing."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.baskets import Basket, LineDiscount
from schemas.campaigns import Stops
from schemas.offers import Terms


@dataclass(frozen=True, slots=True)
class CouponFacts:
    """One coupon as the record (or a signed token, offline) shows it."""

    id: UUID
    customer_id: UUID | None
    store_id: UUID | None
    valid_from: datetime
    valid_until: datetime
    uses_count: int
    spent_minor: int
    is_claimed: bool
    is_revoked: bool
    held_by: UUID | None = None
    held_until: datetime | None = None
    last_redeemed_at: datetime | None = None  # told to the cashier who asks why
    activated_store_id: UUID | None = None  # the only store where it works until then
    activated_until: datetime | None = None
    is_holder_suspended: bool = False  # the phone that it is bound to, for too many disputes


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    id: UUID
    currency: str
    zone: str
    is_live: bool  # somebody has approved it
    stops: Stops | None  # what a pause stops, if one is on
    has_ended_for_good: bool  # ended, and coupons already out do not stay valid
    is_batch_revoked: bool  # the batch was withdrawn with its coupons


@dataclass(frozen=True, slots=True)
class StoreFacts:
    id: UUID
    zone: str


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    id: UUID
    segments: frozenset[str]
    has_purchased: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """A coupon that this basket already had."""

    redemption_id: UUID
    offer_id: UUID
    exclusivity_groups: frozenset[str]
    stacking_order: int
    discount_minor: int
    lines: tuple[LineDiscount, ...]
    by_unit: bool = False  # it took whole units, as a free item does, not a part of every one


@dataclass(frozen=True, slots=True)
class Case:
    """One coupon at one counter at one moment."""

    coupon: CouponFacts
    campaign: CampaignFacts
    offer_id: UUID
    terms: Terms
    store: StoreFacts
    customer: CustomerFacts | None
    basket: Basket | None
    applied: tuple[Applied, ...]
    spend_minor: int | None
    hold_id: UUID | None
    now: datetime
    has_basket_changed: bool = False  # since the first coupon of this receipt


@dataclass(frozen=True, slots=True)
class Discount:
    """What the coupon takes off: the sum, and its lines where the basket has lines."""

    minor: int
    lines: tuple[LineDiscount, ...]
