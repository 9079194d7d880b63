"""What the operator of a server may choose, read from `COUNTERFOIL_*` variables.

Nothing needs to be set to try things out: without `COUNTERFOIL_DATABASE_URL` an embedded
PostgreSQL keeps everything in `data_dir`, its secrets included. With a database of your own, bring
the secrets too: two servers that each made their own could not read each other's coupons.
"""

import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from coupon_engine.channels import is_this_machine

PREFIX = "COUNTERFOIL_"
# Read by the test suite, not by a server.
TEST_PREFIX = f"{PREFIX}TEST_"
LAST_PORT = 65_535
MOST_WORKERS = 64


class SettingsRefused(Exception):
    """A variable is missing, misspelt or out of bounds; the text names it and never its value."""


def default_data_dir() -> Path:
    """Return where programs of this kind keep their data on this machine.

    A place of the account, not of the current folder: a server started elsewhere must find the
    coupons it issued yesterday. Root has `/var/lib`, because PostgreSQL never runs as root and
    the account it runs as cannot enter root's home.
    """
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "counterfoil"
    if os.geteuid() == 0:
        return Path("/var/lib/counterfoil")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "counterfoil"
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "counterfoil"


def _psycopg_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("name a PostgreSQL database, as postgresql://user@host/database")
    return f"postgresql+psycopg://{rest}"


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("give an address such as https://coupons.example.com")
    if parts.query or parts.fragment:
        raise ValueError("give an address without '?' and '#'")
    return url.rstrip("/")


def _safe_url(url: str) -> str:
    """Let codes and numbers go to another machine only behind TLS."""
    parts = urlsplit(_base_url(url))
    if parts.scheme != "https" and not is_this_machine(parts.hostname or ""):
        raise ValueError("give an address that begins with https://")
    return url


def _smtp_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/"):
        raise ValueError("name a mail server, as smtps://name:password@host")
    return url


def _mail_address(address: str) -> str:
    if not re.fullmatch(r"[^@<>\s]+@[^@<>\s]+", address):
        raise ValueError("give an address such as coupons@example.com")
    return address


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 16:
        raise ValueError("a secret needs at least 16 characters")
    return secret


def _networks(told: object) -> object:
    """Read `10.0.0.0/8, ::1` as networks."""
    return [each.strip() for each in told.split(",")] if isinstance(told, str) else told


Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
OwnFile = Annotated[Path, AfterValidator(_absolute)]
Network = IPv4Network | IPv6Network


