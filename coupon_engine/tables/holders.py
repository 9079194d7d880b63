"""Customers, their wallets, and the one place for what is personal."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Index,
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
    moment,
    of_operator,
    points_to,
    words,
)
from schemas.base import MOST_COUNT


class Customer(Row, table=True):
    """Somebody, under the operator's own name for them. No name, no number, no address."""

    __table_args__ = (
        of_operator(),
        UniqueConstraint("operator_id", "ref"),
    )

    id: UUID = Field(primary_key=True)
    ref: str = words()
    segments: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]
    has_purchased: bool  # before we knew them, as the operator says; the record knows the rest
    created_at: datetime = moment()


class Wallet(Row, table=True):
    """One phone of a customer, known by the public half of a key that never leaves it."""

    __table_args__ = (
        points_to("customer"),
        CheckConstraint("octet_length(public_key) = 33", "public_key"),
        Index("ix_wallet_customer", "operator_id", "customer_id"),
        Index("ix_wallet_id", "id"),  # a signature names it, and so its operator
        Index(
            "uq_wallet_public_key",
            "operator_id",
            "public_key",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    customer_id: UUID
    public_key: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = moment()
    seen_at: datetime | None = moment(optional=True, default=None)
    ended_at: datetime | None = moment(optional=True, default=None)


class DisputedHolder(Row, table=True):
    """A phone's key, and how many redemptions that were made with it have ended disputed."""

    __tablename__: ClassVar[Any] = "disputed_holder"
    __table_args__ = (
        of_operator(),
        UniqueConstraint("operator_id", "holder_key"),
        CheckConstraint("octet_length(holder_key) = 33", "holder_key"),
        between("disputed_count", 0, MOST_COUNT),
        between("forgiven_count", 0, MOST_COUNT),
    )

    id: UUID = Field(primary_key=True)
    holder_key: bytes = Field(sa_type=LargeBinary)
    disputed_count: int = counter()
    forgiven_count: int = counter()  # of those, when a suspension was lifted last
    suspended_at: datetime | None = moment(optional=True, default=None)
    lifted_at: datetime | None = moment(optional=True, default=None)


class Contact(Row, table=True):
    """The only place of a customer's name, number or address. Deleting the row deletes them."""

    __table_args__ = (
        points_to("customer"),
        UniqueConstraint("operator_id", "lookup"),
        Index("ix_contact_customer", "operator_id", "customer_id"),
    )

    id: UUID = Field(primary_key=True)
    customer_id: UUID
    kind: str = words()  # name, email or phone
    value: bytes = Field(sa_type=LargeBinary)  # sealed
    lookup: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # keyed hash
    created_at: datetime = moment()
    verified_at: datetime | None = moment(optional=True, default=None)


class Passcode(Row, table=True):
    """A one-time code, and in a mail a link, on its way to a customer. Only hashes stay here.

    While `due_at` is set it still has to be sent: until then the code itself is in `sealed`.
    """

    __table_args__ = (
        points_to("wallet"),
        CheckConstraint("tries BETWEEN 0 AND 5", "tries"),
        Index("ix_passcode_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_passcode_over", "expires_at"),
    )

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)
    link_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    kind: str = words()  # email or phone
    lookup: bytes = Field(sa_type=LargeBinary)
    sealed: bytes = Field(sa_type=LargeBinary)  # where it goes, until it is used or over
    wallet_id: UUID
    tries: int = counter(SmallInteger)
    created_at: datetime = moment()
    expires_at: datetime = moment()
    used_at: datetime | None = moment(optional=True, default=None)
    due_at: datetime | None = moment(optional=True, default=None)
    attempts: int = counter(SmallInteger)
