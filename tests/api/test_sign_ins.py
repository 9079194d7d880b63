"""Signing in through the real door: cookies, second factors, rotation, and what other sites try."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import SimpleCookie
from threading import Event
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client
from sqlalchemy import Engine

from api.asking import cookies, hashing
from api.asking.hashing import Hashing
from coupon_engine.database import transaction
from coupon_engine.errors import Busy
from coupon_engine.people import passwords, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.tables import Account
from schemas.access import Role
from tests import make
from tests.api.browsers import Browser
from tests.api.conftest import Clock
from tests.coupon_engine.people.apps import App, app_of, code_of
from tests.coupon_engine.record import count, rows
from tests.make import PASSWORD, Shop

Person = tuple[Shop, Account, App]


@pytest.fixture
def at(database: Engine) -> Shop:
    with transaction(database) as session:
        return make.shop(session)


@pytest.fixture
def browser(door: Client, served: FastAPI) -> Browser:
    return Browser(door, served.openapi())


@pytest.fixture
def newcomer(database: Engine, at: Shop) -> Account:
    """Somebody with a password and nothing else."""
    with transaction(database) as session:
        return make.person(session, at)


@pytest.fixture
def olga(database: Engine, at: Shop, clock: Clock) -> Person:
    """An owner with an app, which was set up an hour ago."""
    with transaction(database) as session:
        account = make.person(session, at, name="Olga")
        app = app_of(session, account, now=clock.now - timedelta(hours=1))
    return at, account, app


def comes_in(browser: Browser, person: Person, clock: Clock) -> None:
    """Through both doors, by password and app."""
    at, account, app = person
    half = browser.signs_in(at.slug, account.email, PASSWORD).json()
    body = {"ceremony": half["ceremony"], "code": app.code(clock.now)}
    answer = browser.posts("/v1/sign-ins/second-factor", body)
    assert (answer.status_code, answer.json()["is_signed_in"]) == (201, True), answer.text


def another(browser: Browser) -> Browser:
    return Browser(browser.client, browser.document)


def test_a_person_comes_in_by_password_and_app(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    at, account, app = olga

    half = browser.signs_in(at.slug, account.email, PASSWORD)

    assert half.status_code == 201
    assert half.json() | {"ceremony": "-"} == {
        "is_signed_in": False,
        "second_factor_needed": True,
        "second_factor_missing": False,
        "ceremony": "-",
        "ways": ["totp", "recovery"],
    }
    assert browser.secret is None
    body = {"ceremony": half.json()["ceremony"], "code": app.code(clock.now)}
    whole = browser.posts("/v1/sign-ins/second-factor", body)
    assert whole.json() == {
        "is_signed_in": True,
        "second_factor_needed": False,
        "second_factor_missing": False,
        "ceremony": None,
        "ways": [],
    }
    me = browser.me()
    assert (me["name"], me["role"], me["operator"]) == ("Olga", "owner", at.slug)
    assert me["methods"] == ["password", "totp"]
    assert me["csrf"] == cookies.csrf_of(browser.secret or "")
    assert browser.gets("/v1/campaigns").status_code == 200


def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it(
    browser: Browser, at: Shop, newcomer: Account
) -> None:
    browser.signs_in(at.slug, newcomer.email, PASSWORD)

    (line,) = browser.set_cookies
    cookie = SimpleCookie(line)["__Host-counterfoil"]
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "lax")
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["max-age"] == "43200"
    assert re.fullmatch(r"[\w-]{43}", cookie.value)


def test_a_password_alone_opens_nothing_but_setting_up_a_second_factor(
    browser: Browser, at: Shop, newcomer: Account, clock: Clock
) -> None:
    answer = browser.signs_in(at.slug, newcomer.email, PASSWORD).json()

    assert (answer["is_signed_in"], answer["second_factor_missing"]) == (True, True)
    for path in ("/v1/campaigns", "/v1/accounts"):
        assert browser.gets(path).json()["code"] == "not_allowed"
    assert browser.me()["second_factor_missing"]
    begun = browser.posts("/v1/totp-secrets").json()
    before = browser.secret
    body = {"ceremony": begun["ceremony"], "code": code_of(begun["secret"], clock.now)}
    codes = browser.posts("/v1/totp-confirmations", body)
    assert (codes.status_code, len(codes.json()["codes"])) == (201, 10)
    assert browser.secret != before
    assert browser.gets("/v1/campaigns").status_code == 200
    assert browser.me()["recovery_codes_left"] == 10


def test_unknown_wrong_and_suspended_are_told_alike(
    browser: Browser, olga: Person, database: Engine
) -> None:
    at, account, _ = olga
    with transaction(database) as session:
        gone = make.person(session, at, suspended_at=make.NOON)
    told = {
        (answer.status_code, answer.text, str(sorted(set(answer.headers) - {"date"})))
        for answer in (
            browser.signs_in("no-such-operator", account.email, PASSWORD),
            browser.signs_in(at.slug, "nobody@example.com", PASSWORD),
            browser.signs_in(at.slug, account.email, "seven green umbrellas"),
            browser.signs_in(at.slug, gone.email, PASSWORD),
        )
    }

    ((status, body, _),) = told
    assert status == 401
    assert '"not_signed_in"' in body


def test_too_many_tries_are_told_when_to_come_back(browser: Browser, olga: Person) -> None:
    at, account, _ = olga
    for _ in range(10):
        browser.signs_in(at.slug, account.email, "seven green umbrellas")

    answer = browser.signs_in(at.slug, account.email, PASSWORD)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_tries")
    assert answer.headers["retry-after"] == "900"


def test_wrong_codes_stay_counted_and_the_right_one_comes_too_late(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    at, account, app = olga
    ceremony = browser.signs_in(at.slug, account.email, PASSWORD).json()["ceremony"]

    def sends(code: str) -> tuple[int, str]:
        answer = browser.posts("/v1/sign-ins/second-factor", {"ceremony": ceremony, "code": code})
        return answer.status_code, answer.json().get("code")

    wrong = app.wrong_code(clock.now)
    assert [sends(wrong) for _ in range(5)] == [(403, "code_wrong")] * 5
    assert sends(app.code(clock.now)) == (429, "too_many_tries")


def test_fifty_guesses_at_the_door_at_once_are_five(
    browser: Browser, olga: Person, clock: Clock, database: Engine
) -> None:
    at, account, app = olga
    half = browser.signs_in(at.slug, account.email, PASSWORD).json()
    body = {"ceremony": half["ceremony"], "code": app.wrong_code(clock.now)}

    def guess(_: int) -> str:
        return another(browser).posts("/v1/sign-ins/second-factor", body).json()["code"]

    with ThreadPoolExecutor(50) as crowd:
        codes = list(crowd.map(guess, range(50)))

    assert set(codes) <= {"code_wrong", "too_many_tries", "busy"}
    assert codes.count("code_wrong") == 5
    with transaction(database) as session:
        assert count(session, "event WHERE kind = 'sign_in_failed'") == 5


def test_a_sign_in_ends_for_idleness_and_for_age(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)
    for _ in range(24):
        clock.passes(minutes=29)
        assert browser.gets("/v1/me").status_code == 200
    clock.passes(minutes=24)
    assert browser.gets("/v1/me").json()["code"] == "not_signed_in"  # 12 hours

    clock.passes(minutes=30)
    comes_in(browser, olga, clock)
    clock.passes(minutes=30)
    assert browser.gets("/v1/me").json()["code"] == "not_signed_in"


def test_confirming_opens_for_ten_minutes_and_changes_the_cookie(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)
    clock.passes(minutes=10)
    body = {
        "id": str(make.an_id()),
        "email": "ben@example.com",
        "name": "Ben",
        "role": "finance",
    }
    assert browser.posts("/v1/invitations", body).json()["code"] == "step_up_needed"
    clock.passes(seconds=30)
    before = browser.secret

    answer = browser.posts("/v1/step-ups", {"code": olga[2].code(clock.now)})

    assert answer.status_code == 201
    assert answer.json()["stepped_up_until"] == "2026-03-02T12:20:30Z"
    assert browser.secret != before
    assert browser.posts("/v1/invitations", body).status_code == 201
    stale = another(browser)
    stale.secret = before
    assert stale.gets("/v1/me").json()["code"] == "not_signed_in"
    clock.passes(minutes=10)
    assert browser.posts("/v1/invitations", body).json()["code"] == "step_up_needed"


def test_a_password_confirms_whoever_has_no_app(
    browser: Browser, at: Shop, newcomer: Account, database: Engine
) -> None:
    with transaction(database) as session:
        browser.secret = make.signed_in(session, newcomer, "passkey").secret

    wrong = browser.posts("/v1/step-ups", {"password": "seven green umbrellas"})
    right = browser.posts("/v1/step-ups", {"password": PASSWORD})

    assert (wrong.status_code, wrong.json()["code"]) == (403, "code_wrong")
    assert right.status_code == 201
    assert browser.me()["stepped_up_until"]


def test_a_password_does_not_confirm_whoever_has_an_app(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)

    answer = browser.posts("/v1/step-ups", {"password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_signing_out_is_immediate_here_and_elsewhere(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)
    clock.passes(minutes=1)
    elsewhere = another(browser)
    comes_in(elsewhere, olga, clock)
    listed = browser.gets("/v1/sign-ins").json()
    assert [each["is_this"] for each in listed] == [False, True]
    assert listed[0]["agent"] == "A browser"
    assert listed[0]["address"] == "127.0.0.0/24"

    others = browser.posts("/v1/sign-outs", {"all_others": True})

    assert others.json() == {"ended": 1, "is_this_ended": False}
    assert elsewhere.gets("/v1/me").status_code == 401
    assert browser.gets("/v1/me").status_code == 200
    kept = browser.secret
    own = browser.posts("/v1/sign-outs")
    assert own.json() == {"ended": 1, "is_this_ended": True}
    assert browser.secret is None
    browser.secret = kept
    assert browser.gets("/v1/me").status_code == 401


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
]


def test_another_sites_page_writes_nothing_with_our_cookie(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)

    for headers in [*FOREIGN, *({cookies.CSRF_HEADER: word} for word in ("", "x", "0" * 64))]:
        answer = browser.posts("/v1/sign-outs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), headers

    assert browser.gets("/v1/me").status_code == 200


def test_a_write_that_does_not_say_where_it_was_made_is_refused(
    browser: Browser, olga: Person, clock: Clock
) -> None:
    comes_in(browser, olga, clock)
    headers = {
        "Cookie": f"{cookies.NAME}={browser.secret}",
        cookies.CSRF_HEADER: cookies.csrf_of(browser.secret or ""),
    }

    silent = browser.client.post("/v1/sign-outs", json={}, headers=headers)
    browsers = browser.client.post(
        "/v1/sign-outs", json={}, headers={**headers, "Sec-Fetch-Site": "same-origin"}
    )

    assert silent.json()["code"] == "cross_site"
    assert browsers.status_code == 201


def test_no_other_site_signs_its_visitors_in(browser: Browser, at: Shop, newcomer: Account) -> None:
    body = {"operator": at.slug, "email": newcomer.email, "password": PASSWORD}

    for headers in FOREIGN:
        answer = browser.posts("/v1/sign-ins", body, headers=headers)
        assert answer.json()["code"] == "cross_site", headers

    assert browser.secret is None


def test_the_word_follows_from_the_secret_and_tells_nothing_of_it() -> None:
    word = cookies.csrf_of("a secret")

    assert re.fullmatch(r"[0-9a-f]{64}", word)
    assert word == cookies.csrf_of("a secret") != cookies.csrf_of("another secret")
    assert word != hash_of("a secret").hex()  # what finds the row


def test_a_forged_cookie_opens_nothing(browser: Browser, olga: Person, clock: Clock) -> None:
    comes_in(browser, olga, clock)
    assert browser.secret
    for forged in (browser.secret[:-1] + "~", hash_of(browser.secret).hex(), "x" * 3_000, "%00"):
        browser.secret = forged

        assert browser.gets("/v1/me").json()["code"] == "not_signed_in"


def test_nothing_that_is_sent_comes_back_in_a_no(browser: Browser, at: Shop) -> None:
    body: dict[str, Any] = {
        "operator": at.slug,
        "email": "not an address",
        "password": ["my secret password"],
        "extra": "my other secret",
    }

    answer = browser.posts("/v1/sign-ins", body)

    assert answer.status_code == 422
    assert "secret" not in answer.text


# Hashing.


def test_two_are_hashed_at_once_and_twenty_wait() -> None:
    go = Event()
    at_work: list[int] = []
    most: list[int] = []

    def slow(number: int) -> int:
        at_work.append(number)
        most.append(len(at_work))
        go.wait(10)
        at_work.remove(number)
        return number

    async def one(queue: Hashing, number: int) -> int | str:
        try:
            async with queue.place():
                return await queue.run(slow, number)
        except Busy as busy:
            return busy.code

    async def everybody() -> list[int | str]:
        queue = Hashing()
        asked = [asyncio.create_task(one(queue, number)) for number in range(30)]
        await asyncio.sleep(0.1)
        go.set()
        first = await asyncio.gather(*asked)
        return [*first, await one(queue, 30)]  # and those who come later find room

    *outcomes, later = asyncio.run(everybody())

    assert outcomes == [*range(hashing.THREADS + hashing.MOST_WAITING), *["busy"] * 8]
    assert max(most) == hashing.THREADS == 2
    assert later == 30


def test_whoever_finds_the_queue_full_has_used_up_no_try(
    browser: Browser, olga: Person, database: Engine, served: FastAPI
) -> None:
    at, account, _ = olga
    queue = served.state.door.hashing
    queue._inside = hashing.THREADS + hashing.MOST_WAITING

    answer = browser.signs_in(at.slug, account.email, PASSWORD)

    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    with transaction(database) as session:
        assert count(session, "tries WHERE key LIKE 'password/%'") == 0


def test_no_connection_is_held_while_a_password_is_hashed(
    browser: Browser,
    olga: Person,
    served: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at, account, _ = olga
    pool = served.state.door.strangers.engine.pool
    held: list[int] = []
    judged = passwords.judged

    def look(password: str, kept: str | None) -> tuple[bool, str | None]:
        held.append(pool.checkedout())
        return judged(password, kept)

    monkeypatch.setattr(passwords, "judged", look)

    answer = browser.signs_in(at.slug, account.email, PASSWORD)

    assert answer.status_code == 201
    assert held == [0]


def test_other_requests_are_answered_while_passwords_are_hashed(
    browser: Browser, olga: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, account, _ = olga
    is_hashing, go = Event(), Event()

    def wait(password: str, kept: str | None) -> tuple[bool, str | None]:
        is_hashing.set()
        assert go.wait(20)
        return False, None

    monkeypatch.setattr(passwords, "judged", wait)
    with ThreadPoolExecutor(1) as elsewhere:
        slow = elsewhere.submit(another(browser).signs_in, at.slug, account.email, PASSWORD)
        assert is_hashing.wait(20)

        alive = browser.gets("/health/live")
        half = browser.posts("/v1/sign-ins/second-factor", {"ceremony": "x" * 43, "code": "1" * 6})

        go.set()
        assert slow.result().status_code == 401
    assert alive.status_code == 200
    assert half.json()["code"] == "not_signed_in"


def test_every_role_can_sign_in_and_is_told_its_own(
    browser: Browser, at: Shop, database: Engine
) -> None:
    for role in (Role.AUDITOR, Role.CASHIER):
        with transaction(database) as session:
            opened = make.signed_in(session, make.person(session, at, role))
        browser.secret = opened.secret

        me = browser.me()

        assert me["role"] == role
        assert me["store_ids"] == ([str(at.store.id)] if role is Role.CASHIER else [])


def test_being_seen_is_written_once_a_minute(
    browser: Browser, olga: Person, clock: Clock, database: Engine
) -> None:
    comes_in(browser, olga, clock)

    def seen() -> Any:
        with transaction(database) as session:
            return rows(session, "SELECT max(seen_at) AS at FROM sign_in")[0].at

    clock.passes(seconds=59)
    browser.me()
    assert seen() == make.NOON
    clock.passes(seconds=1)
    browser.me()
    assert seen() == clock.now
    assert timedelta(minutes=1) == sign_ins.SEEN_EVERY
