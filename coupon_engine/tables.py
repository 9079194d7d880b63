"""The rows. Every key begins with the operator; the database guards what must never happen.

Rows trust what `schemas/` let in. State that follows from other facts is not here: a coupon has
expired when its window is over, a redemption has cleared when its undo window is over.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMES


class Row(SQLModel):
    """A row that one operator owns."""

    operator_id: UUID = Field(primary_key=True)


def _points_to(table: str, *columns: str) -> ForeignKeyConstraint:
    """Point at a row of the same operator; a foreign operator's row cannot be named."""
    own = columns or (f"{table}_id",)
    return ForeignKeyConstraint(("operator_id", *own), (f"{table}.operator_id", f"{table}.id"))


def _moment(*, optional: bool = False, **more: Any) -> Any:
    return Field(sa_type=DateTime(timezone=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _json(*, optional: bool = False, **more: Any) -> Any:
    # none_as_null: an absent document is NULL, never the JSON text "null".
    return Field(sa_type=JSONB(none_as_null=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _number(**more: Any) -> Any:
    return Field(sa_type=BigInteger, **more)


def _counter(type_: Any = BigInteger) -> Any:
    """Start at nought, also in rows that are written in bulk."""
    return Field(default=0, sa_type=type_, sa_column_kwargs={"server_default": text("0")})


def _words(**more: Any) -> Any:
    return Field(sa_type=Text, **more)


class Operator(SQLModel, table=True):
    """Runs the platform for its merchants; everything below belongs to exactly one."""

    id: UUID = Field(primary_key=True)
    slug: str = _words(unique=True)
    name: str = _words()
    created_at: datetime = _moment()


class ApiKey(Row, table=True):
    """A way in for a program. The secret itself is nowhere."""

    __tablename__: ClassVar[Any] = "api_key"
    __table_args__ = (ForeignKeyConstraint(("operator_id",), ("operator.id",)),)

    id: str = _words(primary_key=True, unique=True)
    hash: bytes = Field(sa_type=LargeBinary)
    name: str = _words()
    created_at: datetime = _moment()
    revoked_at: datetime | None = _moment(optional=True, default=None)


class Merchant(Row, table=True):
    __table_args__ = (ForeignKeyConstraint(("operator_id",), ("operator.id",)),)

    id: UUID = Field(primary_key=True)
    name: str = _words()
    created_at: datetime = _moment()


class Store(Row, table=True):
    """One place of a merchant. Its number is what a token carries."""

    __table_args__ = (_points_to("merchant"), UniqueConstraint("operator_id", "number"))

    id: UUID = Field(primary_key=True)
    merchant_id: UUID
    number: int = _number()
    name: str = _words()
    zone: str = _words()
    created_at: datetime = _moment()


class Terminal(Row, table=True):
    __table_args__ = (_points_to("store"),)

    id: UUID = Field(primary_key=True)
    store_id: UUID
    name: str = _words()
    created_at: datetime = _moment()


class Customer(Row, table=True):
    """Somebody, under the operator's own name for them. No name, no number, no address."""

    __table_args__ = (
        ForeignKeyConstraint(("operator_id",), ("operator.id",)),
        UniqueConstraint("operator_id", "ref"),
    )

    id: UUID = Field(primary_key=True)
    ref: str = _words()
    segments: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]
    has_purchased: bool  # before we knew them, as the operator says; the record knows the rest
    created_at: datetime = _moment()


class Campaign(Row, table=True):
    """`decided` is what a person decided; scheduled, running and over follow from the dates."""

    __table_args__ = (
        ForeignKeyConstraint(("operator_id",), ("operator.id",)),
        UniqueConstraint("operator_id", "number"),
        CheckConstraint("starts_at < ends_at", "window"),
    )

    id: UUID = Field(primary_key=True)
    number: int = _number()
    name: str = _words()
    currency: str = _words()
    zone: str = _words()
    starts_at: datetime = _moment()
    ends_at: datetime = _moment()
    decided: str = _words()
    stops: str | None = _words(default=None, nullable=True)
    level: str = _words()
    offline: str = _words()
    freshness_seconds: int = Field(sa_type=SmallInteger)
    paper_allowed: bool
    limits: list[Any] = _json()
    shuffle_key: bytes = Field(sa_type=LargeBinary)  # orders the status list, see issuing.py
    created_at: datetime = _moment()


class Offer(Row, table=True):
    """One version of an offer; `family_id` is the id of the first."""

    __table_args__ = (
        _points_to("campaign"),
        UniqueConstraint("operator_id", "family_id", "version"),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    family_id: UUID
    version: int
    replaces: UUID | None = Field(default=None)
    terms: dict[str, Any] = _json()
    frozen_at: datetime | None = _moment(optional=True, default=None)
    created_at: datetime = _moment()


class Batch(Row, table=True):
    __table_args__ = (
        _points_to("campaign"),
        _points_to("offer"),
        CheckConstraint("size > 0", "size"),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    offer_id: UUID
    name: str = _words()
    size: int = _number()
    max_redemptions: int | None = _number(default=None, nullable=True)
    budget_minor: int | None = _number(default=None, nullable=True)
    has_short_codes: bool
    needs_claim: bool
    decided: str = _words()
    coupons_stay_valid: bool = True
    created_at: datetime = _moment()


class Coupon(Row, table=True):
    """One serial instance. Its id is the token's `jti`."""

    __table_args__ = (
        _points_to("batch"),
        UniqueConstraint("operator_id", "campaign_id", "position"),
        CheckConstraint("uses_count BETWEEN 0 AND uses", "uses"),
        CheckConstraint(
            "spent_minor BETWEEN 0 AND coalesce(balance_minor, spent_minor)", "balance"
        ),
        CheckConstraint("valid_from < valid_until", "window"),
        CheckConstraint("octet_length(holder_key) = 33", "holder_key"),
        Index(
            "uq_coupon_code_hash",
            "operator_id",
            "code_hash",
            unique=True,
            postgresql_where=text("code_hash IS NOT NULL"),
        ),
        Index("ix_coupon_customer", "operator_id", "customer_id", "issued_at"),
        Index("ix_coupon_batch", "operator_id", "batch_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    batch_id: UUID
    offer_id: UUID
    position: int = _number()  # the place in the campaign's status list
    customer_id: UUID | None = Field(default=None)
    store_id: UUID | None = Field(default=None)
    issued_at: datetime = _moment()
    valid_from: datetime = _moment()
    valid_until: datetime = _moment()
    uses: int
    uses_count: int = _counter(Integer)
    last_use_no: int = _counter(Integer)
    balance_minor: int | None = _number(default=None, nullable=True)
    spent_minor: int = _counter()
    holder_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    holder_changes: int = _counter(SmallInteger)
    code_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    last_redeemed_at: datetime | None = _moment(optional=True, default=None)
    held_by: UUID | None = Field(default=None)
    held_until: datetime | None = _moment(optional=True, default=None)
    revoked_at: datetime | None = _moment(optional=True, default=None)


class Hold(Row, table=True):
    """A redemption promised. `decided` is open, committed or released; time decides the rest."""

    __table_args__ = (_points_to("coupon"),)

    id: UUID = Field(primary_key=True)
    coupon_id: UUID
    campaign_id: UUID
    store_id: UUID
    opened_at: datetime = _moment()
    expires_at: datetime = _moment()
    decided: str = _words()
    currency: str = _words()
    discount_minor: int = _number()
    lines: list[Any] = _json()


class HoldClaim(Row, table=True):
    """What an open hold takes of one limit. A lapsed claim counts for nothing; nobody sweeps it."""

    __tablename__: ClassVar[Any] = "hold_claim"
    __table_args__ = (_points_to("hold"),)

    limit_key: str = _words(primary_key=True)
    hold_id: UUID = Field(primary_key=True)
    minor: int = _number()
    expires_at: datetime = _moment()


class Limit(Row, table=True):
    """A ceiling on count and money. Judged and moved only under its row lock; see limits.py."""

    __tablename__: ClassVar[Any] = "limit_row"  # LIMIT is a word of SQL
    __table_args__ = (
        _points_to("campaign"),
        CheckConstraint("used_count BETWEEN 0 AND max_count", "count"),
        CheckConstraint("spent_minor BETWEEN 0 AND max_minor", "money"),
        Index("ix_limit_row_campaign", "operator_id", "campaign_id"),
    )

    key: str = Field(primary_key=True, sa_type=Text(collation="C"))  # pyright: ignore[reportArgumentType, reportCallIssue]
    campaign_id: UUID
    max_count: int = _number()
    used_count: int = _counter()
    max_minor: int = _number()
    spent_minor: int = _counter()
    held_until: datetime | None = _moment(optional=True, default=None)


class Redemption(Row, table=True):
    """One use of a coupon. Its id is the asker's."""

    __table_args__ = (
        _points_to("coupon"),
        _points_to("store"),
        UniqueConstraint("operator_id", "coupon_id", "use_no"),
        CheckConstraint("reversed_minor BETWEEN 0 AND discount_minor", "reversed"),
        CheckConstraint("discount_minor > 0", "discount"),
        Index("ix_redemption_campaign", "operator_id", "campaign_id", "redeemed_at"),
        Index("ix_redemption_store", "operator_id", "store_id", "redeemed_at"),
        Index(
            "ix_redemption_customer",
            "operator_id",
            "customer_id",
            "redeemed_at",
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    coupon_id: UUID
    use_no: int
    campaign_id: UUID
    batch_id: UUID
    offer_id: UUID
    customer_id: UUID | None = Field(default=None)
    store_id: UUID
    terminal_id: UUID | None = Field(default=None)
    cashier: str | None = _words(default=None, nullable=True)
    order_ref: str | None = _words(default=None, nullable=True)
    hold_id: UUID | None = Field(default=None)
    redeemed_at: datetime = _moment()
    undo_until: datetime = _moment()
    decided: str = _words()
    currency: str = _words()
    basket_minor: int = _number()
    discount_minor: int = _number()
    reversed_minor: int = _counter()
    reversed_at: datetime | None = _moment(optional=True, default=None)
    lines: list[Any] = _json()
    limit_keys: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]
    evidence: str | None = _words(default=None, nullable=True)  # what the phone showed


class Reversal(Row, table=True):
    """A redemption, or some lines of it, taken back."""

    __table_args__ = (
        _points_to("redemption"),
        CheckConstraint("discount_minor > 0", "discount"),
        Index("ix_reversal_redemption", "operator_id", "redemption_id"),
    )

    id: UUID = Field(primary_key=True)
    redemption_id: UUID
    reversed_at: datetime = _moment()
    reason: str = _words()
    cashier: str | None = _words(default=None, nullable=True)
    lines: list[Any] = _json()
    discount_minor: int = _number()
    is_whole: bool


class Receipt(Row, table=True):
    """One basket under its receipt number, so that several coupons share it honestly."""

    __table_args__ = (
        _points_to("store"),
        CheckConstraint("discount_minor BETWEEN 0 AND basket_minor", "discount"),
    )

    store_id: UUID = Field(primary_key=True)
    order_ref: str = _words(primary_key=True)
    currency: str = _words()
    basket_hash: str = _words()
    basket_minor: int = _number()
    discount_minor: int = _counter()
    applied: list[Any] = _json()
    created_at: datetime = _moment()


class Answer(Row, table=True):
    """The first answer to an asker's id, kept as long as the record, word for word."""

    id: UUID = Field(primary_key=True)
    verb: str = _words()
    fingerprint: str = _words()
    is_refusal: bool = False
    body: str = _words(default="")
    at: datetime = _moment()


class Event(Row, table=True):
    """One transition. Append-only: a trigger refuses every change and every deletion."""

    __table_args__ = (Index("ix_event_subject", "operator_id", "subject_id", "id"),)

    id: UUID = Field(primary_key=True)
    kind: str = _words()
    subject_id: UUID  # the coupon, campaign, offer, batch or key it happened to
    campaign_id: UUID | None = Field(default=None)
    at: datetime = _moment()
    recorded_at: datetime = _moment()
    data: dict[str, Any] = _json()


class Outbox(Row, table=True):
    """A message that still has to leave. Delivered rows are deleted; the events remain."""

    __table_args__ = (Index("ix_outbox_due", "due_at"),)

    id: UUID = Field(primary_key=True)  # the event's id
    kind: str = _words()
    body: dict[str, Any] = _json()
    attempts: int = _counter(SmallInteger)
    due_at: datetime = _moment()


class SigningKey(Row, table=True):
    """One letter of the operator's key table. See keys.py for its life."""

    __tablename__: ClassVar[Any] = "signing_key"
    __table_args__ = (
        ForeignKeyConstraint(("operator_id",), ("operator.id",)),
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

    kid: str = _words(primary_key=True)
    letter: str = _words()
    decided: str = _words()
    public_jwk: dict[str, Any] = _json()
    private_pem: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    published_at: datetime = _moment()
    used_from: datetime | None = _moment(optional=True, default=None)
    used_until: datetime | None = _moment(optional=True, default=None)
    retired_at: datetime | None = _moment(optional=True, default=None)


__all__ = [
    "Answer",
    "ApiKey",
    "Batch",
    "Campaign",
    "Coupon",
    "Customer",
    "Event",
    "Hold",
    "HoldClaim",
    "Limit",
    "Merchant",
    "Offer",
    "Operator",
    "Outbox",
    "Receipt",
    "Redemption",
    "Reversal",
    "SigningKey",
    "Store",
    "Terminal",
]
