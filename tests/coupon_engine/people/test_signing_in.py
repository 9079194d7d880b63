"""Signing in by password: what is told, what is counted, and how much is hashed."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.database import transaction
from coupon_engine.errors import CodeWrong, CouponError, NotAllowed, NotSignedIn, TooManyTries
from coupon_engine.people import passwords, second_factor, sign_ins, signing_in
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened
from coupon_engine.people.signing_in import Came, Half
from coupon_engine.tables import Account, Passkey
from schemas.people import NewSecondFactor, NewSignIn
from tests import make
from tests.coupon_engine.people.apps import App, app_of, row_of
from tests.coupon_engine.record import count, rows
from tests.make import NOON, PASSWORD, Shop

HERE = Came("192.0.2.0/24", "A browser", "192.0.2.7")
ELSEWHERE = Came("198.51.100.0/24", "A browser", "198.51.100.7")
LATER = NOON + timedelta(minutes=1)


def asked(slug: str, email: str, password: str = PASSWORD) -> NewSignIn:
    return NewSignIn(operator=slug, email=email, password=SecretStr(password))


def comes(
    session: Session, request: NewSignIn, came: Came = HERE, *, now: datetime = NOON
) -> Opened | Half:
    """All steps, as the door takes them."""
    sought = signing_in.look_for(session, request, came, now=now)
    is_right, new_hash = passwords.judged(request.password.get_secret_value(), sought.password_hash)
    return signing_in.sign_in(session, sought, came, is_right=is_right, new_hash=new_hash, now=now)


def no_of(session: Session, request: NewSignIn, came: Came = HERE, **more: Any) -> CouponError:
    with pytest.raises(CouponError) as raised:
        comes(session, request, came, **more)
    return raised.value


def half(session: Session, at: Shop, ann: Account, *, now: datetime = NOON) -> Half:
    outcome = comes(session, asked(at.slug, ann.email), now=now)
    assert isinstance(outcome, Half)
    return outcome


def sends(
    session: Session, of: Half, code: str, *, came: Came = HERE, now: datetime = LATER
) -> Opened:
    request = NewSecondFactor(ceremony=SecretStr(of.ceremony), code=SecretStr(code))
    return signing_in.complete(session, request, make.VAULT, came, now=now)


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is hashed, or compared with a hash, from now on."""
    done: list[str] = []
    real = passwords._HASHER

    class Counting:
        def hash(self, password: str) -> str:
            done.append("hash")
            return real.hash(password)

        def verify(self, kept: str, password: str) -> bool:
            done.append("verify")
            return real.verify(kept, password)

        def check_needs_rehash(self, kept: str) -> bool:
            return real.check_needs_rehash(kept)

    monkeypatch.setattr(passwords, "_HASHER", Counting())
    return done


def test_a_right_password_without_a_second_factor_opens_half_a_sign_in(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)

    opened = comes(session, asked(at.slug, ann.email.upper()))

    assert isinstance(opened, Opened)
    row = row_of(session, opened)
    assert row is not None
    assert row.methods == ["password"]
    assert not sign_ins.is_whole(row.methods)
    assert (row.address, row.agent) == ("192.0.2.0/24", "A browser")


