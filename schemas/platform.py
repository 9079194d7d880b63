"""What the people who run the platform itself ask for."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.base import Ask, Moment, Name, Slug, Wire
from schemas.people import Email, InvitationOpened


class NewOperatorAndOwner(Ask):
    """An operator, and the first person who may do anything there."""

    slug: Slug
    name: Name
    owner_email: Email
    owner_name: Name


class OperatorMade(Wire):
    operator_id: UUID
    slug: str
    invitation: InvitationOpened


class OperatorLine(Wire):
    """An operator as the platform knows it: nothing of what is inside."""

    id: UUID
    slug: str
    name: str
    sandbox_of: UUID | None
    created_at: Moment


class NewBreakGlass(Ask):
    """Look into one operator, for a reason that its people can read."""

    operator: Slug
    reason: Name
    minutes: Annotated[int, Field(strict=True, ge=1, le=60)] = 15


class BreakGlassView(Wire):
    """A sign-in there that may read, and ends by itself."""

    id: UUID
    operator_id: UUID
    operator: str
    reason: str
    expires_at: Moment
