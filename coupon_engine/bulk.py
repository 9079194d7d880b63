"""Many rows in one statement, so that a batch costs the same trips whatever its size.

Rows travel as one JSON document; PostgreSQL reads it by the table's own column types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg.rows import namedtuple_row
from pydantic_core import to_json
from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Insert:
    """New rows. `unless_there` leaves alone a row whose key exists."""

    table: type[SQLModel]
    rows: Sequence[Values]
    unless_there: bool = False


@dataclass(frozen=True)
class Update:
    """Rows known by `key`; every other column of `rows` gets its new value."""

    table: type[SQLModel]
    rows: Sequence[Values]
    key: tuple[str, ...] = ("operator_id", "id")


@dataclass(frozen=True)
class Delete:
    """Rows known by `key` go."""

    table: type[SQLModel]
    rows: Sequence[Values]
    key: tuple[str, ...]


Change = Insert | Update | Delete


def write(session: Session, *changes: Change) -> int:
    """Make all changes in one statement; return how many rows the last of them wrote."""
    changes = tuple(change for change in changes if change.rows)
    if not changes:
        return 0
    parts = [_sql(change, at) for at, change in enumerate(changes)]
    steps = ", ".join(f"step{at} AS ({part})" for at, part in enumerate(parts[:-1]))
    sql = f"WITH {steps} {parts[-1]}" if steps else parts[-1]
    values: dict[str, Any] = {}
    for at, change in enumerate(changes):
        values[f"rows{at}"] = to_json(change.rows).decode()
        if not isinstance(change, Insert):
            for name in change.key:
                values[f"{name}{at}"] = list({row[name] for row in change.rows})
    with _run(session, sql, values) as ran:
        return ran.rowcount


def read(session: Session, sql: str, values: Values) -> list[Any]:
    """Return the rows of a query that is asked thousands of times, each column by its name."""
    with _run(session, sql, values) as ran:
        return ran.fetchall()


def _run(session: Session, sql: str, values: Values) -> psycopg.Cursor[Any]:
    """Ask the driver itself: SQLAlchemy's account of a result costs more than reading a coupon.

    What goes wrong is raised as if SQLAlchemy had been asked.
    """
    connection = session.connection()
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        return driver.cursor(row_factory=namedtuple_row).execute(sql.encode(), values, binary=True)
    except psycopg.Error as error:
        if driver.closed:
            connection.exec_driver_sql("SELECT")  # SQLAlchemy finds the connection lost and tells
        raise DBAPIError.instance(sql, None, error, psycopg.Error) from error


def _sql(change: Change, at: int) -> str:
    table = name_of(change.table)
    columns = tuple(change.rows[0])
    rows = f"jsonb_populate_recordset(NULL::{table}, %(rows{at})s::jsonb) AS new"
    match change:
        case Insert(unless_there=unless_there):
            tail = " ON CONFLICT DO NOTHING" if unless_there else ""
            named = ", ".join(columns)
            return f"INSERT INTO {table} ({named}) SELECT {named} FROM {rows}{tail}"
        case Update(key=key):
            values = ", ".join(f"{name} = new.{name}" for name in columns if name not in key)
            return f"UPDATE {table} AS old SET {values} FROM {rows} WHERE {_same(change, at)}"
        case Delete():
            return f"DELETE FROM {table} AS old USING {rows} WHERE {_same(change, at)}"


def name_of(table: type[SQLModel]) -> str:
    return cast("Table", getattr(table, "__table__")).name  # noqa: B009 (SQLModel hides it)


def _same(change: Update | Delete, at: int) -> str:
    # The list of keys says nothing new, but keeps a plan that was made while the table was small
    # from reading all of it when it is large.
    return " AND ".join(
        f"{_joined(change, name)}old.{name} = ANY(%({name}{at})s)" for name in change.key
    )


def _joined(change: Update | Delete, name: str) -> str:
    """Compare a column of the key with the new rows', unless all of them have one value there.

    The operator is such a column. Row-level security compares it as well, and PostgreSQL, which
    takes each comparison for a rare coincidence, would come to expect one row and go through the
    whole batch for each of its rows: 2.3 s for 3,000, which take 40 ms.
    """
    is_one = len({row[name] for row in change.rows}) == 1 and len(change.key) > 1
    return "" if is_one else f"old.{name} = new.{name} AND "
