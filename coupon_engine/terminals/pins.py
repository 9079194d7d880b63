"""PINs: so few digits that no hash protects them for long.

So what is stored is a slow hash, sealed under the server's master secret: a copy of the database
alone tells nothing. A terminal gets, for its own store, what it takes to check a PIN offline,
keyed with a secret that this one device was given when it was paired.
"""

import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

from argon2.low_level import Type, hash_secret_raw

from coupon_engine.sealing import Vault
from coupon_engine.tables import Cashier
from schemas.terminals import PinVerifier

# OWASP's least for Argon2id; a cheap terminal does it in a few tenths of a second.
TIME_COST = 2
MEMORY_KIB = 19_456
LANES = 1
SALT_BYTES = 16


def sealed(operator_id: UUID, cashier_id: UUID, pin: str, vault: Vault) -> str:
    """Return what is stored of a PIN."""
    salt = secrets.token_bytes(SALT_BYTES)
    about = _about(operator_id, cashier_id)
    return b64encode(vault.seal(salt + _slow(pin, salt), about)).decode()


def is_pin_of(cashier: Cashier | None, pin: str, vault: Vault) -> bool:
    """Is this the cashier's PIN? It takes as long for nobody as for somebody."""
    if cashier is None:
        _slow(pin, bytes(SALT_BYTES))
        return False
    salt, slow = _unsealed(cashier, vault)
    return hmac.compare_digest(_slow(pin, salt), slow)


def device_key(vault: Vault, operator_id: UUID, terminal_id: UUID, public_key: bytes) -> bytes:
    """Return what one device, and no other, checks PINs with while it is offline."""
    return vault.lookup(f"{operator_id}/{terminal_id}/{public_key.hex()}", "pin key")


def verifier(cashier: Cashier, key: bytes, vault: Vault) -> PinVerifier:
    """Return what checks this cashier's PIN on the device that has this key."""
    salt, slow = _unsealed(cashier, vault)
    return PinVerifier(
        salt=_b64(salt),
        time_cost=TIME_COST,
        memory_kib=MEMORY_KIB,
        lanes=LANES,
        check=_b64(hmac.digest(key, slow, sha256)),
    )


def _slow(pin: str, salt: bytes) -> bytes:
    return hash_secret_raw(pin.encode(), salt, TIME_COST, MEMORY_KIB, LANES, 32, Type.ID)


def _unsealed(cashier: Cashier, vault: Vault) -> tuple[bytes, bytes]:
    raw = vault.unseal(b64decode(cashier.pin_hash), _about(cashier.operator_id, cashier.id))
    return raw[:SALT_BYTES], raw[SALT_BYTES:]


def _about(operator_id: UUID, cashier_id: UUID) -> str:
    return f"pin/{operator_id}/{cashier_id}"


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
