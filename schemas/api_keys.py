"""Ways in for programs, and the place apart where they may be tried out."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.access import Scope
from schemas.base import Ask, Moment, Name, Slug, Wire, each_once

LONGEST_DAYS = 400
USUAL_DAYS = 365

Scopes = Annotated[tuple[Scope, ...], Field(min_length=1), each_once(lambda scope: scope)]


class NewApiKey(Ask):
    """One more way in for a program."""

    name: Name = Field(description="The program. At most two keys that still open have one name.")
    scopes: Scopes
    days: int = Field(default=USUAL_DAYS, strict=True, ge=1, le=LONGEST_DAYS)
    is_sandbox: bool = Field(
        default=False, strict=True, description="A `cfk_test_` key: it opens the sandbox alone."
    )


class NewApiKeyRevocation(Ask):
    """Close a way in, for good."""

    key_id: Annotated[str, Field(pattern="^[0-9A-Za-z]{8}$")]
    reason: Name


class ApiKeyView(Wire):
    """A key as it stands; the secret is nowhere."""

    id: str
    operator_id: UUID
    name: str
    scopes: tuple[Scope, ...]
    is_test: bool
    created_at: Moment
    expires_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None


class ApiKeyMade(Wire):
    key: ApiKeyView
    api_key: str | None = Field(
        description="Shown to whoever asks first, and never again: null when asked again."
    )


class ApiKeyShown(Wire):
    """A key as it is shown once: only its hash is kept."""

    operator_id: UUID
    api_key: str


class NewSandbox(Ask):
    """Make the operator's sandbox."""


class SandboxView(Wire):
    """An operator apart, with data, signing keys and a clock of its own."""

    id: UUID
    slug: Slug
    name: str
    sandbox_of: UUID


class NewClockSetting(Ask):
    """Let it be another moment in the sandbox."""

    now: Moment | None = Field(description="Null: the hour that it really is.")


class ClockView(Wire):
    """The sandbox's clock. It goes on from where it was set."""

    now: Moment
    ahead_seconds: int
