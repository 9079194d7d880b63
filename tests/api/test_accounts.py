"""An operator's people through the real door: invited, made, changed, and kept apart."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client
from sqlalchemy import Engine

from coupon_engine.database import transaction
from coupon_engine.people import passwords
from coupon_engine.tables import Account
from schemas.access import Role
from tests import make
from tests.api.browsers import Browser
from tests.api.conftest import Clock, Counter
from tests.coupon_engine.people.apps import app_of
from tests.coupon_engine.record import count, rows
from tests.make import PASSWORD, Shop

As = Callable[[Account], Browser]


@pytest.fixture
def at(database: Engine) -> Shop:
    with transaction(database) as session:
        return make.shop(session)


@pytest.fixture
def as_(door: Client, served: FastAPI, database: Engine) -> As:
    """The browser of somebody who has just set up an app, and so has just confirmed."""

    def browser(account: Account) -> Browser:
        with transaction(database) as session:
            secret = app_of(session, account).opened.secret
        return Browser(door, served.openapi(), secret)

    return browser


def person(database: Engine, at: Shop, role: Role, **more: Any) -> Account:
    with transaction(database) as session:
        return make.person(session, at, role, **more)


def invitation(**more: Any) -> dict[str, Any]:
    return {
        "id": str(make.an_id()),
        "email": "Ben@Example.com",
        "name": "Ben",
        "role": "finance",
        **more,
    }


def test_an_owner_invites_and_the_invited_comes_in(
    at: Shop, as_: As, database: Engine, door: Client, served: FastAPI
) -> None:
    owner = as_(person(database, at, Role.OWNER))

    link = owner.posts("/v1/invitations", invitation())

    assert link.status_code == 201
    assert link.json()["email"] == "ben@example.com"
    stranger = Browser(door, served.openapi())
    weak = {"secret": link.json()["secret"], "password": "too short"}
    refused = stranger.posts("/v1/invitations/acceptances", weak)
    assert (refused.status_code, refused.json()["code"]) == (422, "password_refused")
    assert refused.json()["detail"] == "it has fewer than 15 characters"
    good = {**weak, "password": f" {PASSWORD} "}
    accepted = stranger.posts("/v1/invitations/acceptances", good)
    assert (accepted.status_code, accepted.json()) == (
        201,
        {"operator": at.slug, "email": "ben@example.com"},
    )
    again = stranger.posts("/v1/invitations/acceptances", good)
    assert (again.status_code, again.json()["code"]) == (404, "invitation_over")
    assert stranger.signs_in(at.slug, "ben@example.com", PASSWORD).status_code == 401
    assert stranger.signs_in(at.slug, "BEN@example.com", f" {PASSWORD} ").status_code == 201
    assert stranger.me()["role"] == "finance"
    (listed,) = owner.gets("/v1/invitations").json()
    assert listed["ended_at"]
    assert "secret" not in listed


def test_a_stranger_to_every_invitation_makes_nobody_hash(
    door: Client, served: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "hash_of", hashed.append)
    browser = Browser(door, served.openapi())

    answer = browser.posts(
        "/v1/invitations/acceptances", {"secret": "x" * 43, "password": PASSWORD}
    )

    assert answer.json()["code"] == "invitation_over"
    assert hashed == []


def test_a_withdrawn_invitation_opens_nothing(
    at: Shop, as_: As, database: Engine, door: Client, served: FastAPI
) -> None:
    owner = as_(person(database, at, Role.OWNER))
    link = owner.posts("/v1/invitations", invitation()).json()
    body = {"id": str(make.an_id()), "invitation_id": link["id"], "reason": "left"}

    assert owner.posts("/v1/invitation-withdrawals", body).status_code == 201

    answer = Browser(door, served.openapi()).posts(
        "/v1/invitations/acceptances", {"secret": link["secret"], "password": PASSWORD}
    )
    assert answer.json()["code"] == "invitation_over"


def test_a_changed_role_is_felt_at_the_next_request(at: Shop, as_: As, database: Engine) -> None:
    olga, ben = (person(database, at, role) for role in (Role.OWNER, Role.FINANCE))
    owner, browser = as_(olga), as_(ben)
    assert browser.gets("/v1/me").status_code == 200
    body = {
        "id": str(make.an_id()),
        "account_id": str(ben.id),
        "role": "auditor",
        "reason": "new work",
    }

    changed = owner.posts("/v1/account-changes", body)

    assert changed.status_code == 201
    assert browser.gets("/v1/me").status_code == 401
    with transaction(database) as session:
        (told,) = rows(session, "SELECT * FROM event WHERE kind = 'account_changed'")
    assert (told.actor["id"], told.actor["address"]) == (str(olga.id), "127.0.0.0/24")
    assert told.data["before"]["role"] == "finance"
    own = {**body, "id": str(make.an_id()), "account_id": str(olga.id)}
    assert owner.posts("/v1/account-changes", own).json()["code"] == "not_allowed"


def test_nobody_but_an_owner_invites_or_changes_anybody(
    at: Shop, as_: As, database: Engine
) -> None:
    olga = person(database, at, Role.OWNER)
    change = {"id": str(make.an_id()), "account_id": str(olga.id), "reason": "mine"}
    for role in (Role.FINANCE, Role.AUDITOR, Role.SHOP_MANAGER):
        browser = as_(person(database, at, role))

        for path, body in (
            ("/v1/invitations", invitation()),
            ("/v1/account-changes", {**change, "suspended": True}),
        ):
            assert browser.posts(path, body).json()["code"] == "not_allowed"
    with transaction(database) as session:
        assert count(session, "invitation") == 0


def test_people_see_and_change_only_their_own_operators(
    at: Shop, as_: As, database: Engine
) -> None:
    with transaction(database) as session:
        there = make.shop(session)
    olga, stranger = (person(database, each, Role.OWNER) for each in (at, there))
    browser = as_(stranger)
    change = {
        "id": str(make.an_id()),
        "account_id": str(olga.id),
        "suspended": True,
        "reason": "mine",
    }
    stores = invitation(role="cashier", store_ids=[str(at.store.id)])
    link = as_(olga).posts("/v1/invitations", invitation()).json()
    withdrawal = {"id": str(make.an_id()), "invitation_id": link["id"], "reason": "mine"}

    assert [each["id"] for each in browser.gets("/v1/accounts").json()] == [str(stranger.id)]
    assert browser.gets("/v1/invitations").json() == []
    for path, body in (
        ("/v1/account-changes", change),
        ("/v1/invitations", stores),
        ("/v1/invitation-withdrawals", withdrawal),
    ):
        foreign = browser.posts(path, body)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown"), path


def test_nobody_is_invited_to_more_than_a_persons_role(at: Shop, as_: As, database: Engine) -> None:
    owner = as_(person(database, at, Role.OWNER))
    an_id = str(make.an_id())

    for more in (
        {"role": "platform_admin"},
        {"role": "integrator"},
        {"role": "cashier"},
        {"store_ids": [an_id]},
        {"operator_id": an_id},
        {"password_hash": "x"},
    ):
        answer = owner.posts("/v1/invitations", invitation(**more))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), more

    with transaction(database) as session:
        assert count(session, "invitation") == 0


def test_a_program_is_no_person(counter: Counter) -> None:
    for path in ("/v1/me", "/v1/sign-ins", "/v1/accounts"):
        assert counter.gets(path).json()["code"] == "not_allowed"


def test_a_lost_password_and_app_are_mended_by_an_owner(
    at: Shop, as_: As, database: Engine, clock: Clock, door: Client, served: FastAPI
) -> None:
    ben = person(database, at, Role.FINANCE, email="ben@example.com")
    before, owner = as_(ben), as_(person(database, at, Role.OWNER))
    link = owner.posts("/v1/invitations", invitation()).json()
    body = {"secret": link["secret"], "password": "seven green umbrellas"}

    Browser(door, served.openapi()).posts("/v1/invitations/acceptances", body)

    assert before.gets("/v1/me").status_code == 401
    after = Browser(door, served.openapi())
    assert after.signs_in(at.slug, ben.email, PASSWORD).status_code == 401
    answer = after.signs_in(at.slug, ben.email, "seven green umbrellas")
    assert answer.json()["second_factor_missing"]
    assert after.me()["account_id"] == str(ben.id)
