"""A cashier has a PIN, which nobody can read, and which few can guess."""

import hmac
from base64 import b64decode
from hashlib import sha256
from typing import Any

import pytest
from argon2.low_level import Type, hash_secret_raw
from pydantic import ValidationError
from sqlmodel import Session

from coupon_engine.errors import RequestReused, Unknown
from coupon_engine.sealing import Spoilt, Vault
from coupon_engine.tables import Cashier
from coupon_engine.terminals import cashiers, pins, shifts
from schemas.terminals import CashierView, NewCashier, NewCashierChange, PinVerifier
from tests import make
from tests.coupon_engine.terminals.devices import VAULT, cashier, paired, raw, sits_down, told
from tests.make import NOON, Shop


def changes(session: Session, at: Shop, who: CashierView, **more: Any) -> CashierView:
    asked: dict[str, Any] = {"id": make.an_id(), "cashier_id": who.id, "reason": "asked for it"}
    return cashiers.change_cashier(
        session,
        at.operator_id,
        NewCashierChange(**{**asked, **more}),
        store_ids=None,
        vault=VAULT,
        now=NOON,
    )


def listed(session: Session, at: Shop, **more: Any) -> list[CashierView]:
    asked: dict[str, Any] = {
        "store_ids": None,
        "terminal_id": None,
        "after": None,
        "most": 100,
        "vault": VAULT,
    }
    return cashiers.cashiers(session, at.operator_id, **{**asked, **more})


@pytest.mark.parametrize(
    "pin",
    ["123", "123456789", "0000", "7777777", "1234", "98765", "0123", "12a4", "", "١٢٣٥", "2 58"],
)
def test_a_pin_that_is_guessed_first_is_refused_and_not_repeated(pin: str) -> None:
    with pytest.raises(ValidationError) as refused:
        NewCashier(id=make.an_id(), store_id=make.an_id(), name="Ann", pin=pin)  # pyright: ignore[reportArgumentType]

    assert not pin or pin not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize("pin", ["2580", "1212", "0001", "1357", "13579024"])
def test_another_pin_will_do(pin: str) -> None:
    request = NewCashier(id=make.an_id(), store_id=make.an_id(), name="Ann", pin=pin)  # pyright: ignore[reportArgumentType]

    assert pin not in repr(request)
    assert pin not in request.model_dump_json(include={"pin"})


def test_making_a_cashier_again_changes_nothing(session: Session) -> None:
    at, id = make.shop(session), make.an_id()
    first = cashier(session, at, id=id)

    assert cashier(session, at, id=id) == first
    for other in ({"name": "Bob"}, {"pin": "1357"}):
        with pytest.raises(RequestReused):
            cashier(session, at, id=id, **other)
    assert len(told(session, "cashier_made")) == 1


def test_a_copy_of_the_database_tells_no_pin(session: Session) -> None:
    at = make.shop(session)
    cashier(session, at)
    twin = cashier(session, at, name="Bob")
    one, other = session.get_one(Cashier, (at.operator_id, twin.id)), listed(session, at)[0]
    another = session.get_one(Cashier, (at.operator_id, other.id))

    assert one.pin_hash != another.pin_hash  # the same PIN
    with pytest.raises(Spoilt):
        pins.is_pin_of(one, "2580", Vault.under(b"another master secret"))
    one.pin_hash, another.pin_hash = another.pin_hash, one.pin_hash  # one cannot be put for another
    with pytest.raises(Spoilt):
        pins.is_pin_of(one, "2580", VAULT)


def test_no_event_holds_a_pin(session: Session) -> None:
    at = make.shop(session)
    who = cashier(session, at, pin="25802580")

    changes(session, at, who, pin="13571357")

    (changed,) = told(session, "cashier_changed")
    assert changed.data["after"]["has_new_pin"] is True
    assert "2580" not in repr(told(session, "cashier_made")) + repr(changed)
    assert "13571357" not in repr(changed)


def test_a_new_pin_takes_the_place_of_the_old(session: Session) -> None:
    at = make.shop(session)
    who = cashier(session, at)

    changes(session, at, who, pin="1357")

    row = session.get_one(Cashier, (at.operator_id, who.id))
    assert pins.is_pin_of(row, "1357", VAULT)
    assert not pins.is_pin_of(row, "2580", VAULT)


