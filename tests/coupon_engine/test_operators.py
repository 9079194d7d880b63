"""Operators, and the places and people they work with."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import operators
from coupon_engine.errors import NameTaken, RequestReused, Unknown
from schemas.campaigns import (
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOperator,
    NewStore,
    NewTerminal,
)
from tests import make
from tests.coupon_engine.record import count
from tests.make import NOON

LATER = NOON + timedelta(days=1)


def test_an_operator_asked_for_twice_is_one_operator(session: Session) -> None:
    request = NewOperator(id=make.an_id(), slug="acme", name="Acme")
    first = operators.create_operator(session, request, now=NOON)

    assert operators.create_operator(session, request, now=LATER) == first
    assert operators.operator_named(session, "acme") == first
    assert count(session, "operator") == 1


@pytest.mark.parametrize("changed", [{"name": "Other"}, {"slug": "other"}, {"id": make.an_id()}])
def test_an_operators_name_and_id_are_taken_once(session: Session, changed: Any) -> None:
    request = NewOperator(id=make.an_id(), slug="acme", name="Acme")
    operators.create_operator(session, request, now=NOON)

    with pytest.raises(NameTaken):
        operators.create_operator(session, request.model_copy(update=changed), now=NOON)

    assert count(session, "operator") == 1


def test_stores_are_numbered_by_operator(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)

    second = make.another_store(session, at.operator_id, at.store.merchant_id)

    assert (at.store.number, second.number, stranger.store.number) == (1, 2, 1)


def test_places_are_listed_by_their_operator_alone(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    second = make.another_store(session, at.operator_id, at.store.merchant_id)

    def ids(of: Any, **more: Any) -> list[Any]:
        asked = {"after": None, "most": 10, **more}
        return [one.id for one in of(session, at.operator_id, **asked)]

    assert ids(operators.stores) == [at.store.id, second.id]
    assert ids(operators.stores, after=at.store.id) == [second.id]
    assert ids(operators.stores, most=1) == [at.store.id]
    assert ids(operators.terminals) == [at.terminal.id]
    assert ids(operators.merchants) == [at.store.merchant_id]
    assert stranger.store.id not in ids(operators.stores)


def test_another_operators_merchant_and_store_are_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)

    with pytest.raises(Unknown):
        make.another_store(session, stranger.operator_id, at.store.merchant_id)
    with pytest.raises(Unknown):
        operators.create_terminal(
            session,
            stranger.operator_id,
            NewTerminal(id=make.an_id(), store_id=at.store.id, name="Till 9"),
            now=NOON,
        )

    assert count(session, "store") == 2
    assert count(session, "terminal") == 2


def test_places_made_twice_under_one_id_are_made_once(session: Session) -> None:
    at = make.shop(session)
    merchant = NewMerchant(id=make.an_id(), name="Baker")
    store = NewStore(
        id=make.an_id(), merchant_id=at.store.merchant_id, name="Mall", zone="Asia/Shanghai"
    )
    before = (count(session, "merchant"), count(session, "store"))

    for now in (NOON, LATER):
        operators.create_merchant(session, at.operator_id, merchant, now=now)
        assert operators.create_store(session, at.operator_id, store, now=now).number == 2

    assert (count(session, "merchant"), count(session, "store")) == (before[0] + 1, before[1] + 1)
    with pytest.raises(RequestReused):
        operators.create_store(
            session, at.operator_id, store.model_copy(update={"zone": "UTC"}), now=NOON
        )


# Customers.


def known(session: Session, at: make.Shop, *customers: NewCustomer, now: Any = NOON) -> None:
    asked = NewCustomers(id=make.an_id(), customers=customers)
    assert operators.create_customers(session, at.operator_id, asked, now=now).count == len(
        customers
    )


def test_customers_are_brought_up_to_date(session: Session) -> None:
    at = make.shop(session)
    ann = NewCustomer(id=make.an_id(), ref="ann", segments=("vip",))
    bob = NewCustomer(id=make.an_id(), ref="bob", has_purchased=True)
    known(session, at, ann, bob)

    known(
        session,
        at,
        ann.model_copy(update={"segments": ("staff",), "has_purchased": True}),
        bob.model_copy(update={"ref": "robert", "has_purchased": False}),
        now=LATER,
    )

    seen = operators.customers(session, at.operator_id, after=None, most=10)
    assert [(one.ref, one.segments, one.has_purchased) for one in seen] == [
        ("ann", ("staff",), True),
        ("robert", (), False),
    ]


def test_one_ref_is_one_customer_at_each_operator(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    known(session, at, NewCustomer(id=make.an_id(), ref="ann"))
    known(session, stranger, NewCustomer(id=make.an_id(), ref="ann"))

    with pytest.raises(NameTaken) as raised:
        known(
            session,
            at,
            NewCustomer(id=make.an_id(), ref="bob"),
            NewCustomer(id=make.an_id(), ref="ann"),
        )

    assert raised.value.details == {"refs": ["ann"]}
    assert count(session, "customer") == 2


def test_what_is_not_told_of_a_customer_stays_as_it_was(session: Session) -> None:
    at = make.shop(session)
    ann = NewCustomer(id=make.an_id(), ref="ann", segments=("vip",), has_purchased=True)
    bob = NewCustomer(id=make.an_id(), ref="bob", segments=("vip",))
    known(session, at, ann, bob)

    known(
        session,
        at,
        NewCustomer(id=ann.id, ref="ann", segments=()),
        NewCustomer(id=bob.id, ref="robert", has_purchased=True),
    )

    seen = operators.customers(session, at.operator_id, after=None, most=10)
    assert [(one.ref, one.segments, one.has_purchased) for one in seen] == [
        ("ann", (), True),
        ("robert", ("vip",), True),
    ]
