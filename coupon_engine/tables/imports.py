"""Lists from other programs, while they are brought in."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from coupon_engine.tables.columns import (
    Row,
    between,
    counter,
    document,
    moment,
    of_operator,
    whole,
    words,
)
from schemas.imports import MOST_LINES


class ImportJob(Row, table=True):
    """A list, and how far it has come. Its lines go when it has ended: they are about people."""

    __tablename__: ClassVar[Any] = "import_job"
    __table_args__ = (
        of_operator(),
        between("lines_count", 0, MOST_LINES),
        CheckConstraint("done_count BETWEEN 0 AND lines_count", "done"),
        CheckConstraint("wrong_count BETWEEN 0 AND done_count", "wrong"),
        Index("ix_import_job_open", "id", postgresql_where=text("ended_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    kind: str = words()
    name: str = words()
    batch_id: UUID | None = Field(default=None)
    actor: dict[str, Any] = document()  # whose name is on what comes of it
    lines: list[Any] | None = document(optional=True, default=None)
    findings: list[Any] = document(default_factory=list)
    lines_count: int = whole()
    done_count: int = counter()
    wrong_count: int = counter()
    created_at: datetime = moment()
    ended_at: datetime | None = moment(optional=True, default=None)
