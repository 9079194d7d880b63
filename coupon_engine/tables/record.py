"""What was answered, what happened, and who is still to hear of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Index,
    SmallInteger,
    text,
)
from sqlmodel import Field

from coupon_engine.tables.columns import ACTING, Row, counter, document, moment, words


class Answer(Row, table=True):
    """The first answer to an asker's id, kept as long as the record, word for word."""

    id: UUID = Field(primary_key=True)
    verb: str = words()
    fingerprint: str = words()
    is_refusal: bool = False
    body: str = words(default="")
    at: datetime = moment()


class Event(Row, table=True):
    """One transition. Append-only: a trigger refuses every change and every deletion."""

    __table_args__ = (
        Index("ix_event_subject", "operator_id", "subject_id", "id"),
        Index("ix_event_recorded", "operator_id", "recorded_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = words()
    subject_id: UUID  # the coupon, campaign, offer, batch or key it happened to
    campaign_id: UUID | None = Field(default=None)
    at: datetime = moment()
    recorded_at: datetime = moment()
    data: dict[str, Any] = document()
    # Who did it. The transaction knows, and tells the column: no row without a name.
    actor: dict[str, Any] = document(sa_column_kwargs={"server_default": text(ACTING)})


class Outbox(Row, table=True):
    """A message that still has to leave. Delivered rows are deleted; the events remain."""

    __table_args__ = (Index("ix_outbox_due", "due_at"),)

    id: UUID = Field(primary_key=True)  # the event's id
    kind: str = words()
    body: dict[str, Any] = document()
    attempts: int = counter(SmallInteger)
    due_at: datetime = moment()
