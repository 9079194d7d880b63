"""Terminals that work alone: their leases, their journals, and the lists that they judge by."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from coupon_engine.tables.columns import (
    Row,
    between,
    counter,
    document,
    ids,
    moment,
    of_operator,
    points_to,
    whole,
    words,
)
from schemas.base import MOST_COUNT, MOST_MINOR


class ServerKey(Row, table=True):
    """What bundles, status lists and receipts are signed with: never a coupon."""

    __tablename__: ClassVar[Any] = "server_key"
    __table_args__ = (
        of_operator(),
        Index(
            "uq_server_key_in_use",
            "operator_id",
            unique=True,
            postgresql_where=text("retired_at IS NULL"),
        ),
    )

    kid: str = words(primary_key=True)
    public_jwk: dict[str, Any] = document()
    private_pem: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    created_at: datetime = moment()
    retired_at: datetime | None = moment(optional=True, default=None)


class Lease(Row, table=True):
    """What one terminal may do alone, and until when. One terminal has one open lease.

    A lease is closed when all that was done under it has come in, or can no longer.
    """

    __table_args__ = (
        points_to("terminal"),
        points_to("store"),
        UniqueConstraint("operator_id", "terminal_id", "number"),
        CheckConstraint("starts_at < ends_at", "window"),
        CheckConstraint("ends_at <= starts_at + interval '24:00:00'", "longest"),
        between("number", 1, MOST_COUNT),
        Index(
            "ix_lease_open",
            "operator_id",
            "terminal_id",
            "number",
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    terminal_id: UUID
    store_id: UUID
    number: int = whole()
    is_authority: bool
    hub_url: str | None = words(default=None, nullable=True)  # where it decides for its store
    starts_at: datetime = moment()
    ends_at: datetime = moment()
    replaced_at: datetime | None = moment(optional=True, default=None)  # by the terminal's next
    closed_at: datetime | None = moment(optional=True, default=None)


class Allowance(Row, table=True):
    """What a lease may give away of one campaign: taken out of its budget when it was granted."""

    __table_args__ = (
        points_to("lease"),
        points_to("campaign"),
        CheckConstraint(
            f"used_count BETWEEN 0 AND max_count AND max_count <= {MOST_COUNT}", "count"
        ),
        CheckConstraint(
            f"used_minor BETWEEN 0 AND max_minor AND max_minor <= {MOST_MINOR}", "money"
        ),
    )

    lease_id: UUID = Field(primary_key=True)
    campaign_id: UUID = Field(primary_key=True)
    max_count: int = whole()
    max_minor: int = whole()
    used_count: int = counter()
    used_minor: int = counter()
    returned_at: datetime | None = moment(optional=True, default=None)


class JournalEntry(Row, table=True):
    """One entry as its terminal signed it, and what became of it. What it says never changes."""

    __tablename__: ClassVar[Any] = "journal_entry"
    __table_args__ = (
        points_to("terminal"),
        between("seq", 1, 2**40),
        CheckConstraint("octet_length(hash) = 32", "hash"),
        Index(
            "ix_journal_entry_coupon",
            "operator_id",
            "coupon_id",
            postgresql_where=text("coupon_id IS NOT NULL"),
        ),
        # What a status list's next version asks for: what came in late about earlier hours.
        Index(
            "ix_journal_entry_received",
            "operator_id",
            "campaign_id",
            "received_at",
            postgresql_where=text("coupon_id IS NOT NULL"),
        ),
        # What waits for a decision, and what waits behind a gap.
        Index(
            "ix_journal_entry_provisional",
            "operator_id",
            "campaign_id",
            "terminal_id",
            "at",
            postgresql_where=text("answer = 'provisional' AND redemption_id IS NOT NULL"),
        ),
        Index(
            "ix_journal_entry_behind",
            "operator_id",
            "received_at",
            postgresql_where=text("answer = 'provisional' AND redemption_id IS NULL"),
        ),
        Index("ix_journal_entry_decided", "operator_id", "terminal_id", "decided_at"),
        Index(
            "uq_journal_entry_redemption",
            "operator_id",
            "redemption_id",
            unique=True,
            postgresql_where=text("redemption_id IS NOT NULL"),
        ),
    )

    terminal_id: UUID = Field(primary_key=True)
    seq: int = whole(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)
    jwt: str = words()
    kind: str = words()
    mode: str = words()
    at: datetime = moment()  # by the terminal's guarded clock
    received_at: datetime = moment()
    lease_id: UUID | None = Field(default=None)
    campaign_id: UUID | None = Field(default=None)
    coupon_id: UUID | None = Field(default=None)
    discount_minor: int | None = whole(default=None, nullable=True)
    # Of the phone that showed the code, where what it signed holds.
    holder_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    answer: str = words()
    reason: str | None = words(default=None, nullable=True)
    why: str | None = words(default=None, nullable=True)
    winner_id: UUID | None = Field(default=None)
    liable: str | None = words(default=None, nullable=True)
    redemption_id: UUID | None = Field(default=None)  # the row that it became
    decided_at: datetime | None = moment(optional=True, default=None)  # for good


class JournalGap(Row, table=True):
    """Entries that a terminal has written and nobody has seen. Filled when they come in."""

    __tablename__: ClassVar[Any] = "journal_gap"
    __table_args__ = (points_to("terminal"),)

    terminal_id: UUID = Field(primary_key=True)
    first_seq: int = whole(primary_key=True)
    last_seq: int = whole()
    noticed_at: datetime = moment()
    filled_at: datetime | None = moment(optional=True, default=None)


class JournalFork(Row, table=True):
    """A second entry with the number of another: a cloned device, or a rewritten journal."""

    __tablename__: ClassVar[Any] = "journal_fork"
    __table_args__ = (points_to("terminal"),)

    terminal_id: UUID = Field(primary_key=True)
    seq: int = whole(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    jwt: str = words()
    received_at: datetime = moment()


class VoidPlace(Row, table=True):
    """A place of a status list whose codes are no longer good: the coupon has moved to another."""

    __tablename__: ClassVar[Any] = "void_place"
    __table_args__ = (
        points_to("coupon"),
        Index("ix_void_place_at", "operator_id", "campaign_id", "void_at"),
    )

    campaign_id: UUID = Field(primary_key=True)
    position: int = whole(primary_key=True)
    coupon_id: UUID
    void_at: datetime = moment()


class StatusList(Row, table=True):
    """A shard of a campaign's status list as it was at `ver`, so that the next is a small step."""

    __tablename__: ClassVar[Any] = "status_list"
    __table_args__ = (points_to("campaign"), between("ver", 0, 2**53))

    campaign_id: UUID = Field(primary_key=True)
    shard: int = whole(primary_key=True)
    ver: int = whole()  # milliseconds since 1970
    bits: bytes = Field(sa_type=LargeBinary)  # deflated
    withdrawn: list[UUID] = ids()  # the batches that were revoked with their coupons by then
