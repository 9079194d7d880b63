"""Many rows in one statement, so that a batch costs the same trips whatever its size.

Rows travel as one JSON document; PostgreSQL reads it by the table's own column types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import Table
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
    documents = {f"rows{at}": to_json(change.rows) for at, change in enumerate(changes)}
    result = session.connection().exec_driver_sql(
        sql, {name: document.decode() for name, document in documents.items()}
    )
    return result.rowcount


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
            return f"UPDATE {table} AS old SET {values} FROM {rows} WHERE {_same(key)}"
        case Delete(key=key):
            return f"DELETE FROM {table} AS old USING {rows} WHERE {_same(key)}"


def name_of(table: type[SQLModel]) -> str:
    return cast("Table", getattr(table, "__table__")).name  # noqa: B009 (SQLModel hides it)


def _same(key: tuple[str, ...]) -> str:
    return " AND ".join(f"old.{name} = new.{name}" for name in key)


def octets(value: bytes | None) -> str | None:
    """Return bytes as PostgreSQL reads them from text."""
    return None if value is None else rf"\x{value.hex()}"