def test_with_a_second_factor_the_password_opens_nothing_yet(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    before = count(session, "sign_in")

    waiting = half(session, at, ann, now=LATER)

    assert waiting.ways == ("totp", "recovery")
    assert count(session, "sign_in") == before
    opened = sends(session, waiting, app.code(LATER))
    row = row_of(session, opened, now=LATER)
    assert row is not None
    assert row.methods == ["password", "totp"]
    assert acting.actor_of(session).id == str(ann.id)
    (told,) = rows(session, "SELECT * FROM event WHERE kind = 'signed_in' AND at > :at", at=NOON)
    assert told.data["methods"] == ["password", "totp"]


def test_a_ceremony_signs_in_once_and_for_five_minutes(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    first, second = half(session, at, ann, now=LATER), half(session, at, ann, now=LATER)
    sends(session, first, app.code(LATER))
    over = LATER + timedelta(minutes=5)

    with pytest.raises(NotSignedIn):
        sends(session, first, app.code(LATER + timedelta(minutes=1)))
    with pytest.raises(NotSignedIn):
        sends(session, second, app.code(over), now=over)


def test_whether_there_is_such_an_account_is_told_nobody(
    session: Session, hashings: list[str]
) -> None:
    """Unknown operator, unknown address, wrong, none, suspended: one answer, the same work."""
    at = make.shop(session)
    ann = make.person(session, at)
    without = make.person(session, at, password=None)
    suspended = make.person(session, at, suspended_at=NOON)
    unlike: set[tuple[Any, ...]] = set()
    for request in (
        asked("no-such-operator", ann.email),
        asked(at.slug, "nobody@example.com"),
        asked(at.slug, ann.email, "seven green umbrellas"),
        asked(at.slug, without.email),
        asked(at.slug, suspended.email),
        asked(at.slug, suspended.email, "seven green umbrellas"),
    ):
        hashings.clear()

        no = no_of(session, request)

        unlike.add((type(no), no.code, str(no.details), no.is_answered, *hashings))

    assert unlike == {(NotSignedIn, "not_signed_in", "{}", True, "verify")}
    assert count(session, "sign_in") == 0


@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"])
@pytest.mark.parametrize("slug", ["", "no-such-operator"])
def test_both_steps_of_any_no_write_and_so_commit_alike(
    database: Engine, slug: str, email: str
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        make.person(session, at, email="ann@example.com")
    wrong = asked(slug or at.slug, email, "seven green umbrellas")

    with transaction(database) as session:
        sought = signing_in.look_for(session, wrong, HERE, now=NOON)
        assert has_written(session)
    with transaction(database) as session:
        with pytest.raises(NotSignedIn):
            signing_in.sign_in(session, sought, HERE, is_right=False, new_hash=None, now=NOON)
        assert has_written(session)


def has_written(session: Session) -> bool:
    (found,) = rows(session, "SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS so")
    return bool(found.so)


def test_a_right_password_is_hashed_as_often_as_a_wrong_one(
    session: Session, hashings: list[str]
) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    hashings.clear()

    comes(session, asked(at.slug, ann.email))

    assert hashings == ["verify"]


def test_failures_of_known_accounts_are_noted_and_name_no_address(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)

    no_of(session, asked(at.slug, ann.email, "seven green umbrellas"))
    no_of(session, asked(at.slug, "nobody@example.com"))

    (told,) = rows(session, "SELECT * FROM event WHERE kind = 'sign_in_failed'")
    assert told.subject_id == ann.id
    assert told.data == {"method": "password"}
    assert told.actor["kind"] == "system"
    assert told.actor["address"] == "192.0.2.0/24"
    assert "@" not in json.dumps([told.data, told.actor])
    assert count(session, "outbox WHERE kind = 'sign_in_failed'") == 0


def test_a_password_may_be_tried_ten_times_in_a_quarter_of_an_hour(
    session: Session, hashings: list[str]
) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    hashings.clear()
    wrong = asked(at.slug, ann.email, "seven green umbrellas")
    first = [no_of(session, wrong, HERE if each % 2 else ELSEWHERE) for each in range(10)]

    right = no_of(session, asked(at.slug, ann.email))

    assert {no.code for no in first} == {"not_signed_in"}
    assert isinstance(right, TooManyTries)
    assert right.details == {"retry_after_seconds": 900}
    assert right.is_answered
    assert len(hashings) == 10
    ben = make.person(session, at)
    assert isinstance(comes(session, asked(at.slug, ben.email), ELSEWHERE), Opened)
    in_time = NOON + timedelta(minutes=15)
    assert isinstance(comes(session, asked(at.slug, ann.email), now=in_time), Opened)


@pytest.mark.parametrize("slug", ["", "no-such-operator"])
def test_tries_at_accounts_that_are_not_there_are_counted_alike(
    session: Session, slug: str
) -> None:
    slug = slug or make.shop(session).slug
    request = asked(slug, "nobody@example.com")

    codes = [no_of(session, request).code for _ in range(11)]

    assert codes == ["not_signed_in"] * 10 + ["too_many_tries"]


def test_one_address_tries_thirty_times_however_many_accounts(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    for each in range(30):
        no_of(session, asked(at.slug, f"nobody{each}@example.com"))

    assert no_of(session, asked(at.slug, ann.email)).code == "too_many_tries"
    assert isinstance(comes(session, asked(at.slug, ann.email), ELSEWHERE), Opened)


def test_the_addresses_of_one_house_are_counted_together() -> None:
    place = signing_in._place_of

    assert place("2001:db8:0:7::1") == place("2001:db8:0:7:ffff::2") == "2001:db8:0:7::/64"
    assert place("2001:db8:0:8::1") != place("2001:db8:0:7::1")
    assert place("::ffff:192.0.2.7") == place("192.0.2.7") == "192.0.2.7"
    assert place(None) == place("somewhere") == "unknown"


def test_being_let_in_forgets_the_tries(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    for each in range(4):
        now = NOON + timedelta(minutes=each + 1)
        for _ in range(9):
            no_of(session, asked(at.slug, ann.email, "x"), Came(None, None, f"::{each}"), now=now)

        waiting = comes(session, asked(at.slug, ann.email), Came(None, None, "9::"), now=now)

        assert isinstance(waiting, Half)
        sends(session, waiting, app.code(now), now=now)


def test_a_password_that_was_right_does_not_forget_the_tries_by_itself(session: Session) -> None:
    """Else a thief of passwords would get five codes again and again."""
    at = make.shop(session)
    ann = make.person(session, at)
    app_of(session, ann)
    for _ in range(10):
        assert isinstance(comes(session, asked(at.slug, ann.email)), Half)

    assert no_of(session, asked(at.slug, ann.email)).code == "too_many_tries"


def test_five_codes_may_be_tried_for_one_password(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    waiting = half(session, at, ann, now=LATER)
    for _ in range(5):
        with pytest.raises(CodeWrong) as wrong:
            sends(session, waiting, app.wrong_code(LATER))
        assert wrong.value.is_answered

    with pytest.raises(TooManyTries):
        sends(session, waiting, app.code(LATER))

    assert count(session, "event WHERE kind = 'sign_in_failed'") == 5


def test_twenty_codes_may_be_tried_in_a_day_however_many_passwords(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    for each in range(4):
        now = NOON + timedelta(hours=each + 1)
        waiting = half(session, at, ann, now=now)
        for _ in range(5):
            with pytest.raises(CodeWrong):
                sends(session, waiting, app.wrong_code(now), now=now)
    now = NOON + timedelta(hours=23)

    with pytest.raises(TooManyTries):
        sends(session, half(session, at, ann, now=now), app.code(now), now=now)

    now = NOON + timedelta(hours=25)
    assert sends(session, half(session, at, ann, now=now), app.code(now), now=now)


def test_a_recovery_code_stands_for_the_app_once(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    code = app.recovery_codes[3]

    opened = sends(session, half(session, at, ann, now=LATER), code.lower().replace("-", " "))

    assert opened.view.methods == ("password", "recovery")
    again = half(session, at, ann, now=LATER)
    with pytest.raises(CodeWrong):
        sends(session, again, code)
    assert sends(session, again, app.recovery_codes[4]).view.methods[1] == "recovery"


def test_whoever_was_suspended_meanwhile_does_not_get_in(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    waiting = half(session, at, ann, now=LATER)
    ann.suspended_at = LATER
    session.add(ann)
    session.flush()

    with pytest.raises(NotSignedIn):
        sends(session, waiting, app.code(LATER))


def test_a_password_that_was_changed_while_it_was_hashed_is_wrong(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    sought = signing_in.look_for(session, asked(at.slug, ann.email), HERE, now=NOON)
    ann.password_hash = passwords.hash_of("seven green umbrellas")
    session.add(ann)
    session.flush()

    with pytest.raises(NotSignedIn):
        signing_in.sign_in(session, sought, HERE, is_right=True, new_hash=None, now=NOON)


def test_a_hash_of_earlier_days_is_replaced(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    sought = signing_in.look_for(session, asked(at.slug, ann.email), HERE, now=NOON)

    signing_in.sign_in(session, sought, HERE, is_right=True, new_hash="newer", now=NOON)

    session.flush()
    assert rows(session, "SELECT password_hash FROM account")[0].password_hash == "newer"


# Confirming.


def confirms(session: Session, of: Opened, code: str, *, now: datetime = LATER) -> Opened:
    return signing_in.step_up_by_code(session, hash_of(of.secret), code, make.VAULT, now=now)


def test_a_code_confirms_who_sits_there_and_changes_the_secret(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann)

    opened = confirms(session, app.opened, app.code(LATER))

    row = row_of(session, opened, now=LATER)
    assert row is not None
    assert sign_ins.is_stepped_up(row, LATER)
    assert row_of(session, app.opened, now=LATER) is None


def test_a_wrong_code_confirms_nothing_and_five_are_enough(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann)
    for _ in range(5):
        with pytest.raises(CodeWrong):
            confirms(session, app.opened, app.wrong_code(LATER))

    with pytest.raises(TooManyTries):
        confirms(session, app.opened, app.code(LATER))

    assert row_of(session, app.opened, now=LATER)
    assert count(session, "event WHERE kind = 'step_up_failed'") == 5


def by_password(session: Session, of: Opened, *, is_right: bool = True) -> Opened:
    own = hash_of(of.secret)
    sought = signing_in.look_for_own(session, own, now=NOON)
    return signing_in.step_up_by_password(session, own, sought, is_right=is_right, now=NOON)


def test_a_password_confirms_where_there_is_no_app(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    opened = make.signed_in(session, ann, "passkey")

    with pytest.raises(CodeWrong):
        by_password(session, opened, is_right=False)
    again = by_password(session, opened)

    row = row_of(session, again)
    assert row is not None
    assert sign_ins.is_stepped_up(row, NOON)


def test_a_password_confirms_nothing_where_there_is_an_app(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app: App = app_of(session, ann)

    with pytest.raises(NotAllowed):
        by_password(session, app.opened)


def test_a_password_confirms_no_sign_in_that_is_only_half(session: Session) -> None:
    opened = make.signed_in(session, make.person(session, make.shop(session)), "password")

    with pytest.raises(NotAllowed):
        by_password(session, opened)


def test_ten_passwords_may_be_tried_to_confirm(session: Session) -> None:
    opened = make.signed_in(session, make.person(session, make.shop(session)), "passkey")
    for _ in range(10):
        with pytest.raises(CodeWrong):
            by_password(session, opened, is_right=False)

    with pytest.raises(TooManyTries):
        by_password(session, opened)


def test_no_secret_is_in_the_record(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)
    app = app_of(session, ann)
    waiting = half(session, at, ann, now=LATER)
    opened = sends(session, waiting, app.code(LATER))
    no_of(session, asked(at.slug, ann.email, "seven green umbrellas"))

    tables = ("event", "account", "sign_in", "ceremony", "tries", "recovery_code", "outbox")
    whole = "\n".join(
        str(row.whole)
        for table in tables
        for row in rows(session, f"SELECT t::text AS whole FROM {table} t")  # noqa: S608
    )
    assert str(ann.id) in whole
    bare = [code.replace("-", "") for code in app.recovery_codes]
    for secret in (
        PASSWORD,
        "seven green umbrellas",
        app.secret,
        app.secret.encode().hex(),
        *app.recovery_codes,
        *bare,
        waiting.ceremony,
        opened.secret,
        app.opened.secret,
    ):
        assert secret not in whole
    assert second_factor.recovery_codes_left(session, ann) == 10


def test_a_password_confirms_nothing_where_there_is_a_passkey(session: Session) -> None:
    account = make.person(session, make.shop(session))
    own = hash_of(make.signed_in(session, account, "passkey").secret)
    session.add(
        Passkey(
            operator_id=account.operator_id,
            credential_id=b"a passkey",
            account_id=account.id,
            name="Phone",
            public_key=b"its key",
            sign_count=0,
            created_at=NOON,
        )
    )
    session.flush()

    with pytest.raises(NotAllowed):
        signing_in.look_for_own(session, own, now=NOON)
