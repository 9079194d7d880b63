"""Passkeys at the door: in a real browser with a device of its own, and over the wire."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from fastapi import FastAPI
from httpx import Client
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page
from playwright.sync_api import Error as BrowserError
from sqlalchemy import Engine

from api import edges
from api.asking import cookies
from coupon_engine.database import transaction
from coupon_engine.people import sign_ins
from coupon_engine.people.passkeys import Site
from coupon_engine.people.secret import hash_of
from coupon_engine.tables import Account, SignIn
from schemas.access import Role
from tests import make
from tests.api.browsers import Browser
from tests.api.wire import serving
from tests.coupon_engine.people.authenticator import Authenticator
from tests.coupon_engine.record import count, kinds
from tests.make import NOON, Shop

SITE = Site.at(make.ISSUER)


@pytest.fixture
def at(database: Engine) -> Shop:
    with transaction(database) as session:
        return make.shop(session)


@pytest.fixture
def ann(database: Engine, at: Shop) -> Account:
    with transaction(database) as session:
        return make.person(session, at, email="ann@example.com")


# In a real browser.

# A page that signs people in is allowed this, and nothing more than any page of ours.
SIGNING_IN = edges.Profile(
    policy=edges.page_policy(),
    permits=frozenset({"publickey-credentials-create", "publickey-credentials-get"}),
)


@pytest.fixture
def page(chromium: Chromium, served: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of the real door, in a browser whose device knows its person."""
    monkeypatch.setitem(cast("dict[str, edges.Profile]", edges.PROFILES), "/health", SIGNING_IN)
    with serving(served) as address:
        here = address.replace("127.0.0.1", "localhost")
        # Which port it is, is known only now.
        served.state.door = replace(served.state.door, issuer_url=here)
        with chromium.new_context(base_url=here) as context:
            page = context.new_page()
            a_device(context, page)
            page.goto("/health/live")
            yield page


def a_device(context: BrowserContext, page: Page) -> None:
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


ASKS = """async ([method, path, body, csrf]) => {
    const answer = await fetch(path, {
        method,
        headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
        body: body === null ? undefined : JSON.stringify(body),
    })
    return { status: answer.status, body: await answer.json() }
}"""
MAKES = """async options => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
    return (await navigator.credentials.create({ publicKey })).toJSON()
}"""
SIGNS = """async options => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
    return (await navigator.credentials.get({ publicKey })).toJSON()
}"""


def asks(page: Page, method: str, path: str, body: Any = None) -> Any:
    me = page.evaluate(ASKS, ["GET", "/v1/me", None, ""])
    csrf = me["body"].get("csrf", "")
    answer = page.evaluate(ASKS, [method, path, body, csrf])
    assert answer["status"] in (200, 201), answer
    return answer["body"]


def test_a_browser_adds_a_passkey_comes_back_by_it_and_confirms_by_it(
    page: Page, at: Shop, ann: Account, database: Engine
) -> None:
    password = {"operator": at.slug, "email": ann.email, "password": make.PASSWORD}
    assert asks(page, "POST", "/v1/sign-ins", password)["second_factor_missing"]

    begun = asks(page, "POST", "/v1/passkeys/options", {})
    made = page.evaluate(MAKES, begun["options"])
    own = {"name": "My phone", "ceremony": begun["ceremony"], "credential": made}
    added = asks(page, "POST", "/v1/passkeys", own)

    assert asks(page, "GET", "/v1/passkeys") == [added]
    assert not asks(page, "GET", "/v1/me")["second_factor_missing"]

    page.context.clear_cookies()
    begun = asks(page, "POST", "/v1/sign-ins/passkey-options", {"operator": at.slug})
    signed = page.evaluate(SIGNS, begun["options"])
    asks(
        page,
        "POST",
        "/v1/sign-ins/passkey",
        {"operator": at.slug, "ceremony": begun["ceremony"], "credential": signed},
    )

    me = asks(page, "GET", "/v1/me")
    assert (me["name"], me["methods"]) == (ann.name, ["passkey"])
    assert me["stepped_up_until"] is not None

    begun = asks(page, "POST", "/v1/step-ups/passkey-options", {})
    signed = page.evaluate(SIGNS, begun["options"])
    asks(
        page,
        "POST",
        "/v1/step-ups/passkey",
        {"ceremony": begun["ceremony"], "credential": signed},
    )

    assert asks(page, "GET", "/v1/me")["stepped_up_until"] is not None
    with transaction(database) as session:
        assert count(session, "passkey WHERE sign_count > 1") == 1


def test_a_browser_makes_no_second_passkey_on_the_same_device(
    page: Page, at: Shop, ann: Account
) -> None:
    password = {"operator": at.slug, "email": ann.email, "password": make.PASSWORD}
    asks(page, "POST", "/v1/sign-ins", password)
    begun = asks(page, "POST", "/v1/passkeys/options", {})
    made = page.evaluate(MAKES, begun["options"])
    own = {"name": "My phone", "ceremony": begun["ceremony"], "credential": made}
    asks(page, "POST", "/v1/passkeys", own)

    again = asks(page, "POST", "/v1/passkeys/options", {})

    with pytest.raises(BrowserError, match="InvalidStateError"):
        page.evaluate(MAKES, again["options"])


def test_a_browser_gives_no_passkey_to_another_address(page: Page, at: Shop, ann: Account) -> None:
    begun = asks(page, "POST", "/v1/sign-ins/passkey-options", {"operator": at.slug})

    page.goto(page.url.replace("localhost", "127.0.0.1"))

    with pytest.raises(BrowserError, match="SecurityError"):
        page.evaluate(SIGNS, begun["options"])


# Over the wire, with a device that does what it is told.


@pytest.fixture
def browser(served: FastAPI, door: Client) -> Browser:
    return Browser(door, served.openapi())