class Settings(BaseSettings):
    """The choices, checked. Make them by `read_settings`, which explains what it refuses."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(_psycopg_url)] | None = Field(
        default=None,
        repr=False,
        description="A PostgreSQL of your own; none means the embedded one.",
    )
    owner_database_url: Annotated[str, AfterValidator(_psycopg_url)] | None = Field(
        default=None,
        repr=False,
        description="The same database for whoever may change its tables; none means the same "
        "login, which then gives up its rights for those of the application.",
    )
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=default_data_dir, description="Where the embedded PostgreSQL lives."
    )
    issuer_url: Annotated[str, AfterValidator(_base_url)] = Field(
        default="http://127.0.0.1:8000", description="The issuer's name inside every coupon."
    )
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=1, le=LAST_PORT)
    workers: int = Field(default=1, ge=1, le=MOST_WORKERS)
    key_passphrase: Secret | None = Field(
        default=None, description="Encrypts the signing keys at rest."
    )
    short_code_secret: Secret | None = Field(
        default=None, description="Keys the check on short codes."
    )
    events_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None, description="Who is told of every event, by POST; none means nobody."
    )
    smtp_url: Annotated[str, AfterValidator(_smtp_url)] | None = Field(
        default=None,
        repr=False,
        description="Who takes mail, as smtps://name:password@host; none: the console.",
    )
    mail_from: Annotated[str, AfterValidator(_mail_address)] | None = Field(
        default=None, description="Whom mail to customers comes from."
    )
    sms_url: Annotated[str, AfterValidator(_safe_url)] | None = Field(
        default=None, description="Who takes short messages, by POST; none: the console."
    )
    sms_token: Secret | None = Field(default=None, description="Opens `sms_url`.")
    apple_pass_certificate: OwnFile | None = Field(
        default=None, description="PEM of the certificate that Apple gave for your passes."
    )
    apple_pass_key: OwnFile | None = Field(default=None, description="PEM of its private key.")
    apple_pass_authority: OwnFile | None = Field(
        default=None, description="PEM of Apple's certificate above it (WWDR)."
    )
    google_wallet_account: OwnFile | None = Field(
        default=None, description="Key file of the service account that makes your passes."
    )
    google_wallet_issuer: Annotated[str, Field(pattern=r"^[0-9]{1,30}$")] | None = Field(
        default=None, description="Your number at Google Wallet."
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=(), description="Whose X-Forwarded-For is believed, as 10.0.0.0/8, ::1."
    )
    flood_factor: float = Field(
        default=1.0, gt=0, le=1_000, description="Multiplies every flood limit."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    @model_validator(mode="after")
    def _mail_comes_from_somebody(self) -> Self:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError(f"{PREFIX}SMTP_URL names a mail server, so set {PREFIX}MAIL_FROM too")
        return self

    @model_validator(mode="after")
    def _passes_are_set_up_whole(self) -> Self:
        for names in (
            ("apple_pass_certificate", "apple_pass_key", "apple_pass_authority"),
            ("google_wallet_account", "google_wallet_issuer"),
        ):
            told = [name for name in names if getattr(self, name) is not None]
            if told and len(told) < len(names):
                missing = (f"{PREFIX}{name.upper()}" for name in names if name not in told)
                raise ValueError(f"for passes set {' and '.join(missing)} too")
        return self

    @model_validator(mode="after")
    def _a_shared_database_needs_shared_secrets(self) -> Self:
        missing = [
            f"{PREFIX}{name.upper()}"
            for name in ("key_passphrase", "short_code_secret")
            if getattr(self, name) is None
        ]
        if self.database_url is not None and missing:
            raise ValueError(
                f"{PREFIX}DATABASE_URL names a database of your own, so set "
                f"{' and '.join(missing)} too; secrets are made up for the embedded one only"
            )
        return self


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsRefused: It holds something that cannot be meant, misspelt names included.
    """
    if unknown := _unknown_names(os.environ):
        raise SettingsRefused(f"there is no setting {', '.join(unknown)}")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsRefused(_in_words(error)) from None


def _unknown_names(names: Iterable[str]) -> list[str]:
    """Find misspelt names: a DATABSE_URL unheeded would fill the wrong database."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    ours = (name for name in names if name.upper().startswith(PREFIX))
    return sorted(
        name
        for name in ours
        if name.upper() not in known and not name.upper().startswith(TEST_PREFIX)
    )


def _in_words(error: ValidationError) -> str:
    def line(name: str, message: str) -> str:
        words = message.removeprefix("Value error, ")
        return f"{PREFIX}{name.upper()}: {words}" if name else words

    return "\n".join(
        line("".join(map(str, problem["loc"][:1])), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False)
    )


def key_passphrase(settings: Settings) -> str:
    """Return the given passphrase, or the one kept in the data directory (made the first time)."""
    return _given_or_kept(settings.key_passphrase, settings.data_dir / "key_passphrase")


def short_code_secret(settings: Settings) -> str:
    """Return the given secret, or the one kept in the data directory (made the first time)."""
    return _given_or_kept(settings.short_code_secret, settings.data_dir / "short_code_secret")


def _given_or_kept(given: SecretStr | None, kept_in: Path) -> str:
    return kept_secret(kept_in) if given is None else given.get_secret_value()


def kept_secret(path: Path) -> str:
    """Return the secret in a file that only its owner can read, making it the first time.

    Two processes that ask at once get the same one: the file appears whole and only once.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mkstemp gives mode 0600
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was quicker: its secret is the secret
        finally:
            Path(draft).unlink()
    return path.read_text(encoding="ascii")
