"""Signing in at the operator's own identity provider, a real one in a process of its own.

Nothing of a flow that fails, for whatever reason, leaves anybody signed in.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from httpx import Client, Response
from pydantic import ValidationError
from sqlalchemy import Engine, text

from api.asking import providers
from coupon_engine.database import transaction
from coupon_engine.people import oidc, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account
from schemas.access import Role, Scope
from schemas.oidc import NewOidcSettings, ProvidersDocument
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, refuse_undocumented
from tests.api.identity_provider import CLIENT_ID, CLIENT_SECRET
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, Shop

SESSION, FLOW = "__Host-counterfoil", "__Host-counterfoil-oidc"


@dataclass
class Elsewhere:
    """The identity provider: another process, which does what it is told."""

    issuer: str
    client: Client

    def is_told(self, **more: Any) -> None:
        self.client.post("/told", json=more).raise_for_status()

    def was_asked(self, what: str) -> list[dict[str, Any]]:
        return [each for each in self.client.get("/asked").json() if each["what"] == what]

    def signs_in(self, address: str) -> str:
        """Send a browser there, and return where it is sent back to."""
        answer = httpx.get(address)
        assert answer.status_code == 303
        return answer.headers["location"]


@dataclass
class Browser:
    """Keeps what it is given, and follows nothing by itself."""

    door: str
    document: dict[str, Any]
    cookies: dict[str, str] = field(default_factory=dict)

    def goes(self, address: str) -> Response:
        target = urlsplit(address)._replace(scheme="", netloc="").geturl()
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = httpx.get(f"{self.door}{target}", headers={"Cookie": cookies}, timeout=30)
        refuse_undocumented(self.document, "GET", urlsplit(target).path, answer)
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return answer

    def starts(self, at: Shop, **params: str) -> str:
        """Ask to sign in, and return where the browser is sent."""
        answer = self.goes(f"/oidc/{at.slug}/start?{httpx.QueryParams(params)}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.api.identity_provider"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture
def provider(running: str, clock: Clock) -> Iterator[Elsewhere]:
    with Client(base_url=running) as client:
        elsewhere = Elsewhere(running, client)
        elsewhere.is_told(
            now=int(clock.now.timestamp()),
            person={"email": "ann@example.com", "email_verified": True},
            wrong="",
            algorithm="RS256",
            codes={},
            asked=[],
        )
        yield elsewhere


@pytest.fixture
def at(database: Engine, provider: Elsewhere) -> Shop:
    return a_shop_with(provider, database)


def a_shop_with(provider: Elsewhere, database: Engine, **more: Any) -> Shop:
    with transaction(database) as session:
        shop = make.shop(session)
        oidc.set_settings(
            session,
            shop.operator_id,
            NewOidcSettings.model_validate(settings_of(provider, **more)),
            vault=Vault.under(make.PASSPHRASE),
            issuer_url=make.ISSUER,
            now=NOON,
        )
    return shop


def settings_of(provider: Elsewhere, **more: Any) -> dict[str, Any]:
    return {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        **more,
    }


@pytest.fixture
def ann(database: Engine, at: Shop) -> Account:
    return invited(database, at, "ann@example.com")


def invited(database: Engine, at: Shop, email: str, **more: Any) -> Account:
    with transaction(database) as session:
        return make.person(session, at, email=email, **more)


@pytest.fixture
def browser(served: FastAPI, door: Client) -> Browser:
    return a_browser(served, door)


@pytest.fixture
def another_browser(served: FastAPI, door: Client) -> Browser:
    return a_browser(served, door)


def a_browser(served: FastAPI, door: Client) -> Browser:
    return Browser(str(door.base_url), served.openapi())


def comes_back(browser: Browser, provider: Elsewhere, at: Shop, **params: str) -> Response:
    return browser.goes(provider.signs_in(browser.starts(at, **params)))


def opening(browser: Browser, link: str) -> Callable[[], int]:
    return lambda: browser.goes(link).status_code


def all_at_once(*works: Callable[[], int]) -> list[int]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(work) for work in works]]


def nobody_is_let_in(database: Engine, browser: Browser, answer: Response) -> None:
    """One no for everything, and nothing is left of it."""
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), answer.text
    assert set(answer.json()) == {"type", "title", "status", "code", "detail"}
    assert SESSION not in browser.cookies
    with transaction(database) as session:
        assert count(session, "sign_in") == 0
        assert count(session, "account WHERE oidc_subject IS NOT NULL") == 0


# The whole way.


def test_whoever_was_invited_signs_in_at_the_provider(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    address = browser.starts(at, next="/console")
    answer = browser.goes(provider.signs_in(address))

    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert set(browser.cookies) == {SESSION}
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert asked["redirect_uri"] == f"{make.ISSUER}/oidc/{at.slug}/callback"
    assert asked["code_challenge_method"] == "S256"
    assert CLIENT_SECRET not in address
    assert browser.cookies[SESSION] not in answer.text
    with transaction(database) as session:
        (row,) = rows(session, "SELECT * FROM sign_in")
        assert (row.account_id, row.methods) == (ann.id, ["oidc"])
        assert row.hash == hash_of(browser.cookies[SESSION])
        assert kinds(session, ann.id) == ["account_bound", "signed_in"]
        assert count(session, "ceremony") == 0


def test_the_cookies_of_a_sign_in_stay_in_this_browser_and_with_this_server(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account
) -> None:
    start = browser.goes(f"/oidc/{at.slug}/start")
    back = browser.goes(provider.signs_in(start.headers["location"]))

    for answer, name in ((start, FLOW), (back, SESSION)):
        (line,) = (
            line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")
        )
        said = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= said
        assert not any(part.startswith("domain") for part in said)


def test_nothing_at_rest_would_finish_a_flow(
    browser: Browser, at: Shop, ann: Account, database: Engine, provider: Elsewhere
) -> None:
    address = browser.starts(at)

    secret = browser.cookies[FLOW]
    state = parse_qs(urlsplit(address).query)["state"][0]
    with transaction(database) as session:
        (kept,) = rows(session, "SELECT ceremony::text AS whole FROM ceremony")
    for told in (secret, state, oidc.Flow(secret).verifier, oidc.Flow(secret).nonce):
        assert told not in kept.whole


def test_the_second_time_the_providers_own_name_counts_and_no_address(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    comes_back(browser, provider, at)
    bea = invited(database, at, "bea@example.com")

    # The same person, who now has the address of a colleague.
    provider.is_told(person={"email": "bea@example.com", "email_verified": True})
    assert comes_back(browser, provider, at).status_code == 303

    with transaction(database) as session:
        found = rows(session, "SELECT account_id FROM sign_in")
        assert [row.account_id for row in found] == [ann.id, ann.id]
        assert count(session, f"account WHERE id = '{bea.id}' AND oidc_subject IS NOT NULL") == 0


def test_an_account_that_is_bound_is_not_bound_again(
    browser: Browser,
    another_browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
) -> None:
    comes_back(browser, provider, at)

    provider.is_told(person={"sub": "person-2", "email": "ann@example.com", "email_verified": True})
    answer = comes_back(another_browser, provider, at)

    assert answer.status_code == 401
    with transaction(database) as session:
        assert count(session, "sign_in") == 1


def test_keys_are_read_again_when_the_provider_has_new_ones(
    browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(providers, "SOONEST_SECONDS", 0.0)
    comes_back(browser, provider, at)
    comes_back(browser, provider, at)
    assert len(provider.was_asked("keys")) == 1  # kept

    provider.is_told(rotate=True, algorithm="ES256")

    assert comes_back(browser, provider, at).status_code == 303
    assert len(provider.was_asked("keys")) == 2


def test_a_key_that_is_nowhere_is_not_asked_for_again_and_again(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    for _ in range(3):
        provider.is_told(wrong="key in the header")
        nobody_is_let_in(database, browser, comes_back(browser, provider, at))

    assert len(provider.was_asked("keys")) == 1


def test_a_key_without_a_name_is_found_when_it_is_the_only_one_of_its_kind(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account
) -> None:
    provider.is_told(wrong="no key named")

    assert comes_back(browser, provider, at).status_code == 303


def test_what_the_provider_tells_about_itself_is_kept(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account
) -> None:
    for _ in range(3):
        browser.starts(at)

    assert len(provider.was_asked("document")) == 1


# Row 47: a sign-in belongs to the browser in which it was begun.


def test_a_sign_in_begun_in_another_browser_is_refused(
    browser: Browser,
    another_browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
) -> None:
    """Login CSRF: a stranger's finished link would sign a victim in as the stranger."""
    link = provider.signs_in(another_browser.starts(at))

    browser.starts(at)  # the victim is in the middle of a flow of its own
    nobody_is_let_in(database, browser, browser.goes(link))

    # The link is used up: the stranger cannot finish it either.
    nobody_is_let_in(database, another_browser, another_browser.goes(link))
    assert provider.was_asked("token") == []  # refused by us, before PKCE and nonce would


