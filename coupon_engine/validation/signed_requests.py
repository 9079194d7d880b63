"""Requests signed by a terminal or a wallet: HTTP Message Signatures (RFC 9421).

    Signature-Input: counterfoil=("@method" "@path" "@query" "content-digest");created=1790000000;
        keyid="<id>";alg="ecdsa-p256-sha256";nonce="<22 letters>";tag="counterfoil"
    Signature: counterfoil=:<64 bytes>:

Path and query are signed, scheme and authority are not: a proxy that ends TLS speaks `http` to us
and may name us otherwise, but passes on the path. A key is known to one server only, so that what
was signed for one opens nothing at another. See docs/decisions/0020.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
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

MOST_INPUT = 1_024
MOST_SIGNATURE = 512

_PARAMETERS = {"created": int, "keyid": str, "alg": str, "nonce": str, "tag": str}
_NONCE = re.compile(r"[A-Za-z0-9+/_=-]{16,64}")  # 96 bits and more, in anybody's base 64


@dataclass(frozen=True, slots=True)
class Said:
    """What a signature that holds says of itself."""

    keyid: str
    nonce: str
    created: int


def signed_by(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of: Callable[[str], bytes | None],
    *,
    oldest_seconds: int,
    ahead_seconds: int,
    now: datetime,
) -> Said:
    """Return whose key has signed this request, not too long ago. Whether once, the caller asks.

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
    if not -ahead_seconds <= now.timestamp() - said["created"] <= oldest_seconds:
        raise NotSignedIn
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
    return Said(said["keyid"], said["nonce"], said["created"])


@dataclass(frozen=True, slots=True)
class _Message:
    """What the library looks at."""

    method: str
    url: str
    headers: Mapping[str, str]


class _Verifier(HTTPMessageVerifier):
    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Leave time to `signed_by`, which is told what time it is."""


def _said(headers: Mapping[str, str]) -> tuple[set[str], dict[str, Any]]:
    """Return what the one signature covers, whole, and what it says of itself.

    It says every parameter that we want, and no other. A part of a field, or another spelling of
    it, is not the field.
    """
    given, signature = field_of(headers, "signature-input"), field_of(headers, "signature")
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


def field_of(headers: Mapping[str, str], name: str) -> str:
    """Return what a request says under this name, which is in small letters; all of its lines."""
    # Headers of a request may hold a name twice; a plain mapping's get would drop the second.
    return ", ".join(value for each, value in headers.items() if each.lower() == name)


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _required(target: str, headers: Mapping[str, str], body: bytes) -> list[str]:
    required: list[str] = [*(SIGNED_WITH_BODY if body else SIGNED)]
    if "?" in target:
        required.append("@query")
    if field_of(headers, SHIFT_HEADER.lower()):
        required.append(SHIFT_HEADER.lower())
    return required
