"""Signing keys as an operator sees them: never the private half."""

from enum import StrEnum

from pydantic import Field

from schemas.base import Ask, Json, Moment, Name, Ref, Wire


class KeyState(StrEnum):
    PUBLISHED = "published"
    IN_USE = "in_use"
    VERIFY_ONLY = "verify_only"
    RETIRED = "retired"


class KeyMove(StrEnum):
    USE = "use"
    STOP = "stop"
    RETIRE = "retire"


class NewKey(Ask):
    """Make a key and let the world know it."""


class NewKeyMove(Ask):
    """Decide about a key."""

    kid: Ref
    move: KeyMove
    reason: Name
    is_urgent: bool = Field(
        default=False,
        strict=True,
        description="Use a key that some offline terminals cannot know yet.",
    )


class KeyView(Wire):
    kid: str
    letter: str
    state: KeyState
    public_jwk: Json
    published_at: Moment
    used_from: Moment | None
    used_until: Moment | None
    retired_at: Moment | None
