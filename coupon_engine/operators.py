"""Operators, and the merchants, stores, terminals and customers they work with."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import acting, bulk, events
from coupon_engine.answers import answered
from coupon_engine.errors import NameTaken, Unknown
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Customer, Merchant, Operator, Store, Terminal
from schemas.campaigns import (
    CustomersView,
    CustomerView,
    MerchantView,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOperator,
    NewStore,
    NewStoreChange,
    NewTerminal,
    OperatorView,
    StoreView,
    TerminalView,
    Whereabouts,
)


def create_operator(
    session: Session, request: NewOperator, *, sandbox_of: UUID | None = None, now: datetime
) -> OperatorView:
    """Make an operator. Asking again with the same id and contents changes nothing.

    Raises:
        NameTaken: Another operator has this slug, or this id under another slug.
    """
    acting.enter(session, request.id)
    there = session.exec(
        select(Operator).where(
            (col(Operator.id) == request.id) | (col(Operator.slug) == request.slug)
        )
    ).all()
    if [(each.id, each.slug, each.name, each.sandbox_of) for each in there] == [
        (request.id, request.slug, request.name, sandbox_of)
    ]:
        return _operator_view(there[0])
    if there:
        raise NameTaken(slug=request.slug)
    operator = Operator(
        id=request.id, slug=request.slug, name=request.name, sandbox_of=sandbox_of, created_at=now
    )
    session.add(operator)
    _flush_or_taken(session, slug=request.slug)
    return _operator_view(operator)


def set_approval_over(
    session: Session, operator_id: UUID, approval_over_minor: int, *, now: datetime
) -> None:
    """Say above which exposure a second person must approve; 0 means every campaign.

    From the server's own terminal alone: an owner who could set it could publish by themselves.
    """
    operator = _operator_locked(session, operator_id)
    before, operator.approval_over_minor = operator.approval_over_minor, approval_over_minor
    session.add(operator)
    told = {"before": before, "after": approval_over_minor}
    _note(session, "approval_over_set", operator_id, now, told)


def set_most_disputed(
    session: Session, operator_id: UUID, most_disputed_bp: int, *, now: datetime
) -> None:
    """Say up to which share of a merchant's own redemptions a campaign bears disputes.

    From the server's own terminal alone: it decides who pays.
    """
    operator = _operator_locked(session, operator_id)
    before, operator.most_disputed_bp = operator.most_disputed_bp, most_disputed_bp
    session.add(operator)
    told = {"before": before, "after": most_disputed_bp}
    _note(session, "most_disputed_set", operator_id, now, told)


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
    _tell(session, "merchant_created", merchant, now, {"name": merchant.name})
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
        **_place(request),
        created_at=now,
    )
    session.add(store)
    told = {"merchant_id": store.merchant_id, "name": store.name, "zone": store.zone}
    _tell(session, "store_created", store, now, {**told, **_place(request)})
    return _store_view(store)


@answered(StoreView)
def change_store(
    session: Session, operator_id: UUID, request: NewStoreChange, *, now: datetime
) -> StoreView:
    """Tell anew where a store is; its zone and its number never change.

    Raises:
        Unknown: No such store.
    """
    store = locked(session, Store, operator_id, request.store_id)
    before = {name: getattr(store, name) for name in Whereabouts.model_fields}
    for name, value in _place(request).items():
        setattr(store, name, value)
    session.add(store)
    _tell(session, "store_changed", store, now, {"before": before, "after": _place(request)})
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
    told = {"store_id": terminal.store_id, "name": terminal.name}
    _tell(session, "terminal_created", terminal, now, told)
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
    # Of people the record tells how many, and nothing that the operator may have to forget.
    events.note(
        session,
        events.happened(
            "customers_told",
            request.id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={"count": len(rows)},
        ),
    )
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
    session: Session,
    operator_id: UUID,
    *,
    store_ids: Collection[UUID] | None = None,
    after: UUID | None,
    most: int,
) -> list[StoreView]:
    """Return the stores, or of `store_ids` those that somebody is tied to."""
    own = None if store_ids is None else col(Store.id).in_(store_ids)
    rows = some(session, Store, operator_id, own, after=after, most=most)
    return [_store_view(row) for row in rows]


def terminals(
    session: Session,
    operator_id: UUID,
    *,
    store_ids: Collection[UUID] | None = None,
    after: UUID | None,
    most: int,
) -> list[TerminalView]:
    """Return the terminals, or those at the stores that somebody is tied to."""
    own = None if store_ids is None else col(Terminal.store_id).in_(store_ids)
    rows = some(session, Terminal, operator_id, own, after=after, most=most)
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


def _tell(
    session: Session,
    kind: str,
    of: Merchant | Store | Terminal,
    now: datetime,
    data: dict[str, Any],
) -> None:
    events.record(
        session,
        events.happened(
            kind, of.id, operator_id=of.operator_id, campaign_id=None, at=now, data=data
        ),
    )


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
        address=store.address,
        latitude_microdegrees=store.latitude_microdegrees,
        longitude_microdegrees=store.longitude_microdegrees,
    )


def _place(told: Whereabouts) -> dict[str, Any]:
    return {name: getattr(told, name) for name in Whereabouts.model_fields}


def _operator_locked(session: Session, operator_id: UUID) -> Operator:
    return session.exec(select(Operator).where(Operator.id == operator_id).with_for_update()).one()


def _note(
    session: Session, kind: str, operator_id: UUID, now: datetime, told: dict[str, Any]
) -> None:
    happened = events.happened(
        kind, operator_id, operator_id=operator_id, campaign_id=None, at=now, data=told
    )
    events.note(session, happened)


def _terminal_view(terminal: Terminal) -> TerminalView:
    return TerminalView(
        id=terminal.id,
        store_id=terminal.store_id,
        name=terminal.name,
        paired_at=terminal.paired_at,
        seen_at=terminal.seen_at,
        revoked_at=terminal.revoked_at,
    )
