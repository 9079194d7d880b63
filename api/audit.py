"""Who did what."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import Looking, OperatorId
from api.problems import can_fail_with
from coupon_engine import audit
from schemas.access import ActorKind
from schemas.audit import AuditLine
from schemas.base import Moment, Ref, Wire

router = APIRouter(tags=["Audit"])


class Looked(Wire):
    """Which acts, the newest first."""

    kind: Annotated[tuple[Ref, ...], Field(max_length=20)] = ()
    actor_kind: ActorKind | None = None
    actor_id: Ref | None = None
    subject_id: UUID | None = None
    campaign_id: UUID | None = None
    since: Moment | None = None
    until: Moment | None = None
    before: UUID | None = Field(default=None, description="The last id that you have.")
    most: int = Field(default=100, ge=1, le=500)


@router.get("/audit", responses=can_fail_with())
def audit_lines(
    looked: Annotated[Looked, Query()], session: Looking, operator_id: OperatorId
) -> list[AuditLine]:
    """What happened and who did it, from where, before and after. Nobody can change it."""
    return audit.audit_lines(
        session,
        operator_id,
        kinds=looked.kind,
        **looked.model_dump(exclude={"kind"}),
    )
