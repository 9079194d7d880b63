"""Guesses, codes, links and owners at once, each with its twin without the guard."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine import tries
from coupon_engine.database import transaction
from coupon_engine.errors import TooManyTries
from coupon_engine.people import (
    accounts,
    ceremonies,
    invitations,
    second_factor,
    sign_ins,
    signing_in,
)
from coupon_engine.people.secret import hash_of
from coupon_engine.people.signing_in import Came, Half, Sought
from coupon_engine.rows import found
from coupon_engine.tables import Account
from coupon_engine.tries import Budget
from schemas.access import Role
from schemas.people import (
    NewAcceptance,
    NewAccountChange,
    NewInvitation,
    NewSecondFactor,
    NewSignIn,
)
from tests import make
from tests.coupon_engine.people.apps import App, app_of
from tests.coupon_engine.record import count, rows
from tests.make import NOON, PASSWORD, VAULT
from tests.race.together import MANY, Work, at_once, drop, meet_after, told

HERE = Came("192.0.2.0/24", "A browser")
LATER = NOON + timedelta(minutes=1)
GUESSES = 50


@dataclass(frozen=True)
class Cast:
    """An operator with two owners; one of them has an app."""

    engine: Engine
    at: make.Shop
    ann: Account
    app: App
    ben: Account


@pytest.fixture
def cast(database: Engine) -> Cast:
    with transaction(database) as session:
        at = make.shop(session)
        ann, ben = make.person(session, at), make.person(session, at)
        return Cast(database, at, ann, app_of(session, ann), ben)


def halves(cast: Cast, many: int) -> list[Half]:
    """Sign-ins by Ann's password, each of which waits for a code."""
    outcomes: list[Half] = []
    with transaction(cast.engine) as session:
        for each in range(many):
            sought = Sought(cast.at.operator_id, cast.ann.id, cast.ann.password_hash, f"b{each}")
            outcome = signing_in.sign_in(
                session, sought, HERE, is_right=True, new_hash=None, now=LATER
            )
            assert isinstance(outcome, Half)
            outcomes.append(outcome)
    return outcomes


def sends(of: Half, code: str) -> Work:
    request = NewSecondFactor(ceremony=SecretStr(of.ceremony), code=SecretStr(code))
    return lambda session: signing_in.complete(session, request, VAULT, HERE, now=LATER)


def take_without_the_guard(
    session: Session, operator_id: UUID, budgets: Sequence[Budget], *, now: datetime
) -> None:
    """Look, think, write: what everybody writes first."""
    for budget in budgets:
        named = {"operator_id": operator_id, "key": budget.key}
        taken = rows(session, "SELECT count FROM tries WHERE key = :key", key=budget.key)
        tries_so_far = taken[0].count if taken else 0
        if tries_so_far >= budget.most:
            raise TooManyTries(budget.lasts)
        session.connection().execute(
            text("""
                INSERT INTO tries (operator_id, key, count, ends_at)
                VALUES (:operator_id, :key, :count, :now)
                ON CONFLICT (operator_id, key) DO UPDATE SET count = :count
            """),
            {**named, "count": tries_so_far + 1, "now": now},
        )


def without_a_turn(*_: object) -> None:
    """Wait for nobody."""


# Guesses.


def evaluated(cast: Cast, patch: pytest.MonkeyPatch) -> tuple[int, Counter[str]]:
    """Fifty codes for one password at once: how many were looked at, and what was answered."""
    looked_at: list[str] = []
    looks = second_factor.use

    def look(session: Session, account: Account, typed: str, *args: Any, **more: Any) -> Any:
        looked_at.append(typed)
        return looks(session, account, typed, *args, **more)

    patch.setattr(second_factor, "use", look)
    (waiting,) = halves(cast, 1)
    wrong = cast.app.wrong_code(LATER)
    outcomes = told(at_once(cast.engine, [sends(waiting, wrong) for _ in range(GUESSES)]))
    return len(looked_at), outcomes