@pytest.fixture
def device() -> Authenticator:
    return Authenticator(SITE.origin, SITE.rp_id)


def signed_in(
    browser: Browser,
    database: Engine,
    account: Account,
    *methods: str,
    since: timedelta = timedelta(),
) -> None:
    with transaction(database) as session:
        browser.secret = make.signed_in(session, account, *methods, now=make.NOON - since).secret


def added(browser: Browser, device: Authenticator) -> Any:
    begun = browser.posts("/v1/passkeys/options").json()
    own = {
        "name": "My phone",
        "ceremony": begun["ceremony"],
        "credential": device.makes(begun["options"]),
    }
    answer = browser.posts("/v1/passkeys", own)
    assert answer.status_code == 201, answer.text
    return answer.json()


def comes_in(browser: Browser, device: Authenticator, at: Shop) -> Any:
    begun = browser.posts("/v1/sign-ins/passkey-options", {"operator": at.slug}).json()
    return browser.posts(
        "/v1/sign-ins/passkey",
        {
            "operator": at.slug,
            "ceremony": begun["ceremony"],
            "credential": device.signs(begun["options"]),
        },
    )


def test_a_first_passkey_opens_what_a_password_alone_does_not(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    before = browser.secret
    assert browser.gets("/v1/campaigns").json()["code"] == "not_allowed"

    added(browser, device)

    assert browser.secret != before
    assert browser.gets("/v1/campaigns").status_code == 200


def test_a_sign_in_by_passkey_leaves_its_secret_in_the_cookie_alone(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    added(browser, device)
    browser.secret = None

    answer = comes_in(browser, device, at)

    assert (answer.status_code, answer.json()["methods"]) == (201, ["passkey"])
    assert browser.secret is not None
    assert browser.secret not in answer.text
    line = browser.set_cookies[-1].lower()
    assert line.startswith(f"{cookies.NAME.lower()}=")
    for said in ("secure", "httponly", "samesite=lax", "path=/"):
        assert said in line
    with transaction(database) as session:
        row = sign_ins.current(session, hash_of(browser.secret), now=NOON)
        assert (row.account_id, row.operator_id) == (ann.id, at.operator_id)


def test_every_wrong_passkey_hears_the_same(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    added(browser, device)
    browser.secret = None
    with transaction(database) as session:
        there = make.shop(session)
        signed = count(session, "sign_in")
    wrong = [
        comes_in(browser, replace(device, origin="https://evil.test"), at),
        comes_in(browser, replace(device, rp_id="evil.test"), at),
        comes_in(browser, replace(device, credential_id=b"unknown"), at),
        comes_in(browser, device, there),
        comes_in(browser, device, replace(there, slug="nobody-here")),
    ]

    assert {(answer.status_code, answer.text) for answer in wrong} == {(401, wrong[0].text)}
    assert browser.secret is None
    with transaction(database) as session:
        assert count(session, "sign_in") == signed
        assert count(session, f"ceremony WHERE operator_id = '{at.operator_id}'") == 0


def test_a_copied_key_is_written_down(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    added(browser, device)
    copy = replace(device)
    assert comes_in(browser, device, at).status_code == 201
    browser.secret = None

    assert comes_in(browser, copy, at).status_code == 401

    with transaction(database) as session:
        assert kinds(session, ann.id)[-1] == "passkey_cloned"


def test_another_sites_page_cannot_sign_its_visitor_in(
    browser: Browser, at: Shop, ann: Account
) -> None:
    for path in ("/v1/sign-ins/passkey-options", "/v1/sign-ins/passkey"):
        answer = browser.posts(path, {"operator": at.slug}, headers={"Origin": "https://evil.test"})

        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_a_second_passkey_wants_a_confirmation(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    added(browser, device)
    signed_in(browser, database, ann, "passkey", since=timedelta(minutes=10))

    assert browser.posts("/v1/passkeys/options").json()["code"] == "step_up_needed"

    begun = browser.posts("/v1/step-ups/passkey-options").json()
    confirmed = browser.posts(
        "/v1/step-ups/passkey",
        {"ceremony": begun["ceremony"], "credential": device.signs(begun["options"])},
    )
    assert confirmed.status_code == 201
    added(browser, Authenticator(SITE.origin, SITE.rp_id))


def test_the_last_passkey_of_somebody_without_an_app_stays(
    browser: Browser, device: Authenticator, at: Shop, ann: Account, database: Engine
) -> None:
    signed_in(browser, database, ann, "password")
    view = added(browser, device)

    def removed(id: str) -> Any:
        return browser.posts(
            "/v1/passkey-removals", {"id": str(make.an_id()), "passkey_id": id}
        ).json()

    assert removed(view["id"])["code"] == "last_second_factor"
    assert removed("AAAA")["code"] == "unknown"

    added(browser, Authenticator(SITE.origin, SITE.rp_id))
    assert removed(view["id"]) == view
    assert len(browser.gets("/v1/passkeys").json()) == 1


def test_whoever_looks_in_from_the_platform_has_no_passkeys_here(
    browser: Browser, at: Shop, database: Engine
) -> None:
    with transaction(database) as session:
        elsewhere = make.person(session, make.shop(session), Role.PLATFORM_ADMIN)
        opened = make.signed_in(session, elsewhere)
        row = sign_ins.current(session, hash_of(opened.secret), now=NOON)
        visiting: dict[str, Any] = {
            **row.model_dump(),
            "operator_id": at.operator_id,
            "hash": hash_of("visit"),
        }
        session.add(SignIn(**visiting))
    browser.secret = "visit"

    assert browser.posts("/v1/passkeys/options").json()["code"] == "not_signed_in"
    assert browser.gets("/v1/passkeys").json() == []
