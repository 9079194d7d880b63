"""Pairing: a picture that lets one device become one terminal, once, within ten minutes.

A manager shows the picture. The device makes a key that never leaves it, and answers with the
public half, signed. Both screens then show six digits made of the secret and that key, and the
manager says whether they are the same: whoever photographed the picture and answered first with a
key of their own is found out by the device in the manager's hand, which shows other digits or
none.
"""

from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from jwt import get_algorithm_by_name
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import acting, drawing, events, tries
from coupon_engine.errors import (
    CodeWrong,
    MoveNotAllowed,
    NameTaken,
    NotSignedIn,
    PairingTaken,
    RequestReused,
    TerminalHasJournal,
    Unknown,
)
from coupon_engine.offline import server_keys
from coupon_engine.rows import found, locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Lease, Pairing, Store, Terminal
from coupon_engine.terminals import pins, shifts
from coupon_engine.terminals.terminals import Stores, see_store
from coupon_engine.tries import Budget
from coupon_engine.validation import token as tokens
from schemas.access import Actor, ActorKind, Role
from schemas.coupons import HolderKey
from schemas.ids import new_id
from schemas.terminals import (
    NewPairing,
    NewPairingAnswer,
    NewPairingConfirmation,
    NewPairingRefusal,
    PairingAnswerView,
    PairingPictureView,
    PairingState,
    PairingView,
    pairing_digits,
    pairing_hash,
    pairing_proof,
    pairing_text,
)

LASTS = timedelta(minutes=10)
MOST_ANSWERS = 10
MOST_ANSWERS_FROM_AN_ADDRESS = 30
MOST_CONFIRMATIONS = 3


def begin(
    session: Session,
    operator_id: UUID,
    request: NewPairing,
    *,
    store_ids: Stores,
    vault: Vault,
    server_url: str,
    now: datetime,
) -> PairingPictureView:
    """Make a picture for one device. Only a hash of its secret is kept.

    The secret follows from the request's id and the server's own secret, so that asking again
    with the same id shows the same picture, and no longer life.

    Raises:
        Unknown: No such store or terminal among one's own.
        MoveNotAllowed: That terminal is revoked; pair a new one.
        TerminalHasJournal: It has worked without a network: another device would fork its journal.
        RequestReused: This id was used for another request.
    """
    see_store(store_ids, request.store_id, "store", request.store_id)
    secret = b32encode(vault.lookup(f"{operator_id}/{request.id}", "pairing")[:16]).decode()[:26]
    pairing = session.get(Pairing, (operator_id, request.id))
    if pairing is None:
        pairing = _make(session, operator_id, request, secret, now=now)
    elif (pairing.store_id, pairing.name) != (request.store_id, request.name) or (
        request.terminal_id not in (None, pairing.terminal_id)
    ):
        raise RequestReused
    text = pairing_text(secret, server_url)
    return PairingPictureView(
        **view(pairing, now=now).model_dump(), text=text, svg=drawing.svg(text)
    )


def answer(
    session: Session,
    request: NewPairingAnswer,
    *,
    address: str,
    vault: Vault,
    passphrase: bytes,
    now: datetime,
) -> PairingAnswerView:
    """Take a device's key, if it is the first; nobody is signed in yet.

    The same key may ask again, as often as it likes, how things stand. Any other answer is a try
    that counts.

    Raises:
        NotSignedIn: There is no such pairing, it is over, or the key's proof is wrong.
        HolderKeyInvalid: The key is not a point of P-256.
        PairingTaken: Another device was quicker.
        TooManyTries: This pairing, or somebody at this address, was tried too often.
    """
    kept = pairing_hash(request.secret)
    acting.show(session, kept.hex())
    pairing = session.exec(select(Pairing).where(Pairing.hash == kept)).one_or_none()
    if pairing is None:
        raise NotSignedIn
    acting.enter(session, pairing.operator_id, _device(pairing))
    public_key = tokens.compressed(request.public_key)
    is_proven = _proves(request, public_key)
    if not (is_proven and pairing.public_key == public_key):
        _count(session, pairing, _blurred(vault, address), now=now)
        pairing = locked(session, Pairing, pairing.operator_id, pairing.id)
        _judge(pairing, public_key, is_proven=is_proven, now=now)
        if pairing.public_key is None:
            pairing.public_key, pairing.answered_at = public_key, now
            session.add(pairing)
            _note(session, "pairing_answered", pairing, now, key=fingerprint(public_key))
    return _answer_view(session, pairing, public_key, vault, passphrase, now=now)


