"""Passkeys: what a browser's authenticator made or signed, and the keys that a person has."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from schemas.base import Ask, Json, Moment, Name, Slug, Wire
from schemas.people import OneTimeSecret

# A credential's id has at most 1023 bytes (WebAuthn, section 4), which is 1364 letters.
CredentialId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,1364}$")]
Packed = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=16_384)]


class _FromBrowser(BaseModel):
    """A browser's own document. Other browsers say other things besides: those are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class MadeKey(_FromBrowser):
    client_data_json: Packed = Field(alias="clientDataJSON")
    attestation_object: Packed


class MadeCredential(_FromBrowser):
    """What `navigator.credentials.create()` answers, by its `toJSON()`."""

    id: CredentialId
    raw_id: CredentialId
    type: Annotated[str, StringConstraints(max_length=20)]
    response: MadeKey


class SignedChallenge(_FromBrowser):
    client_data_json: Packed = Field(alias="clientDataJSON")
    authenticator_data: Packed
    signature: Packed
    user_handle: Packed


class SignedCredential(_FromBrowser):
    """What `navigator.credentials.get()` answers, by its `toJSON()`."""

    id: CredentialId
    raw_id: CredentialId
    type: Annotated[str, StringConstraints(max_length=20)]
    response: SignedChallenge


class PasskeyOptionsView(Wire):
    """`options` go to the browser as they are; `ceremony` comes back with its answer, once."""

    ceremony: str
    options: Json


class NewPasskey(Wire):
    name: Name = Field(description="What the person calls the device, such as 'My phone'.")
    ceremony: OneTimeSecret
    credential: MadeCredential


class PasskeyView(Wire):
    id: str = Field(description="The credential's own id.")
    name: str
    created_at: Moment
    last_used_at: Moment | None


class NewPasskeyRemoval(Ask):
    passkey_id: CredentialId


class NewPasskeySignInOptions(Wire):
    operator: Slug


class NewPasskeySignIn(Wire):
    operator: Slug
    ceremony: OneTimeSecret
    credential: SignedCredential


class NewPasskeyStepUp(Wire):
    ceremony: OneTimeSecret
    credential: SignedCredential
