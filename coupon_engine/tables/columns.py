"""What the tables are made of: kinds of columns, and what points where."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Text,
    Uuid,
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


def points_to(table: str, *columns: str) -> ForeignKeyConstraint:
    """Point at a row of the same operator; a foreign operator's row cannot be named."""
    own = columns or (f"{table}_id",)
    return ForeignKeyConstraint(("operator_id", *own), (f"{table}.operator_id", f"{table}.id"))


def of_operator() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(("operator_id",), ("operator.id",))


def moment(*, optional: bool = False, **more: Any) -> Any:
    return Field(sa_type=DateTime(timezone=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def document(*, optional: bool = False, **more: Any) -> Any:
    # none_as_null: an absent document is NULL, never the JSON text "null".
    return Field(sa_type=JSONB(none_as_null=True), nullable=optional, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]


def whole(**more: Any) -> Any:
    return Field(sa_type=BigInteger, **more)


def between(column: str, least: int, most: int) -> CheckConstraint:
    """Bound a number: nothing that is counted or paid is endless. NULL, where it may be, passes."""
    return CheckConstraint(f"{column} BETWEEN {least} AND {most}", column)


def counter(type_: Any = BigInteger) -> Any:
    """Start at nought, also in rows that are written in bulk."""
    return Field(default=0, sa_type=type_, sa_column_kwargs={"server_default": text("0")})


def words(**more: Any) -> Any:
    return Field(sa_type=Text, **more)


def texts() -> Any:
    return Field(default_factory=list, sa_type=ARRAY(Text))  # pyright: ignore[reportArgumentType, reportCallIssue]


def ids() -> Any:
    return Field(default_factory=list, sa_type=ARRAY(Uuid))  # pyright: ignore[reportArgumentType, reportCallIssue]


# What `database.transaction` has said about this transaction.
# In PostgreSQL's own spelling, so that tables and migrations can be compared.
ACTING = "(NULLIF(current_setting('app.actor'::text, true), ''::text))::jsonb"