def test_of_fifty_codes_at_once_five_are_looked_at(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, outcomes = evaluated(cast, monkeypatch)

    assert many == 5
    assert outcomes["code_wrong"] == 5
    assert outcomes["won"] == 0
    with transaction(cast.engine) as session:
        assert count(session, "event WHERE kind = 'sign_in_failed'") == 5


def test_the_race_of_guesses_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "locked", found)
    monkeypatch.setattr(tries, "take", take_without_the_guard)
    meet_after(monkeypatch, second_factor, "take_try", many=8)

    many, _ = evaluated(cast, monkeypatch)

    assert many > 5


def looked_for(cast: Cast) -> Counter[str]:
    """Fifty passwords for one account at once; who is told what to compare with may compare."""
    request = NewSignIn(
        operator=cast.at.slug, email=cast.ben.email, password=SecretStr("seven green umbrellas")
    )

    def look(number: int) -> Work:
        came = Came(None, None, f"192.0.2.{number}")
        return lambda session: signing_in.look_for(session, request, came, now=NOON)

    return told(at_once(cast.engine, [look(each) for each in range(GUESSES)]))


def test_of_fifty_passwords_at_once_ten_are_hashed(cast: Cast) -> None:
    outcomes = looked_for(cast)

    assert outcomes["won"] == 10


def test_the_race_of_passwords_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "take", take_without_the_guard)

    assert looked_for(cast)["won"] > 10


# Codes.


@pytest.mark.parametrize("has_lock", [True, False])
def test_a_used_step_never_works_twice(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, *, has_lock: bool
) -> None:
    """The statement that uses a step up is guard enough; the account's lock comes on top."""
    if not has_lock:
        monkeypatch.setattr(signing_in, "locked", found)
        meet_after(monkeypatch, second_factor, "_step_of")
    code = cast.app.code(LATER)

    outcomes = told(at_once(cast.engine, [sends(each, code) for each in halves(cast, MANY)]))

    assert outcomes == {"won": 1, "code_wrong": MANY - 1}


def test_the_race_for_a_step_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_then_write(session: Session, account: Account, step: int) -> bool:
        return account.totp_last_step is None or account.totp_last_step < step

    monkeypatch.setattr(signing_in, "locked", found)
    monkeypatch.setattr(second_factor, "_is_first_use", look_then_write)
    meet_after(monkeypatch, second_factor, "_step_of")
    code = cast.app.code(LATER)

    outcomes = told(at_once(cast.engine, [sends(each, code) for each in halves(cast, MANY)]))

    assert outcomes["won"] > 1


def test_a_recovery_code_never_works_twice(cast: Cast) -> None:
    code = cast.app.recovery_codes[0]

    outcomes = told(at_once(cast.engine, [sends(each, code) for each in halves(cast, MANY)]))

    assert outcomes == {"won": 1, "code_wrong": MANY - 1}


def codes_for_one_ceremony(cast: Cast) -> Counter[str]:
    (waiting,) = halves(cast, 1)
    codes = cast.app.recovery_codes[:5]
    return told(at_once(cast.engine, [sends(waiting, code) for code in codes]))


def test_one_password_lets_in_once_however_many_codes_are_right(cast: Cast) -> None:
    outcomes = codes_for_one_ceremony(cast)

    assert outcomes == {"won": 1, "not_signed_in": 4}
    with transaction(cast.engine) as session:
        # Whoever came too late has used up nothing.
        assert count(session, "recovery_code WHERE used_at IS NOT NULL") == 1


def test_the_race_for_a_ceremony_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "locked", found)
    monkeypatch.setattr(ceremonies, "finish", ceremonies.found)
    meet_after(monkeypatch, ceremonies, "shown", many=5)

    assert codes_for_one_ceremony(cast)["won"] > 1


# Links.


def everybody_accepts(cast: Cast, email: str) -> Counter[str]:
    with transaction(cast.engine) as session:
        asked = NewInvitation(id=make.an_id(), email=email, name="New", role=Role.FINANCE)
        link = invitations.invite(session, cast.at.operator_id, asked, now=NOON)
    request = NewAcceptance(secret=SecretStr(link.secret), password=SecretStr(PASSWORD))

    def accept(session: Session) -> Any:
        return invitations.accept(session, request, "a hash", HERE, now=NOON)

    return told(at_once(cast.engine, [accept] * MANY))


