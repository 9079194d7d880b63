"""Merchants, their stores, the terminals in them, and who stands at one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlmodel import Field

from coupon_engine.tables.columns import (
    Row,
    between,
    counter,
    moment,
    of_operator,
    points_to,
    whole,
    words,
)


class Merchant(Row, table=True):
    __table_args__ = (of_operator(),)

    id: UUID = Field(primary_key=True)
    name: str = words()
    created_at: datetime = moment()


class Store(Row, table=True):
    """One place of a merchant. Its number is what a token carries."""

    __table_args__ = (
        points_to("merchant"),
        UniqueConstraint("operator_id", "number"),
        between("latitude_microdegrees", -90_000_000, 90_000_000),
        between("longitude_microdegrees", -180_000_000, 180_000_000),
        CheckConstraint(
            "num_nonnulls(latitude_microdegrees, longitude_microdegrees) IN (0, 2)", "place"
        ),
    )

    id: UUID = Field(primary_key=True)
    merchant_id: UUID
    number: int = whole()
    name: str = words()
    zone: str = words()
    # Where it is, for whoever wants to walk there; a store may be told of without.
    address: str | None = words(default=None, nullable=True)
    latitude_microdegrees: int | None = Field(default=None, sa_type=Integer, nullable=True)
    longitude_microdegrees: int | None = Field(default=None, sa_type=Integer, nullable=True)
    created_at: datetime = moment()


class Terminal(Row, table=True):
    """One scanning device. Until it is paired it has no key and signs nothing."""

    __table_args__ = (
        points_to("store"),
        CheckConstraint("octet_length(public_key) = 33", "public_key"),
        # A signature names its key by this id alone: two operators cannot mean two devices by it.
        Index(
            "uq_terminal_paired",
            "id",
            unique=True,
            postgresql_where=text("public_key IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    store_id: UUID
    name: str = words()
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    created_at: datetime = moment()
    paired_at: datetime | None = moment(optional=True, default=None)
    seen_at: datetime | None = moment(optional=True, default=None)
    revoked_at: datetime | None = moment(optional=True, default=None)
    # Its journal: the last entry up to which there is no gap, and the newest bundle it was given.
    journal_seq: int = counter()
    journal_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    bundle_ver: int = counter()
    frozen_at: datetime | None = moment(optional=True, default=None)  # since its journal forked


class Pairing(Row, table=True):
    """A picture that lets one device become one terminal, once, within minutes."""

    __table_args__ = (points_to("store"),)

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    store_id: UUID
    terminal_id: UUID
    name: str = words()
    created_at: datetime = moment()
    expires_at: datetime = moment()
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    answered_at: datetime | None = moment(optional=True, default=None)
    confirmed_at: datetime | None = moment(optional=True, default=None)
    refused_at: datetime | None = moment(optional=True, default=None)


class Cashier(Row, table=True):
    """A person at the terminals of one store."""

    __table_args__ = (points_to("store"),)

    id: UUID = Field(primary_key=True)
    store_id: UUID
    name: str = words()
    pin_hash: str = words()
    created_at: datetime = moment()
    revoked_at: datetime | None = moment(optional=True, default=None)


class Shift(Row, table=True):
    """A cashier has taken a seat at a terminal; their name is on what it does."""

    __table_args__ = (
        points_to("terminal"),
        points_to("cashier"),
        Index(
            "uq_shift_open",
            "operator_id",
            "terminal_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    terminal_id: UUID
    cashier_id: UUID
    name: str = words()
    started_at: datetime = moment()
    expires_at: datetime = moment()
    ended_at: datetime | None = moment(optional=True, default=None)
