"""Operators, their people and programs, and how they come in."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from coupon_engine.tables.columns import (
    Row,
    between,
    counter,
    document,
    ids,
    moment,
    of_operator,
    points_to,
    texts,
    whole,
    words,
)


class Operator(SQLModel, table=True):
    """Runs the platform for its merchants; everything below belongs to exactly one."""

    __table_args__ = (between("most_disputed_bp", 0, 10_000),)

    id: UUID = Field(primary_key=True)
    slug: str = words(unique=True)
    name: str = words()
    is_platform: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    sandbox_of: UUID | None = Field(default=None)  # a place to try things out, apart from the rest
    clock_ahead_seconds: int = counter()  # of a sandbox alone
    approval_over_minor: int = counter()  # a larger exposure needs a second person
    # Of the redemptions without a network; beyond it a merchant bears what is disputed.
    most_disputed_bp: int = Field(
        default=300, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("300")}
    )
    oidc: dict[str, Any] | None = document(optional=True, default=None)
    created_at: datetime = moment()


class ApiKey(Row, table=True):
    """A way in for a program. The secret itself is nowhere."""

    __tablename__: ClassVar[Any] = "api_key"
    __table_args__ = (of_operator(),)

    id: str = words(primary_key=True, unique=True)
    hash: bytes = Field(sa_type=LargeBinary)
    name: str = words()
    scopes: list[str] = texts()
    created_at: datetime = moment()
    expires_at: datetime = moment()
    last_used_at: datetime | None = moment(optional=True, default=None)
    revoked_at: datetime | None = moment(optional=True, default=None)


class Account(Row, table=True):
    """A person who works for the operator."""

    __table_args__ = (
        of_operator(),
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
    email: str = words()  # in lower case
    name: str = words()
    role: str = words()
    store_ids: list[UUID] = ids()  # of those who are tied to stores
    password_hash: str | None = words(default=None, nullable=True)
    totp_secret: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # sealed
    totp_last_step: int | None = whole(default=None, nullable=True)  # no code works twice
    oidc_subject: str | None = words(default=None, nullable=True)
    # Whoever handed out the last invitation could have accepted it themselves; see approving.py.
    let_in_by: str | None = words(default=None, nullable=True)
    let_in_at: datetime | None = moment(optional=True, default=None)
    created_at: datetime = moment()
    suspended_at: datetime | None = moment(optional=True, default=None)


class Invitation(Row, table=True):
    """A link by which one person becomes an account, once."""

    __table_args__ = (of_operator(),)

    id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    email: str = words()
    name: str = words()
    role: str = words()
    store_ids: list[UUID] = ids()
    invited_by: str = words()
    created_at: datetime = moment()
    expires_at: datetime = moment()
    ended_at: datetime | None = moment(optional=True, default=None)  # accepted or withdrawn


class RecoveryCode(Row, table=True):
    """A way in for somebody who lost the second factor. Each works once."""

    __tablename__: ClassVar[Any] = "recovery_code"
    __table_args__ = (points_to("account"),)

    account_id: UUID = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    used_at: datetime | None = moment(optional=True, default=None)


class Passkey(Row, table=True):
    __table_args__ = (points_to("account"),)

    credential_id: bytes = Field(sa_type=LargeBinary, primary_key=True)
    account_id: UUID
    name: str = words()
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = counter()
    created_at: datetime = moment()
    last_used_at: datetime | None = moment(optional=True, default=None)


class Ceremony(Row, table=True):
    """A sign-in that has begun: what was asked, until the answer comes. Used once.

    A passkey's challenge, the state and verifier of an OIDC flow, or a password that was right
    and still wants its second factor.
    """

    __table_args__ = (of_operator(),)

    hash: bytes = Field(sa_type=LargeBinary, primary_key=True, unique=True)
    kind: str = words()
    account_id: UUID | None = Field(default=None)
    data: dict[str, Any] = document()
    expires_at: datetime = moment()


class SignIn(Row, table=True):
    """Somebody is signed in. The cookie's secret is nowhere; its hash finds the row."""

    __tablename__: ClassVar[Any] = "sign_in"
    __table_args__ = (of_operator(), Index("ix_sign_in_account", "operator_id", "account_id"))

    hash: bytes = Field(sa_type=LargeBinary, primary_key=True, unique=True)
    id: UUID  # names it in lists and in the record; opens nothing
    # No foreign key: a platform admin who looks in here has the account at the platform.
    account_id: UUID
    name: str = words()
    role: str = words()
    store_ids: list[UUID] = ids()
    methods: list[str] = texts()
    created_at: datetime = moment()
    seen_at: datetime = moment()
    stepped_up_at: datetime | None = moment(optional=True, default=None)
    expires_at: datetime = moment()
    ended_at: datetime | None = moment(optional=True, default=None)
    address: str | None = words(default=None, nullable=True)
    agent: str | None = words(default=None, nullable=True)
    acts_for: str | None = words(default=None, nullable=True)  # break-glass: the reason


class Tries(Row, table=True):
    """How often something was tried in a window, counted for all workers together."""

    key: str = Field(primary_key=True, sa_type=Text(collation="C"))  # pyright: ignore[reportArgumentType, reportCallIssue]
    count: int = Field(sa_type=Integer)
    ends_at: datetime = moment()
