"""The far side of a pairing: a device with a key of its own."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlmodel import Session, col, select

from coupon_engine.sealing import Vault
from coupon_engine.tables import Event
from coupon_engine.terminals import cashiers, pairing, shifts
from schemas.coupons import HolderKey
from schemas.terminals import (
    CashierView,
    NewCashier,
    NewPairing,
    NewPairingAnswer,
    NewPairingConfirmation,
    NewShift,
    PairingAnswerView,
    PairingPictureView,
    PairingView,
    ShiftView,
    pairing_proof,
    read_pairing_text,
)
from tests import make
from tests.make import NOON, Shop

VAULT = Vault.under(b"a master secret of tests")
SERVER = "https://Coupons.example.com/Shops/a_b"
ADDRESS = "192.0.2.1"


class Device:
    """Reads the picture, makes a key, answers."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    @property
    def jwk(self) -> HolderKey:
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(part.to_bytes(32)) for part in (numbers.x, numbers.y))
        return HolderKey(x=x, y=y)

    def signs(self, text: bytes) -> str:
        r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(SHA256())))
        return b64(r.to_bytes(32) + s.to_bytes(32))

    def answer_to(self, text: str, **other: Any) -> NewPairingAnswer:
        secret, _ = read_pairing_text(text)
        said: dict[str, Any] = {
            "secret": secret,
            "public_key": self.jwk,
            "proof": self.signs(pairing_proof(secret, self.public_key)),
        }
        return NewPairingAnswer(**{**said, **other})


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def shown(session: Session, at: Shop, *, now: datetime = NOON, **more: Any) -> PairingPictureView:
    """A picture on the manager's screen."""
    asked: dict[str, Any] = {"id": make.an_id(), "store_id": at.store.id, "name": "Counter 2"}
    return pairing.begin(
        session,
        at.operator_id,
        NewPairing(**{**asked, **more}),
        store_ids=None,
        vault=VAULT,
        server_url=SERVER,
        now=now,
    )


def answers(
    session: Session,
    device: Device,
    text: str,
    *,
    address: str = ADDRESS,
    now: datetime = NOON,
    **other: Any,
) -> PairingAnswerView:
    return pairing.answer(
        session,
        device.answer_to(text, **other),
        address=address,
        vault=VAULT,
        passphrase=make.PASSPHRASE,
        now=now,
    )


def confirms(
    session: Session, at: Shop, shown: PairingView, digits: str, *, now: datetime = NOON
) -> PairingView:
    request = NewPairingConfirmation(id=make.an_id(), pairing_id=shown.id, digits=digits)
    return pairing.confirm(session, at.operator_id, request, store_ids=None, now=now)


def paired(
    session: Session, at: Shop, device: Device | None = None, **more: Any
) -> PairingAnswerView:
    """A terminal whose device knows that it is one."""
    device = device or Device()
    picture = shown(session, at, **more)
    answered = answers(session, device, picture.text)
    confirms(session, at, picture, answered.digits)
    return answers(session, device, picture.text)


def cashier(session: Session, at: Shop, **more: Any) -> CashierView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "store_id": at.store.id,
        "name": "Ann",
        "pin": "2580",
    }
    return cashiers.create_cashier(
        session,
        at.operator_id,
        NewCashier(**{**asked, **more}),
        store_ids=None,
        vault=VAULT,
        now=NOON,
    )


def sits_down(
    session: Session,
    at: Shop,
    terminal: PairingAnswerView,
    who: CashierView,
    pin: str = "2580",
    *,
    now: datetime = NOON,
    **more: Any,
) -> ShiftView:
    asked: dict[str, Any] = {"id": make.an_id(), "cashier_id": who.id, "pin": pin}
    return shifts.start_shift(
        session,
        at.operator_id,
        terminal.terminal_id,
        NewShift(**{**asked, **more}),
        vault=VAULT,
        now=now,
    )


def told(session: Session, kind: str) -> Sequence[Event]:
    return session.exec(select(Event).where(Event.kind == kind).order_by(col(Event.id))).all()
