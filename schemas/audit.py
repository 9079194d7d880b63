"""What happened, as it is looked into."""

from uuid import UUID

from schemas.access import Actor
from schemas.base import Json, Moment, Wire


class AuditLine(Wire):
    """One act. `data` tells more; where something changed, `before` and `after` stand in it."""

    id: UUID
    at: Moment
    recorded_at: Moment
    kind: str
    subject_id: UUID
    campaign_id: UUID | None
    actor: Actor
    data: Json
