"""Cashiers at the real door: PINs that count, shifts that end, verifiers for one terminal."""

from typing import Any

import pytest
from httpx import Client, Response
from sqlalchemy import Engine

from coupon_engine.database import transaction
from scanner.identity import Signing
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter, redemption, refuse_undocumented


@pytest.fixture
def manager(database: Engine, door: Client, counter: Counter, clock: Clock) -> Asker:
    return askers.person(database, door, counter.at, Role.SHOP_MANAGER, now=clock())


@pytest.fixture
def terminal(database: Engine, door: Client, counter: Counter, clock: Clock) -> Asker:
    return askers.terminal(database, door, counter.at, clock=clock)


@pytest.fixture
def ann(manager: Asker) -> str:
    return makes(manager).json()["id"]


def makes(manager: Asker, **more: Any) -> Response:
    body = {
        "id": str(make.an_id()),
        "store_id": str(manager.at.store.id),
        "name": "Ann",
        "pin": "2580",
    }
    return manager.posts("/v1/cashiers", {**body, **more})


def sits_down(terminal: Asker, who: str, pin: str = "2580", **more: Any) -> Response:
    body = {"id": str(make.an_id()), "cashier_id": who, "pin": pin}
    return terminal.posts("/v1/shifts", {**body, **more})


def test_wrong_pins_stay_counted(terminal: Asker, counter: Counter, ann: str) -> None:
    heard = [sits_down(terminal, ann, "1357") for _ in range(6)]

    for answer in heard:
        refuse_undocumented(counter.document, "POST", "/v1/shifts", answer)
    assert [answer.json()["code"] for answer in heard] == ["code_wrong"] * 5 + ["too_many_tries"]
    assert int(heard[-1].headers["Retry-After"]) == 900


def test_a_shift_ends_and_the_name_goes_with_it(terminal: Asker, ann: str, clock: Clock) -> None:
    shift = sits_down(terminal, ann).json()
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = shift["secret"]
    assert terminal.gets("/v1/cashiers").status_code == 200

    ended = terminal.posts("/v1/shift-ends", {"id": str(make.an_id()), "shift_id": shift["id"]})

    assert ended.status_code == 201
    assert ended.json()["ended_at"] == "2026-03-02T12:00:00Z"


def test_a_shift_that_is_over_is_no_shift(terminal: Asker, ann: str, clock: Clock) -> None:
    shift = sits_down(terminal, ann).json()
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = shift["secret"]

    clock.passes(hours=12)

    answer = terminal.gets("/v1/cashiers")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    terminal.auth.shift = None
    assert terminal.gets("/v1/cashiers").status_code == 200


def test_a_made_up_shift_opens_nothing(terminal: Asker, ann: str) -> None:
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = "A" * 26

    assert terminal.gets("/v1/cashiers").status_code == 401


def test_no_answer_and_no_no_repeats_a_pin(manager: Asker, terminal: Asker) -> None:
    made = makes(manager, pin="25802580")
    easy = makes(manager, pin="12345678")
    short = makes(manager, pin="258")
    wrong = sits_down(terminal, made.json()["id"], "13571357")

    assert (made.status_code, easy.status_code, short.status_code) == (201, 422, 422)
    assert "count up" in easy.text
    for answer, pin in (
        (made, "25802580"),
        (easy, "12345678"),
        (short, "258"),
        (wrong, "13571357"),
    ):
        said = {name: value for name, value in answer.json().items() if name != "id"}
        assert f'"{pin}"' not in str(said)
        assert f"'{pin}'" not in str(said)


def test_a_manager_gets_no_verifiers(manager: Asker, ann: str) -> None:
    assert [each["verifier"] for each in manager.gets("/v1/cashiers").json()] == [None]


def test_a_manager_of_one_store_makes_nobody_at_another(
    manager: Asker, counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        other = make.another_store(session, counter.at.operator_id, counter.at.store.merchant_id)

    answer = makes(manager, store_id=str(other.id))

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown")
    assert manager.gets("/v1/cashiers").json() == []


def test_who_has_left_cannot_sit_down(manager: Asker, terminal: Asker, ann: str) -> None:
    shift = sits_down(terminal, ann).json()
    body = {"id": str(make.an_id()), "cashier_id": ann, "revoke": True, "reason": "left"}

    assert manager.posts("/v1/cashier-changes", body).status_code == 201

    assert sits_down(terminal, ann).json()["code"] == "code_wrong"
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = shift["secret"]
    assert terminal.gets("/v1/cashiers").status_code == 401


def test_whoever_is_tied_to_a_store_sees_and_touches_no_other(
    manager: Asker, terminal: Asker, counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    at = counter.at
    owner = askers.person(database, door, at, Role.OWNER, now=clock())
    with transaction(database) as session:
        other = make.another_store(session, at.operator_id, at.store.merchant_id)
        coupon = make.coupon(session, at)
        code = make.code(session, at, coupon, counter.ring)
        spent = make.code(session, at, make.coupon(session, at), counter.ring)
    till = {"id": str(make.an_id()), "store_id": str(other.id), "name": "Theirs"}
    assert counter.posts("/v1/terminals", till).status_code == 201
    held = counter.posts("/v1/holds", redemption(at, code, store_id=str(other.id))).json()
    redeemed = counter.redeems(spent, store_id=str(other.id)).json()
    cashier = makes(owner, store_id=str(other.id)).json()
    leaves = {"cashier_id": cashier["id"], "revoke": True, "reason": "left"}

    assert [each["id"] for each in manager.gets("/v1/stores").json()] == [str(at.store.id)]
    assert [each["id"] for each in manager.gets("/v1/terminals").json()] == [str(at.terminal.id)]
    assert manager.gets("/v1/cashiers").json() == terminal.gets("/v1/cashiers").json() == []
    refused = [
        manager.posts("/v1/terminals", {**till, "id": str(make.an_id())}),
        manager.posts("/v1/cashier-changes", {"id": str(make.an_id()), **leaves}),
    ]
    for asker in (manager, terminal):
        back = {"redemption_id": redeemed["id"], "reason": "wrong"}
        refused += [
            asker.posts("/v1/releases", {"id": str(make.an_id()), "hold_id": held["id"]}),
            asker.posts("/v1/redemptions", redemption(at, code, store_id=str(other.id))),
            asker.posts("/v1/reversals", {"id": str(make.an_id()), **back}),
            asker.gets(f"/v1/redemptions/{redeemed['id']}"),
        ]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(404, "unknown")] * 10