def confirm(
    session: Session,
    operator_id: UUID,
    request: NewPairingConfirmation,
    *,
    store_ids: Stores,
    now: datetime,
) -> PairingView:
    """Make the device that has answered the terminal. An older device's key is dead at once.

    Asking again with the right digits changes nothing. Each other try counts; the third is the
    last.

    Raises:
        Unknown: No such pairing in one's stores.
        MoveNotAllowed: No device has answered, or it is refused or too late; or the terminal was
            revoked meanwhile.
        CodeWrong: The digits are others.
        TooManyTries: They were wrong three times; begin anew.
        NameTaken: A terminal that was made elsewhere has this id; pair without naming one.
        TerminalHasJournal: It has worked without a network meanwhile.
    """
    pairing = locked(session, Pairing, operator_id, request.pairing_id)
    see_store(store_ids, pairing.store_id, "pairing", pairing.id)
    state, key = state_of(pairing, now), pairing.public_key
    if key is None or state not in (PairingState.ANSWERED, PairingState.CONFIRMED):
        raise MoveNotAllowed(state=state)
    is_right = request.digits == pairing_digits(pairing.hash, key)
    if is_right and state is PairingState.CONFIRMED:
        return view(pairing, now=now)
    most = Budget(f"pairing confirmation {pairing.id}", MOST_CONFIRMATIONS, LASTS)
    tries.take(session, operator_id, [most], now=now)
    if not is_right or state is PairingState.CONFIRMED:
        raise CodeWrong
    _become(session, pairing, key, now=now)
    return view(pairing, now=now)


def refuse(
    session: Session,
    operator_id: UUID,
    request: NewPairingRefusal,
    *,
    store_ids: Stores,
    now: datetime,
) -> PairingView:
    """End a pairing without a terminal. Asking again changes nothing.

    Raises:
        Unknown: No such pairing in one's stores.
        MoveNotAllowed: It is confirmed; revoke the terminal instead.
    """
    pairing = locked(session, Pairing, operator_id, request.pairing_id)
    see_store(store_ids, pairing.store_id, "pairing", pairing.id)
    if pairing.confirmed_at is not None:
        raise MoveNotAllowed(state=PairingState.CONFIRMED)
    if pairing.refused_at is None:
        pairing.refused_at = now
        session.add(pairing)
        _note(session, "pairing_refused", pairing, now)
    return view(pairing, now=now)


def pairing_view(
    session: Session, operator_id: UUID, pairing_id: UUID, *, store_ids: Stores, now: datetime
) -> PairingView:
    """Return how a pairing stands, with the digits that the device must show.

    Raises:
        Unknown: No such pairing in one's stores.
    """
    pairing = found(session, Pairing, operator_id, pairing_id)
    see_store(store_ids, pairing.store_id, "pairing", pairing.id)
    return view(pairing, now=now)


def state_of(pairing: Pairing, now: datetime) -> PairingState:
    if pairing.confirmed_at is not None:
        return PairingState.CONFIRMED
    if pairing.refused_at is not None:
        return PairingState.REFUSED
    if pairing.expires_at <= now:
        return PairingState.EXPIRED
    return PairingState.WAITING if pairing.public_key is None else PairingState.ANSWERED


def view(pairing: Pairing, *, now: datetime) -> PairingView:
    key = pairing.public_key
    return PairingView(
        id=pairing.id,
        store_id=pairing.store_id,
        terminal_id=pairing.terminal_id,
        name=pairing.name,
        state=state_of(pairing, now),
        digits=pairing_digits(pairing.hash, key) if key else None,
        created_at=pairing.created_at,
        expires_at=pairing.expires_at,
    )


def fingerprint(public_key: bytes) -> str:
    """Name a key in the record."""
    return sha256(public_key).hexdigest()[:16]


def _make(
    session: Session, operator_id: UUID, request: NewPairing, secret: str, *, now: datetime
) -> Pairing:
    found(session, Store, operator_id, request.store_id)
    if request.terminal_id is not None:
        terminal = found(session, Terminal, operator_id, request.terminal_id)
        if terminal.store_id != request.store_id:
            raise Unknown("terminal", terminal.id)
        _refuse_revoked(terminal)
        _refuse_second_journal(session, terminal)
    pairing = Pairing(
        operator_id=operator_id,
        id=request.id,
        hash=pairing_hash(secret),
        store_id=request.store_id,
        terminal_id=request.terminal_id or new_id(now),
        name=request.name,
        created_at=now,
        expires_at=now + LASTS,
    )
    session.add(pairing)
    _note(session, "pairing_begun", pairing, now)
    return pairing


def _refuse_second_journal(session: Session, terminal: Terminal) -> None:
    """Refuse a terminal that may have entries which nobody has seen: only a lease lets it."""
    query = select(Lease.id).where(
        col(Lease.operator_id) == terminal.operator_id, col(Lease.terminal_id) == terminal.id
    )
    if session.exec(query.limit(1)).first():
        raise TerminalHasJournal


