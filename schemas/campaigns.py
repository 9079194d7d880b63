"""Campaigns, their offers and batches, and the people and places they are for."""

from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import FailFast, Field, model_validator

from schemas.base import (
    Ask,
    AtLeastOne,
    Count,
    Minor,
    Moment,
    Name,
    Ref,
    Slug,
    Wire,
    Zone,
    each_once,
)
from schemas.money import Currency
from schemas.offers import LimitRules, PositiveMinor, Refs, Terms


class Level(StrEnum):
    """How much a code proves of the phone that shows it (docs/words.md)."""

    SHORT_CODE = "L0"
    STATIC = "L1"
    ROTATING = "L2"
    HOLDER_SIGNED = "L3"
    CHALLENGED = "L4"


class OfflinePolicy(StrEnum):
    ONLINE_ONLY = "online_only"
    STORE_BOUND = "store_bound"
    DEVICE_QUOTA = "device_quota"
    CAMPAIGN_ESCROW = "campaign_escrow"
    ACTIVATED = "activated"


class Stops(StrEnum):
    """What a pause or an end stops."""

    ISSUING = "issuing"
    ISSUING_AND_REDEEMING = "issuing_and_redeeming"


class StoppedBy(StrEnum):
    """Who has paused a campaign, where no person did."""

    BREAKER = "breaker"


class Ceiling(StrEnum):
    """What a campaign may never exceed."""

    BUDGET_MINOR = "budget_minor"
    MAX_REDEMPTIONS = "max_redemptions"
    MAX_ISSUED = "max_issued"
    MAX_PER_MINUTE = "max_per_minute"
    MAX_PER_CUSTOMER = "max_per_customer"
    PLANNED_PER_MINUTE = "planned_per_minute"
    PLANNED_MINOR_PER_MINUTE = "planned_minor_per_minute"


class CampaignState(StrEnum):
    """`scheduled`, `running` and `ended` by date follow from time; the others were decided."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    SETTLED = "settled"
    ARCHIVED = "archived"


class NewOperator(Ask):
    slug: Slug
    name: Name


class OperatorView(Wire):
    id: UUID
    slug: str
    name: str


class NewMerchant(Ask):
    name: Name


class MerchantView(Wire):
    id: UUID
    name: str


Latitude = Annotated[int, Field(strict=True, ge=-90_000_000, le=90_000_000)]
Longitude = Annotated[int, Field(strict=True, ge=-180_000_000, le=180_000_000)]
"""A millionth of a degree (WGS 84) is a hand's breadth; whole numbers stay exact on every wire."""


class Whereabouts(Wire):
    """Where a store is, as far as anybody has told."""

    address: Name | None = None
    latitude_microdegrees: Latitude | None = None
    longitude_microdegrees: Longitude | None = None

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if (self.latitude_microdegrees is None) != (self.longitude_microdegrees is None):
            raise ValueError("a place has a latitude and a longitude, or neither")
        return self


class NewStore(Ask, Whereabouts):
    merchant_id: UUID
    name: Name
    zone: Zone


class NewStoreChange(Ask, Whereabouts):
    """Tell anew where a store is. What is left out is forgotten."""

    store_id: UUID


class StoreView(Wire):
    id: UUID
    merchant_id: UUID
    number: int
    name: str
    zone: str
    address: str | None
    latitude_microdegrees: Latitude | None
    longitude_microdegrees: Longitude | None


class NewTerminal(Ask):
    store_id: UUID
    name: Name


class TerminalView(Wire):
    id: UUID
    store_id: UUID
    name: str
    paired_at: Moment | None
    seen_at: Moment | None
    revoked_at: Moment | None


class NewCustomer(Ask):
    """A person, by the operator's own name for them and nothing else.

    Of one who is known already, what is left out stays as it was.
    """

    ref: Ref
    segments: Refs | None = Field(default=None, max_length=100)
    has_purchased: bool | None = Field(
        default=None, strict=True, description="Before we knew them; the record knows the rest."
    )


class NewCustomers(Ask):
    customers: Annotated[
        tuple[NewCustomer, ...],
        FailFast(),  # to tell of a hundred thousand places would take gigabytes
        each_once(lambda one: one.id),
        each_once(lambda one: one.ref),
    ] = Field(min_length=1, max_length=100_000)


class CustomersView(Wire):
    id: UUID
    count: Count


class CustomerView(Wire):
    id: UUID
    ref: str
    segments: tuple[str, ...]
    has_purchased: bool


A_HUNDRED_A_SECOND = 6_000
"""The rate of a campaign that names none, in a minute.

More than a thousand busy counters redeem, and more than most sites let people claim; little
enough that a mistake which is redeemed by the thousand gives away minutes, not the whole budget.
"""


