"""Coupons, what has become of each, and the limits that all of them share."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
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
    points_to,
    whole,
    words,
)
from schemas.base import MOST_COUNT, MOST_MINOR


class Coupon(Row, table=True):
    """One serial instance. Its id is the token's `jti`."""

    __table_args__ = (
        points_to("batch"),
        UniqueConstraint("operator_id", "campaign_id", "position"),
        CheckConstraint("uses_count BETWEEN 0 AND uses AND uses <= 1000", "uses"),
        CheckConstraint(
            "spent_minor BETWEEN 0 AND coalesce(balance_minor, spent_minor)", "balance"
        ),
        between("position", 0, 2**32),
        between("activated_position", 0, 2**32),
        between("last_use_no", 0, MOST_COUNT),
        between("balance_minor", 1, MOST_MINOR),
        between("spent_minor", 0, MOST_MINOR),
        between("holder_changes", 0, 1_000),
        CheckConstraint("valid_from < valid_until", "window"),
        CheckConstraint("octet_length(holder_key) = 33", "holder_key"),
        CheckConstraint(
            "num_nonnulls(activated_store_id, activated_until, activated_position) IN (0, 3)",
            "activated",
        ),
        CheckConstraint("num_nonnulls(given_until, gift_hash) IN (0, 2)", "given"),
        Index(
            "uq_coupon_gift_hash",
            "operator_id",
            "gift_hash",
            unique=True,
            postgresql_where=text("gift_hash IS NOT NULL"),
        ),
        Index(
            "uq_coupon_code_hash",
            "operator_id",
            "code_hash",
            unique=True,
            postgresql_where=text("code_hash IS NOT NULL"),
        ),
        Index("ix_coupon_customer", "operator_id", "customer_id", "issued_at"),
        Index("ix_coupon_batch", "operator_id", "batch_id", "id"),
        Index(
            "ix_coupon_holder_key",
            "operator_id",
            "holder_key",
            postgresql_where=text("holder_key IS NOT NULL"),
        ),
        # What a status list's next version asks for besides redemptions: few have either.
        Index(
            "ix_coupon_revoked",
            "operator_id",
            "campaign_id",
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
        Index(
            "ix_coupon_activated",
            "operator_id",
            "campaign_id",
            "activated_at",
            postgresql_where=text("activated_at IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    campaign_id: UUID
    batch_id: UUID
    offer_id: UUID
    position: int = whole()  # the place in the campaign's status list
    customer_id: UUID | None = Field(default=None)
    store_id: UUID | None = Field(default=None)
    issued_at: datetime = moment()
    valid_from: datetime = moment()
    valid_until: datetime = moment()
    uses: int
    uses_count: int = counter(Integer)
    last_use_no: int = counter(Integer)
    balance_minor: int | None = whole(default=None, nullable=True)
    spent_minor: int = counter()
    holder_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    holder_changes: int = counter(SmallInteger)
    code_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    last_redeemed_at: datetime | None = moment(optional=True, default=None)
    held_by: UUID | None = Field(default=None)
    held_until: datetime | None = moment(optional=True, default=None)
    revoked_at: datetime | None = moment(optional=True, default=None)
    # Good in one store alone for a while, under another place of the list; nowhere else meanwhile.
    activated_at: datetime | None = moment(optional=True, default=None)
    activated_store_id: UUID | None = Field(default=None)
    activated_until: datetime | None = moment(optional=True, default=None)
    activated_position: int | None = whole(default=None, nullable=True)
    # Its holder is giving it away: until then whoever has the secret may take it. See gifts.py.
    given_until: datetime | None = moment(optional=True, default=None)
    gift_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)


class Hold(Row, table=True):
    """A redemption promised. `decided` is open, committed or released; time decides the rest."""

    __table_args__ = (points_to("coupon"),)

    id: UUID = Field(primary_key=True)
    coupon_id: UUID
    campaign_id: UUID
    store_id: UUID
    opened_at: datetime = moment()
    expires_at: datetime = moment()
    decided: str = words()
    currency: str = words()
    discount_minor: int = whole()
    lines: list[Any] = document()


class HoldClaim(Row, table=True):
    """What an open hold takes of one limit. A lapsed claim counts for nothing; nobody sweeps it."""

    __tablename__: ClassVar[Any] = "hold_claim"
    __table_args__ = (points_to("hold"),)

    limit_key: str = words(primary_key=True)
    hold_id: UUID = Field(primary_key=True)
    minor: int = whole()
    expires_at: datetime = moment()


class Limit(Row, table=True):
    """A ceiling on count and money. Judged and moved only under its row lock; see limits.py."""

    __tablename__: ClassVar[Any] = "limit_row"  # LIMIT is a word of SQL
    __table_args__ = (
        points_to("campaign"),
        CheckConstraint(
            f"used_count BETWEEN 0 AND max_count AND max_count <= {MOST_COUNT}", "count"
        ),
        CheckConstraint(
            f"spent_minor BETWEEN 0 AND max_minor AND max_minor <= {MOST_MINOR}", "money"
        ),
        CheckConstraint(
            f"minute_count BETWEEN 0 AND max_per_minute AND max_per_minute <= {MOST_COUNT}", "rate"
        ),
        between("minute", 0, 2**40),
        between("max_minor_per_minute", 1, MOST_MINOR),
        between("minute_minor", 0, MOST_MINOR),
        Index("ix_limit_row_campaign", "operator_id", "campaign_id"),
    )

    key: str = Field(primary_key=True, sa_type=Text(collation="C"))  # pyright: ignore[reportArgumentType, reportCallIssue]
    campaign_id: UUID
    max_count: int = whole()
    used_count: int = counter()
    max_minor: int = whole()
    spent_minor: int = counter()
    held_until: datetime | None = moment(optional=True, default=None)
    # The same in the running minute alone; `minute` says which one that was (since 1970).
    minute: int = counter()
    minute_count: int = counter()
    minute_minor: int = counter()
    max_per_minute: int = whole(
        default=MOST_COUNT, sa_column_kwargs={"server_default": text(str(MOST_COUNT))}
    )
    max_minor_per_minute: int = whole(
        default=MOST_MINOR, sa_column_kwargs={"server_default": text(str(MOST_MINOR))}
    )


class Redemption(Row, table=True):
    """One use of a coupon. Its id is the asker's."""

    __table_args__ = (
        points_to("coupon"),
        points_to("store"),
        UniqueConstraint("operator_id", "coupon_id", "use_no"),
        CheckConstraint("reversed_minor BETWEEN 0 AND discount_minor", "reversed"),
        CheckConstraint("discount_minor > 0", "discount"),
        Index("ix_redemption_campaign", "operator_id", "campaign_id", "redeemed_at"),
        Index(
            "ix_redemption_reversed",
            "operator_id",
            "campaign_id",
            "reversed_at",
            postgresql_where=text("reversed_at IS NOT NULL"),
        ),
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
    cashier: str | None = words(default=None, nullable=True)
    order_ref: str | None = words(default=None, nullable=True)
    hold_id: UUID | None = Field(default=None)
    redeemed_at: datetime = moment()
    undo_until: datetime = moment()
    decided: str = words()
    currency: str = words()
    basket_minor: int = whole()
    discount_minor: int = whole()
    reversed_minor: int = counter()
    reversed_at: datetime | None = moment(optional=True, default=None)
    lines: list[Any] = document()
    limit_keys: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]
    evidence: str | None = words(default=None, nullable=True)  # what the phone showed


class Reversal(Row, table=True):
    """A redemption, or some lines of it, taken back."""

    __table_args__ = (
        points_to("redemption"),
        CheckConstraint("discount_minor > 0", "discount"),
        Index("ix_reversal_redemption", "operator_id", "redemption_id"),
    )

    id: UUID = Field(primary_key=True)
    redemption_id: UUID
    reversed_at: datetime = moment()
    reason: str = words()
    cashier: str | None = words(default=None, nullable=True)
    lines: list[Any] = document()
    discount_minor: int = whole()
    is_whole: bool


class Receipt(Row, table=True):
    """One basket under its receipt number, so that several coupons share it honestly."""

    __table_args__ = (
        points_to("store"),
        CheckConstraint("discount_minor BETWEEN 0 AND basket_minor", "discount"),
    )

    store_id: UUID = Field(primary_key=True)
    order_ref: str = words(primary_key=True)
    currency: str = words()
    basket_hash: str = words()
    basket_minor: int = whole()
    discount_minor: int = counter()
    applied: list[Any] = document()
    created_at: datetime = moment()