def test_an_invitation_makes_one_account(cast: Cast) -> None:
    outcomes = everybody_accepts(cast, "new@example.com")

    assert outcomes == {"won": 1, "invitation_over": MANY - 1}
    with transaction(cast.engine) as session:
        assert count(session, "account WHERE email = 'new@example.com'") == 1


def test_an_invitation_mends_an_account_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index refuses a second password for an account that is there."""
    meet_after(monkeypatch, invitations, "_shown")

    outcomes = everybody_accepts(cast, cast.ben.email)

    assert outcomes == {"won": 1, "invitation_over": MANY - 1}
    with transaction(cast.engine) as session:
        assert count(session, "event WHERE kind = 'access_mended'") == 1


def test_the_race_of_acceptances_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(cast.engine, "account", "uq_account_operator_id_email")
    monkeypatch.setattr(invitations, "in_turn", without_a_turn)
    meet_after(monkeypatch, invitations, "_account_of")

    assert everybody_accepts(cast, "new@example.com")["won"] > 1


# Owners.


def owners_demote_each_other(cast: Cast) -> tuple[Counter[str], int]:
    def demote(by: Account, other: Account) -> Work:
        request = NewAccountChange(
            id=make.an_id(), account_id=other.id, role=Role.FINANCE, reason="mine"
        )
        return lambda session: accounts.change_account(
            session, cast.at.operator_id, request, str(by.id), now=NOON
        )

    works = [demote(cast.ann, cast.ben), demote(cast.ben, cast.ann)]
    outcomes = told(at_once(cast.engine, works))
    with transaction(cast.engine) as session:
        return outcomes, count(session, "account WHERE role = 'owner'")


def test_two_owners_who_demote_each_other_leave_one(cast: Cast) -> None:
    outcomes, owners = owners_demote_each_other(cast)

    assert outcomes == {"won": 1, "not_allowed": 1}
    assert owners == 1


def test_the_race_of_owners_is_real(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "in_turn", without_a_turn)
    meet_after(monkeypatch, accounts, "_check_owner", many=2)

    outcomes, owners = owners_demote_each_other(cast)

    assert outcomes == {"won": 2}
    assert owners == 0


# Sign-ins.


def confirmed_while_suspended(cast: Cast) -> int:
    """Ann's secret is being changed while Ben suspends her; how many sign-ins she has left."""
    own = hash_of(cast.app.opened.secret)
    request = NewAccountChange(
        id=make.an_id(), account_id=cast.ann.id, suspended=True, reason="gone"
    )

    def suspend(session: Session) -> Any:
        return accounts.change_account(
            session, cast.at.operator_id, request, str(cast.ben.id), now=LATER
        )

    def confirm(session: Session) -> Any:
        return sign_ins.step_up(session, own, method="totp", now=LATER)

    at_once(cast.engine, [suspend, confirm])
    with transaction(cast.engine) as session:
        return count(session, "sign_in WHERE ended_at IS NULL")


def test_a_secret_that_is_just_being_changed_does_not_outlive_its_account(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after(monkeypatch, sign_ins, "_in_turn", many=2)

    assert confirmed_while_suspended(cast) == 0


def test_the_race_of_confirmation_and_suspension_is_real(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "_in_turn", without_a_turn)
    meet_after(monkeypatch, sign_ins, "_is_open", many=2)

    assert confirmed_while_suspended(cast) == 1


def test_a_secret_is_changed_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    own = hash_of(cast.app.opened.secret)
    meet_after(monkeypatch, sign_ins, "current")

    def confirm(session: Session) -> Any:
        return sign_ins.step_up(session, own, method="totp", now=LATER)

    outcomes = told(at_once(cast.engine, [confirm] * MANY))

    assert outcomes == {"won": 1, "not_signed_in": MANY - 1}
    with transaction(cast.engine) as session:
        assert count(session, "sign_in WHERE ended_at IS NULL") == 1
