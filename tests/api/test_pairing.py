"""A device at the real door: from a picture to a signed redemption with a cashier's name on it."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from sqlalchemy import Engine
from sqlmodel import select

from coupon_engine.acting import by_system
from coupon_engine.database import transaction
from coupon_engine.tables import Event, Redemption
from coupon_engine.terminals import pairing
from scanner.identity import FileKey, Identity, NotPaired, Pairing, Signing
from schemas.access import Role
from schemas.terminals import PairingState, pairing_text, read_pairing_text
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Codes, Counter, redemption, refuse_undocumented


@pytest.fixture
def manager(database: Engine, door: Client, counter: Counter, clock: Clock) -> Asker:
    return askers.person(database, door, counter.at, Role.SHOP_MANAGER, now=clock())


@pytest.fixture
def key(tmp_path: Path) -> FileKey:
    return FileKey.kept_in(tmp_path / "key.pem")


class AtDoor:
    """The device, at the server of the test instead of the one in the picture."""

    def __init__(self, door: Client, key: FileKey, text: str) -> None:
        secret, _ = read_pairing_text(text)
        self._door = door
        self.pairing = Pairing(secret, str(door.base_url).rstrip("/"), key)

    def asks(self) -> Identity:
        return self.pairing.ask(self._door)

    def waits(self) -> PairingState:
        with pytest.raises(NotPaired) as told:
            self.asks()
        return told.value.state


def begins(manager: Asker, **more: Any) -> dict[str, Any]:
    body = {"id": str(make.an_id()), "store_id": str(manager.at.store.id), "name": "Counter 2"}
    answer = manager.posts("/v1/pairings", {**body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def confirms(manager: Asker, picture: dict[str, Any], digits: str) -> Response:
    body = {"id": str(make.an_id()), "pairing_id": picture["id"], "digits": digits}
    return manager.posts("/v1/pairing-confirmations", body)


def paired(manager: Asker, door: Client, key: FileKey, **more: Any) -> Identity:
    picture = begins(manager, **more)
    device = AtDoor(door, key, picture["text"])
    assert device.waits() is PairingState.ANSWERED
    assert confirms(manager, picture, device.pairing.digits).status_code == 201
    return device.asks()


def signs(door: Client, at: make.Shop, id: Identity, key: FileKey, clock: Clock) -> Asker:
    auth = Signing(id.terminal_id, key, clock=clock)
    return Asker("terminal", Role.TERMINAL, door, at, auth=auth)


def test_from_a_picture_to_a_redemption_with_a_name_on_it(
    manager: Asker,
    counter: Counter,
    door: Client,
    key: FileKey,
    clock: Clock,
    database: Engine,
    code: str,
) -> None:
    # The manager shows a picture; the device answers; both screens show the same digits.
    picture = begins(manager)
    assert picture["text"].endswith(make.ISSUER.upper())
    device = AtDoor(door, key, picture["text"])
    assert device.waits() is PairingState.ANSWERED
    seen = manager.gets(f"/v1/pairings/{picture['id']}").json()
    assert seen["digits"] == device.pairing.digits
    assert confirms(manager, picture, seen["digits"]).json()["state"] == "confirmed"
    identity = device.asks()

    # The terminal signs what it asks; a cashier sits down.
    terminal = signs(door, counter.at, identity, key, clock)
    ann = {
        "id": str(make.an_id()),
        "store_id": str(counter.at.store.id),
        "name": "Ann",
        "pin": "2580",
    }
    assert manager.posts("/v1/cashiers", ann).status_code == 201
    (known,) = terminal.gets("/v1/cashiers").json()
    assert (known["name"], known["verifier"]["lanes"]) == ("Ann", 1)
    shift = terminal.posts(
        "/v1/shifts", {"id": str(make.an_id()), "cashier_id": ann["id"], "pin": "2580"}
    ).json()
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = shift["secret"]

    answer = terminal.posts("/v1/redemptions", redemption(counter.at, code))

    assert answer.status_code == 201, answer.text
    assert answer.json()["cashier"] == "Ann"
    assert answer.json()["terminal_id"] == str(identity.terminal_id)
    with transaction(database, by_system(counter.at.operator_id)) as session:
        (row,) = session.exec(select(Redemption)).all()
        assert (row.cashier, row.terminal_id) == ("Ann", identity.terminal_id)
        (event,) = session.exec(select(Event).where(Event.kind == "coupon_redeemed")).all()
    assert (event.actor["kind"], event.actor["cashier"]) == ("terminal", "Ann")
    assert event.actor["id"] == str(identity.terminal_id)


def test_nobody_puts_another_name_on_it(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock, code: str
) -> None:
    terminal = signs(door, counter.at, paired(manager, door, key), key, clock)

    for body in ({"cashier": "Bob"}, {"terminal_id": str(counter.at.terminal.id)}):
        answer = terminal.posts("/v1/redemptions", redemption(counter.at, code, **body))
        assert answer.status_code in (403, 404)


def test_a_lost_terminal_opens_nothing_from_one_moment_to_the_next(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock
) -> None:
    identity = paired(manager, door, key)
    terminal = signs(door, counter.at, identity, key, clock)
    assert terminal.gets("/v1/cashiers").status_code == 200
    body = {
        "id": str(make.an_id()),
        "terminal_id": str(identity.terminal_id),
        "reason": "stolen",
    }

    ended = manager.posts("/v1/terminal-revocations", body)

    assert ended.status_code == 201
    assert ended.json()["revoked_at"] is not None
    answer = terminal.gets("/v1/cashiers")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_the_old_devices_key_is_dead_when_another_takes_its_place(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock, tmp_path: Path
) -> None:
    old = paired(manager, door, key)
    first = signs(door, counter.at, old, key, clock)
    assert first.gets("/v1/cashiers").status_code == 200
    another = FileKey.kept_in(tmp_path / "another.pem")

    new = paired(manager, door, another, terminal_id=str(old.terminal_id))

    assert new.terminal_id == old.terminal_id
    assert first.gets("/v1/cashiers").status_code == 401
    assert signs(door, counter.at, new, another, clock).gets("/v1/cashiers").status_code == 200


def test_a_replayed_or_old_request_is_not_heard(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock
) -> None:
    terminal = signs(door, counter.at, paired(manager, door, key), key, clock)
    first = terminal.gets("/v1/cashiers")

    again = door.send(first.request)

    assert (first.status_code, again.status_code) == (200, 401)
    clock.passes(seconds=61)
    assert terminal.gets("/v1/cashiers").status_code == 200  # its own clock went on as well


def test_a_signature_opens_what_a_terminal_may_and_nothing_else(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock
) -> None:
    terminal = signs(door, counter.at, paired(manager, door, key), key, clock)

    answer = terminal.posts("/v1/merchants", {"id": str(make.an_id()), "name": "Mine"})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_another_operators_manager_sees_no_pairing_and_no_terminal(
    manager: Asker,
    stranger: Counter,
    door: Client,
    database: Engine,
    key: FileKey,
    clock: Clock,
) -> None:
    other = askers.person(database, door, stranger.at, Role.OWNER, now=clock())
    picture = begins(manager)
    device = AtDoor(door, key, picture["text"])
    device.waits()

    for answer in (
        other.gets(f"/v1/pairings/{picture['id']}"),
        confirms(other, picture, device.pairing.digits),
        other.posts("/v1/pairing-refusals", {"id": str(make.an_id()), "pairing_id": picture["id"]}),
        other.posts(
            "/v1/terminal-revocations",
            {
                "id": str(make.an_id()),
                "terminal_id": str(manager.at.terminal.id),
                "reason": "x",
            },
        ),
        other.posts(
            "/v1/pairings",
            {"id": str(make.an_id()), "store_id": str(manager.at.store.id), "name": "x"},
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown")
    assert device.waits() is PairingState.ANSWERED


def test_wrong_answers_stay_counted(
    manager: Asker, counter: Counter, door: Client, key: FileKey, served: FastAPI
) -> None:
    """Each try is committed, though it is answered with a no."""
    picture = begins(manager)
    device = AtDoor(door, key, picture["text"])
    body = device.pairing.answer().model_dump(mode="json")
    wrong = {**body, "proof": "A" * 86}

    heard = [door.post("/v1/pairing-answers", json=wrong) for _ in range(pairing.MOST_ANSWERS + 1)]

    for answer in heard:
        refuse_undocumented(served.openapi(), "POST", "/v1/pairing-answers", answer)
    assert [answer.status_code for answer in heard] == [401] * pairing.MOST_ANSWERS + [429]
    assert int(heard[-1].headers["Retry-After"]) == 600


def test_wrong_digits_stay_counted(manager: Asker, door: Client, key: FileKey) -> None:
    picture = begins(manager)
    device = AtDoor(door, key, picture["text"])
    device.waits()
    wrong = f"{(int(device.pairing.digits) + 1) % 1_000_000:06}"

    codes = [confirms(manager, picture, wrong).json()["code"] for _ in range(4)]

    assert codes == ["code_wrong"] * 3 + ["too_many_tries"]
    assert confirms(manager, picture, device.pairing.digits).status_code == 429


def test_a_secret_that_nobody_has_shown_opens_nothing(door: Client, key: FileKey) -> None:
    device = AtDoor(door, key, pairing_text("A" * 26, "https://coupons.test"))

    answer = door.post("/v1/pairing-answers", json=device.pairing.answer().model_dump(mode="json"))

    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_a_refused_pairing_tells_the_device(manager: Asker, door: Client, key: FileKey) -> None:
    picture = begins(manager)
    device = AtDoor(door, key, picture["text"])
    assert device.waits() is PairingState.ANSWERED

    manager.posts("/v1/pairing-refusals", {"id": str(make.an_id()), "pairing_id": picture["id"]})

    assert device.waits() is PairingState.REFUSED


def test_a_terminal_is_listed_as_it_stands(
    manager: Asker, counter: Counter, door: Client, key: FileKey, clock: Clock
) -> None:
    identity = paired(manager, door, key)
    clock.passes(minutes=5)
    signs(door, counter.at, identity, key, clock).gets("/v1/cashiers")

    listed = {each["id"]: each for each in manager.gets("/v1/terminals").json()}

    ours = listed[str(identity.terminal_id)]
    assert ours["paired_at"] == "2026-03-02T12:00:00Z"
    assert ours["seen_at"] == "2026-03-02T12:05:00Z"
    assert ours["revoked_at"] is None
    assert listed[str(counter.at.terminal.id)]["paired_at"] is None


def test_row_38_what_one_person_gave_another_takes_back(
    manager: Asker,
    counter: Counter,
    door: Client,
    key: FileKey,
    clock: Clock,
    database: Engine,
    code_of: Codes,
) -> None:
    """Over the limit a void by the same cashier is a 403, at the real door."""
    terminal = signs(door, counter.at, paired(manager, door, key), key, clock)
    assert isinstance(terminal.auth, Signing)
    with transaction(database) as session:
        offer = make.offer(session, counter.at, benefit=make.AmountOff(amount_minor=6_000))
        coupon = make.coupon(session, counter.at, make.batch(session, counter.at, offer))
    sits_down(manager, terminal, "Ann")
    basket = {"currency": "EUR", "total_minor": 10_000}
    redeemed = terminal.posts(
        "/v1/redemptions", redemption(counter.at, code_of(coupon), basket=basket)
    ).json()
    body = {"redemption_id": redeemed["id"], "reason": "changed their mind"}

    alone = terminal.posts("/v1/reversals", {**body, "id": str(make.an_id())})
    sits_down(manager, terminal, "Bob")
    together = terminal.posts("/v1/reversals", {**body, "id": str(make.an_id())})

    assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
    assert (together.status_code, together.json()["cashier"]) == (201, "Bob")


def sits_down(manager: Asker, terminal: Asker, name: str) -> None:
    who = {
        "id": str(make.an_id()),
        "store_id": str(manager.at.store.id),
        "name": name,
        "pin": "2580",
    }
    assert manager.posts("/v1/cashiers", who).status_code == 201
    shift = terminal.posts(
        "/v1/shifts", {"id": str(make.an_id()), "cashier_id": who["id"], "pin": "2580"}
    )
    assert shift.status_code == 201, shift.text
    assert isinstance(terminal.auth, Signing)
    terminal.auth.shift = shift.json()["secret"]
