"""A cashier takes the seat with a PIN, by the server's word or the terminal's own; five tries."""

import hmac
import json
import os
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from argon2.low_level import Type, hash_secret_raw

from scanner.identity import Pins, _b64, _raw
from scanner.terminal.seat import PinRefused, Seat
from scanner.terminal.showing import Slip
from schemas.refusals import Why
from schemas.terminals import SHIFT_HEADER, CashierView, PinVerifier
from tests import make
from tests.scanner.terminal.counters import Answer, One, a_terminal, accepts, away, refuses, says
from tests.scanner.terminal.shop import STORE, coupon, shown, total

TEN = total(1_000)
SECRET = "A" * 26


def cashier(name: str, pin: str) -> CashierView:
    """A cashier as the server tells this terminal of them, with little work to keep tests quick."""
    salt = sha256(name.encode()).digest()[:16]
    slow = hash_secret_raw(pin.encode(), salt, 1, 64, 1, 32, Type.ID)
    return CashierView(
        id=make.an_id(),
        store_id=STORE,
        name=name,
        created_at=make.NOON,
        revoked_at=None,
        verifier=PinVerifier(
            salt=_b64(salt),
            time_cost=1,
            memory_kib=64,
            lanes=1,
            check=_b64(hmac.digest(_raw("AAAA"), slow, sha256)),
        ),
    )


ANN, BOB = cashier("Ann", "2580"), cashier("bob", "1357")


def knows(*cashiers: CashierView) -> Answer:
    return lambda _: httpx.Response(200, json=[each.model_dump(mode="json") for each in cashiers])


