"""What an operator promises: campaigns, offers, batches, and what coupons are signed with."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlmodel import Field

from coupon_engine.tables.columns import (
    Row,
    between,
    counter,
    document,
    moment,
    of_operator,
    points_to,
    texts,
    whole,
    words,
)
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.offline import ONLINE_CLASS


class Campaign(Row, table=True):
    """`decided` is what a person decided; scheduled, running and over follow from the dates."""

    __table_args__ = (
        of_operator(),
        UniqueConstraint("operator_id", "number"),
        CheckConstraint("starts_at < ends_at", "window"),
        between("number", 1, MOST_COUNT),
        between("planned_per_minute", 1, MOST_COUNT),
        between("planned_minor_per_minute", 1, MOST_MINOR),
        between("max_per_minute", 1, MOST_COUNT),
        between("max_per_customer", 1, MOST_COUNT),
        between("further_places", 0, MOST_COUNT),
        between("freshness_seconds", 15, 300),
        between("offline_count", 1, MOST_COUNT),
        between("offline_minor", 1, MOST_MINOR),
    )

    id: UUID = Field(primary_key=True)
    number: int = whole()
    name: str = words()
    currency: str = words()
    zone: str = words()
    starts_at: datetime = moment()
    ends_at: datetime = moment()
    decided: str = words()
    stops: str | None = words(default=None, nullable=True)
    stopped_by: str | None = words(default=None, nullable=True)  # "breaker" where one tripped
    editors: list[str] = texts()  # who changed it since it was last approved
    approved: dict[str, Any] | None = document(optional=True, default=None)  # what was approved
    proposed: dict[str, Any] = document(default_factory=dict)  # raised ceilings that wait for a yes
    planned_per_minute: int = whole()  # issues; the breaker trips at a multiple of it
    planned_minor_per_minute: int = whole()  # money given away; so does this
    max_per_minute: int = whole()  # redemptions; judged in the campaign's own limit row
    max_per_customer: int = whole()  # redemptions
    level: str = words()
    offline: str = words()
    offline_count: int = whole()  # what one lease may give away of it: redemptions,
    offline_minor: int = whole()  # and money
    freshness_seconds: int = Field(sa_type=SmallInteger)
    paper_allowed: bool
    limits: list[Any] = document()
    further_places: int = counter()  # given out in the status list besides one for each coupon
    shuffle_key: bytes = Field(sa_type=LargeBinary)  # orders the status list, see issuing.py
    created_at: datetime = moment()


class Offer(Row, table=True):
    """One version of an offer; `family_id` is the id of the first."""

    __table_args__ = (
        points_to("campaign"),
        UniqueConstraint("operator_id", "family_id", "version"),
        between("quota_class", 0, ONLINE_CLASS),
        Index(
            "uq_offer_quota_class",
            "operator_id",
            "campaign_id",
            "quota_class",
            unique=True,
            postgresql_where=text(f"quota_class < {ONLINE_CLASS}"),
        ),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    family_id: UUID
    version: int
    quota_class: int = Field(sa_type=SmallInteger)  # how a coupon's code names it, see offers.py
    replaces: UUID | None = Field(default=None)
    terms: dict[str, Any] = document()
    frozen_at: datetime | None = moment(optional=True, default=None)
    created_at: datetime = moment()


class Batch(Row, table=True):
    __table_args__ = (
        points_to("campaign"),
        points_to("offer"),
        between("size", 1, MOST_COUNT),
        between("max_redemptions", 1, MOST_COUNT),
        between("budget_minor", 1, MOST_MINOR),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    offer_id: UUID
    name: str = words()
    size: int = whole()
    max_redemptions: int | None = whole(default=None, nullable=True)
    budget_minor: int | None = whole(default=None, nullable=True)
    has_short_codes: bool
    needs_claim: bool
    needs_contact: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    decided: str = words()
    coupons_stay_valid: bool = True
    created_at: datetime = moment()
    # Until an approval covers it, with its offer's terms as they stand, no coupon comes of it.
    approved_at: datetime | None = moment(optional=True, default=None)


class SigningKey(Row, table=True):
    """One letter of the operator's key table. See keys.py for its life."""

    __tablename__: ClassVar[Any] = "signing_key"
    __table_args__ = (
        of_operator(),
        CheckConstraint("letter ~ '^[A-Z]$'", "letter"),
        Index(
            "uq_signing_key_letter",
            "operator_id",
            "letter",
            unique=True,
            postgresql_where=text("decided <> 'retired'"),
        ),
        Index(
            "uq_signing_key_in_use",
            "operator_id",
            unique=True,
            postgresql_where=text("decided = 'in_use'"),
        ),
    )

    kid: str = words(primary_key=True)
    letter: str = words()
    decided: str = words()
    public_jwk: dict[str, Any] = document()
    private_pem: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    published_at: datetime = moment()
    used_from: datetime | None = moment(optional=True, default=None)
    used_until: datetime | None = moment(optional=True, default=None)
    retired_at: datetime | None = moment(optional=True, default=None)
