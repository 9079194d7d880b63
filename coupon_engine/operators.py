"""Operators, their way in, and the merchants, stores, terminals and customers they work with."""

import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import bulk
from coupon_engine.answers import answered
from coupon_engine.errors import NameTaken, Unknown
from coupon_engine.rows import found, some
from coupon_engine.tables import ApiKey, Customer, Merchant, Operator, Store, Terminal
from schemas.campaigns import (
    ApiKeyView,
    CustomersView,
    CustomerView,
    MerchantView,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOperator,
    NewStore,
    NewTerminal,
    OperatorView,
    StoreView,
    TerminalView,
)

KEY_PREFIX = "cfk"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"


def create_operator(session: Session, request: NewOperator, *, now: datetime) -> OperatorView:
    """Make an operator. Asking again with the same id and contents changes nothing.

    Raises:
        NameTaken: Another operator has this slug, or this id under another slug.
    """
    there = session.exec(
        select(Operator).where(
            (col(Operator.id) == request.id) | (col(Operator.slug) == request.slug)
        )
    ).all()
    if [(each.id, each.slug, each.name) for each in there] == [
        (request.id, request.slug, request.name)
    ]:
        return _operator_view(there[0])
    if there:
        raise NameTaken(slug=request.slug)
    operator = Operator(id=request.id, slug=request.slug, name=request.name, created_at=now)
    session.add(operator)
    _flush_or_taken(session, slug=request.slug)
    return _operator_view(operator)


def create_api_key(session: Session, operator_id: UUID, name: str, *, now: datetime) -> ApiKeyView:
    """Make a way in for a program. The key is shown in this answer and never again.

    Raises:
        Unknown: No such operator.
    """
    if session.get(Operator, operator_id) is None:
        raise Unknown("operator", operator_id)
    id, secret = _letters(8), _letters(32)
    session.add(
        ApiKey(
            operator_id=operator_id,
            id=id,
            hash=sha256(secret.encode()).digest(),
            name=name,
            created_at=now,
        )
    )
    session.flush()
    return ApiKeyView(operator_id=operator_id, api_key=f"{KEY_PREFIX}_{id}_{secret}")


def revoke_api_key(session: Session, operator_id: UUID, id: str, *, now: datetime) -> None:
    """Close a way in, for good. `id` is the eight letters after the prefix; twice is once.

    Raises:
        Unknown: This operator has no such key.
    """
    row = session.get(ApiKey, (operator_id, id))
    if row is None:
        raise Unknown("api_key", id)
    row.revoked_at = row.revoked_at or now
    session.add(row)


def operator_of(session: Session, api_key: str) -> UUID | None:
    """Return whose key this is, or None: unknown, revoked and misspelt keys look the same."""
    match api_key.split("_"):
        case [prefix, id, secret] if prefix == KEY_PREFIX and len(id) == 8:
            row = session.exec(select(ApiKey).where(ApiKey.id == id)).one_or_none()
        case _:
            return None
    if row is None or row.revoked_at is not None:
        return None
    # A random key of 180 bits needs no slow hash.
    is_right = hmac.compare_digest(row.hash, sha256(secret.encode()).digest())
    return row.operator_id if is_right else None


def operator_named(session: Session, slug: str) -> OperatorView:
    """Return the operator with this slug.

    Raises:
        Unknown: There is none.
    """
    operator = session.exec(select(Operator).where(Operator.slug == slug)).one_or_none()
    if operator is None:
        raise Unknown("operator", slug)
    return _operator_view(operator)


@answered(MerchantView)
def create_merchant(
    session: Session, operator_id: UUID, request: NewMerchant, *, now: datetime
) -> MerchantView:
    merchant = Merchant(operator_id=operator_id, id=request.id, name=request.name, created_at=now)
    session.add(merchant)
    return _merchant_view(merchant)


@answered(StoreView)
def create_store(
    session: Session, operator_id: UUID, request: NewStore, *, now: datetime
) -> StoreView:
    """Make a store. Its number, which tokens carry, is the operator's next.

    Raises:
        Unknown: No such merchant.
    """
    found(session, Merchant, operator_id, request.merchant_id)
    store = Store(
        operator_id=operator_id,
        id=request.id,
        merchant_id=request.merchant_id,
        number=next_number(session, operator_id, Store),
        name=request.name,
        zone=request.zone,
        created_at=now,
    )
    session.add(store)
    return _store_view(store)


