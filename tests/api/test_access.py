"""Who may do what: every endpoint with every role, and with one program for each scope."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import Client, Response
from sqlalchemy import Engine

from api.asking import access, access_page
from api.asking.access import ROWS, Row
from api.main import VERSION_1
from coupon_engine.database import transaction
from schemas.access import Role, Scope
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter
from tests.docs.pages import HOUSE

OPEN = {
    "POST /invitations/acceptances",
    "POST /pairing-answers",
    "POST /sign-ins",
    "POST /sign-ins/passkey",
    "POST /sign-ins/passkey-options",
    "POST /sign-ins/second-factor",
    "POST /wallets",
}
"""The only ones of /v1 that want no credential: they check what they are shown themselves."""


def endpoints() -> Iterator[str]:
    for module in VERSION_1:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods or ()):
                yield f"{method} {route.path}"


def test_every_endpoint_has_a_row_and_every_row_an_endpoint() -> None:
    assert sorted(endpoints()) == sorted(ROWS)


def test_only_these_endpoints_want_no_credential() -> None:
    assert {endpoint for endpoint, row in ROWS.items() if row.is_open} == OPEN


def test_the_page_shows_the_table_as_it_stands() -> None:
    page = (HOUSE / "docs" / "access.md").read_text(encoding="utf-8")

    assert access_page.as_page() == page


def test_an_endpoint_without_a_row_is_refused(
    counter: Counter, served: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {name: row for name, row in ROWS.items() if name != "GET /campaigns"}
    assert counter.gets("/v1/campaigns").status_code == 200

    monkeypatch.setattr(access, "ROWS", rows)

    answer = counter.gets("/v1/campaigns")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_every_role_opens_what_its_row_says_and_nothing_else(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    """Bodies are empty: whoever may hears what is wrong with them, others that they may not."""
    wrong: list[tuple[str, str, int, str]] = []
    asked = 0
    for asker in askers.everybody(database, door, counter.at, clock=clock):
        for endpoint, row in ROWS.items():
            if row.is_open or _signs_off(endpoint):
                continue
            answer = _asks(asker, endpoint)
            code = answer.json().get("code") if answer.status_code >= 400 else ""
            asked += 1
            # A verb that says no for a reason of its own tells the reason.
            is_refused = code == "not_allowed" and "why" not in answer.json().get("details", {})
            if is_refused is may(asker, row) or answer.status_code in (401, 500):
                wrong.append((asker.name, endpoint, answer.status_code, code))

    assert wrong == []
    assert asked > 1_000


def test_a_program_is_told_the_scope_that_its_key_lacks(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    reader = askers.program(database, door, counter.at, Scope.READ, now=clock())

    lacking = reader.posts("/v1/coupons", {}).json()
    closed = reader.gets("/v1/accounts").json()

    assert (lacking["detail"], lacking["details"]) == (
        "This role or key does not allow this.",
        {"scope": "issue"},
    )
    assert "details" not in closed  # no scope opens that


def test_nobody_without_a_credential_opens_anything(door: Client) -> None:
    for endpoint, row in ROWS.items():
        if row.is_open:
            continue
        method, _, path = endpoint.partition(" ")
        answer = door.request(method, filled(path), json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), endpoint


def test_a_person_confirms_who_they_are_before_what_cannot_be_taken_back(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    """Publishing, exports, keys: each by every role that may, signed in hours ago."""
    asked = 0
    for role in (*Role,):
        if role in (Role.TERMINAL, Role.CUSTOMER, Role.INTEGRATOR):
            continue
        asker = (
            askers.platform_admin(database, door, now=clock())
            if role is Role.PLATFORM_ADMIN
            else askers.person(database, door, counter.at, role, now=clock())
        )
        for endpoint, row in ROWS.items():
            if role in row.roles and row.step_up:
                answer = _asks(asker, endpoint)
                asked += 1
                assert (answer.status_code, answer.json()["code"]) == (403, "step_up_needed")

    assert asked >= 10


def test_a_password_alone_opens_the_way_to_a_second_factor_only(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    half = askers.person(database, door, counter.at, Role.OWNER, now=clock(), methods=["password"])
    for endpoint, row in ROWS.items():
        if row.is_open or row.is_half_open or _signs_off(endpoint):
            continue
        answer = _asks(half, endpoint)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), endpoint

    assert half.gets("/v1/me").status_code == 200


def test_a_write_that_another_site_sends_is_refused(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    body = {"id": str(make.an_id()), "name": "Corner shop"}
    for forged in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
    ):
        answer = owner.asks("POST", "/v1/merchants", json=body, headers=forged)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), forged

    assert owner.posts("/v1/merchants", body).status_code == 201


def may(asker: Asker, row: Row) -> bool:
    if asker.role is Role.INTEGRATOR:
        return row.scope in asker.scopes
    return asker.role in row.roles


def _asks(asker: Asker, endpoint: str) -> Response:
    method, _, path = endpoint.partition(" ")
    if method == "POST":
        return asker.posts(filled(path), {})
    with asker.client.stream(
        method, filled(path), headers=dict(asker.headers), auth=asker.auth
    ) as answer:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            answer.read()
        return answer


def filled(path: str) -> str:
    """Return the address with ids of things that never were."""
    return "/v1" + re.sub(r"\{[^}]+\}", lambda _: str(make.an_id()), path)


def _signs_off(endpoint: str) -> bool:
    return endpoint == "POST /sign-outs"


def test_a_short_code_is_told_to_those_who_may_show_the_coupon_and_nobody_else(
    counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    everybody = askers.everybody(database, door, counter.at, clock=clock)
    with transaction(database) as session:
        batch = make.batch(session, counter.at, has_short_codes=True)
        coupon = make.coupon(session, counter.at, batch)
    paths = [f"/v1/coupons{rest}" for rest in ("", f"/{coupon.id}", f"/{coupon.id}/story")]
    assert coupon.short_code is not None
    readers = [each for each in everybody if each.gets(paths[1]).status_code == 200]

    told = {
        each.name for each in readers if any(coupon.short_code in each.gets(p).text for p in paths)
    }
    may_show = {
        each.name
        for each in readers
        if each.gets(f"/v1/coupons/{coupon.id}/token").status_code == 200
    }

    assert len(readers) > len(told)
    assert told == may_show == {Role.OWNER, Role.CAMPAIGN_EDITOR, Role.SUPPORT}
