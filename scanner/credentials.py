"""As whom a program asks: a file with somebody's sign-in, a terminal, a wallet, or an API key."""

import os
import re
import stat
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

import httpx
from pydantic import TypeAdapter

from scanner.identity import DeviceKey, FileKey, Identity, KeyExposed, Signing
from schemas.base import Wire

CSRF_HEADER = "X-CSRF-Token"


class CannotKeep(Exception):
    """No file can be written there; the text says where."""


class OtherServer(Exception):
    """A sign-in is shown to nobody but the server that it was made at."""


class SignedIn(Wire):
    """A person's sign-in, with what a browser would keep of it."""

    server_url: str
    cookie: str
    csrf: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what one of the server's own pages would send."""
        return {"Cookie": self.cookie, CSRF_HEADER: self.csrf, "Origin": self.server_url}


class WalletHeld(Wire):
    """A customer's wallet. Its key lies beside this file, as a terminal's does."""

    server_url: str
    wallet_id: UUID
    customer_id: UUID


def auth_in(
    path: Path, server_url: str, *, shift: str | None, clock: Callable[[], datetime]
) -> httpx.Auth:
    """Return what makes a request that of whoever this file is about.

    `shift` is the secret of the shift that is open at a terminal.

    Raises:
        KeyExposed: Others on this machine can read the file, or the key beside it.
        OtherServer: It is a sign-in at another server.
        ValueError: It is no such file.
    """
    held = _held(path)
    refuse_exposed(path)
    if isinstance(held, str):
        return _Headers({"Authorization": f"Bearer {held}"})
    if isinstance(held, SignedIn):
        if held.server_url != server_url:
            raise OtherServer(f"{path} is a sign-in at {held.server_url}.")
        return _Headers(held.headers)
    id = held.terminal_id if isinstance(held, Identity) else held.wallet_id
    signing = Signing(id, key_beside(path), clock=clock)
    signing.shift = shift
    return signing


def sign_in_in(path: Path) -> SignedIn:
    """Return the sign-in that a file keeps.

    Raises:
        KeyExposed: Others on this machine can read it.
        ValueError: It keeps something else.
    """
    held = _held(path)
    if not isinstance(held, SignedIn):
        raise ValueError(f"{path} is no sign-in.")
    refuse_exposed(path)
    return held


def keep(path: Path, text: str) -> None:
    """Write a file that only its owner can read, also where one was that others could."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def refuse_unwritable(path: Path) -> None:
    """Let pass a path at which `keep` can write.

    Raises:
        CannotKeep: It cannot: there is no such folder, or it takes no file of ours.
    """
    if path.is_dir():
        raise CannotKeep(f"{path} is a folder: name a file.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CannotKeep(f"Nothing can be kept in {path.parent}: {error.strerror}.") from None


def key_path(path: Path) -> Path:
    """Return where the private key of a terminal or a wallet lies: beside the file about it."""
    return path.with_suffix(".pem")


def holder_key(key: DeviceKey) -> str:
    """Return the public half as a wallet tells it."""
    return unpadded(key.public_key)


def unpadded(raw: bytes) -> str:
    """Return bytes as base64url, as keys and signatures are written here."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_beside(path: Path) -> FileKey:
    """Return the private key that lies beside this file.

    Raises:
        KeyExposed: Others on this machine can read it.
        ValueError: There is none.
    """
    beside = key_path(path)
    if not beside.exists():  # `kept_in` would make one, which nobody knows
        raise ValueError(f"{beside} is missing: the private key of {path}.")
    return FileKey.kept_in(beside)


def refuse_exposed(path: Path) -> None:
    """Let pass a file that only its owner can read.

    Raises:
        KeyExposed: Others can.
    """
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyExposed(f"{path} can be read by others on this machine: chmod 600 {path}")


class _Headers(httpx.Auth):
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers.update(self._headers)
        yield request


def _held(path: Path) -> "SignedIn | Identity | WalletHeld | str":
    """Return what a file is about. What it is comes first: no other file needs to be private."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        return text if _API_KEY.fullmatch(text) else _ANY.validate_json(text)
    except ValueError:  # no text, no JSON, or about something else
        raise ValueError(f"{path} is no sign-in, terminal, wallet or API key.") from None


_API_KEY = re.compile(r"cfk_\w+", re.ASCII)
_ANY: TypeAdapter[SignedIn | Identity | WalletHeld] = TypeAdapter(SignedIn | Identity | WalletHeld)
