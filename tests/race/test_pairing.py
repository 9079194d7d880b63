"""Devices, managers and guessers at once: one terminal, three guesses, five PINs, one seat."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session, select

from coupon_engine import tries
from coupon_engine.acting import by_system, on_showing
from coupon_engine.database import repeating, transaction
from coupon_engine.errors import TooManyTries
from coupon_engine.rows import found
from coupon_engine.tables import Pairing, Shift, Terminal
from coupon_engine.terminals import pairing, pins, shifts, terminals
from schemas.terminals import MOST_TRIES, CashierView, NewShift, PairingAnswerView
from tests import make
from tests.coupon_engine.terminals.devices import (
    ADDRESS,
    VAULT,
    Device,
    answers,
    cashier,
    confirms,
    paired,
    shown,
)
from tests.coupon_engine.terminals.devices import (
    told as told_of,
)
from tests.make import NOON, Shop
from tests.race.together import Work, at_once, meet_after, told


@pytest.fixture
def at(database: Engine) -> Shop:
    with transaction(database) as session:
        return make.shop(session)


def in_shop(at: Shop) -> Any:
    """Run works on the shop's behalf."""

    def run(engine: Engine, work: Work) -> Any:
        return repeating(engine, work, by_system(at.operator_id))

    return run


def test_of_many_devices_one_is_the_terminal(database: Engine, at: Shop) -> None:
    """Eight photographs of one picture."""
    with transaction(database) as session:
        picture = shown(session, at)
    devices = [Device() for _ in range(8)]

    def answering(device: Device) -> Work:
        return lambda session: answers(session, device, picture.text)

    outcome = told(at_once(database, [answering(device) for device in devices]))

    assert outcome == {"won": 1, "pairing_taken": 7}
    with transaction(database, by_system(at.operator_id)) as session:
        row = session.get_one(Pairing, (at.operator_id, picture.id))
        assert row.public_key in [device.public_key for device in devices]


