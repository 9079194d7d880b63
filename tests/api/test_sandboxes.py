"""The sandbox at the real door: apart, and at any hour that its programs choose."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import Client
from sqlalchemy import Engine

from coupon_engine import keys
from coupon_engine.database import transaction
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter, redemption
from tests.api.test_wallets import holder
from tests.coupon_engine.customers.phone import MOBILE
from tests.make import ISSUER, NOON, PASSPHRASE, Shop

A_YEAR_ON = "2027-03-02T12:00:00Z"


@pytest.fixture
def owner(counter: Counter, database: Engine, door: Client, clock: Clock) -> Asker:
    return askers.person(database, door, counter.at, Role.OWNER, now=clock.now, is_stepped_up=True)


@pytest.fixture
def inside(counter: Counter, owner: Asker, database: Engine) -> Counter:
    """A program with a test key, in a sandbox with a store."""
    made = owner.posts("/v1/sandboxes", {"id": str(make.an_id())})
    assert made.status_code == 201, made.text
    asked = {
        "id": str(make.an_id()),
        "name": "web shop",
        "is_sandbox": True,
        "scopes": ["read", "issue", "redeem", "campaigns", "customers", "catalogue"],
    }
    key = owner.posts("/v1/api-keys", asked).json()
    sandbox = made.json()
    assert key["key"]["operator_id"] == sandbox["id"]
    assert key["api_key"].startswith("cfk_test_")
    at = Shop(make.UUID(sandbox["id"]), sandbox["slug"], counter.at.store, counter.at.terminal)
    with transaction(database) as session:
        ring = keys.ring(session, at.operator_id, issuer_url=ISSUER, passphrase=PASSPHRASE)
    opened = Counter(counter.client, at, ring, key["api_key"], counter.document)
    store = furnished(opened)
    return Counter(
        opened.client,
        Shop(at.operator_id, at.slug, store, at.terminal),
        opened.ring,
        opened.api_key,
        opened.document,
    )


def furnished(sandbox: Counter) -> Any:
    merchant_id = str(make.an_id())
    sandbox.posts("/v1/merchants", {"id": merchant_id, "name": "Corner shop"})
    store = {
        "id": str(make.an_id()),
        "merchant_id": merchant_id,
        "name": "Main street",
        "zone": "Europe/Berlin",
    }
    answer = sandbox.posts("/v1/stores", store)
    assert answer.status_code == 201, answer.text
    return counter_store(answer.json())


def counter_store(told: dict[str, Any]) -> Any:
    return make.StoreView.model_validate(told)


def sets_clock(sandbox: Counter, now: str | None) -> Any:
    return sandbox.posts("/v1/clock-settings", {"id": str(make.an_id()), "now": now})


def a_code(sandbox: Counter, database: Engine, **more: Any) -> str:
    with transaction(database) as session:
        coupon = make.coupon(session, sandbox.at, **more)
        return make.code(session, sandbox.at, coupon, sandbox.ring)


def test_a_sandbox_has_its_own_data(counter: Counter, inside: Counter) -> None:
    stores = [each["id"] for each in counter.gets("/v1/stores").json()]
    tried = [each["id"] for each in inside.gets("/v1/stores").json()]

    assert stores == [str(counter.at.store.id)]
    assert tried == [str(inside.at.store.id)]


def test_a_sandboxs_coupon_works_there_and_nowhere_else(
    counter: Counter, inside: Counter, stranger: Counter, database: Engine
) -> None:
    code = a_code(inside, database)
    strangers = a_code(stranger, database)

    live, foreign = counter.redeems(code), counter.redeems(strangers)

    assert (live.status_code, live.json()) == (foreign.status_code, foreign.json())
    assert (live.status_code, live.json()["code"]) == (409, "bad_signature")
    assert inside.redeems(code).status_code == 201


def test_the_clock_of_a_sandbox_decides_there_and_only_there(
    counter: Counter, inside: Counter, database: Engine
) -> None:
    code = a_code(inside, database)
    live = a_code(counter, database)

    answer = sets_clock(inside, A_YEAR_ON)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"now": A_YEAR_ON, "ahead_seconds": 31_536_000}
    late = inside.redeems(code)
    unharmed = counter.redeems(live)
    sets_clock(inside, None)
    in_time = inside.redeems(code)

    assert (late.status_code, late.json()["code"]) == (409, "expired")
    assert unharmed.status_code == 201
    assert in_time.status_code == 201
    assert in_time.json()["redeemed_at"] == "2026-03-02T12:00:00Z"


def test_the_clock_goes_on_from_where_it_was_set(
    inside: Counter, database: Engine, clock: Clock
) -> None:
    code = a_code(inside, database)
    at_once = NOON + timedelta(days=7)
    sets_clock(inside, at_once.isoformat())
    clock.passes(minutes=2)

    redeemed = inside.redeems(code)

    assert redeemed.status_code == 201, redeemed.text
    assert redeemed.json()["redeemed_at"] == "2026-03-09T12:02:00Z"


def test_a_live_clock_is_nobodys_to_set(counter: Counter, inside: Counter) -> None:
    live = sets_clock(counter, A_YEAR_ON)
    too_far = sets_clock(inside, "2032-01-01T00:00:00Z")

    assert (live.status_code, live.json()["code"]) == (409, "not_a_sandbox")
    assert (too_far.status_code, too_far.json()["code"]) == (422, "clock_too_far")


def test_one_sandbox_is_enough(inside: Counter, owner: Asker) -> None:
    again = owner.posts("/v1/sandboxes", {"id": str(make.an_id())})

    assert (again.status_code, again.json()["code"]) == (409, "name_taken")


def test_a_test_key_said_to_be_a_live_one_opens_nothing(inside: Counter) -> None:
    from coupon_engine.api_keys import _checksum  # noqa: PLC0415  # pyright: ignore[reportPrivateUsage]

    pretended = inside.api_key.replace("_test_", "_live_")[:-6]
    pretended += _checksum(pretended)

    answer = inside.client.get("/v1/stores", headers={"Authorization": f"Bearer {pretended}"})

    assert answer.status_code == 401


def test_a_request_cannot_name_another_operator(counter: Counter, inside: Counter) -> None:
    body = {**redemption(counter.at, "x"), "operator_id": str(counter.at.operator_id)}

    assert inside.posts("/v1/redemptions", body).status_code == 422
    assert inside.posts("/v1/redemptions", redemption(counter.at, "x")).status_code == 404


def test_a_sandboxs_clock_brings_nobody_more_passcodes(inside: Counter, clock: Clock) -> None:
    asked = {"kind": "phone", "to": MOBILE}

    def ask() -> int:
        phone = holder(inside, clock)
        return phone.posts("/v1/passcodes", id=str(make.an_id()), **asked).status_code

    assert [ask() for _ in range(4)] == [201, 201, 201, 429]
    assert sets_clock(inside, A_YEAR_ON).status_code == 201

    assert ask() == 429
