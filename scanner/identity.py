"""Who this terminal is: its key, its pairing, its signature on every request, and its cashiers.

The private key never leaves the place where it was made. Here that is a file that only its owner
can read; a machine with a key store brings its own `DeviceKey`.
"""

import hmac
import json
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol, Self
from uuid import UUID

import httpx
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from http_message_signatures.algorithms import (
    ECDSA_P256_SHA256,  # pyright: ignore[reportPrivateImportUsage] (public, says its manual)
)
from http_message_signatures.signatures import HTTPMessageSigner
from pydantic import TypeAdapter

from coupon_engine.errors import CodeWrong
from scanner import files
from schemas.base import Wire
from schemas.coupons import HolderKey
from schemas.terminals import (
    MOST_TRIES,
    SHIFT_HEADER,
    SIGNED,
    SIGNED_WITH_BODY,
    TAG,
    CashierView,
    NewPairingAnswer,
    PairingAnswerView,
    PairingState,
    PinVerifier,
    pairing_digits,
    pairing_hash,
    pairing_proof,
    read_pairing_text,
)

NONCE_BYTES = 16


class KeyExposed(Exception):
    """Others on this machine can read the key: it is no secret any more."""


class NotPaired(Exception):
    """The manager has not said yes (yet), or has said no."""

    def __init__(self, state: PairingState) -> None:
        super().__init__(f"this terminal is not paired: {state}")
        self.state = state


class Locked(Exception):
    """Five wrong PINs. The next shift that the server opens unlocks the cashier here."""


class DeviceKey(Protocol):
    """A P-256 key that signs where it lies."""

    @property
    def public_key(self) -> bytes:
        """Return the point, compressed: 33 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return r and s of ES256, 32 bytes each."""
        ...


class FileKey:
    """A key in a file of mode 0600."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key

    @classmethod
    def kept_in(cls, path: Path) -> Self:
        """Return the key in this file, making it the first time.

        Raises:
            KeyExposed: Somebody else may read the file.
        """
        if not path.exists():
            made = ec.generate_private_key(ec.SECP256R1())
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            files.write(path, pem)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyExposed(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key)

    @property
    def public_key(self) -> bytes:
        point = self._private_key.public_key()
        return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, message: bytes) -> bytes:
        der = self._private_key.sign(message, ec.ECDSA(SHA256()))
        return ECDSA_P256_SHA256.signature_from_der(der)


class Identity(Wire):
    """What a paired terminal knows of itself."""

    server_url: str
    terminal_id: UUID
    store_id: UUID
    name: str
    pin_key: str
    server_key: HolderKey

    def save(self, path: Path) -> None:
        files.write(path, self.model_dump_json().encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate_json(path.read_bytes())


@dataclass(frozen=True, slots=True)
class Pairing:
    """The device's side of a pairing, from the picture to an identity."""

    secret: str
    server_url: str
    key: DeviceKey

    @classmethod
    def of_picture(cls, text: str, key: DeviceKey) -> Self:
        """Begin with what the picture says.

        Raises:
            ValueError: It is another kind of picture.
        """
        secret, server_url = read_pairing_text(text)
        return cls(secret, server_url, key)

    @property
    def digits(self) -> str:
        """Return what to show. Worked out here: what a server says it might say to anybody."""
        return pairing_digits(pairing_hash(self.secret), self.key.public_key)

    def answer(self) -> NewPairingAnswer:
        public_key = self.key.public_key
        return NewPairingAnswer(
            secret=self.secret,
            public_key=_jwk(public_key),
            proof=_b64(self.key.sign(pairing_proof(self.secret, public_key))),
        )

    def ask(self, client: httpx.Client) -> Identity:
        """Send the key, or ask again how things stand.

        Raises:
            NotPaired: Not confirmed; ask again while its state is `answered`.
            httpx.HTTPStatusError: The server refuses the picture.
        """
        body = self.answer().model_dump(mode="json")
        answer = client.post(f"{self.server_url}/v1/pairing-answers", json=body)
        answer.raise_for_status()
        told = PairingAnswerView.model_validate_json(answer.content)
        if told.pin_key is None or told.server_key is None:
            raise NotPaired(told.state)
        return Identity(
            server_url=self.server_url,
            terminal_id=told.terminal_id,
            store_id=told.store_id,
            name=told.name,
            pin_key=told.pin_key,
            server_key=told.server_key,
        )


