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
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from schemas.base import MOST_COUNT, MOST_MINOR

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


def _of_operator() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(("operator_id",), ("operator.id",))


def _moment(*, optional: bool = False, **more: Any) -> Any:
    return Field(sa_type=DateTime(timezone=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _json(*, optional: bool = False, **more: Any) -> Any:
    # none_as_null: an absent document is NULL, never the JSON text "null".
    return Field(sa_type=JSONB(none_as_null=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _number(**more: Any) -> Any:
    return Field(sa_type=BigInteger, **more)


def _between(column: str, least: int, most: int) -> CheckConstraint:
    """Bound a number: nothing that is counted or paid is endless. NULL, where it may be, passes."""
    return CheckConstraint(f"{column} BETWEEN {least} AND {most}", column)


def _counter(type_: Any = BigInteger) -> Any:
    """Start at nought, also in rows that are written in bulk."""
    return Field(default=0, sa_type=type_, sa_column_kwargs={"server_default": text("0")})


def _words(**more: Any) -> Any:
    return Field(sa_type=Text, **more)


def _texts() -> Any:
    return Field(default_factory=list, sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]


def _ids() -> Any:
    return Field(default_factory=list, sa_type=ARRAY(Uuid))  # pyright: ignore[reportArgumentType, reportCallIssue]


# What `database.transaction` has said about this transaction.
# In PostgreSQL's own spelling, so that tables and migrations can be compared.
ACTING = "(NULLIF(current_setting('app.actor'::text, true), ''::text))::jsonb"


class Operator(SQLModel, table=True):
    """Runs the platform for its merchants; everything below belongs to exactly one."""

    id: UUID = Field(primary_key=True)
    slug: str = _words(unique=True)
    name: str = _words()
    is_platform: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    sandbox_of: UUID | None = Field(default=None)  # a place to try things out, apart from the rest
    clock_ahead_seconds: int = _counter()  # of a sandbox alone
    approval_over_minor: int = _counter()  # a larger exposure needs a second person
    oidc: dict[str, Any] | None = _json(optional=True, default=None)
    created_at: datetime = _moment()


class ApiKey(Row, table=True):
    """A way in for a program. The secret itself is nowhere."""

    __tablename__: ClassVar[Any] = "api_key"
    __table_args__ = (_of_operator(),)

    id: str = _words(primary_key=True, unique=True)
    hash: bytes = Field(sa_type=LargeBinary)
    name: str = _words()
    scopes: list[str] = _texts()
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    last_used_at: datetime | None = _moment(optional=True, default=None)
    revoked_at: datetime | None = _moment(optional=True, default=None)


class Account(Row, table=True):
    """A person who works for the operator."""

    __table_args__ = (
        _of_operator(),
        UniqueConstraint("operator_id", "email"),
        Index(
            "uq_account_oidc_subject",
            "operator_id",
            "oidc_subject",
            unique=True,
            postgresql_where=text("oidc_subject IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    email: str = _words()  # in lower case
    name: str = _words()
    role: str = _words()
    store_ids: list[UUID] = _ids()  # of those who are tied to stores
    password_hash: str | None = _words(default=None, nullable=True)
    totp_secret: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # sealed
    totp_last_step: int | None = _number(default=None, nullable=True)  # no code works twice
    oidc_subject: str | None = _words(default=None, nullable=True)
    # Whoever handed out the last invitation could have accepted it themselves; see approving.py.
    let_in_by: str | None = _words(default=None, nullable=True)
    let_in_at: datetime | None = _moment(optional=True, default=None)
    created_at: datetime = _moment()
    suspended_at: datetime | None = _moment(optional=True, default=None)


class Invitation(Row, table=True):
    """A link by which one person becomes an account, once."""

    __table_args__ = (_of_operator(),)

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    email: str = _words()
    name: str = _words()
    role: str = _words()
    store_ids: list[UUID] = _ids()
    invited_by: str = _words()
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    ended_at: datetime | None = _moment(optional=True, default=None)  # accepted or withdrawn


class RecoveryCode(Row, table=True):
    """A way in for somebody who lost the second factor. Each works once."""

    __tablename__: ClassVar[Any] = "recovery_code"
    __table_args__ = (_points_to("account"),)

    account_id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    used_at: datetime | None = _moment(optional=True, default=None)


class Passkey(Row, table=True):
    __table_args__ = (_points_to("account"),)

    credential_id: bytes = Field(sa_type=LargeBinary, primary_key=True)
    account_id: UUID
    name: str = _words()
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = _counter()
    created_at: datetime = _moment()
    last_used_at: datetime | None = _moment(optional=True, default=None)


class Ceremony(Row, table=True):
    """A sign-in that has begun: what was asked, until the answer comes. Used once.

    A passkey's challenge, the state and verifier of an OIDC flow, or a password that was right
    and still wants its second factor.
    """

    __table_args__ = (_of_operator(),)

    hash: bytes = Field(sa_type=LargeBinary, primary_key=True, unique=True)
    kind: str = _words()
    account_id: UUID | None = Field(default=None)
    data: dict[str, Any] = _json()
    expires_at: datetime = _moment()


class SignIn(Row, table=True):
    """Somebody is signed in. The cookie's secret is nowhere; its hash finds the row."""

    __tablename__: ClassVar[Any] = "sign_in"
    __table_args__ = (_of_operator(), Index("ix_sign_in_account", "operator_id", "account_id"))

    hash: bytes = Field(sa_type=LargeBinary, primary_key=True, unique=True)
    id: UUID  # names it in lists and in the record; opens nothing
    # No foreign key: a platform admin who looks in here has the account at the platform.
    account_id: UUID
    name: str = _words()
    role: str = _words()
    store_ids: list[UUID] = _ids()
    methods: list[str] = _texts()
    created_at: datetime = _moment()
    seen_at: datetime = _moment()
    stepped_up_at: datetime | None = _moment(optional=True, default=None)
    expires_at: datetime = _moment()
    ended_at: datetime | None = _moment(optional=True, default=None)
    address: str | None = _words(default=None, nullable=True)
    agent: str | None = _words(default=None, nullable=True)
    acts_for: str | None = _words(default=None, nullable=True)  # break-glass: the reason


class Tries(Row, table=True):
    """How often something was tried in a window, counted for all workers together."""

    key: str = Field(primary_key=True, sa_type=Text(collation="C"))  # pyright: ignore[reportArgumentType, reportCallIssue]
    count: int = Field(sa_type=Integer)
    ends_at: datetime = _moment()


class Merchant(Row, table=True):
    __table_args__ = (_of_operator(),)

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
    """One scanning device. Until it is paired it has no key and signs nothing."""

    __table_args__ = (
        _points_to("store"),
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
    name: str = _words()
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    created_at: datetime = _moment()
    paired_at: datetime | None = _moment(optional=True, default=None)
    seen_at: datetime | None = _moment(optional=True, default=None)
    revoked_at: datetime | None = _moment(optional=True, default=None)


class Pairing(Row, table=True):
    """A picture that lets one device become one terminal, once, within minutes."""

    __table_args__ = (_points_to("store"),)

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    store_id: UUID
    terminal_id: UUID
    name: str = _words()
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    answered_at: datetime | None = _moment(optional=True, default=None)
    confirmed_at: datetime | None = _moment(optional=True, default=None)
    refused_at: datetime | None = _moment(optional=True, default=None)


class Cashier(Row, table=True):
    """A person at the terminals of one store."""

    __table_args__ = (_points_to("store"),)

    id: UUID = Field(primary_key=True)
    store_id: UUID
    name: str = _words()
    pin_hash: str = _words()
    created_at: datetime = _moment()
    revoked_at: datetime | None = _moment(optional=True, default=None)


class Shift(Row, table=True):
    """A cashier has taken a seat at a terminal; their name is on what it does."""

    __table_args__ = (
        _points_to("terminal"),
        _points_to("cashier"),
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
    name: str = _words()
    started_at: datetime = _moment()
    expires_at: datetime = _moment()
    ended_at: datetime | None = _moment(optional=True, default=None)


class Customer(Row, table=True):
    """Somebody, under the operator's own name for them. No name, no number, no address."""

    __table_args__ = (
        _of_operator(),
        UniqueConstraint("operator_id", "ref"),
    )

    id: UUID = Field(primary_key=True)
    ref: str = _words()
    segments: list[str] = Field(sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]
    has_purchased: bool  # before we knew them, as the operator says; the record knows the rest
    created_at: datetime = _moment()


class Wallet(Row, table=True):
    """One phone of a customer, known by the public half of a key that never leaves it."""

    __table_args__ = (
        _points_to("customer"),
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
    created_at: datetime = _moment()
    seen_at: datetime | None = _moment(optional=True, default=None)
    ended_at: datetime | None = _moment(optional=True, default=None)


class Contact(Row, table=True):
    """The only place of a customer's name, number or address. Deleting the row deletes them."""

    __table_args__ = (
        _points_to("customer"),
        UniqueConstraint("operator_id", "lookup"),
        Index("ix_contact_customer", "operator_id", "customer_id"),
    )

    id: UUID = Field(primary_key=True)
    customer_id: UUID
    kind: str = _words()  # name, email or phone
    value: bytes = Field(sa_type=LargeBinary)  # sealed
    lookup: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # keyed hash
    created_at: datetime = _moment()
    verified_at: datetime | None = _moment(optional=True, default=None)


class Passcode(Row, table=True):
    """A one-time code, and in a mail a link, on its way to a customer. Only hashes stay here.

    While `due_at` is set it still has to be sent: until then the code itself is in `sealed`.
    """

    __table_args__ = (
        _points_to("wallet"),
        CheckConstraint("tries BETWEEN 0 AND 5", "tries"),
        Index("ix_passcode_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_passcode_over", "expires_at"),
    )

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)
    link_hash: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    kind: str = _words()  # email or phone
    lookup: bytes = Field(sa_type=LargeBinary)
    sealed: bytes = Field(sa_type=LargeBinary)  # where it goes, until it is used or over
    wallet_id: UUID
    tries: int = _counter(SmallInteger)
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    used_at: datetime | None = _moment(optional=True, default=None)
    due_at: datetime | None = _moment(optional=True, default=None)
    attempts: int = _counter(SmallInteger)


class Campaign(Row, table=True):
    """`decided` is what a person decided; scheduled, running and over follow from the dates."""

    __table_args__ = (
        _of_operator(),
        UniqueConstraint("operator_id", "number"),
        CheckConstraint("starts_at < ends_at", "window"),
        _between("number", 1, MOST_COUNT),
        _between("planned_per_minute", 1, MOST_COUNT),
        _between("planned_minor_per_minute", 1, MOST_MINOR),
        _between("max_per_minute", 1, MOST_COUNT),
        _between("max_per_customer", 1, MOST_COUNT),
        _between("freshness_seconds", 15, 300),
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
    stopped_by: str | None = _words(default=None, nullable=True)  # "breaker" where one tripped
    editors: list[str] = _texts()  # who changed it since it was last approved
    approved: dict[str, Any] | None = _json(optional=True, default=None)  # what was approved
    proposed: dict[str, Any] = _json(default_factory=dict)  # raised ceilings that wait for a yes
    planned_per_minute: int = _number()  # issues; the breaker trips at a multiple of it
    planned_minor_per_minute: int = _number()  # money given away; so does this
    max_per_minute: int = _number()  # redemptions; judged in the campaign's own limit row
    max_per_customer: int = _number()  # redemptions
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
        _between("size", 1, MOST_COUNT),
        _between("max_redemptions", 1, MOST_COUNT),
        _between("budget_minor", 1, MOST_MINOR),
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
    needs_contact: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    decided: str = _words()
    coupons_stay_valid: bool = True
    created_at: datetime = _moment()
    # Until an approval covers it, with its offer's terms as they stand, no coupon comes of it.
    approved_at: datetime | None = _moment(optional=True, default=None)


class Coupon(Row, table=True):
    """One serial instance. Its id is the token's `jti`."""

    __table_args__ = (
        _points_to("batch"),
        UniqueConstraint("operator_id", "campaign_id", "position"),
        CheckConstraint("uses_count BETWEEN 0 AND uses AND uses <= 1000", "uses"),
        CheckConstraint(
            "spent_minor BETWEEN 0 AND coalesce(balance_minor, spent_minor)", "balance"
        ),
        _between("position", 0, MOST_COUNT + MOST_COUNT // 10),
        _between("last_use_no", 0, MOST_COUNT),
        _between("balance_minor", 1, MOST_MINOR),
        _between("spent_minor", 0, MOST_MINOR),
        _between("holder_changes", 0, 1_000),
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
        CheckConstraint(
            f"used_count BETWEEN 0 AND max_count AND max_count <= {MOST_COUNT}", "count"
        ),
        CheckConstraint(
            f"spent_minor BETWEEN 0 AND max_minor AND max_minor <= {MOST_MINOR}", "money"
        ),
        CheckConstraint(
            f"minute_count BETWEEN 0 AND max_per_minute AND max_per_minute <= {MOST_COUNT}", "rate"
        ),
        _between("minute", 0, 2**40),
        _between("max_minor_per_minute", 1, MOST_MINOR),
        _between("minute_minor", 0, MOST_MINOR),
        Index("ix_limit_row_campaign", "operator_id", "campaign_id"),
    )

    key: str = Field(primary_key=True, sa_type=Text(collation="C"))  # pyright: ignore[reportArgumentType, reportCallIssue]
    campaign_id: UUID
    max_count: int = _number()
    used_count: int = _counter()
    max_minor: int = _number()
    spent_minor: int = _counter()
    held_until: datetime | None = _moment(optional=True, default=None)
    # The same in the running minute alone; `minute` says which one that was (since 1970).
    minute: int = _counter()
    minute_count: int = _counter()
    minute_minor: int = _counter()
    max_per_minute: int = _number(
        default=MOST_COUNT, sa_column_kwargs={"server_default": text(str(MOST_COUNT))}
    )
    max_minor_per_minute: int = _number(
        default=MOST_MINOR, sa_column_kwargs={"server_default": text(str(MOST_MINOR))}
    )


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

    __table_args__ = (
        Index("ix_event_subject", "operator_id", "subject_id", "id"),
        Index("ix_event_recorded", "operator_id", "recorded_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = _words()
    subject_id: UUID  # the coupon, campaign, offer, batch or key it happened to
    campaign_id: UUID | None = Field(default=None)
    at: datetime = _moment()
    recorded_at: datetime = _moment()
    data: dict[str, Any] = _json()
    # Who did it. The transaction knows, and tells the column: no row without a name.
    actor: dict[str, Any] = _json(sa_column_kwargs={"server_default": text(ACTING)})


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
        _of_operator(),
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
    "Account",
    "Answer",
    "ApiKey",
    "Batch",
    "Campaign",
    "Cashier",
    "Ceremony",
    "Contact",
    "Coupon",
    "Customer",
    "Event",
    "Hold",
    "HoldClaim",
    "Invitation",
    "Limit",
    "Merchant",
    "Offer",
    "Operator",
    "Outbox",
    "Pairing",
    "Passcode",
    "Passkey",
    "Receipt",
    "RecoveryCode",
    "Redemption",
    "Reversal",
    "Shift",
    "SignIn",
    "SigningKey",
    "Store",
    "Terminal",
    "Tries",
    "Wallet",
]
