"""Cashiers: the people at the terminals of a store, each with a PIN."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.errors import RequestReused
from coupon_engine.rows import found, locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Cashier, Store, Terminal
from coupon_engine.terminals import pins, shifts
from coupon_engine.terminals.terminals import Stores, see_store
from schemas.terminals import CashierView, NewCashier, NewCashierChange, PinVerifier


def create_cashier(
    session: Session,
    operator_id: UUID,
    request: NewCashier,
    *,
    store_ids: Stores,
    vault: Vault,
    now: datetime,
) -> CashierView:
    """Make a cashier known. Asking again with the same id and contents changes nothing.

    Raises:
        Unknown: No such store among one's own.
        RequestReused: This id was used for another cashier, or with another PIN.
    """
    see_store(store_ids, request.store_id, "store", request.store_id)
    found(session, Store, operator_id, request.store_id)
    pin = request.pin.get_secret_value()
    cashier = session.get(Cashier, (operator_id, request.id))
    if cashier is not None:
        asked = (request.store_id, request.name)
        if (cashier.store_id, cashier.name) != asked or not pins.is_pin_of(cashier, pin, vault):
            raise RequestReused
        return _view(cashier)
    cashier = Cashier(
        operator_id=operator_id,
        id=request.id,
        store_id=request.store_id,
        name=request.name,
        pin_hash=pins.sealed(operator_id, request.id, pin, vault),
        created_at=now,
    )
    session.add(cashier)
    _tell(session, "cashier_made", cashier, now, before={}, after={"name": cashier.name})
    return _view(cashier)


def change_cashier(
    session: Session,
    operator_id: UUID,
    request: NewCashierChange,
    *,
    store_ids: Stores,
    vault: Vault,
    now: datetime,
) -> CashierView:
    """Set another PIN, or let somebody sign in no more: their shifts end at once.

    Doing the same again changes nothing; nothing of the PIN is kept to tell.

    Raises:
        Unknown: No such cashier in one's stores.
    """
    cashier = locked(session, Cashier, operator_id, request.cashier_id)
    see_store(store_ids, cashier.store_id, "cashier", cashier.id)
    before: dict[str, Any] = {"revoked_at": cashier.revoked_at}
    if request.pin is not None:
        pin = request.pin.get_secret_value()
        cashier.pin_hash = pins.sealed(operator_id, cashier.id, pin, vault)
    if request.revoke and cashier.revoked_at is None:
        cashier.revoked_at = now
        shifts.end_all(session, operator_id, now=now, cashier_id=cashier.id)
    session.add(cashier)
    after = {"revoked_at": cashier.revoked_at, "has_new_pin": request.pin is not None}
    _tell(
        session,
        "cashier_changed",
        cashier,
        now,
        before=before,
        after=after,
        reason=request.reason,
    )
    return _view(cashier)


def cashiers(
    session: Session,
    operator_id: UUID,
    *,
    store_ids: Stores,
    terminal_id: UUID | None,
    after: UUID | None,
    most: int,
    vault: Vault,
) -> list[CashierView]:
    """Return the cashiers of one's stores; a terminal gets those it may let in, with verifiers."""
    query = select(Cashier).where(col(Cashier.operator_id) == operator_id)
    if store_ids is not None:
        query = query.where(col(Cashier.store_id).in_(store_ids))
    key = None
    if terminal_id is not None:
        terminal = found(session, Terminal, operator_id, terminal_id)
        if terminal.public_key is not None:
            key = pins.device_key(vault, operator_id, terminal_id, terminal.public_key)
        query = query.where(
            col(Cashier.store_id) == terminal.store_id, col(Cashier.revoked_at).is_(None)
        )
    if after is not None:
        query = query.where(col(Cashier.id) > after)
    rows = session.exec(query.order_by(col(Cashier.id)).limit(most))
    return [_view(row, pins.verifier(row, key, vault) if key else None) for row in rows]


def _view(row: Cashier, verifier: PinVerifier | None = None) -> CashierView:
    return CashierView(
        id=row.id,
        store_id=row.store_id,
        name=row.name,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        verifier=verifier,
    )


def _tell(session: Session, kind: str, cashier: Cashier, now: datetime, **data: Any) -> None:
    events.note(
        session,
        events.happened(
            kind,
            cashier.id,
            operator_id=cashier.operator_id,
            campaign_id=None,
            at=now,
            data={"store_id": cashier.store_id, **data},
        ),
    )
