"""Finding one row of one operator. Another operator's row is as unknown as one that never was."""

from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from coupon_engine.bulk import name_of
from coupon_engine.errors import Unknown
from coupon_engine.tables import Row

AnyRow = TypeVar("AnyRow", bound=Row)


def found(session: Session, table: type[AnyRow], operator_id: UUID, id: UUID | str) -> AnyRow:
    """Return the row with this id.

    Raises:
        Unknown: This operator has no such row.
    """
    row = session.get(table, (operator_id, id))
    if row is None:
        raise Unknown(name_of(table), str(id))
    return row


def locked(session: Session, table: type[AnyRow], operator_id: UUID, id: UUID | str) -> AnyRow:
    """Return the row with this id, locked until the transaction ends, as it stands now.

    Raises:
        Unknown: This operator has no such row.
    """
    row = session.get(
        table, (operator_id, id), with_for_update={"key_share": True}, populate_existing=True
    )
    if row is None:
        raise Unknown(name_of(table), str(id))
    return row


def some(
    session: Session,
    table: type[AnyRow],
    operator_id: UUID,
    which: ColumnElement[bool] | None = None,
    *,
    after: UUID | None,
    most: int,
) -> list[AnyRow]:
    """Return up to `most` rows in the order of their ids, from the one after `after`."""
    query = select(table).where(col(table.operator_id) == operator_id)
    if which is not None:
        query = query.where(which)
    id: ColumnElement[UUID] = getattr(table, "id")  # noqa: B009 (every such table has one)
    if after:
        query = query.where(id > after)
    return list(session.exec(query.order_by(id).limit(most)).all())