class Signing(httpx.Auth):
    """Signs each request of an `httpx` client as this terminal's, and as its cashier's.

    `shift` is the secret of the shift that is open, or None while nobody sits there.
    """

    requires_request_body = True

    def __init__(self, id: UUID, key: DeviceKey, *, clock: Callable[[], datetime]) -> None:
        self.shift: str | None = None
        self._id = id
        self._key = key
        self._clock = clock
        self._signer = HTTPMessageSigner(signature_algorithm=ECDSA_P256_SHA256)

    def at_shift(self, secret: str) -> "Signing":
        """Return what signs as this terminal's cashier; this one goes on signing as it did."""
        other = Signing(self._id, self._key, clock=self._clock)
        other.shift = secret
        return other

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        covered = [*(SIGNED_WITH_BODY if request.content else SIGNED)]
        if b"?" in request.url.raw_path:
            covered.append("@query")
        if self.shift is not None:
            request.headers[SHIFT_HEADER] = self.shift
            covered.append(SHIFT_HEADER.lower())
        prepared = self._signer.prepare(  # pyright: ignore[reportUnknownMemberType]
            request,
            key_id=str(self._id),
            created=self._clock(),
            nonce=secrets.token_urlsafe(NONCE_BYTES),
            label=TAG,
            tag=TAG,
            covered_component_ids=covered,
            body=request.content or None,
        )
        signature = self._key.sign(prepared.signature_base)
        self._signer.apply(request, prepared, signature)  # pyright: ignore[reportUnknownMemberType]
        yield request


class _Known(Wire):
    cashier: CashierView
    tries: int


class Pins:
    """Checks cashiers' PINs without the server.

    A try is on disk before it is judged, so that switching the terminal off gives nobody another
    one. Whoever can put an older file back, can; a terminal that is stolen is revoked.
    """

    def __init__(self, path: Path, pin_key: str) -> None:
        self._path = path
        self._key = _raw(pin_key)
        self._known: Mapping[UUID, _Known] = self._read()

    @property
    def cashiers(self) -> tuple[CashierView, ...]:
        """Return who may sit at this terminal."""
        return tuple(each.cashier for each in self._known.values())

    def learn(self, cashiers: Sequence[CashierView]) -> None:
        """Know these from now on, and nobody else. What was tried stays counted."""
        tries = {id: known.tries for id, known in self._known.items()}
        known = {each.id: _Known(cashier=each, tries=tries.get(each.id, 0)) for each in cashiers}
        if known != self._known:
            self._keep(known)

    def check(self, cashier_id: UUID, pin: str) -> CashierView:
        """Return whose PIN this is.

        Raises:
            CodeWrong: Not this cashier's, or nobody's; it counts.
            Locked: Wrong too often; only the server helps now.
        """
        known = self._known.get(cashier_id)
        if known is None or known.cashier.verifier is None:
            raise CodeWrong
        if known.tries >= MOST_TRIES:
            raise Locked
        self._count(cashier_id, known.tries + 1)
        if not _is_right(known.cashier.verifier, self._key, pin):
            raise CodeWrong
        self._count(cashier_id, 0)
        return known.cashier

    def count_wrong(self, cashier_id: UUID) -> None:
        """Count a try that the server has found wrong: nobody pulls the cable for five more."""
        if (known := self._known.get(cashier_id)) is not None:
            self._count(cashier_id, min(known.tries + 1, MOST_TRIES))

    def unlock(self, cashier_id: UUID) -> None:
        """Begin the count anew: the server has opened a shift for this cashier."""
        if cashier_id in self._known:
            self._count(cashier_id, 0)

    def _count(self, cashier_id: UUID, tries: int) -> None:
        known = self._known[cashier_id]
        self._keep({**self._known, cashier_id: _Known(cashier=known.cashier, tries=tries)})

    def _read(self) -> dict[UUID, _Known]:
        if not self._path.exists():
            return {}
        return {each.cashier.id: each for each in _ALL.validate_json(self._path.read_bytes())}

    def _keep(self, known: Mapping[UUID, _Known]) -> None:
        rows = [each.model_dump(mode="json") for each in known.values()]
        files.write(self._path, json.dumps(rows).encode())
        self._known = known


_ALL = TypeAdapter(list[_Known])


def _is_right(verifier: PinVerifier, key: bytes, pin: str) -> bool:
    slow = hash_secret_raw(
        pin.encode(),
        _raw(verifier.salt),
        verifier.time_cost,
        verifier.memory_kib,
        verifier.lanes,
        32,
        Type.ID,
    )
    return hmac.compare_digest(hmac.digest(key, slow, sha256), _raw(verifier.check))


def _jwk(public_key: bytes) -> HolderKey:
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    numbers = point.public_numbers()
    return HolderKey(x=_b64(numbers.x.to_bytes(32)), y=_b64(numbers.y.to_bytes(32)))


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
