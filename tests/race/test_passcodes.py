"""Fifty who guess at once, or ask at once, are counted one by one."""

from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session, func, select

from coupon_engine.customers import erasing, passcodes, wallets
from coupon_engine.database import transaction
from coupon_engine.tables import Contact, Customer, Passcode, Wallet
from schemas.wallets import ContactKind, NewErasure, WalletView
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT, Phone, another
from tests.make import NOON
from tests.race.together import Work, at_once, drop, told

GUESSES = 50


def test_of_fifty_guesses_at_once_five_are_looked_at(database: Engine) -> None:
    at, mine, id, code = one_waiting(database)

    answers = at_once(database, [guess(at, mine, id, another(code))] * GUESSES)

    assert told(answers) == {"passcode_wrong": 5, "passcode_over": GUESSES - 5}
    assert tries_of(database, at, id) == 5


def test_the_right_code_among_fifty_counts_as_one_of_five(database: Engine) -> None:
    at, mine, id, code = one_waiting(database)
    works = [guess(at, mine, id, another(code))] * (GUESSES - 1)

    answers = at_once(database, [*works, guess(at, mine, id, code)])

    outcomes = told(answers)
    assert outcomes["passcode_wrong"] + outcomes["won"] <= 5
    assert outcomes["passcode_over"] >= GUESSES - 5


def test_a_right_code_is_used_once_by_all_who_type_it_at_once(database: Engine) -> None:
    at, mine, id, code = one_waiting(database)

    answers = at_once(database, [guess(at, mine, id, code)] * 10)

    assert told(answers) == {"won": 1, "passcode_over": 9}


def test_this_volley_is_real(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tries counted but not asked for, all fifty would be looked at."""
    at, mine, id, code = one_waiting(database)
    drop(database, "passcode", "ck_passcode_tries")
    monkeypatch.setattr(passcodes, "MOST_TRIES", 10_000)

    answers = at_once(database, [guess(at, mine, id, another(code))] * GUESSES)

    assert told(answers) == {"passcode_wrong": GUESSES}


def test_two_phones_that_show_a_new_number_at_once_become_one_customers(
    database: Engine,
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        phones = [phone.wallet(session, at) for _ in range(3)]
        ids = [phone.passcode(session, at, mine) for mine in phones]
        codes = [phone.waiting(session, at, id)["code"] for id in ids]

    answers = at_once(
        database,
        [guess(at, *each) for each in zip(phones, ids, codes, strict=True)],
    )

    assert told(answers) == {"won": 3}
    with transaction(database) as session:
        assert len(session.exec(select(Contact)).all()) == 1
        assert len({row.customer_id for row in session.exec(select(Wallet))}) == 1


def test_who_is_forgotten_while_typing_a_code_leaves_no_contact(database: Engine) -> None:
    for _ in range(5):
        at, mine, id, code = one_waiting(database)
        asked = NewErasure(id=make.an_id(), customer_id=mine.customer_id)

        answers = at_once(database, [guess(at, mine, id, code), forgets(at, asked)])

        outcomes = told(answers)
        assert outcomes["won"] == 2 or outcomes == {"won": 1, "not_signed_in": 1}
        with transaction(database) as session:
            assert session.exec(select(Contact)).all() == []


def test_no_more_codes_go_to_a_number_than_may_whoever_asks_at_once(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        phones = [phone.wallet(session, at) for _ in range(12)]

    answers = at_once(database, [asks(at, mine) for mine in phones])

    assert told(answers) == {"won": 3, "too_many_tries": 9}
    with transaction(database) as session:
        assert len(session.exec(select(Passcode)).all()) == 3


def test_a_phone_that_asks_for_a_wallet_many_times_at_once_has_one(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    asked = Phone().asks(at.slug)

    def register(session: Session) -> WalletView:
        return wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)

    answers = at_once(database, [register] * 10)

    assert told(answers) == {"won": 10}
    assert len({answer.id for answer in answers}) == 1
    with transaction(database) as session:
        assert session.exec(select(func.count()).select_from(Customer)).one() == 1


def test_without_the_index_a_phone_could_have_several_wallets(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tries make those who ask from one network wait for each other; the index does not."""
    with transaction(database) as session:
        at = make.shop(session)
        session.connection().execute(text("DROP INDEX uq_wallet_public_key"))
    asked = Phone().asks(at.slug)
    monkeypatch.setattr(wallets.tries, "take", nothing)
    monkeypatch.setattr(wallets, "_with_key", nothing)

    def register(session: Session) -> WalletView:
        return wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)

    answers = at_once(database, [register] * 4)

    assert len({answer.id for answer in answers}) == 4


def one_waiting(database: Engine) -> tuple[make.Shop, WalletView, Any, str]:
    with transaction(database) as session:
        at = make.shop(session)
        mine = phone.wallet(session, at)
        id = phone.passcode(session, at, mine)
        return at, mine, id, phone.waiting(session, at, id)["code"]


def nothing(*_: object, **__: object) -> None:
    """Neither wait nor find."""


def guess(at: make.Shop, mine: WalletView, id: Any, code: str) -> Work:
    def work(session: Session) -> Any:
        return phone.answers(session, at, mine, id, code)

    return work


def forgets(at: make.Shop, asked: NewErasure) -> Work:
    def work(session: Session) -> Any:
        return erasing.erase(session, at.operator_id, asked, now=NOON)

    return work


def asks(at: make.Shop, mine: WalletView) -> Work:
    def work(session: Session) -> Any:
        return phone.passcode(session, at, mine, kind=ContactKind.PHONE)

    return work


def tries_of(database: Engine, at: make.Shop, id: Any) -> int:
    with transaction(database) as session:
        return session.get_one(Passcode, (at.operator_id, id)).tries
