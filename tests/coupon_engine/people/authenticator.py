"""A device that holds passkeys, written from the standard: real keys, real signatures.

It does what it is told, also what no browser would let it do.
"""

import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """Everything that it says can be set before it speaks."""

    origin: str
    rp_id: str
    counts: bool = True
    count: int = 0
    flags: int = PRESENT | VERIFIED
    holder: bytes = b""
    credential_id: bytes = field(default_factory=lambda: token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def makes(self, options: dict[str, Any], **said: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.create()`."""
        self.holder = _bytes(options["user"]["id"])
        data = self._data(HAS_KEY) + bytes(16) + struct.pack(">H", len(self.credential_id))
        data += self.credential_id + cbor2.dumps(self._public())
        made = {"fmt": "none", "attStmt": {}, "authData": data}
        return self._credential(
            clientDataJSON=_text(self._said("webauthn.create", options, said)),
            attestationObject=_text(cbor2.dumps(made)),
        )

    def signs(self, options: dict[str, Any], **said: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.get()`."""
        self.count += self.counts
        data = self._data()
        client_data = self._said("webauthn.get", options, said)
        signed = self.key.sign(data + sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            clientDataJSON=_text(client_data),
            authenticatorData=_text(data),
            signature=_text(signed),
            userHandle=_text(self.holder),
        )

    def _data(self, more: int = 0) -> bytes:
        digest = sha256(self.rp_id.encode()).digest()
        return digest + struct.pack(">BI", self.flags | more, self.count)

    def _public(self) -> dict[int, Any]:
        numbers = self.key.public_key().public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}

    def _said(self, kind: str, options: dict[str, Any], said: dict[str, Any]) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": options["challenge"], "origin": self.origin, **said}
        ).encode()

    def _credential(self, **response: str) -> dict[str, Any]:
        id = _text(self.credential_id)
        return {"id": id, "rawId": id, "type": "public-key", "response": response}


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
