"""Who did what: the events of the record, with the name on each, for those who look into them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine.tables import Event
from schemas.access import ActorKind
from schemas.audit import AuditLine


def audit_lines(
    session: Session,
    operator_id: UUID,
    *,
    kinds: Collection[str] = (),
    actor_kind: ActorKind | None = None,
    actor_id: str | None = None,
    subject_id: UUID | None = None,
    campaign_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: UUID | None = None,
    most: int = 100,
) -> list[AuditLine]:
    """Return the newest events that fit, the newest first; `before` goes on from a last id.

    `since <= recorded_at < until`: when we heard of it, which for news from a terminal that was
    off line is later than when it happened.
    """
    query = select(Event).where(Event.operator_id == operator_id)
    if kinds:
        query = query.where(col(Event.kind).in_(kinds))
    if actor_kind:
        query = query.where(col(Event.actor)["kind"].astext == actor_kind)
    if actor_id:
        query = query.where(col(Event.actor)["id"].astext == actor_id)
    if subject_id:
        query = query.where(Event.subject_id == subject_id)
    if campaign_id:
        query = query.where(Event.campaign_id == campaign_id)
    if since:
        query = query.where(Event.recorded_at >= since)
    if until:
        query = query.where(Event.recorded_at < until)
    if before:
        query = query.where(col(Event.id) < before)
    rows = session.exec(query.order_by(col(Event.id).desc()).limit(most)).all()
    return [AuditLine.model_validate(row, from_attributes=True) for row in rows]
