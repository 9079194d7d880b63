"""Requests signed by a terminal or a wallet: HTTP Message Signatures (RFC 9421).

    Signature-Input: counterfoil=("@method" "@path" "@query" "content-digest");created=1790000000;
        keyid="<id>";alg="ecdsa-p256-sha256";nonce="<22 letters>";tag="counterfoil"
    Signature: counterfoil=:<64 bytes>:

Path and query are signed, scheme and authority are not: a proxy that ends TLS speaks `http` to us
and may name us otherwise, but passes on the path. A key is known to one server only, so that what
was signed for one opens nothing at another. See docs/decisions/0020.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, cast
from uuid import UUID

import http_sf
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures.algorithms import (
    ECDSA_P256_SHA256,  # pyright: ignore[reportPrivateImportUsage] (public, says its manual)
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from http_message_signatures.resolvers import MappingKeyResolver
from http_message_signatures.signatures import HTTPMessageVerifier

from coupon_engine.errors import NotSignedIn
from schemas.terminals import SHIFT_HEADER, SIGNED, SIGNED_WITH_BODY, TAG

OLDEST_SECONDS = 60
AHEAD_SECONDS = 30
MOST_NONCES = 200_000
MOST_INPUT = 1_024
MOST_SIGNATURE = 512

_PARAMETERS = {"created": int, "keyid": str, "alg": str, "nonce": str, "tag": str}
_NONCE = re.compile(r"[A-Za-z0-9+/_=-]{16,64}")  # 96 bits and more, in anybody's base 64


class Nonces:
    """Remembers what was signed lately, so that nothing is heard twice.

    In memory, for one process: writes are known by their ids, so this is a second fence. When it
    is full the oldest are forgotten.
    """

    def __init__(self, most: int = MOST_NONCES) -> None:
        self._most = most
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = Lock()

    def is_new(self, keyid: str, nonce: str, *, until: float, now: float) -> bool:
        """Remember this nonce of this key; False if it is remembered already."""
        with self._lock:
            self._forget(now)
            if (keyid, nonce) in self._until:
                return False
            self._until[keyid, nonce] = until
            return True

    @property
    def count(self) -> int:
        return len(self._until)

    def _forget(self, now: float) -> None:
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] >= now and len(self._until) < self._most:
                return
            del self._until[oldest]


def is_signed(headers: Mapping[str, str]) -> bool:
    """Does this request claim to be signed? Nothing is checked yet."""
    return bool(_field(headers, "signature-input") or _field(headers, "signature"))


def signed_by(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of: Callable[[str], bytes | None],
    nonces: Nonces,
    *,
    now: datetime,
) -> str:
    """Return the id of the key that has signed this request, just now and once.

    `target` is path and query as they came in the request line. `headers` are all of them, a
    repeated one in each of its lines. `key_of` returns the compressed public key of an id, and is
    asked once, for a well-formed id. `now` is the clock on the wall, also in a sandbox.

    Raises:
        NotSignedIn: For every reason alike.
    """
    if not target.startswith("/"):
        raise NotSignedIn
    message = _Message(method, f"https://any{target}", headers)
    covered, said = _said(headers)
    if not covered.issuperset(_required(target, headers, body)):
        raise NotSignedIn
    _check_age(said, now)
    key = key_of(said["keyid"])
    if key is None:
        raise NotSignedIn
    try:
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        verifier = _Verifier(
            signature_algorithm=ECDSA_P256_SHA256,
            key_resolver=MappingKeyResolver(
                public_keys={said["keyid"]: public_key}, private_keys={}
            ),
        )
        verifier.verify(  # pyright: ignore[reportUnknownMemberType]
            message,
            max_age=None,
            expect_tag=TAG,
            body=body,
        )
    except (HTTPMessageSignaturesException, ValueError):
        raise NotSignedIn from None
    # Last: only what was really signed is worth remembering.
    until = said["created"] + OLDEST_SECONDS
    if not nonces.is_new(said["keyid"], said["nonce"], until=until, now=now.timestamp()):
        raise NotSignedIn
    return said["keyid"]


@dataclass(frozen=True, slots=True)
class _Message:
    """What the library looks at."""

    method: str
    url: str
    headers: Mapping[str, str]


class _Verifier(HTTPMessageVerifier):
    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Leave time to `_check_age`, which is told what time it is."""


def _said(headers: Mapping[str, str]) -> tuple[set[str], dict[str, Any]]:
    """Return what the one signature covers, whole, and what it says of itself.

    It says every parameter that we want, and no other. A part of a field, or another spelling of
    it, is not the field.
    """
    given, signature = _field(headers, "signature-input"), _field(headers, "signature")
    if not 0 < len(given) <= MOST_INPUT or not 0 < len(signature) <= MOST_SIGNATURE:
        raise NotSignedIn
    try:
        members: Any = http_sf.parse(given.encode(), tltype="dictionary")
    except ValueError:
        raise NotSignedIn from None
    if len(members) != 1:
        raise NotSignedIn
    [(components, said)] = members.values()
    if not isinstance(components, list):
        raise NotSignedIn
    if {name: type(value) for name, value in said.items()} != _PARAMETERS:
        raise NotSignedIn
    if not _NONCE.fullmatch(said["nonce"]) or not _is_id(said["keyid"]):
        raise NotSignedIn
    parts = cast("list[tuple[Any, dict[str, Any]]]", components)
    return {name for name, parameters in parts if type(name) is str and not parameters}, said


def _field(headers: Mapping[str, str], name: str) -> str:
    # Headers of a request may hold a name twice; a plain mapping's get would drop the second.
    return ", ".join(value for each, value in headers.items() if each.lower() == name)


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _check_age(said: Mapping[str, Any], now: datetime) -> None:
    if not -AHEAD_SECONDS <= now.timestamp() - said["created"] <= OLDEST_SECONDS:
        raise NotSignedIn


def _required(target: str, headers: Mapping[str, str], body: bytes) -> list[str]:
    required: list[str] = [*(SIGNED_WITH_BODY if body else SIGNED)]
    if "?" in target:
        required.append("@query")
    if _field(headers, SHIFT_HEADER.lower()):
        required.append(SHIFT_HEADER.lower())
    return required