def test_a_revoked_cashiers_shift_ends_at_once(session: Session) -> None:
    at = make.shop(session)
    terminal, who = paired(session, at), cashier(session, at)
    shift = sits_down(session, at, terminal, who)

    for _ in range(2):
        assert changes(session, at, who, revoke=True).revoked_at == NOON

    assert (
        shifts.open_shift(session, at.operator_id, terminal.terminal_id, shift.secret, now=NOON)
        is None
    )
    assert len(told(session, "shift_ended")) == 1


def test_another_stores_cashiers_are_unknown(session: Session) -> None:
    at = make.shop(session)
    who = cashier(session, at)
    elsewhere: Any = {"store_ids": frozenset({make.an_id()}), "vault": VAULT, "now": NOON}
    new = NewCashier(id=make.an_id(), store_id=at.store.id, name="Bob", pin="2580")  # pyright: ignore[reportArgumentType]
    change = NewCashierChange(id=make.an_id(), cashier_id=who.id, revoke=True, reason="x")

    with pytest.raises(Unknown):
        cashiers.create_cashier(session, at.operator_id, new, **elsewhere)
    with pytest.raises(Unknown):
        cashiers.change_cashier(session, at.operator_id, change, **elsewhere)
    assert listed(session, at, store_ids=elsewhere["store_ids"]) == []


def test_a_manager_sees_names_and_no_verifiers(session: Session) -> None:
    at = make.shop(session)
    ann, bob = cashier(session, at), cashier(session, at, name="Bob")
    changes(session, at, bob, revoke=True)

    seen = listed(session, at, store_ids=frozenset({at.store.id}))

    assert [(each.name, each.revoked_at, each.verifier) for each in seen] == [
        ("Ann", None, None),
        ("Bob", NOON, None),
    ]
    assert listed(session, at, most=1) == [ann]
    assert [each.name for each in listed(session, at, after=ann.id)] == ["Bob"]


def test_a_terminal_gets_those_it_may_let_in(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    cashier(session, at)
    changes(session, at, cashier(session, at, name="Gone"), revoke=True)
    cashier(session, at, name="Elsewhere", store_id=other.id)
    terminal = paired(session, at)

    (ann,) = listed(session, at, terminal_id=terminal.terminal_id)

    assert ann.name == "Ann"
    assert checks(ann.verifier, terminal.pin_key, "2580")
    assert not checks(ann.verifier, terminal.pin_key, "2581")


def test_a_verifier_is_of_use_on_one_terminal_alone(session: Session) -> None:
    at = make.shop(session)
    cashier(session, at)
    one, other = paired(session, at), paired(session, at)

    (at_one,) = listed(session, at, terminal_id=one.terminal_id)
    (at_other,) = listed(session, at, terminal_id=other.terminal_id)

    assert checks(at_other.verifier, other.pin_key, "2580")
    assert not checks(at_one.verifier, other.pin_key, "2580")
    assert at_one.verifier != at_other.verifier


def test_a_terminal_without_a_key_gets_no_verifiers(session: Session) -> None:
    at = make.shop(session)
    cashier(session, at)

    (ann,) = listed(session, at, terminal_id=at.terminal.id)

    assert ann.verifier is None


def test_what_is_stored_is_slow_to_try(session: Session) -> None:
    """OWASP's least for Argon2id is 19 MiB and two passes."""
    at = make.shop(session)
    who = session.get_one(Cashier, (at.operator_id, cashier(session, at).id))

    opened = VAULT.unseal(b64decode(who.pin_hash), f"pin/{at.operator_id}/{who.id}")

    slow = hash_secret_raw(b"2580", opened[:16], 2, 19_456, 1, 32, Type.ID)
    assert opened[16:] == slow


def checks(verifier: PinVerifier | None, key: str | None, pin: str) -> bool:
    """What a terminal does, by the letter of the page."""
    assert verifier is not None
    assert key is not None
    slow = hash_secret_raw(
        pin.encode(),
        raw(verifier.salt),
        verifier.time_cost,
        verifier.memory_kib,
        verifier.lanes,
        32,
        Type.ID,
    )
    return hmac.digest(raw(key), slow, sha256) == raw(verifier.check)
