"""The platform's own people: they make operators, and see nothing inside one without saying why."""

from datetime import timedelta

import pytest
from httpx import Client
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api.asking import cookies
from coupon_engine import break_glass
from coupon_engine.database import transaction
from coupon_engine.people import invitations
from coupon_engine.people.signing_in import Came
from schemas.access import Role
from schemas.people import NewAcceptance
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter

REASON = "The merchant says that coupons are refused since noon"


@pytest.fixture
def admin(database: Engine, door: Client, clock: Clock) -> Asker:
    return askers.platform_admin(database, door, now=clock(), is_stepped_up=True)


def looked_in(admin: Asker, slug: str, *, minutes: int = 15) -> Asker:
    body = {"id": str(make.an_id()), "operator": slug, "reason": REASON, "minutes": minutes}
    answer = admin.posts("/v1/break-glass", body)
    assert answer.status_code == 201, answer.text
    secret = answer.cookies[cookies.NAME]
    admin.client.cookies.clear()
    headers = askers.with_cookie(admin.client, secret)
    return Asker("breaker", Role.AUDITOR, admin.client, admin.at, headers)


def test_an_operator_is_made_and_its_owner_invited(admin: Asker, database: Engine) -> None:
    body = {
        "id": str(make.an_id()),
        "slug": "corner",
        "name": "Corner shops",
        "owner_email": "ann@example.com",
        "owner_name": "Ann",
    }

    made = admin.posts("/v1/operators", body)

    assert made.status_code == 201
    assert made.json()["invitation"]["secret"]
    listed = admin.gets("/v1/operators", most=500).json()
    assert {"corner"} <= {each["slug"] for each in listed}
    assert all(each["slug"] != "platform" for each in listed if each["id"] == body["id"])


def test_the_platform_cannot_invite_itself_to_an_operator_that_has_people(
    admin: Asker, database: Engine
) -> None:
    """Nor to one that it has made itself, once the owner has come."""
    body = an_operator()
    invited = admin.posts("/v1/operators", body).json()["invitation"]
    accepts = NewAcceptance(secret=SecretStr(invited["secret"]), password=SecretStr(make.PASSWORD))
    with transaction(database) as session:
        invitations.accept(session, accepts, "a hash", Came(None, None), now=make.NOON)

    answer = admin.posts("/v1/operators", {**body, "owner_email": "evil@example.com"})

    assert (answer.status_code, answer.json()["code"]) == (409, "move_not_allowed")


def an_operator() -> dict[str, str]:
    return {
        "id": str(make.an_id()),
        "slug": f"new-{make.an_id().hex[-8:]}",
        "name": "New",
        "owner_email": "ann@example.com",
        "owner_name": "Ann",
    }


def test_an_admin_sees_no_operators_data(admin: Asker, counter: Counter) -> None:
    for path in ("campaigns", "coupons", "customers", "audit", "stores", "report", "accounts"):
        answer = admin.gets(f"/v1/{path}")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path


def test_breaking_the_glass_opens_reading_for_minutes(
    admin: Asker, counter: Counter, clock: Clock
) -> None:
    inside = looked_in(admin, counter.at.slug, minutes=10)
    stores = inside.gets("/v1/stores")

    assert [each["id"] for each in stores.json()] == [str(counter.at.store.id)]
    refused = inside.posts("/v1/merchants", {"id": str(make.an_id()), "name": "Mine now"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")

    clock.passes(minutes=10)
    assert inside.gets("/v1/stores").status_code == 401


def test_the_operators_people_read_who_looked_in_and_why(
    admin: Asker, counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    looked_in(admin, counter.at.slug)
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())

    (line,) = owner.gets("/v1/audit", kind="glass_broken").json()

    assert line["actor"]["name"] == "The platform admin"
    assert line["actor"]["acts_for"] == REASON
    assert line["data"]["reason"] == REASON
    with database.connect() as connection:
        told = connection.execute(
            text("SELECT operator_id FROM event WHERE kind = 'glass_broken'")
        ).scalars()
        assert set(told) == {admin.at.operator_id, counter.at.operator_id}


def test_the_platform_itself_cannot_be_looked_into(admin: Asker) -> None:
    body = {"id": str(make.an_id()), "operator": admin.at.slug, "reason": REASON}

    answer = admin.posts("/v1/break-glass", body)

    assert (answer.status_code, answer.json()["code"]) == (409, "move_not_allowed")


@pytest.mark.parametrize("wrong", [{"minutes": 61}, {"minutes": 0}, {"reason": ""}])
def test_the_glass_is_not_broken_without_a_reason_or_for_hours(
    admin: Asker, counter: Counter, wrong: dict[str, object]
) -> None:
    body = {"id": str(make.an_id()), "operator": counter.at.slug, "reason": REASON, **wrong}

    assert admin.posts("/v1/break-glass", body).status_code == 422


def test_the_first_admin_comes_from_the_command_line(database: Engine) -> None:
    with transaction(database) as session:
        first = break_glass.create_platform(
            session, email="root@example.com", name="Root", now=make.NOON
        )
    with transaction(database) as session:
        again = break_glass.create_platform(
            session, email="root@example.com", name="Root", now=make.NOON + timedelta(minutes=1)
        )

    assert first.secret != again.secret
    with database.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM operator WHERE is_platform"))
        assert count.scalar_one() == 1


def test_the_platform_cannot_become_the_owner_of_what_works_by_keys_alone(
    admin: Asker, counter: Counter
) -> None:
    lines = admin.gets("/v1/operators", most=500).json()
    (line,) = (each for each in lines if each["id"] == str(counter.at.operator_id))
    owner = {"owner_email": "evil@example.com", "owner_name": "Evil"}
    body = {name: line[name] for name in ("id", "slug", "name")} | owner

    answer = admin.posts("/v1/operators", body)

    assert (answer.status_code, answer.json()["code"]) == (409, "move_not_allowed")


def test_an_operator_made_here_can_be_asked_for_again_until_somebody_works_there(
    admin: Asker,
) -> None:
    body = an_operator()

    first, second = (admin.posts("/v1/operators", body) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["invitation"]["secret"] != second.json()["invitation"]["secret"]


def test_whoever_looks_in_reads_no_code_that_could_be_spent(
    admin: Asker, counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        batch = make.batch(session, counter.at, has_short_codes=True)
        coupon = make.coupon(session, counter.at, batch)
    assert coupon.short_code is not None
    inside = looked_in(admin, counter.at.slug)

    for path in ("coupons", f"coupons/{coupon.id}", f"coupons/{coupon.id}/story"):
        answer = inside.gets(f"/v1/{path}")
        assert answer.status_code == 200
        assert coupon.short_code not in answer.text, path