def _proves(request: NewPairingAnswer, public_key: bytes) -> bool:
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
    signature = urlsafe_b64decode(request.proof + "==")
    said = pairing_proof(request.secret, public_key)
    return get_algorithm_by_name("ES256").verify(said, key, signature)


def _count(session: Session, pairing: Pairing, address: str, *, now: datetime) -> None:
    budgets = [
        Budget(f"pairing answer {pairing.id}", MOST_ANSWERS, LASTS),
        Budget(f"pairing answer from {address}", MOST_ANSWERS_FROM_AN_ADDRESS, LASTS),
    ]
    tries.take(session, pairing.operator_id, budgets, now=now)


def _blurred(vault: Vault, address: str) -> str:
    """Tell addresses apart without keeping one."""
    return vault.lookup(address, "pairing address").hex()[:24]


def _judge(pairing: Pairing, public_key: bytes, *, is_proven: bool, now: datetime) -> None:
    """Pass the first device that proves its key, and that device alone. A no counts."""
    no: NotSignedIn | PairingTaken | None = None
    if not is_proven:
        no = NotSignedIn()
    elif pairing.public_key is None:
        no = None if state_of(pairing, now) is PairingState.WAITING else NotSignedIn()
    elif pairing.public_key != public_key:
        no = PairingTaken()
    if no is not None:
        no.is_answered = True
        raise no


def _become(session: Session, pairing: Pairing, public_key: bytes, *, now: datetime) -> None:
    operator_id = pairing.operator_id
    terminal = session.get(
        Terminal,
        (operator_id, pairing.terminal_id),
        with_for_update={"key_share": True},
        populate_existing=True,
    )
    if terminal is None:
        terminal = Terminal(
            operator_id=operator_id,
            id=pairing.terminal_id,
            store_id=pairing.store_id,
            name=pairing.name,
            created_at=now,
        )
    _refuse_revoked(terminal)
    _refuse_second_journal(session, terminal)
    before = {
        "name": terminal.name if terminal.paired_at else None,
        "key": fingerprint(terminal.public_key) if terminal.public_key else None,
        "paired_at": terminal.paired_at,
    }
    try:
        with session.begin_nested():
            terminal.name, terminal.public_key = pairing.name, public_key
            terminal.paired_at = pairing.confirmed_at = now
            session.add_all([terminal, pairing])
            session.flush()
    except IntegrityError:
        raise NameTaken(id=str(pairing.terminal_id)) from None
    shifts.end_all(session, operator_id, now=now, terminal_id=terminal.id)
    after = {"name": terminal.name, "key": fingerprint(public_key), "paired_at": now}
    events.record(
        session,
        events.happened(
            "terminal_paired",
            terminal.id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={
                "pairing_id": pairing.id,
                "store_id": terminal.store_id,
                "before": before,
                "after": after,
            },
        ),
    )


def _refuse_revoked(terminal: Terminal) -> None:
    if terminal.revoked_at is not None:
        raise MoveNotAllowed(state="revoked")


def _answer_view(
    session: Session,
    pairing: Pairing,
    public_key: bytes,
    vault: Vault,
    passphrase: bytes,
    *,
    now: datetime,
) -> PairingAnswerView:
    state = state_of(pairing, now)
    pin_key = server_key = None
    if state is PairingState.CONFIRMED:
        raw = pins.device_key(vault, pairing.operator_id, pairing.terminal_id, public_key)
        pin_key = urlsafe_b64encode(raw).rstrip(b"=").decode()
        jwk = server_keys.public(session, pairing.operator_id, passphrase=passphrase, now=now)
        server_key = HolderKey(x=jwk["x"], y=jwk["y"])
    return PairingAnswerView(
        state=state,
        digits=pairing_digits(pairing.hash, public_key),
        terminal_id=pairing.terminal_id,
        store_id=pairing.store_id,
        name=pairing.name,
        pin_key=pin_key,
        server_key=server_key,
    )


def _device(pairing: Pairing) -> Actor:
    return Actor(
        kind=ActorKind.TERMINAL,
        id=str(pairing.terminal_id),
        name=pairing.name,
        role=Role.TERMINAL,
    )


def _note(session: Session, kind: str, pairing: Pairing, now: datetime, **more: str) -> None:
    events.note(
        session,
        events.happened(
            kind,
            pairing.terminal_id,
            operator_id=pairing.operator_id,
            campaign_id=None,
            at=now,
            data={"pairing_id": pairing.id, "store_id": pairing.store_id, **more},
        ),
    )