def test_a_browser_that_began_nothing_is_refused(
    browser: Browser,
    another_browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
) -> None:
    link = provider.signs_in(another_browser.starts(at))

    nobody_is_let_in(database, browser, browser.goes(link))
    assert provider.was_asked("token") == []


def test_a_link_works_once(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    link = provider.signs_in(browser.starts(at))
    flow = browser.cookies[FLOW]
    assert browser.goes(link).status_code == 303
    browser.cookies = {FLOW: flow}

    assert browser.goes(link).status_code == 401

    with transaction(database) as session:
        assert count(session, "sign_in") == 1
    assert len(provider.was_asked("token")) == 1  # we knew it before the provider did


def test_a_link_that_is_opened_many_times_at_once_works_once(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    link = provider.signs_in(browser.starts(at))
    browsers = [Browser(browser.door, browser.document, dict(browser.cookies)) for _ in range(6)]

    answers = all_at_once(*(opening(one, link) for one in browsers))

    assert sorted(answers) == [303, *[401] * 5]
    with transaction(database) as session:
        assert count(session, "sign_in") == 1
    assert len(provider.was_asked("token")) == 1


def test_states_that_were_swapped_are_refused(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    first = browser.starts(at)
    flow = browser.cookies[FLOW]
    second = browser.starts(at)
    code = parse_qs(urlsplit(provider.signs_in(first)).query)["code"][0]
    state = parse_qs(urlsplit(second).query)["state"][0]
    assert flow != browser.cookies[FLOW]

    # The first flow's code under the second flow's state: the verifier does not fit the code.
    answer = browser.goes(f"/oidc/{at.slug}/callback?code={code}&state={state}")

    nobody_is_let_in(database, browser, answer)
    assert provider.was_asked("sold") == []


def test_a_code_that_was_stolen_is_worth_nothing_in_another_flow(
    browser: Browser,
    another_browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
) -> None:
    """The victim's code, put into the thief's own flow: PKCE, before the nonce would tell."""
    stolen = parse_qs(urlsplit(provider.signs_in(browser.starts(at))).query)["code"][0]
    state = parse_qs(urlsplit(another_browser.starts(at)).query)["state"][0]

    answer = another_browser.goes(f"/oidc/{at.slug}/callback?code={stolen}&state={state}")

    nobody_is_let_in(database, another_browser, answer)
    assert provider.was_asked("sold") == []


def test_a_flow_of_another_operator_is_refused_here(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    there = a_shop_with(provider, database)
    invited(database, there, "ann@example.com")
    link = provider.signs_in(browser.starts(there))

    answer = browser.goes(link.replace(f"/oidc/{there.slug}/", f"/oidc/{at.slug}/"))

    nobody_is_let_in(database, browser, answer)
    assert provider.was_asked("token") == []


def test_a_flow_is_good_for_ten_minutes(
    browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    clock: Clock,
    database: Engine,
) -> None:
    link = provider.signs_in(browser.starts(at))
    clock.passes(minutes=10)

    nobody_is_let_in(database, browser, browser.goes(link))


def test_a_flow_ends_when_the_operator_changes_its_provider(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    link = provider.signs_in(browser.starts(at))
    with transaction(database) as session:
        session.connection().execute(
            text("""UPDATE operator SET oidc = oidc || '{"client_id": "another"}'""")
        )

    nobody_is_let_in(database, browser, browser.goes(link))
    assert provider.was_asked("token") == []


# Confirming: only for somebody who is signed in, and still is.


def test_the_provider_confirms_who_sits_there(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    comes_back(browser, provider, at)
    before = browser.cookies[SESSION]

    answer = comes_back(browser, provider, at, confirm="true", next="/campaigns")

    assert (answer.status_code, answer.headers["location"]) == (303, "/campaigns")
    assert browser.cookies[SESSION] != before
    asked = provider.was_asked("authorize")[-1]
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    with transaction(database) as session:
        row = sign_ins.current(session, hash_of(browser.cookies[SESSION]), now=NOON)
        assert sign_ins.is_stepped_up(row, NOON)
        assert count(session, "sign_in WHERE ended_at IS NULL") == 1


@pytest.mark.parametrize("wrong", ["signed in this morning", "does not say when"])
def test_a_provider_that_asked_nobody_confirms_nothing(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine, wrong: str
) -> None:
    comes_back(browser, provider, at)
    provider.is_told(wrong=wrong)

    answer = comes_back(browser, provider, at, confirm="true")

    assert answer.status_code == 401
    with transaction(database) as session:
        row = sign_ins.current(session, hash_of(browser.cookies[SESSION]), now=NOON)
        assert not sign_ins.is_stepped_up(row, NOON)


def test_who_is_not_signed_in_cannot_begin_to_confirm(
    browser: Browser, at: Shop, ann: Account, database: Engine
) -> None:
    answer = browser.goes(f"/oidc/{at.slug}/start?confirm=true")

    nobody_is_let_in(database, browser, answer)
    assert FLOW not in browser.cookies


def test_a_confirmation_comes_to_nothing_once_signed_out(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    """What was begun signed in is refused from a logged-out session (CVE-2023-27891)."""
    comes_back(browser, provider, at)
    link = provider.signs_in(browser.starts(at, confirm="true"))
    with transaction(database) as session:
        sign_ins.end_all(session, at.operator_id, ann.id, now=NOON)

    assert browser.goes(link).status_code == 401

    assert len(provider.was_asked("token")) == 1  # for the sign-in, and no more
    with transaction(database) as session:
        assert count(session, "sign_in WHERE ended_at IS NULL") == 0
        assert count(session, "event WHERE kind = 'stepped_up'") == 0


def test_a_confirmation_comes_to_nothing_without_the_cookie_of_the_sign_in(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    comes_back(browser, provider, at)
    link = provider.signs_in(browser.starts(at, confirm="true"))
    del browser.cookies[SESSION]

    assert browser.goes(link).status_code == 401

    assert SESSION not in browser.cookies
    with transaction(database) as session:
        assert count(session, "event WHERE kind = 'stepped_up'") == 0


def test_a_colleague_at_the_provider_confirms_nothing(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    comes_back(browser, provider, at)
    invited(database, at, "bea@example.com", oidc_subject=f"{provider.issuer} person-2")
    provider.is_told(person={"sub": "person-2"})

    assert comes_back(browser, provider, at, confirm="true").status_code == 401

    with transaction(database) as session:
        assert count(session, "event WHERE kind = 'stepped_up'") == 0


# Whom the provider names, and who is known here.


def test_a_provider_is_not_believed_everything(
    browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
    subtests: pytest.Subtests,
) -> None:
    for wrong in WRONG:
        with subtests.test(wrong=wrong):
            provider.is_told(wrong=wrong)
            nobody_is_let_in(database, browser, comes_back(browser, provider, at))

    provider.is_told(wrong="")
    assert comes_back(browser, provider, at).status_code == 303  # it was that, and nothing else


WRONG = (
    "nonce",
    "no nonce",
    "audience",
    "two audiences",
    "authorized party",
    "issuer",
    "expired",
    "no end",
    "from the future",
    "no subject",
    "empty subject",
    "numeric subject",
    "long subject",
    "alg none",
    "HS256 with the public key",
    "HS256 with the client secret",
    "key of its own",
    "key in the header",
    "unchecked address",
    "address not verified",
    "address verified, in words",
    "no ID token",
    "another's name",
    "says no",
)


def uninvited(database: Engine, at: Shop) -> None:
    """Nobody here has the address."""


def suspended(database: Engine, at: Shop) -> None:
    invited(database, at, "ann@example.com", suspended_at=NOON)


def of_another_operator(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        there = make.shop(session)
    invited(database, there, "ann@example.com")


def test_nobody_becomes_an_account_by_signing_in(
    browser: Browser,
    provider: Elsewhere,
    at: Shop,
    database: Engine,
    subtests: pytest.Subtests,
) -> None:
    for known in (uninvited, of_another_operator, suspended):
        with subtests.test(known=known.__name__):
            known(database, at)
            with transaction(database) as session:
                before = count(session, "account")

            nobody_is_let_in(database, browser, comes_back(browser, provider, at))

            with transaction(database) as session:
                assert count(session, "account") == before


def test_who_is_suspended_later_is_let_in_no_more(
    browser: Browser, provider: Elsewhere, at: Shop, ann: Account, database: Engine
) -> None:
    comes_back(browser, provider, at)
    with transaction(database) as session:
        session.connection().execute(text("UPDATE account SET suspended_at = now()"))

    assert comes_back(browser, provider, at).status_code == 401


def test_an_address_of_letters_that_only_look_like_ours_is_another_one(
    browser: Browser, provider: Elsewhere, at: Shop, database: Engine
) -> None:
    """The small letter of the Kelvin sign is our k."""
    invited(database, at, "kim@example.com")
    provider.is_told(person={"email": "\u212aim@example.com", "email_verified": True})

    nobody_is_let_in(database, browser, comes_back(browser, provider, at))


def test_only_addresses_of_the_operators_own_domains_come_in_first(
    browser: Browser, provider: Elsewhere, database: Engine
) -> None:
    at = a_shop_with(provider, database, email_domains=["acme.test"])
    invited(database, at, "ann@example.com")

    nobody_is_let_in(database, browser, comes_back(browser, provider, at))

    invited(database, at, "ann@acme.test")
    provider.is_told(person={"email": "Ann@Acme.test", "email_verified": True})
    assert comes_back(browser, provider, at).status_code == 303


def test_of_two_strangers_with_one_address_one_is_bound(
    served: FastAPI,
    door: Client,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
) -> None:
    def first_time(number: int) -> Callable[[], int]:
        browser = a_browser(served, door)
        provider.is_told(
            person={"sub": f"p-{number}", "email": "ann@example.com", "email_verified": True}
        )
        link = provider.signs_in(browser.starts(at))
        return opening(browser, link)

    comings = [first_time(number) for number in range(4)]
    answers = all_at_once(*comings)

    assert sorted(answers) == [303, 401, 401, 401]
    with transaction(database) as session:
        assert count(session, "event WHERE kind = 'account_bound'") == 1


# A provider that does not answer as it should.


def test_a_provider_that_tells_nonsense_is_asked_nothing_more(
    browser: Browser,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    monkeypatch.setattr(providers, "SOONEST_SECONDS", 0.0)
    for wrong in ("broken", "redirects", "document's issuer", "huge", "no JSON"):
        with subtests.test(wrong=wrong):
            provider.is_told(wrong=wrong, asked=[])

            nobody_is_let_in(database, browser, browser.goes(f"/oidc/{at.slug}/start"))

            assert FLOW not in browser.cookies
            assert len(provider.was_asked("document")) == 1
            assert provider.was_asked("elsewhere") == []
    with transaction(database) as session:
        assert count(session, "ceremony") == 0


def test_a_provider_that_is_down_is_a_no(
    browser: Browser, provider: Elsewhere, database: Engine
) -> None:
    at = a_shop_with(provider, database, issuer="http://127.0.0.1:9")

    nobody_is_let_in(database, browser, browser.goes(f"/oidc/{at.slug}/start"))


@pytest.mark.parametrize("wrong", ["slow", "slow to sell"])
def test_a_slow_provider_keeps_nobody_else_waiting(
    served: FastAPI,
    door: Client,
    provider: Elsewhere,
    at: Shop,
    ann: Account,
    database: Engine,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    monkeypatch.setattr(providers, "PATIENCE_SECONDS", 3.0)
    browsers = [a_browser(served, door) for _ in range(8)]
    if wrong == "slow":
        ways = [f"/oidc/{at.slug}/start"] * len(browsers)
    else:
        ways = [provider.signs_in(browser.starts(at)) for browser in browsers]
    provider.is_told(wrong=wrong)

    with ThreadPoolExecutor(len(browsers)) as pool:
        waiting = [pool.submit(one.goes, way) for one, way in zip(browsers, ways, strict=True)]
        others = [door.get("/health/live", timeout=3).status_code for _ in range(5)]
        is_over = [each.done() for each in waiting]
        answers = [each.result() for each in waiting]

    assert not any(is_over)
    assert others == [200] * 5
    assert {answer.status_code for answer in answers} == {401}
    for browser, answer in zip(browsers, answers, strict=True):
        nobody_is_let_in(database, browser, answer)


def test_an_operator_without_a_provider_looks_like_none(browser: Browser, database: Engine) -> None:
    with transaction(database) as session:
        without = make.shop(session)

    answers = [
        browser.goes(f"/oidc/{slug}/{way}")
        for slug in (without.slug, "nobody-here")
        for way in ("start", "callback?code=x&state=y", "callback")
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_nobody_is_sent_elsewhere_after_signing_in(
    browser: Browser, at: Shop, subtests: pytest.Subtests
) -> None:
    for where in ("https://evil.test", "//evil.test", "/\\evil.test", "javascript:x", "x", ""):
        with subtests.test(where=where):
            answer = browser.goes(f"/oidc/{at.slug}/start?{httpx.QueryParams(next=where)}")

            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


# Saying where the operator's people sign in.


def test_an_owner_says_where_people_sign_in_and_the_secret_is_shown_to_nobody(
    door: Client, browser: Browser, provider: Elsewhere, database: Engine
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    invited(database, at, "ann@example.com")
    owner = askers.person(database, door, at, Role.OWNER, now=NOON, is_stepped_up=True)
    auditor = askers.person(database, door, at, Role.AUDITOR, now=NOON)
    assert auditor.gets("/v1/oidc-settings").status_code == 404

    said = owner.posts("/v1/oidc-settings", settings_of(provider, email_domains=["EXAMPLE.com"]))

    view = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "has_client_secret": True,
        "email_domains": ["example.com"],
        "redirect_uri": f"{make.ISSUER}/oidc/{at.slug}/callback",
    }
    assert (said.status_code, said.json()) == (201, view)
    assert auditor.gets("/v1/oidc-settings").json() == view
    with transaction(database) as session:
        for table in ("operator", "event", "answer", "outbox"):
            for row in rows(session, f"SELECT {table}::text AS whole FROM {table}"):  # noqa: S608
                assert CLIENT_SECRET not in row.whole
    assert comes_back(browser, provider, at).status_code == 303


def test_another_provider_is_written_down_with_the_one_before(
    door: Client, provider: Elsewhere, at: Shop, database: Engine
) -> None:
    owner = askers.person(database, door, at, Role.OWNER, now=NOON, is_stepped_up=True)
    other = {"issuer": "https://id.example.com", "client_id": "other"}

    assert owner.posts("/v1/oidc-settings", other).status_code == 201

    with transaction(database) as session:
        _, event = rows(
            session, "SELECT * FROM event WHERE kind = 'oidc_settings_changed' ORDER BY id"
        )
    assert event.actor["role"] == "owner"
    assert event.data == {
        "before": {
            "issuer": provider.issuer,
            "client_id": CLIENT_ID,
            "email_domains": [],
            "has_client_secret": True,
        },
        "after": {**other, "email_domains": [], "has_client_secret": False},
    }


def test_only_an_owner_who_has_just_confirmed_may_say_it(
    door: Client, provider: Elsewhere, at: Shop, database: Engine
) -> None:
    owner = askers.person(database, door, at, Role.OWNER, now=NOON)
    editor = askers.person(database, door, at, Role.CAMPAIGN_EDITOR, now=NOON, is_stepped_up=True)
    every = askers.program(database, door, at, *Scope, now=NOON)

    answers = [each.posts("/v1/oidc-settings", settings_of(provider)) for each in (owner, editor)]
    answers.append(every.posts("/v1/oidc-settings", settings_of(provider)))

    assert [answer.json()["code"] for answer in answers] == [
        "step_up_needed",
        "not_allowed",
        "not_allowed",
    ]


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.com",
        "https://ann@id.example.com",
        "https://id.example.com?x",
        "https://id.example.com#x",
        "ftp://id.example.com",
        "https://",
        "http://127.0.0.1.example.com",
        "https://id.example.com /",
    ],
)
def test_a_provider_has_an_encrypted_address_of_its_own(issuer: str) -> None:
    with pytest.raises(ValidationError):
        NewOidcSettings(issuer=issuer, client_id="x")


def test_a_provider_may_not_send_us_to_what_is_not_encrypted() -> None:
    """Nor to what listens on our own machine, unless it is there itself."""
    document = {
        "issuer": "https://id.example.com",
        "authorization_endpoint": "https://id.example.com/a",
        "token_endpoint": "https://id.example.com/t",
        "jwks_uri": "https://id.example.com/k",
    }
    assert ProvidersDocument.model_validate(document)

    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        for address in ("http://id.example.com/x", "http://127.0.0.1:5432/", "file:///etc/x"):
            with pytest.raises(ValidationError):
                ProvidersDocument.model_validate({**document, name: address})
