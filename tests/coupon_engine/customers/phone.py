"""A customer's phone: a key that never leaves it, and what it sends."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic_core import from_json
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.customers import passcodes, wallets
from coupon_engine.sealing import Vault
from coupon_engine.tables import Passcode
from schemas.wallets import (
    ContactKind,
    NewPasscode,
    NewPasscodeAnswer,
    NewWallet,
    PasscodeAnswerView,
    WalletView,
)
from tests import make
from tests.make import NOON

VAULT = Vault.under(b"a master secret of tests")
HOME = "203.0.113.7"
MOBILE = "+4915123456789"
MAIL = "mary.roe@example.com"


@dataclass
class Phone:
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    @property
    def holder_key(self) -> str:
        return urlsafe_b64encode(self.public_key).decode()

    def signs(self, said: bytes) -> str:
        r, s = decode_dss_signature(self.key.sign(said, ECDSA(SHA256())))
        return urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).rstrip(b"=").decode()

    def asks(self, slug: str, *, at: datetime = NOON, **more: Any) -> NewWallet:
        said = wallets.proof_text(slug, self.holder_key, at)
        asked: dict[str, Any] = {
            "operator": slug,
            "holder_key": self.holder_key,
            "at": at.isoformat(),
            "proof": self.signs(said),
        }
        return NewWallet(**{**asked, **more})


def wallet(
    session: Session,
    at: make.Shop,
    phone: Phone | None = None,
    *,
    network: str = HOME,
    now: datetime = NOON,
) -> WalletView:
    """A phone's wallet at this shop's operator."""
    asked = (phone or Phone()).asks(at.slug, at=now)
    made = wallets.register(session, asked, network=network, vault=VAULT, now=now)
    acting.enter(session, at.operator_id, acting.SYSTEM)
    return made


def passcode(
    session: Session,
    at: make.Shop,
    of: WalletView,
    *,
    kind: Literal[ContactKind.EMAIL, ContactKind.PHONE] = ContactKind.PHONE,
    to: str = MOBILE,
    network: str = HOME,
    now: datetime = NOON,
) -> UUID:
    """Ask for a code and return what it was asked under."""
    id = make.an_id(now)
    asked = NewPasscode(id=id, kind=kind, to=to)
    passcodes.ask(session, at.operator_id, of.id, asked, network=network, vault=VAULT, now=now)
    return id


def waiting(session: Session, at: make.Shop, id: UUID) -> dict[str, Any]:
    """What is sealed in a passcode's row: what the message will say, and to whom."""
    row = session.get_one(Passcode, (at.operator_id, id), populate_existing=True)
    return from_json(VAULT.unseal(row.sealed, f"passcode {at.operator_id} {id}"))


def answers(
    session: Session,
    at: make.Shop,
    of: WalletView,
    id: UUID,
    code: str | None = None,
    *,
    now: datetime = NOON,
    **more: Any,
) -> PasscodeAnswerView:
    """Type the code that came, or another one."""
    typed = NewPasscodeAnswer(passcode_id=id, code=code or waiting(session, at, id)["code"], **more)
    return passcodes.answer(session, at.operator_id, of.id, typed, vault=VAULT, now=now)


def verified(
    session: Session, at: make.Shop, of: WalletView, *, to: str = MOBILE, now: datetime = NOON
) -> PasscodeAnswerView:
    """Show that this number belongs to whoever holds this phone."""
    id = passcode(session, at, of, to=to, now=now)
    return answers(session, at, of, id, now=now)


def another(code: str) -> str:
    """A code that is not this one."""
    return f"{(int(code) + 1) % 10**6:06}"