def test_this_race_for_a_picture_is_real(
    database: Engine, at: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the row's lock, and the count's, several devices hear that they were the first."""
    with transaction(database) as session:
        picture = shown(session, at)
    monkeypatch.setattr(tries, "take", nothing)
    monkeypatch.setattr(pairing, "locked", found)
    meet_after(monkeypatch, pairing, "locked", many=4)
    devices = [Device() for _ in range(4)]

    def answering(device: Device) -> Work:
        return lambda session: answers(session, device, picture.text)

    outcome = told(at_once(database, [answering(device) for device in devices]))

    assert outcome["won"] > 1


def test_many_wrong_answers_at_once_are_ten_tries(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        picture = shown(session, at)
    wrong: Work = lambda session: answers(session, Device(), picture.text, proof="A" * 86)  # noqa: E731

    outcome = told(at_once(database, [wrong] * 15))

    assert outcome == {"not_signed_in": pairing.MOST_ANSWERS, "too_many_tries": 5}


def test_fifteen_guesses_at_once_are_three(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        picture = shown(session, at)
        digits = answers(session, Device(), picture.text).digits

    def guessing(number: int) -> Work:
        guess = f"{(int(digits) + 1 + number) % 1_000_000:06}"
        return lambda session: confirms(session, at, picture, guess)

    outcome = told(at_once(database, [guessing(number) for number in range(15)], in_shop(at)))

    assert outcome == {"code_wrong": pairing.MOST_CONFIRMATIONS, "too_many_tries": 12}


def test_two_managers_confirm_one_terminal_once(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        picture = shown(session, at)
        digits = answers(session, Device(), picture.text).digits
    confirming: Work = lambda session: confirms(session, at, picture, digits)  # noqa: E731

    outcome = told(at_once(database, [confirming] * 6, in_shop(at)))

    assert outcome == {"won": 6}
    with transaction(database, by_system(at.operator_id)) as session:
        assert len(told_of(session, "terminal_paired")) == 1


# PINs.


def sitting(at: Shop, terminal: PairingAnswerView, who: CashierView, pin: str) -> Work:
    request = NewShift(id=make.an_id(), cashier_id=who.id, pin=pin)  # pyright: ignore[reportArgumentType]
    return lambda session: shifts.start_shift(
        session, at.operator_id, terminal.terminal_id, request, vault=VAULT, now=NOON
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the slowness of a PIN's hash is looked at here, and there are two cores."""
    monkeypatch.setattr(pins, "MEMORY_KIB", 64)


def test_many_guesses_of_a_pin_at_once_are_five(database: Engine, at: Shop, quick: None) -> None:
    with transaction(database) as session:
        terminal, ann = paired(session, at), cashier(session, at)
    works = [sitting(at, terminal, ann, f"{2000 + number}") for number in range(15)]

    outcome = told(at_once(database, works, in_shop(at)))

    assert outcome == {"code_wrong": MOST_TRIES, "too_many_tries": 15 - MOST_TRIES}


class Unguarded:
    """A count that is read, thought about and written."""

    @staticmethod
    def looked(session: Session, key: str) -> int:
        row = session.connection().execute(
            text("SELECT count FROM tries WHERE key = :key"), {"key": key}
        )
        return row.scalar_one_or_none() or 0

    @classmethod
    def take(cls, session: Session, operator_id: UUID, budgets: Any, *, now: datetime) -> None:
        for budget in budgets:
            if cls.looked(session, budget.key) >= budget.most:
                raise TooManyTries(budget.lasts)
            session.connection().execute(
                text("""
                    INSERT INTO tries (operator_id, key, count, ends_at)
                    VALUES (:operator_id, :key, 1, :ends_at)
                    ON CONFLICT (operator_id, key) DO UPDATE SET count = tries.count + 1
                """),
                {
                    "operator_id": operator_id,
                    "key": budget.key,
                    "ends_at": now + budget.lasts,
                },
            )


def test_this_guessing_is_real(
    database: Engine, at: Shop, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the guard more guesses get through."""
    with transaction(database) as session:
        terminal, ann = paired(session, at), cashier(session, at)
    monkeypatch.setattr(tries, "take", Unguarded.take)
    meet_after(monkeypatch, Unguarded, "looked", many=15)
    works = [sitting(at, terminal, ann, f"{2000 + number}") for number in range(15)]

    outcome = told(at_once(database, works, in_shop(at)))

    assert outcome["code_wrong"] > MOST_TRIES


def test_of_all_who_sit_down_at_once_one_sits(database: Engine, at: Shop, quick: None) -> None:
    with transaction(database) as session:
        terminal = paired(session, at)
        people = [cashier(session, at, name=f"Cashier {number}") for number in range(8)]
    works = [sitting(at, terminal, who, "2580") for who in people]

    outcome = told(at_once(database, works, in_shop(at)))

    assert outcome == {"won": 8}
    with transaction(database, by_system(at.operator_id)) as session:
        sitting_there = session.exec(select(Shift).where(Shift.ended_at == None)).all()  # noqa: E711
        assert len(sitting_there) == 1


def test_the_database_itself_has_one_seat_at_a_terminal(
    database: Engine, at: Shop, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the verb's own care two would sit there; the index still says no."""
    with transaction(database) as session:
        terminal = paired(session, at)
        people = [cashier(session, at) for _ in range(3)]
    monkeypatch.setattr(shifts, "end_all", nothing)
    works = [sitting(at, terminal, who, "2580") for who in people]

    outcome = told(at_once(database, works, in_shop(at)))

    assert outcome["won"] == 1


def nothing(*_: object, **__: object) -> None:
    """Do what a verb without a guard does."""


def test_a_terminal_that_is_revoked_while_it_is_paired_again_opens_nothing(
    database: Engine, at: Shop
) -> None:
    with transaction(database) as session:
        ours = paired(session, at)
        picture = shown(session, at, terminal_id=ours.terminal_id)
        digits = answers(session, Device(), picture.text, address=ADDRESS).digits
    request = terminals.NewTerminalRevocation(
        id=make.an_id(), terminal_id=ours.terminal_id, reason="stolen"
    )

    at_once(
        database,
        [
            lambda session: confirms(session, at, picture, digits),
            lambda session: terminals.revoke(
                session, at.operator_id, request, store_ids=None, now=NOON
            ),
        ],
        in_shop(at),
    )

    with transaction(database, on_showing(str(ours.terminal_id))) as session:
        assert terminals.key_of(session, ours.terminal_id) is None
    with transaction(database, by_system(at.operator_id)) as session:
        row = session.get_one(Terminal, (at.operator_id, ours.terminal_id))
        assert row.revoked_at == NOON