@answered(TerminalView)
def create_terminal(
    session: Session, operator_id: UUID, request: NewTerminal, *, now: datetime
) -> TerminalView:
    """Make a terminal of a store.

    Raises:
        Unknown: No such store.
    """
    found(session, Store, operator_id, request.store_id)
    terminal = Terminal(
        operator_id=operator_id,
        id=request.id,
        store_id=request.store_id,
        name=request.name,
        created_at=now,
    )
    session.add(terminal)
    return _terminal_view(terminal)


@answered(CustomersView)
def create_customers(
    session: Session, operator_id: UUID, request: NewCustomers, *, now: datetime
) -> CustomersView:
    """Make customers known, or bring what is known of them up to date.

    Raises:
        NameTaken: A ref belongs to a customer with another id.
    """
    in_turn(session, operator_id)  # of two who want the same ref, the second must see the first
    refs = {one.ref: one.id for one in request.customers}
    there = session.connection().execute(
        text("SELECT id, ref FROM customer WHERE operator_id = :operator_id AND ref = ANY(:refs)"),
        {"operator_id": operator_id, "refs": list(refs)},
    )
    if taken := [row.ref for row in there if refs[row.ref] != row.id]:
        raise NameTaken(refs=taken[:10])
    rows: list[dict[str, Any]] = [
        {
            "operator_id": operator_id,
            "id": one.id,
            "ref": one.ref,
            "segments": list(one.segments or ()),
            "has_purchased": one.has_purchased or False,
            "created_at": now,
        }
        for one in sorted(request.customers, key=lambda one: one.id)
    ]
    bulk.write(session, bulk.Insert(Customer, rows, unless_there=True))
    for told in _alike(request.customers, operator_id):
        bulk.write(session, bulk.Update(Customer, told))
    return CustomersView(id=request.id, count=len(rows))


def _alike(customers: Sequence[NewCustomer], operator_id: UUID) -> Iterable[list[dict[str, Any]]]:
    """Return what is told of these customers, those together of whom the same things are told.

    What a request leaves out stays as it was.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in customers:
        told = one.model_dump(include={"id", "ref", "segments", "has_purchased"}, exclude_none=True)
        alike.setdefault(tuple(told), []).append({"operator_id": operator_id, **told})
    return alike.values()


def merchants(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[MerchantView]:
    rows = some(session, Merchant, operator_id, after=after, most=most)
    return [_merchant_view(row) for row in rows]


def stores(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[StoreView]:
    rows = some(session, Store, operator_id, after=after, most=most)
    return [_store_view(row) for row in rows]


def terminals(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[TerminalView]:
    rows = some(session, Terminal, operator_id, after=after, most=most)
    return [_terminal_view(row) for row in rows]


def customers(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[CustomerView]:
    rows = some(session, Customer, operator_id, after=after, most=most)
    return [
        CustomerView(
            id=row.id,
            ref=row.ref,
            segments=tuple(row.segments),
            has_purchased=row.has_purchased,
        )
        for row in rows
    ]


def in_turn(session: Session, operator_id: UUID) -> None:
    """Let whoever else does such a thing for this operator wait until we are done."""
    session.exec(
        select(Operator).where(Operator.id == operator_id).with_for_update(key_share=True)
    ).one()


def next_number(session: Session, operator_id: UUID, table: type[Any]) -> int:
    """Return the operator's next number for a thing that tokens name by number.

    Small numbers keep the code small, and a sequence would be shared with other operators, so the
    operator's row is locked instead: stores and campaigns are made rarely.
    """
    in_turn(session, operator_id)
    highest = session.exec(
        select(func.max(table.number)).where(table.operator_id == operator_id)
    ).one()
    return (highest or 0) + 1


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _flush_or_taken(session: Session, **details: Any) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        raise NameTaken(**details) from error


def _operator_view(operator: Operator) -> OperatorView:
    return OperatorView(id=operator.id, slug=operator.slug, name=operator.name)


def _merchant_view(merchant: Merchant) -> MerchantView:
    return MerchantView(id=merchant.id, name=merchant.name)


def _store_view(store: Store) -> StoreView:
    return StoreView(
        id=store.id,
        merchant_id=store.merchant_id,
        number=store.number,
        name=store.name,
        zone=store.zone,
    )


def _terminal_view(terminal: Terminal) -> TerminalView:
    return TerminalView(id=terminal.id, store_id=terminal.store_id, name=terminal.name)