class NewCampaign(Ask):
    """A goal with dates and ceilings. Every ceiling is finite."""

    name: Name
    currency: Currency
    zone: Zone
    starts_at: Moment
    ends_at: Moment
    budget_minor: PositiveMinor
    max_redemptions: AtLeastOne
    max_issued: AtLeastOne
    max_per_minute: AtLeastOne = Field(
        default=A_HUNDRED_A_SECOND, description="Redemptions in one minute, of everybody together."
    )
    max_per_customer: AtLeastOne = Field(
        default=100, description="Redemptions by one customer, as long as the campaign runs."
    )
    planned_per_minute: AtLeastOne = Field(
        default=A_HUNDRED_A_SECOND,
        description="Claims and single issues in one minute. A breaker trips at five times that.",
    )
    planned_minor_per_minute: PositiveMinor | None = Field(
        default=None,
        description="Money given away in one minute; a breaker trips at five times that. Left out, "
        "it is the whole budget.",
    )
    limits: LimitRules = ()
    level: Level = Level.STATIC
    offline: OfflinePolicy = OfflinePolicy.ONLINE_ONLY
    offline_count: AtLeastOne = Field(
        default=20, description="Redemptions by one terminal, under one lease, without the server."
    )
    offline_minor: PositiveMinor | None = Field(
        default=None,
        description="Money given away by one terminal, under one lease, without the server. Left "
        "out, it is a hundredth of the budget.",
    )
    freshness_seconds: Annotated[int, Field(strict=True, ge=15, le=300)] = 60
    paper_allowed: bool = Field(default=True, strict=True)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        if self.freshness_seconds not in (15, 30, 60, 120, 300):
            raise ValueError("freshness_seconds must be 15, 30, 60, 120 or 300")
        if self.level is Level.ROTATING:
            raise ValueError("level L2 needs a wallet that rotates codes; use L1, L3 or L4")
        return self


class CampaignView(Wire):
    id: UUID
    number: int
    name: str
    currency: str
    zone: str
    state: CampaignState
    stops: Stops | None
    stopped_by: StoppedBy | None
    starts_at: Moment
    ends_at: Moment
    level: Level
    offline: OfflinePolicy
    offline_count: Count
    offline_minor: Minor
    limits: LimitRules
    budget_minor: Minor
    spent_minor: Minor
    held_minor: Minor
    max_redemptions: Count
    redeemed_count: Count
    max_issued: Count
    issued_count: Count
    max_per_minute: Count
    max_per_customer: Count
    planned_per_minute: Count
    planned_minor_per_minute: Minor
    proposed: dict[Ceiling, Minor] = Field(description="Raised ceilings that wait for an approval.")


class Move(StrEnum):
    """What a person may decide about a campaign."""

    SUBMIT = "submit"
    REJECT = "reject"
    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"
    ARCHIVE = "archive"


# Approving has an address of its own, where whoever approves says what they have seen.
Decidable = Literal[Move.SUBMIT, Move.REJECT, Move.PAUSE, Move.RESUME, Move.END, Move.ARCHIVE]


class NewMove(Ask):
    """Decide about a campaign: submit, pause, resume, end ... To approve is an approval."""

    campaign_id: UUID
    move: Decidable
    reason: Name
    stops: Stops = Stops.ISSUING


class NewCeiling(Ask):
    """Move one of a campaign's ceilings, if it still stands where the asker believes.

    Down at once. Up, beyond what was last approved, when somebody has approved it.
    """

    campaign_id: UUID
    ceiling: Ceiling
    current: Minor
    target: PositiveMinor
    reason: Name


class CeilingView(Wire):
    id: UUID
    campaign_id: UUID
    ceiling: Ceiling
    previous: Minor
    target: Minor
    pending: bool = Field(description="It stays where it was until it is approved.")
    at: Moment


class NewOffer(Ask):
    """A first version, or with `replaces` the next one of an offer that is out already."""

    campaign_id: UUID
    terms: Terms
    replaces: UUID | None = None


class OfferState(StrEnum):
    """All three follow from the record."""

    DRAFT = "draft"
    FROZEN = "frozen"
    SUPERSEDED = "superseded"


class OfferView(Wire):
    id: UUID
    campaign_id: UUID
    version: int
    replaces: UUID | None
    state: OfferState
    frozen_at: Moment | None
    terms: Terms


class NewTerms(Ask):
    """Change an offer that no coupon has yet."""

    offer_id: UUID
    terms: Terms


class NewBatch(Ask):
    """A counted lot of one offer version."""

    offer_id: UUID
    name: Name
    size: AtLeastOne
    max_redemptions: AtLeastOne | None = None
    budget_minor: PositiveMinor | None = None
    has_short_codes: bool = Field(default=False, strict=True)
    needs_claim: bool = Field(
        default=False,
        strict=True,
        description="A coupon works only once a customer has claimed it; else for its bearer.",
    )
    needs_contact: bool = Field(
        default=False,
        strict=True,
        description="A wallet takes one only after its customer has shown a number or address.",
    )


class BatchState(StrEnum):
    """`ready`, `issuing` and `exhausted` follow from the record; the others were decided."""

    READY = "ready"
    ISSUING = "issuing"
    EXHAUSTED = "exhausted"
    PAUSED = "paused"
    CLOSED = "closed"
    REVOKED = "revoked"


class BatchView(Wire):
    id: UUID
    campaign_id: UUID
    offer_id: UUID
    name: str
    state: BatchState
    size: Count
    issued_count: Count
    has_short_codes: bool
    needs_claim: bool
    needs_contact: bool


class BatchMove(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    REVOKE = "revoke"


class NewBatchMove(Ask):
    batch_id: UUID
    move: BatchMove
    reason: Name
    coupons_stay_valid: bool = Field(
        default=True, strict=True, description="With revoke: whether coupons already out work."
    )


class CampaignReport(Wire):
    """What is in the record about one campaign. It counts; it explains nothing."""

    campaign_id: UUID
    name: str
    currency: str
    issued: Count
    redeemed: Count
    provisional: Count = Field(
        description="Of the redeemed: made without a network, and not decided yet."
    )
    disputed: Count = Field(description="Not among the redeemed: another redemption counts.")
    reversed: Count
    rate_bp: Count
    discount_minor: Minor
    basket_minor: Minor
    median_seconds_to_redeem: Count | None


class ReportView(Wire):
    at: Moment
    campaigns: tuple[CampaignReport, ...]
