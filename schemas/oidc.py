"""An operator's own identity provider: where its people sign in instead of with us."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.base import Json, Wire, each_once

HERE = ("127.0.0.1", "::1", "localhost")


def _issuer(value: str) -> str:
    """Refuse what no provider is named: providers compare the text, so it is kept as it came."""
    parts = urlsplit(value)
    is_here = parts.hostname in HERE
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise ValueError("must be an https address")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an address without a name, '?' and '#'")
    return value


Issuer = Annotated[
    str, StringConstraints(pattern=r"^[!-~]+$", max_length=500), AfterValidator(_issuer)
]
"""The name of a provider, which is also the address where it tells about itself."""

ClientText = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=500)]
MailDomain = Annotated[
    str,
    StringConstraints(
        to_lower=True, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z0-9-]+$", max_length=253
    ),
]


class NewOidcSettings(Wire):
    """The whole of it: what is left out is not kept from before."""

    issuer: Issuer = Field(description="As the provider writes it, such as https://id.example.com.")
    client_id: ClientText
    client_secret: ClientText | None = Field(
        default=None, description="None for a public client, which PKCE alone protects."
    )
    email_domains: Annotated[
        tuple[MailDomain, ...], Field(max_length=20), each_once(lambda domain: domain)
    ] = Field(default=(), description="Whose addresses may sign in first; none means any.")


class OidcSettingsView(Wire):
    issuer: str
    client_id: str
    has_client_secret: bool
    email_domains: tuple[str, ...]
    redirect_uri: str = Field(description="What the provider must be told to send people back to.")


def _own_path(value: str) -> str:
    """Let through a path of this very server: after a sign-in nobody is sent elsewhere."""
    if not value.startswith("/") or value.startswith("//") or "\\" in value:
        raise ValueError("must be a path of this server, such as /console")
    return value


OwnPath = Annotated[
    str, StringConstraints(pattern=r"^[!-~]+$", max_length=500), AfterValidator(_own_path)
]


class ProvidersAnswer(BaseModel):
    """What the provider's page sends back with the browser. Other things in it mean nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Annotated[str, StringConstraints(max_length=200)] | None = None
    code: Annotated[str, StringConstraints(max_length=4_096)] | None = None
    error: Annotated[str, StringConstraints(max_length=200)] | None = None
    iss: Annotated[str, StringConstraints(max_length=500)] | None = None


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.fragment or not parts.hostname:
        raise ValueError("must be an address")
    return value


Endpoint = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2_000),
    AfterValidator(_endpoint),
]


class ProvidersDocument(BaseModel):
    """What a provider tells about itself (OpenID Connect Discovery 1.0, section 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: Issuer
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    jwks_uri: Endpoint
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @model_validator(mode="after")
    def _everything_is_encrypted(self) -> Self:
        """Only a provider on this machine may do without, and then all of it is here."""
        is_here = urlsplit(self.issuer).scheme == "http"
        for address in (self.authorization_endpoint, self.token_endpoint, self.jwks_uri):
            parts = urlsplit(address)
            if parts.scheme != "https" and not (is_here and parts.hostname in HERE):
                raise ValueError("must be https addresses")
        return self


class ProvidersKeys(BaseModel):
    """The public keys of a provider (RFC 7517). Each is judged where it is used."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    keys: Annotated[tuple[Json, ...], Field(max_length=50)]
