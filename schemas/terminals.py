"""Terminals: how one is paired, who sits at it, and how its requests are signed.

What a terminal and the server must write alike, to the byte, stands here too.
"""

import re
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from typing import Annotated
from urllib.parse import unquote
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from schemas.base import Ask, Moment, Name, Wire
from schemas.coupons import HolderKey

# What a signature covers besides the query, where there is one, and the shift, where one is open.
SIGNED = ("@method", "@path")
SIGNED_WITH_BODY = (*SIGNED, "content-digest")
TAG = "counterfoil"
SHIFT_HEADER = "Counterfoil-Shift"

MOST_TRIES = 5  # of a PIN, by one cashier at one terminal


class PairingState(StrEnum):
    WAITING = "waiting"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    EXPIRED = "expired"


class NewPairing(Ask):
    """Show a picture that makes one device a terminal of this store."""

    store_id: UUID
    name: Name = Field(description="What the terminal is called from then on.")
    terminal_id: UUID | None = Field(
        default=None, description="A terminal that exists: another device takes its place."
    )


class PairingView(Wire):
    id: UUID
    store_id: UUID
    terminal_id: UUID
    name: str
    state: PairingState
    digits: str | None = Field(description="Must be those on the device's own screen.")
    created_at: Moment
    expires_at: Moment


class PairingPictureView(PairingView):
    """The only answer that holds the secret."""

    text: str = Field(description="What the picture says.")
    svg: str = Field(description="The picture, for the device's camera.")


class NewPairingAnswer(Wire):
    """Sent by the device, as often as it wants to know how things stand."""

    secret: Annotated[str, Field(pattern=r"^[A-Z2-7]{26}$")]
    public_key: HolderKey
    proof: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")] = Field(
        description="ES256 over `counterfoil pairing 1`, the secret and the key in hexadecimal"
        " (33 bytes, compressed), a line each; r and s, base64url."
    )


class PairingAnswerView(Wire):
    """What the device learns."""

    state: PairingState
    digits: str
    terminal_id: UUID
    store_id: UUID
    name: str
    pin_key: str | None = Field(
        description="Once it is confirmed: what this device checks PINs with, base64url."
    )
    server_key: HolderKey | None = Field(
        description="Then too: the one key whose bundles and status lists this device believes."
    )


class NewPairingConfirmation(Ask):
    """The digits are the same on both screens."""

    pairing_id: UUID
    digits: Annotated[str, Field(pattern=r"^[0-9]{6}$")]


class NewPairingRefusal(Ask):
    """They are not, or it was a mistake."""

    pairing_id: UUID


class NewTerminalRevocation(Ask):
    """The device is lost, stolen or retired. Its key opens nothing any more, for good."""

    terminal_id: UUID
    reason: Name


def _not_easily_guessed(pin: SecretStr) -> SecretStr:
    digits = pin.get_secret_value()
    if not re.fullmatch(r"[0-9]{4,8}", digits):
        raise ValueError("must be 4 to 8 digits")
    steps = {int(right) - int(left) for left, right in pairwise(digits)}
    if steps in ({0}, {1}, {-1}):
        raise ValueError("must not repeat one digit or count up or down")
    return pin


def _digits(pin: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9]{4,8}", pin.get_secret_value()):
        raise ValueError("must be 4 to 8 digits")
    return pin


NewPin = Annotated[SecretStr, AfterValidator(_not_easily_guessed)]
Pin = Annotated[SecretStr, AfterValidator(_digits)]


class NewCashier(Ask):
    store_id: UUID
    name: Name
    pin: NewPin


class NewCashierChange(Ask):
    """Give a cashier another PIN, or let them sign in no more."""

    cashier_id: UUID
    pin: NewPin | None = None
    revoke: bool = Field(default=False, strict=True)
    reason: Name


class PinVerifier(Wire):
    """Checks a PIN without the server, at one terminal: see `pin_check`."""

    salt: str
    time_cost: int
    memory_kib: int
    lanes: int
    check: str


class CashierView(Wire):
    id: UUID
    store_id: UUID
    name: str
    created_at: Moment
    revoked_at: Moment | None
    verifier: PinVerifier | None = Field(description="For a terminal of the store alone.")


class NewShift(Ask):
    """A cashier takes a seat at the terminal that asks."""

    cashier_id: UUID
    pin: Pin


class ShiftView(Wire):
    id: UUID
    terminal_id: UUID
    cashier_id: UUID
    name: str
    secret: str = Field(description=f"Goes into the header `{SHIFT_HEADER}`, signed.")
    started_at: Moment
    expires_at: Moment


class NewShiftEnd(Ask):
    shift_id: UUID


class ShiftEndView(Wire):
    id: UUID
    shift_id: UUID
    ended_at: Moment


def pairing_text(secret: str, server_url: str) -> str:
    """Return what the picture says, in the 45 letters that make the smallest picture.

    `COUNTERFOIL:PAIR/<secret>/HTTPS://COUPONS.EXAMPLE.COM`: scheme and host may be in capitals;
    what else may not is percent-encoded.
    """
    scheme, _, rest = server_url.partition("://")
    host, slash, path = rest.partition("/")
    return (
        f"COUNTERFOIL:PAIR/{secret}/{scheme.upper()}://{_drawn(host.upper())}{slash}{_drawn(path)}"
    )


def read_pairing_text(text: str) -> tuple[str, str]:
    """Return the secret and the server's address.

    Raises:
        ValueError: This is no picture for pairing, or not the one text that says this.
    """
    found = re.fullmatch(
        r"COUNTERFOIL:PAIR/([A-Z2-7]{26})/(HTTPS?)://([A-Z0-9.:%-]{1,255})(/[A-Z0-9$%*+./:-]*)?",
        text,
    )
    if found is None:
        raise ValueError("not a picture for pairing")
    secret, scheme, host, path = found.groups(default="")
    url = f"{scheme.lower()}://{unquote(host).lower()}{unquote(path)}"
    if pairing_text(secret, url) != text:
        raise ValueError("not a picture for pairing: an address that nobody writes like this")
    return secret, url


def _drawn(text: str) -> str:
    return "".join(chr(byte) if byte in _DRAWN else f"%{byte:02X}" for byte in text.encode())


_DRAWN = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$*+-./:"


def pairing_hash(secret: str) -> bytes:
    """Return what the server keeps of the secret."""
    return sha256(secret.encode()).digest()


def pairing_proof(secret: str, public_key: bytes) -> bytes:
    """Return what the device signs, to show that the key is its own."""
    return f"counterfoil pairing 1\n{secret}\n{public_key.hex()}".encode()


def pairing_digits(secret_hash: bytes, public_key: bytes) -> str:
    """Return the six digits that stand on both screens if both mean the same key."""
    digest = sha256(b"counterfoil digits 1" + secret_hash + public_key).digest()
    return f"{int.from_bytes(digest[:8]) % 1_000_000:06}"
