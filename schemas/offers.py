"""An offer: what a coupon is worth, and when it works. Frozen once the first coupon is out."""

from datetime import time
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from schemas.base import AtLeastOne, BasisPoints, Minor, Moment, Name, Ref, Wire, each_once
from schemas.refusals import Sentences

PositiveMinor = Annotated[int, Field(strict=True, ge=1, le=10**12)]


class AmountOff(Wire):
    """So much off the lines in scope, never more than they cost."""

    kind: Literal["amount_off"] = "amount_off"
    amount_minor: PositiveMinor


class PercentOff(Wire):
    """A part off the lines in scope, at most the cap."""

    kind: Literal["percent_off"] = "percent_off"
    percent_off_bp: BasisPoints
    cap_minor: PositiveMinor | None = None


class FixedPrice(Wire):
    """Up to `quantity` units in scope for this price each; dearest units first."""

    kind: Literal["fixed_price"] = "fixed_price"
    price_minor: Minor
    quantity: AtLeastOne = 1


class FreeItem(Wire):
    """One of these products for nothing; the dearest of them in the basket."""

    kind: Literal["free_item"] = "free_item"
    quantity: AtLeastOne = 1


class BuyXGetY(Wire):
    """For every `buy` units paid, `get` units at a part off, the cheapest ones; at most `times`."""

    kind: Literal["buy_x_get_y"] = "buy_x_get_y"
    buy: AtLeastOne
    get: AtLeastOne = 1
    percent_off_bp: BasisPoints = 10_000
    times: AtLeastOne = 1


class GiftBalance(Wire):
    """A sum that can be spent in parts until nothing remains."""

    kind: Literal["gift_balance"] = "gift_balance"
    balance_minor: PositiveMinor


Benefit = Annotated[
    AmountOff | PercentOff | FixedPrice | FreeItem | BuyXGetY | GiftBalance,
    Field(discriminator="kind"),
]


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


def _whole_minutes(value: time) -> time:
    if value.tzinfo is not None or value.second or value.microsecond:
        raise ValueError("must be a local time in whole minutes, such as 09:30")
    return value


LocalTime = Annotated[time, AfterValidator(_whole_minutes)]


class OpenHours(Wire):
    """Weekdays and a stretch of the day on the store's own clock, `from_time <= t < until_time`.

    `until_time` 00:00 is the end of the day; a stretch that ends before it begins runs past
    midnight and belongs to the weekday on which it began.
    """

    weekdays: Annotated[tuple[Weekday, ...], each_once(lambda day: day)] = Field(min_length=1)
    from_time: LocalTime = time(0, 0)
    until_time: LocalTime = time(0, 0)


class Period(StrEnum):
    """How long a limit counts before it starts again, on the campaign's clock."""

    EVER = "ever"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class LimitOf(StrEnum):
    ISSUE = "issue"
    REDEEM = "redeem"


class LimitPer(StrEnum):
    """Whose ceiling it is: everybody's together, or each store's, or each customer's."""

    ALL = "all"
    STORE = "store"
    CUSTOMER = "customer"


class LimitRule(Wire):
    """A ceiling on count, and where it is given, on money."""

    of: LimitOf = LimitOf.REDEEM
    per: LimitPer
    period: Period = Period.EVER
    max_count: AtLeastOne
    max_minor: PositiveMinor | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "LimitRule":
        if self.of is LimitOf.ISSUE and self.max_minor is not None:
            raise ValueError("issuing is limited by count; money is limited at redemption")
        if self.of is LimitOf.ISSUE and self.per is LimitPer.STORE:
            raise ValueError("a coupon is not issued at a store")
        return self


LimitRules = Annotated[
    tuple[LimitRule, ...],
    Field(max_length=12),
    each_once(lambda rule: (rule.of, rule.per, rule.period)),
]
Refs = Annotated[tuple[Ref, ...], each_once(lambda ref: ref)]


class Conditions(Wire):
    """When the coupon works. What is left empty asks nothing."""

    minimum_basket_minor: Minor = Field(
        default=0, description="The whole basket, in scope or not, before any coupon."
    )
    minimum_units: AtLeastOne = Field(default=1, description="So many units in scope are bought.")
    products: Refs = Field(default=(), max_length=20_000, description="In scope; empty means all.")
    categories: Refs = Field(default=(), max_length=1_000)
    stores: Annotated[tuple[UUID, ...], each_once(lambda store: store)] = Field(
        default=(), max_length=10_000
    )
    hours: tuple[OpenHours, ...] = Field(default=(), max_length=20)
    first_purchase_only: bool = Field(default=False, strict=True)
    segments: Refs = Field(default=(), max_length=50, description="The customer is in one of them.")
    exclusivity_groups: Refs = Field(
        default=(), max_length=20, description="Two coupons that share a group never combine."
    )
    stacking_order: Annotated[int, Field(strict=True, ge=0, le=1_000)] = Field(
        default=500, description="In one basket the lower number is applied first."
    )


class Validity(Wire):
    """From when until when a coupon works: fixed instants, or days after it was issued.

    A coupon is good in `start <= now < end`, where both kinds are given the narrower one.
    """

    starts_at: Moment | None = None
    ends_at: Moment | None = None
    wait_days: Annotated[int, Field(strict=True, ge=0, le=365)] = 0
    days_after_issue: Annotated[int, Field(strict=True, ge=1, le=3_660)] | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> "Validity":
        if self.ends_at is None and self.days_after_issue is None:
            raise ValueError("a coupon must end: give ends_at or days_after_issue")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        if self.days_after_issue is not None and self.wait_days >= self.days_after_issue:
            raise ValueError("wait_days must be less than days_after_issue")
        return self


class Title(Wire):
    """What the customer reads on the coupon."""

    en: Name
    zh: Name


class Face(Wire):
    """What a customer reads on a coupon before they use it, made from its terms."""

    title: Title
    benefit: tuple[Sentences, ...]
    conditions: tuple[Sentences, ...]
    validity: tuple[Sentences, ...]


class Terms(Wire):
    """Everything that decides what a coupon of this offer does."""

    title: Title
    benefit: Benefit
    uses: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    conditions: Conditions = Conditions()
    validity: Validity
    limits: LimitRules = ()
    undo_seconds: Annotated[int, Field(strict=True, ge=0, le=90 * 86_400)] = 3_600

    @model_validator(mode="after")
    def _fits_together(self) -> "Terms":
        needs_scope = self.benefit.kind in ("free_item", "fixed_price", "buy_x_get_y")
        if needs_scope and not (self.conditions.products or self.conditions.categories):
            raise ValueError(f"{self.benefit.kind} needs products or categories to apply to")
        if self.benefit.kind == "gift_balance" and self.uses != 1:
            raise ValueError("a gift balance is spent until it is empty; it has no number of uses")
        return self
