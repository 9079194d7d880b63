"""A shift puts a cashier's name on what a terminal does, for twelve hours, after five tries."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import Session, select

from coupon_engine.errors import CodeWrong, NotSignedIn, RequestReused, TooManyTries, Unknown
from coupon_engine.tables import Shift
from coupon_engine.terminals import cashiers, shifts, terminals
from schemas.terminals import (
    MOST_TRIES,
    NewCashierChange,
    NewShiftEnd,
    NewTerminalRevocation,
    PairingAnswerView,
)
from tests import make
from tests.coupon_engine.terminals.devices import VAULT, cashier, paired, sits_down, told
from tests.make import NOON, Shop


def open_at(
    session: Session,
    at: Shop,
    terminal: PairingAnswerView,
    secret: str,
    now: datetime = NOON,
) -> str | None:
    shift = shifts.open_shift(session, at.operator_id, terminal.terminal_id, secret, now=now)
    return shift.name if shift else None


def test_a_shift_names_the_cashier_for_twelve_hours(session: Session) -> None:
    at = make.shop(session)
    terminal = paired(session, at)

    shift = sits_down(session, at, terminal, cashier(session, at))

    last = NOON + timedelta(hours=12, microseconds=-1)
    assert shift.expires_at == NOON + timedelta(hours=12)
    assert open_at(session, at, terminal, shift.secret, last) == "Ann"
    assert open_at(session, at, terminal, shift.secret, shift.expires_at) is None


def test_only_a_hash_of_the_secret_is_kept(session: Session) -> None:
    at = make.shop(session)

    shift = sits_down(session, at, paired(session, at), cashier(session, at))

    assert len(shift.secret) == 26
    assert shift.secret not in repr(session.exec(select(Shift)).all())
    assert shift.secret not in repr(told(session, "shift_started"))


def test_a_shifts_secret_opens_nothing_elsewhere(session: Session) -> None:
    at = make.shop(session)
    terminal, another = paired(session, at), paired(session, at)
    shift = sits_down(session, at, terminal, cashier(session, at))

    assert open_at(session, at, another, shift.secret) is None
    assert open_at(session, at, terminal, shift.secret[::-1]) is None
    assert open_at(session, make.shop(session), terminal, shift.secret) is None


def test_whoever_sat_there_before_has_left(session: Session) -> None:
    at = make.shop(session)
    terminal = paired(session, at)
    ann = sits_down(session, at, terminal, cashier(session, at))

    bob = sits_down(session, at, terminal, cashier(session, at, name="Bob"))

    assert open_at(session, at, terminal, ann.secret) is None
    assert open_at(session, at, terminal, bob.secret) == "Bob"


def test_a_cashier_may_sit_at_two_terminals(session: Session) -> None:
    at = make.shop(session)
    one, other, ann = paired(session, at), paired(session, at), cashier(session, at)
    first, second = sits_down(session, at, one, ann), sits_down(session, at, other, ann)

    assert open_at(session, at, one, first.secret) == "Ann"
    assert open_at(session, at, other, second.secret) == "Ann"


def test_asking_again_gets_the_same_shift(session: Session) -> None:
    at, id = make.shop(session), make.an_id()
    terminal, ann, bob = paired(session, at), cashier(session, at), cashier(session, at, name="Bob")
    first = sits_down(session, at, terminal, ann, id=id)

    assert sits_down(session, at, terminal, ann, id=id) == first
    with pytest.raises(RequestReused):
        sits_down(session, at, terminal, bob, id=id)
    with pytest.raises(CodeWrong):
        sits_down(session, at, terminal, ann, "1357", id=id)
    assert len(told(session, "shift_started")) == 1


def test_five_wrong_pins_and_the_right_one_waits_a_quarter_of_an_hour(session: Session) -> None:
    at = make.shop(session)
    terminal, ann = paired(session, at), cashier(session, at)
    for _ in range(MOST_TRIES):
        with pytest.raises(CodeWrong) as wrong:
            sits_down(session, at, terminal, ann, "1357")
        assert wrong.value.is_answered  # so that the try stays counted

    almost = NOON + timedelta(minutes=15, microseconds=-1)
    for now in (NOON, almost):
        with pytest.raises(TooManyTries):
            sits_down(session, at, terminal, ann, now=now)
    assert sits_down(session, at, terminal, ann, now=NOON + timedelta(minutes=15)).name == "Ann"


def test_a_right_pin_begins_the_count_anew(session: Session) -> None:
    at = make.shop(session)
    terminal, ann = paired(session, at), cashier(session, at)
    for _ in range(3):
        for _ in range(MOST_TRIES - 1):
            with pytest.raises(CodeWrong):
                sits_down(session, at, terminal, ann, "1357")
        sits_down(session, at, terminal, ann)


def test_one_cashiers_tries_are_not_anothers(session: Session) -> None:
    at = make.shop(session)
    terminal, ann = paired(session, at), cashier(session, at)
    for _ in range(MOST_TRIES):
        with pytest.raises(CodeWrong):
            sits_down(session, at, terminal, ann, "1357")

    assert sits_down(session, at, terminal, cashier(session, at, name="Bob")).name == "Bob"
    assert sits_down(session, at, paired(session, at), ann).name == "Ann"


def test_a_terminal_tries_twenty_times_whoever_it_tries(session: Session) -> None:
    at = make.shop(session)
    terminal, ann = paired(session, at), cashier(session, at)
    for _ in range(4):
        somebody = cashier(session, at)
        for _ in range(MOST_TRIES):
            with pytest.raises(CodeWrong):
                sits_down(session, at, terminal, somebody, "1357")

    with pytest.raises(TooManyTries):
        sits_down(session, at, terminal, ann)


def test_who_is_not_a_cashier_here_looks_like_a_wrong_pin(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    terminal, gone = paired(session, at), cashier(session, at)
    change = NewCashierChange(id=make.an_id(), cashier_id=gone.id, revoke=True, reason="left")
    cashiers.change_cashier(session, at.operator_id, change, store_ids=None, vault=VAULT, now=NOON)
    nobody = gone.model_copy(update={"id": make.an_id()})
    elsewhere = cashier(session, at, store_id=other.id)

    for who in (gone, nobody, elsewhere, cashier(session, stranger)):
        with pytest.raises(CodeWrong):
            sits_down(session, at, terminal, who)
    assert session.exec(select(Shift)).all() == []


def test_nobody_sits_down_at_a_revoked_terminal(session: Session) -> None:
    at = make.shop(session)
    terminal, ann = paired(session, at), cashier(session, at)
    request = NewTerminalRevocation(
        id=make.an_id(), terminal_id=terminal.terminal_id, reason="stolen"
    )
    terminals.revoke(session, at.operator_id, request, store_ids=None, now=NOON)

    with pytest.raises(NotSignedIn):
        sits_down(session, at, terminal, ann)


def test_a_cashier_gets_up_once(session: Session) -> None:
    at = make.shop(session)
    terminal = paired(session, at)
    shift = sits_down(session, at, terminal, cashier(session, at))
    request = NewShiftEnd(id=make.an_id(), shift_id=shift.id)
    later = NOON + timedelta(hours=1)

    ends = [
        shifts.end_shift(
            session, at.operator_id, request, terminal_id=terminal.terminal_id, now=now
        )
        for now in (later, later + timedelta(hours=1))
    ]

    assert [end.ended_at for end in ends] == [later, later]
    assert open_at(session, at, terminal, shift.secret, later) is None
    assert len(told(session, "shift_ended")) == 1


def test_no_terminal_ends_anothers_shift(session: Session) -> None:
    at = make.shop(session)
    terminal, another = paired(session, at), paired(session, at)
    shift = sits_down(session, at, terminal, cashier(session, at))
    request = NewShiftEnd(id=make.an_id(), shift_id=shift.id)

    with pytest.raises(Unknown):
        shifts.end_shift(
            session, at.operator_id, request, terminal_id=another.terminal_id, now=NOON
        )
    assert open_at(session, at, terminal, shift.secret) == "Ann"
