"""A coupon's life before and after the counter."""

from base64 import urlsafe_b64decode
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, FailFast, Field

from schemas.base import Ask, AtLeastOne, Count, Json, Minor, Moment, Name, Wire, each_once
from schemas.money import Currency
from schemas.offers import Title


def _p256_coordinate(value: str) -> str:
    if len(urlsafe_b64decode(value + "=" * (-len(value) % 4))) != 32:
        raise ValueError("must be 32 bytes, base64url without padding")
    return value


Coordinate = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$"), AfterValidator(_p256_coordinate)]


class HolderKey(Wire):
    """The phone's public key, as WebCrypto exports it (RFC 7517, P-256)."""

    kty: Literal["EC"] = "EC"
    crv: Literal["P-256"] = "P-256"
    x: Coordinate
    y: Coordinate


class NewCoupon(Ask):
    """Issue one coupon of a batch."""

    batch_id: UUID
    customer_id: UUID | None = None
    store_id: UUID | None = Field(default=None, description="Bound to this store alone.")
    holder_key: HolderKey | None = None


class NewCoupons(Ask):
    """Issue many coupons of a batch: one for each customer, or so many for nobody yet."""

    batch_id: UUID
    customer_ids: Annotated[tuple[UUID, ...], FailFast(), each_once(lambda customer: customer)] = (
        Field(default=(), max_length=1_000_000)
    )
    unclaimed: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0


class IssuedView(Wire):
    """What one call of `issue_many` made."""

    id: UUID
    batch_id: UUID
    count: Count
    first_position: Count
    issued_at: Moment


class NewClaim(Ask):
    """A customer takes a coupon: a fresh one of the batch, or the unclaimed one with this code."""

    batch_id: UUID | None = None
    short_code: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    customer_id: UUID
    holder_key: HolderKey | None = None


class NewActivation(Ask):
    """Let a coupon work in one store alone for a while, there also without a network."""

    coupon_id: UUID
    customer_id: UUID
    store_id: UUID
    lasts_seconds: Annotated[int, Field(strict=True, ge=300, le=7_200)] = 7_200


class ActivationView(Wire):
    """Fetch the coupon's token again: it is this store's now."""

    id: UUID
    coupon_id: UUID
    store_id: UUID
    activated_until: Moment


class NewTransfer(Ask):
    """Hand a coupon on to another customer."""

    coupon_id: UUID
    from_customer_id: UUID
    to_customer_id: UUID
    holder_key: HolderKey | None = None


class NewHolderKey(Ask):
    """A new phone, or a cleared one: bind the coupon to another key."""

    coupon_id: UUID
    customer_id: UUID | None = None
    holder_key: HolderKey


class NewRevocation(Ask):
    """Withdraw a coupon."""

    coupon_id: UUID
    reason: Name


class CouponState(StrEnum):
    """Every one of these follows from the record and the hour; none is stored."""

    MINTED = "minted"
    PENDING = "pending"
    ACTIVE = "active"
    HELD = "held"
    GIVEN = "given"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVOKED = "revoked"


class CouponView(Wire):
    id: UUID
    campaign_id: UUID
    batch_id: UUID
    offer_id: UUID
    customer_id: UUID | None
    store_id: UUID | None
    state: CouponState
    title: Title
    issued_at: Moment
    valid_from: Moment
    valid_until: Moment
    uses: AtLeastOne
    uses_left: Count
    currency: Currency
    balance_minor: Minor | None
    short_code: str | None
    is_holder_bound: bool


class Sought(Wire):
    """Which coupons. What is left out asks nothing."""

    campaign_id: UUID | None = None
    batch_id: UUID | None = None
    customer_id: UUID | None = None
    store_id: UUID | None = Field(default=None, description="Bound to this store.")
    state: CouponState | None = None
    short_code: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    issued_since: Moment | None = None
    issued_until: Moment | None = None


class CouponLine(Wire):
    """One coupon as a line of a file."""

    id: UUID
    state: CouponState
    campaign: str
    batch: str
    title_en: str
    title_zh: str
    customer_ref: str | None
    issued_at: Moment
    valid_from: Moment
    valid_until: Moment
    uses: AtLeastOne
    uses_count: Count
    last_redeemed_at: Moment | None
    revoked_at: Moment | None


class TokenView(Wire):
    """What a phone keeps: the standard token, and what it draws."""

    coupon_id: UUID
    jwt: str
    text: str | None = Field(description="The QR text; none where the phone must sign first.")
    head: str | None = Field(description="base64url: what the phone puts before its own proof.")
    letter: str
    audience: str
    freshness_seconds: Count
    short_code: str | None


class StoryLine(Wire):
    """One thing that happened to a coupon."""

    id: UUID
    kind: str
    at: Moment
    recorded_at: Moment
    data: Json


class StoryView(Wire):
    """A coupon's whole life, oldest first."""

    coupon: CouponView
    lines: tuple[StoryLine, ...]
