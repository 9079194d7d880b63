"""Finding whom a credential names.

Each look is a transaction of its own, and row-level security shows it the one row whose secret, or
name, was presented. That row tells the operator; nothing else in a request can.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlmodel import Session

from api.asking.callers import Caller
from coupon_engine import acting, api_keys
from coupon_engine.acting import by_system, on_showing
from coupon_engine.customers import wallets
from coupon_engine.database import transaction
from coupon_engine.people import sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.tables import Operator, SignIn
from coupon_engine.terminals import shifts, terminals
from schemas.access import AT_A_STORE, Actor, ActorKind, Role


@dataclass(frozen=True, slots=True)
class Device:
    """A terminal or a phone: who it is, and the key that its signatures must fit."""

    caller: Caller
    public_key: bytes


def program(engine: Engine, key: str, *, now: datetime) -> Caller | None:
    """Return whose API key this is."""
    id = api_keys.presented(key)
    if id is None:
        return None
    with transaction(engine, on_showing(id)) as session:
        found = api_keys.found(session, key, now=now)
    if found is None:
        return None
    return Caller(
        operator_id=found.operator_id,
        role=Role.INTEGRATOR,
        actor=Actor(kind=ActorKind.API_KEY, id=found.id, name=found.name, role=Role.INTEGRATOR),
        id=found.id,
        scopes=found.scopes,
        clock_ahead=found.clock_ahead,
    )


def person(engine: Engine, secret: str, *, now: datetime) -> Caller | None:
    """Return who is signed in with this cookie. Never kept: what has ended has ended."""
    with transaction(engine, on_showing(hash_of(secret).hex())) as session:
        row = sign_ins.found(session, secret, now=now)
        if row is None:
            return None
        if not sign_ins.is_seen_lately(row, now):
            acting.enter(session, row.operator_id)
            sign_ins.seen(session, row.operator_id, row.hash, now=now)
        return _person(session, row)


def device(engine: Engine, id: str) -> Device | None:
    """Return the terminal or the wallet with this id, if its key still counts."""
    with transaction(engine, on_showing(id)) as session:
        return _terminal(session, UUID(id)) or _wallet(session, UUID(id))


def note_seen(engine: Engine, device: Device, *, now: datetime) -> bool:
    """Write down that a terminal has really signed something; a wallet writes it down itself."""
    of = device.caller
    if of.terminal_id is not None:
        with transaction(engine, by_system(of.operator_id)) as session:
            terminals.seen(session, of.operator_id, of.terminal_id, now=now)
    return True


def at_shift(engine: Engine, caller: Caller, secret: str, *, now: datetime) -> Caller | None:
    """Return the terminal with the cashier who has taken a seat there; None if nobody has."""
    assert caller.terminal_id
    with transaction(engine, by_system(caller.operator_id)) as session:
        shift = shifts.open_shift(session, caller.operator_id, caller.terminal_id, secret, now=now)
    if shift is None:
        return None
    return replace(caller, actor=caller.actor.model_copy(update={"cashier": shift.name}))


def _person(session: Session, row: SignIn) -> Caller:
    role = Role(row.role)
    return Caller(
        operator_id=row.operator_id,
        role=role,
        actor=Actor(
            kind=ActorKind.PERSON,
            id=str(row.account_id),
            name=row.name,
            role=role,
            acts_for=row.acts_for,
        ),
        id=str(row.account_id),
        store_ids=frozenset(row.store_ids) if role in AT_A_STORE else None,
        clock_ahead=_clock_ahead(session, row.operator_id),
        sign_in=row.hash,
        is_half=not sign_ins.is_whole(row.methods),
        stepped_up_until=sign_ins.stepped_up_until(row),
    )


def _terminal(session: Session, id: UUID) -> Device | None:
    key = terminals.key_of(session, id)
    if key is None:
        return None
    caller = Caller(
        operator_id=key.operator_id,
        role=Role.TERMINAL,
        actor=Actor(kind=ActorKind.TERMINAL, id=str(id), name=key.name, role=Role.TERMINAL),
        id=str(id),
        store_ids=frozenset({key.store_id}),
        terminal_id=id,
        clock_ahead=_clock_ahead(session, key.operator_id),
    )
    return Device(caller, key.public_key)


def _wallet(session: Session, id: UUID) -> Device | None:
    key = wallets.key_of(session, id)
    if key is None:
        return None
    caller = Caller(
        operator_id=key.operator_id,
        role=Role.CUSTOMER,
        # The record names a wallet by its id: it knows no name, and wants none.
        actor=Actor(kind=ActorKind.CUSTOMER, id=str(id), name="wallet", role=Role.CUSTOMER),
        id=str(id),
        customer_id=key.customer_id,
        clock_ahead=_clock_ahead(session, key.operator_id),
    )
    return Device(caller, key.public_key)


def _clock_ahead(session: Session, operator_id: UUID) -> timedelta:
    return timedelta(seconds=session.get_one(Operator, operator_id).clock_ahead_seconds)