def opens(who: CashierView = ANN, secret: str = SECRET) -> Answer:
    """The server finds the PIN right."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        view = {
            "id": asked["id"],
            "terminal_id": str(make.an_id()),
            "cashier_id": asked["cashier_id"],
            "name": who.name,
            "secret": secret,
            "started_at": "2026-03-02T12:00:00Z",
            "expires_at": "2099-03-03T00:00:00Z",
        }
        return httpx.Response(201, json=view)

    return answer


@pytest.fixture
def one(tmp_path: Path) -> Iterator[One]:
    with a_terminal(tmp_path) as made:
        made.learn()
        made.far.answers = [knows(ANN, BOB)]
        seat(made).learn(now(made))
        made.far.asked.clear()
        yield made


def seat(one: One) -> Seat:
    assert one.terminal.seat is not None
    return one.terminal.seat


def now(one: One) -> Any:
    return one.terminal.counter.look().now


def again(one: One) -> Seat:
    """The same seat after the terminal was switched off and on."""
    file = seat(one)._file
    return Seat(file, Pins(file.with_name("pins.json"), "AAAA"), one.server)


def refused(work: Callable[[], object]) -> Slip:
    with pytest.raises(PinRefused) as no:
        work()
    return no.value.slip


def test_without_cashiers_a_name_is_typed_and_with_them_somebody_signs_in(
    one: One, tmp_path: Path
) -> None:
    with a_terminal(tmp_path / "other") as other:
        other.learn()
        other.terminal.stay_alone()
        assert other.terminal.redeem(shown(), basket=TEN, cashier="Robin").is_accepted
        assert other.entries[0]["cashier"] == "Robin"
        assert "cashier_id" not in other.entries[0]

    one.terminal.stay_alone()
    screen = one.terminal.redeem(shown(), basket=TEN, cashier="Robin")

    assert (screen.code, one.entries) == (Slip.NOBODY_SITS, [])


def test_names_stand_in_their_order(one: One) -> None:
    assert [each.name for each in seat(one).cashiers] == ["Ann", "bob"]


def test_the_shift_goes_with_each_redemption_and_the_cashier_into_each_entry(one: One) -> None:
    fields, no = coupon(), coupon(idx=101)
    one.far.answers = [opens(), accepts(UUID(bytes=fields.jti)), refuses(Why.EXPIRED), away]

    one.terminal.sit(ANN.id, "2580")
    for each in (fields, no, coupon(idx=102)):
        one.terminal.redeem(shown(each), basket=TEN, cashier="somebody else")

    posted = [each for each in one.far.asked if each.url.path == "/v1/redemptions"]
    assert [each.headers[SHIFT_HEADER] for each in posted] == [SECRET] * 3
    assert all(f'"{SHIFT_HEADER.lower()}"' in each.headers["signature-input"] for each in posted)
    assert [json.loads(each.content)["cashier"] for each in posted] == ["Ann"] * 3
    assert "cashier_id" not in json.loads(posted[0].content)  # the server knows from the shift
    assert [each["mode"] for each in one.entries] == ["online", "online", "offline"]
    assert {each["cashier"] for each in one.entries} == {"Ann"}
    assert {each["cashier_id"] for each in one.entries} == {str(ANN.id)}


def test_without_a_network_the_terminal_itself_looks_at_the_pin(one: One) -> None:
    one.far.answers = [away]

    seated = one.terminal.sit(BOB.id, "1357")

    assert (seated.name, seated.secret) == ("bob", None)
    assert seat(one).seated(now(one)) == seated


def test_five_tries_without_a_network_and_a_restart_gives_no_sixth(one: One) -> None:
    one.terminal.stay_alone()
    for _ in range(5):
        assert refused(lambda: one.terminal.sit(ANN.id, "0001")) is Slip.WRONG_PIN

    assert refused(lambda: one.terminal.sit(ANN.id, "2580")) is Slip.LOCKED_OUT
    restarted = again(one)
    sits = lambda: restarted.sit(ANN.id, "2580", now=now(one), is_alone=True)  # noqa: E731
    assert refused(sits) is Slip.LOCKED_OUT
    assert restarted.sit(BOB.id, "1357", now=now(one), is_alone=True).name == "bob"


def test_who_has_tried_with_a_network_has_fewer_tries_without(one: One) -> None:
    one.far.answers = [says(401, "code_wrong")] * 5
    for _ in range(5):
        assert refused(lambda: one.terminal.sit(ANN.id, "0001")) is Slip.WRONG_PIN
    one.terminal.stay_alone()

    assert refused(lambda: one.terminal.sit(ANN.id, "2580")) is Slip.LOCKED_OUT


def test_the_server_unlocks(one: One) -> None:
    for _ in range(5):
        refused(lambda: seat(one).sit(ANN.id, "0001", now=now(one), is_alone=True))
    one.far.answers = [opens()]

    assert one.terminal.sit(ANN.id, "2580").secret == SECRET

    seat(one).leave(now=now(one), is_alone=True)
    assert seat(one).sit(ANN.id, "2580", now=now(one), is_alone=True).name == "Ann"


def test_a_no_leaves_whoever_sat_there(one: One) -> None:
    one.far.answers = [opens(), says(401, "code_wrong"), says(429, "too_many_tries")]
    one.terminal.sit(ANN.id, "2580")

    assert refused(lambda: one.terminal.sit(BOB.id, "0001")) is Slip.WRONG_PIN
    assert refused(lambda: one.terminal.sit(BOB.id, "0001")) is Slip.LOCKED_OUT

    seated = one.terminal.seated
    assert seated is not None
    assert seated.name == "Ann"


def test_a_restart_asks_nobody_for_a_pin_and_no_file_holds_one(one: One) -> None:
    one.far.answers = [opens()]
    seated = one.terminal.sit(ANN.id, "2580")

    assert again(one).seated(now(one)) == seated

    for file in (seat(one)._file, seat(one)._file.with_name("pins.json")):
        assert "2580" not in file.read_text()
        if os.name == "posix":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_seat_is_free_after_twelve_hours(one: One) -> None:
    seat(one).sit(ANN.id, "2580", now=now(one), is_alone=True)

    assert seat(one).seated(now(one) + timedelta(hours=11, minutes=59)) is not None
    assert seat(one).seated(now(one) + timedelta(hours=12)) is None


def test_who_signs_out_is_gone_also_after_a_restart_and_the_server_hears_it(one: One) -> None:
    one.far.answers = [opens(), lambda _: httpx.Response(201, json={})]
    seated = one.terminal.sit(ANN.id, "2580")

    one.terminal.leave()

    assert one.terminal.seated is None
    assert again(one).seated(now(one)) is None
    assert json.loads(one.far.asked[-1].content)["shift_id"] == str(seated.shift_id)
    assert one.far.paths[-1] == "POST /v1/shift-ends"


def test_signing_out_needs_no_network(one: One) -> None:
    one.far.answers = [opens(), away]
    one.terminal.sit(ANN.id, "2580")

    one.terminal.leave()

    assert one.terminal.seated is None


def test_a_shift_that_has_ended_at_the_server_ends_here_and_nothing_is_redeemed(one: One) -> None:
    one.far.answers = [opens(), says(401, "not_signed_in")]
    one.terminal.sit(ANN.id, "2580")

    screen = one.terminal.redeem(shown(), basket=TEN)

    assert (screen.code, one.terminal.seated, one.entries) == (Slip.NOBODY_SITS, None, [])
    assert not one.terminal.is_disowned  # the terminal is still the store's


def test_the_shift_is_opened_as_soon_as_the_server_answers(one: One) -> None:
    one.far.answers = [away]
    seated = one.terminal.sit(ANN.id, "2580")
    one.far.answers = [knows(ANN, BOB), opens()]

    seat(one).learn(now(one))

    late = one.terminal.seated
    assert late is not None
    assert (late.name, late.secret) == ("Ann", SECRET)
    ids = [json.loads(each.content)["id"] for each in one.far.asked if each.method == "POST"]
    assert ids == [str(seated.shift_id)] * 2  # the first may have been heard


@pytest.mark.parametrize(
    "answers",
    [[knows(BOB)], [knows(ANN, BOB), says(401, "code_wrong")]],
    ids=["sent away", "another PIN"],
)
def test_who_may_sign_in_no_more_is_out_when_the_server_says_so(
    one: One, answers: list[Answer]
) -> None:
    one.far.answers = [away]
    one.terminal.sit(ANN.id, "2580")
    one.far.answers = list(answers)

    seat(one).learn(now(one))

    assert one.terminal.seated is None


def test_more_cashiers_than_fit_one_answer_are_all_learnt(
    one: One, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.terminal.seat.MOST_AT_ONCE", 1)
    one.far.answers = [knows(ANN), knows(BOB), knows()]

    seat(one).learn(now(one))

    assert len(seat(one).cashiers) == 2
    assert one.far.paths[-1].endswith(f"&after={BOB.id}")


def test_a_file_that_cannot_be_read_is_nobody(one: One) -> None:
    seat(one)._file.write_text("{")

    assert again(one).seated(now(one)) is None
