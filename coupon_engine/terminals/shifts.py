"""Shifts: a cashier has shown their PIN at a terminal, and their name is on what it does."""

from base64 import b32encode
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import events, tries
from coupon_engine.answers import answered
from coupon_engine.errors import CodeWrong, NotSignedIn, RequestReused, Unknown
from coupon_engine.rows import locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Cashier, Shift, Terminal
from coupon_engine.terminals import pins
from coupon_engine.tries import Budget
from schemas.terminals import MOST_TRIES, NewShift, NewShiftEnd, ShiftEndView, ShiftView

LASTS = timedelta(hours=12)
TRIES_LAST = timedelta(minutes=15)
MOST_TRIES_AT_A_TERMINAL = 20


def start_shift(
    session: Session,
    operator_id: UUID,
    terminal_id: UUID,
    request: NewShift,
    *,
    vault: Vault,
    now: datetime,
) -> ShiftView:
    """Let a cashier sit down at this terminal; whoever sat there before has left.

    The secret follows from the request's id and the server's own secret: whoever asks again with
    the same id and the right PIN gets the same answer. Every try counts until one is right.

    Raises:
        CodeWrong: Not this cashier's PIN; or there is no such cashier here, which looks the same.
        TooManyTries: Too often wrong, by this cashier here or by all at this terminal.
        RequestReused: This id was used for another shift.
        NotSignedIn: The terminal was revoked a moment ago.
    """
    own = f"pin {request.cashier_id} {terminal_id}"
    budgets = [
        Budget(own, MOST_TRIES, TRIES_LAST),
        Budget(f"pins {terminal_id}", MOST_TRIES_AT_A_TERMINAL, TRIES_LAST),
    ]
    tries.take(session, operator_id, budgets, now=now)
    cashier = session.get(
        Cashier,
        (operator_id, request.cashier_id),
        with_for_update={"key_share": True},
        populate_existing=True,
    )
    terminal = locked(session, Terminal, operator_id, terminal_id)
    if terminal.revoked_at is not None:
        raise NotSignedIn
    if cashier and (cashier.store_id != terminal.store_id or cashier.revoked_at):
        cashier = None
    if not pins.is_pin_of(cashier, request.pin.get_secret_value(), vault) or cashier is None:
        raise CodeWrong
    tries.forget(session, operator_id, own)

    secret = _secret(vault, operator_id, request.id)
    shift = session.get(Shift, (operator_id, request.id))
    if shift is None:
        end_all(session, operator_id, now=now, terminal_id=terminal_id)
        shift = Shift(
            operator_id=operator_id,
            id=request.id,
            hash=sha256(secret.encode()).digest(),
            terminal_id=terminal_id,
            cashier_id=cashier.id,
            name=cashier.name,
            started_at=now,
            expires_at=now + LASTS,
        )
        session.add(shift)
        _note(session, "shift_started", shift, now)
    elif (shift.terminal_id, shift.cashier_id) != (terminal_id, cashier.id):
        raise RequestReused
    return ShiftView(
        id=shift.id,
        terminal_id=terminal_id,
        cashier_id=cashier.id,
        name=shift.name,
        secret=secret,
        started_at=shift.started_at,
        expires_at=shift.expires_at,
    )


@answered(ShiftEndView)
def end_shift(
    session: Session,
    operator_id: UUID,
    request: NewShiftEnd,
    *,
    terminal_id: UUID,
    now: datetime,
) -> ShiftEndView:
    """The cashier gets up.

    Raises:
        Unknown: No such shift at this terminal.
    """
    shift = locked(session, Shift, operator_id, request.shift_id)
    if shift.terminal_id != terminal_id:
        raise Unknown("shift", shift.id)
    if shift.ended_at is None:
        shift.ended_at = min(now, shift.expires_at)
        session.add(shift)
        _note(session, "shift_ended", shift, now)
    return ShiftEndView(id=request.id, shift_id=shift.id, ended_at=shift.ended_at)


def open_shift(
    session: Session, operator_id: UUID, terminal_id: UUID, secret: str, *, now: datetime
) -> Shift | None:
    """Return the shift that this secret belongs to, while it lasts, at this terminal."""
    shift = session.exec(
        select(Shift).where(
            col(Shift.operator_id) == operator_id,
            col(Shift.hash) == sha256(secret.encode()).digest(),
            col(Shift.terminal_id) == terminal_id,
            col(Shift.ended_at).is_(None),
        )
    ).one_or_none()
    return shift if shift and now < shift.expires_at else None


def end_all(
    session: Session,
    operator_id: UUID,
    *,
    now: datetime,
    terminal_id: UUID | None = None,
    cashier_id: UUID | None = None,
) -> None:
    """End what is open at a terminal, or of a cashier."""
    query = select(Shift).where(
        col(Shift.operator_id) == operator_id, col(Shift.ended_at).is_(None)
    )
    if terminal_id is not None:
        query = query.where(col(Shift.terminal_id) == terminal_id)
    if cashier_id is not None:
        query = query.where(col(Shift.cashier_id) == cashier_id)
    for shift in session.exec(query.order_by(col(Shift.id)).with_for_update(key_share=True)).all():
        shift.ended_at = min(now, shift.expires_at)
        session.add(shift)
        _note(session, "shift_ended", shift, now)


def _secret(vault: Vault, operator_id: UUID, shift_id: UUID) -> str:
    return b32encode(vault.lookup(f"{operator_id}/{shift_id}", "shift")[:16]).decode()[:26]


def _note(session: Session, kind: str, shift: Shift, now: datetime) -> None:
    events.note(
        session,
        events.happened(
            kind,
            shift.terminal_id,
            operator_id=shift.operator_id,
            campaign_id=None,
            at=now,
            data={
                "shift_id": shift.id,
                "cashier_id": shift.cashier_id,
                "cashier": shift.name,
            },
        ),
    )
