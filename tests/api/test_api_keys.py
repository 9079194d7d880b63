"""Keys for programs, as an owner makes them and as they open the door."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import Client
from sqlalchemy import Engine

from coupon_engine.database import transaction
from schemas.access import Role, Scope
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter
from tests.coupon_engine.record import rows


@pytest.fixture
def owner(counter: Counter, database: Engine, door: Client, clock: Clock) -> Asker:
    return askers.person(database, door, counter.at, Role.OWNER, now=clock.now, is_stepped_up=True)


def wanted(**more: Any) -> dict[str, Any]:
    return {"id": str(make.an_id()), "name": "web shop", "scopes": ["read"], "days": 30, **more}


def with_key(counter: Counter, api_key: str) -> Counter:
    return Counter(counter.client, counter.at, counter.ring, api_key, counter.document)


def test_a_key_opens_what_it_says_until_it_ends(
    counter: Counter, owner: Asker, clock: Clock
) -> None:
    first, second, third = (
        owner.posts("/v1/api-keys", wanted(name=name)).json()["api_key"] for name in "abc"
    )
    merchant = {"id": str(make.an_id()), "name": "Corner shop"}

    assert with_key(counter, first).gets("/v1/campaigns").status_code == 200
    assert with_key(counter, first).posts("/v1/merchants", merchant).status_code == 403
    clock.now += timedelta(days=30, seconds=-1)
    assert with_key(counter, second).gets("/v1/campaigns").status_code == 200
    clock.now += timedelta(seconds=1)
    assert with_key(counter, third).gets("/v1/campaigns").status_code == 401


def test_a_key_is_shown_once_and_never_again(
    counter: Counter, owner: Asker, database: Engine
) -> None:
    asked = wanted()
    first = owner.posts("/v1/api-keys", asked).json()
    secret = first["api_key"].split("_")[3]

    again = owner.posts("/v1/api-keys", asked)
    every = owner.gets("/v1/api-keys")

    assert (again.status_code, again.json()) == (201, {**first, "api_key": None})
    assert first["key"] in every.json()
    assert secret[:32] not in again.text + every.text
    with transaction(database) as session:
        assert secret[:32] not in str(rows(session, "SELECT body FROM answer"))
        assert secret[:32] not in str(rows(session, "SELECT data, actor FROM event"))
        assert secret[:32] not in str(rows(session, "SELECT body FROM outbox"))


def test_a_program_changes_over_to_a_second_key(counter: Counter, owner: Asker) -> None:
    first, second = (owner.posts("/v1/api-keys", wanted()).json() for _ in range(2))
    third = owner.posts("/v1/api-keys", wanted())
    assert (third.status_code, third.json()["code"]) == (409, "too_many_keys")

    ended = owner.posts(
        "/v1/api-key-revocations",
        {"id": str(make.an_id()), "key_id": first["key"]["id"], "reason": "changed over"},
    )

    assert (ended.status_code, ended.json()["revoked_at"] is not None) == (201, True)
    assert with_key(counter, first["api_key"]).gets("/v1/campaigns").status_code == 401
    assert with_key(counter, second["api_key"]).gets("/v1/campaigns").status_code == 200
    assert owner.posts("/v1/api-keys", wanted()).status_code == 201


def test_a_foreign_key_is_as_unknown_as_none(
    counter: Counter, stranger: Counter, owner: Asker
) -> None:
    def ends(key_id: str) -> Any:
        answer = owner.posts(
            "/v1/api-key-revocations",
            {"id": str(make.an_id()), "key_id": key_id, "reason": "mine?"},
        )
        return answer.status_code, answer.text.replace(key_id, "...")

    foreign = stranger.api_key.split("_")[2]

    assert ends(foreign) == ends("A1b2C3d4")
    assert ends(foreign)[0] == 404
    assert stranger.gets("/v1/campaigns").status_code == 200


@pytest.mark.parametrize("role", [Role.CAMPAIGN_EDITOR, Role.FINANCE, Role.SHOP_MANAGER])
def test_nobody_but_an_owner_makes_a_key(
    counter: Counter, database: Engine, door: Client, clock: Clock, role: Role
) -> None:
    asker = askers.person(database, door, counter.at, role, now=clock.now, is_stepped_up=True)

    for path in ("/v1/api-keys", "/v1/sandboxes"):
        assert asker.posts(path, wanted()).json()["code"] == "not_allowed"
        assert counter.posts(path, wanted()).json()["code"] == "not_allowed"  # all scopes


def test_an_owner_confirms_who_they_are_first(
    counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    careless = askers.person(database, door, counter.at, Role.OWNER, now=clock.now)

    assert careless.posts("/v1/api-keys", wanted()).json()["code"] == "step_up_needed"
    assert careless.gets("/v1/api-keys").status_code == 200


def test_the_record_names_the_owner_who_made_and_ended_a_key(
    owner: Asker, database: Engine
) -> None:
    made = owner.posts("/v1/api-keys", wanted(scopes=[Scope.READ, Scope.REDEEM])).json()
    ending = {"id": str(make.an_id()), "key_id": made["key"]["id"], "reason": "leaked"}
    owner.posts("/v1/api-key-revocations", ending)

    with transaction(database) as session:
        told = rows(
            session,
            "SELECT kind, actor ->> 'role' AS role, data ->> 'key_id' AS key_id FROM event "
            "WHERE kind LIKE 'api_key_%' AND operator_id = :id AND actor ->> 'kind' = 'person' "
            "ORDER BY id",
            id=owner.at.operator_id,
        )
    assert [tuple(each) for each in told] == [
        ("api_key_made", "owner", made["key"]["id"]),
        ("api_key_revoked", "owner", made["key"]["id"]),
    ]


def test_a_wrong_key_is_refused_without_a_look_at_the_record(counter: Counter) -> None:
    inventions = ["cfk_live_", "cfk_live_A1b2C3d4_" + "x" * 38, counter.api_key[:-1] + "!"]

    answers = [with_key(counter, each).gets("/v1/campaigns") for each in inventions]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {(401, "not_signed_in")}
    assert counter.gets("/v1/campaigns").status_code == 200


def test_the_last_use_of_a_key_can_be_seen(counter: Counter, owner: Asker, clock: Clock) -> None:
    made = owner.posts("/v1/api-keys", wanted()).json()
    assert made["key"]["last_used_at"] is None
    clock.now += timedelta(minutes=20)

    with_key(counter, made["api_key"]).gets("/v1/campaigns")

    (key,) = (each for each in owner.gets("/v1/api-keys").json() if each["id"] == made["key"]["id"])
    assert key["last_used_at"] == "2026-03-02T12:20:00Z"
