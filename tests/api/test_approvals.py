"""Publishing takes somebody else, at the door as in the engine."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response
from sqlalchemy import Engine

from coupon_engine.database import transaction
from schemas.access import Role, Scope
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter

People = Callable[[Role], Asker]


@pytest.fixture
def people(database: Engine, door: Client, counter: Counter, clock: Clock) -> People:
    """Somebody of each role, who has just confirmed who they are."""

    def person(role: Role) -> Asker:
        return askers.person(database, door, counter.at, role, now=clock.now, is_stepped_up=True)

    return person


def campaign() -> dict[str, Any]:
    return {
        "id": str(make.an_id()),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": "2026-03-01T00:00:00+01:00",
        "ends_at": "2026-06-01T00:00:00+01:00",
        "budget_minor": 500_000,
        "max_redemptions": 2_000,
        "max_issued": 10_000,
    }


def drafted(by: Asker) -> str:
    answer = by.posts("/v1/campaigns", campaign())
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def approves(who: Asker, campaign_id: str, *, seen: str | None = None) -> Response:
    if seen is None:
        diff = who.gets(f"/v1/campaigns/{campaign_id}/diff")
        assert diff.status_code == 200, diff.text
        seen = diff.json()["fingerprint"]
    body = {"id": str(make.an_id()), "campaign_id": campaign_id, "seen": seen, "reason": "fine"}
    return who.posts("/v1/approvals", body)


def told(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


def test_an_owner_cannot_publish_what_they_made_and_somebody_else_can(people: People) -> None:
    maker, another = people(Role.OWNER), people(Role.OWNER)
    campaign_id = drafted(maker)

    assert told(approves(maker, campaign_id)) == (403, "second_person_needed")

    assert maker.gets(f"/v1/campaigns/{campaign_id}").json()["state"] == "draft"
    published = approves(another, campaign_id)
    assert (published.status_code, published.json()["state"]) == (201, "running")


@pytest.mark.parametrize(
    ("role", "status", "code"),
    [
        (Role.APPROVER, 201, None),
        (Role.OWNER, 201, None),
        (Role.CAMPAIGN_EDITOR, 403, "second_person_needed"),
    ],
)
def test_of_those_who_did_not_make_it_some_may_publish(
    people: People, role: Role, status: int, code: str | None
) -> None:
    campaign_id = drafted(people(Role.CAMPAIGN_EDITOR))

    assert told(approves(people(role), campaign_id)) == (status, code)


@pytest.mark.parametrize("role", [Role.FINANCE, Role.SUPPORT, Role.AUDITOR])
def test_nobody_else_publishes(people: People, role: Role) -> None:
    campaign_id = drafted(people(Role.CAMPAIGN_EDITOR))

    assert told(approves(people(role), campaign_id)) == (403, "not_allowed")


def test_publishing_takes_a_fresh_confirmation_of_who_one_is(
    people: People, database: Engine, door: Client, counter: Counter, clock: Clock
) -> None:
    campaign_id = drafted(people(Role.CAMPAIGN_EDITOR))
    sitting = askers.person(database, door, counter.at, Role.APPROVER, now=clock.now)

    assert told(approves(sitting, campaign_id)) == (403, "step_up_needed")


def test_a_key_is_one_actor_and_another_key_is_another(
    database: Engine, door: Client, counter: Counter, clock: Clock
) -> None:
    one, two = (
        askers.program(database, door, counter.at, Scope.CAMPAIGNS, Scope.READ, now=clock.now)
        for _ in range(2)
    )
    campaign_id = drafted(one)

    assert told(approves(one, campaign_id)) == (403, "second_person_needed")
    assert told(approves(two, campaign_id)) == (201, None)


def test_what_nobody_has_seen_is_not_published(people: People, counter: Counter) -> None:
    editor, approver = people(Role.CAMPAIGN_EDITOR), people(Role.APPROVER)
    campaign_id = drafted(editor)
    seen = approver.gets(f"/v1/campaigns/{campaign_id}/diff").json()["fingerprint"]
    body = {
        "id": str(make.an_id()),
        "campaign_id": campaign_id,
        "ceiling": "budget_minor",
        "current": 500_000,
        "target": 900_000,
        "reason": "more",
    }
    assert editor.posts("/v1/ceilings", body).status_code == 201

    refused = approves(approver, campaign_id, seen=seen)

    assert told(refused) == (409, "changed_since")
    assert approver.gets(f"/v1/campaigns/{campaign_id}").json()["state"] == "draft"


def test_approving_is_no_move(people: People) -> None:
    campaign_id = drafted(people(Role.CAMPAIGN_EDITOR))
    body = {"id": str(make.an_id()), "campaign_id": campaign_id, "reason": "fine"}

    answer = people(Role.OWNER).posts("/v1/moves", {**body, "move": "approve"})

    assert told(answer) == (422, "invalid_request")


def test_a_diff_is_readable(people: People, counter: Counter) -> None:
    campaign_id = drafted(people(Role.CAMPAIGN_EDITOR))

    diff = counter.gets(f"/v1/campaigns/{campaign_id}/diff").json()

    budget = next(each for each in diff["changes"] if each["path"] == "ceilings.budget_minor")
    assert budget["label"] == {"en": "Campaign: budget", "zh": "活动：预算"}
    assert (budget["before"], budget["after"]) == (None, 500_000)
    assert diff["needs_second_person"]
    assert diff["exposure"]["money_minor"] == 500_000
    assert diff["exposure_before"] is None


def test_another_operators_campaign_is_unknown(
    people: People, stranger: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        theirs = str(make.campaign(session, stranger.at).id)
    approver = people(Role.APPROVER)

    assert told(approver.gets(f"/v1/campaigns/{theirs}/diff")) == (404, "unknown")
    assert told(approves(approver, theirs, seen="0" * 64)) == (404, "unknown")


def test_a_key_that_somebody_made_is_no_second_person_beside_them(
    people: People, door: Client, counter: Counter
) -> None:
    owner = people(Role.OWNER)

    def key(name: str) -> Asker:
        asked = {"id": str(make.an_id()), "name": name, "scopes": ["campaigns", "read"]}
        made = owner.posts("/v1/api-keys", asked).json()
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        return Asker(name, Role.INTEGRATOR, door, counter.at, headers)

    one, two = key("one"), key("two")
    by_hand, by_key = drafted(owner), drafted(one)

    assert told(approves(one, by_hand)) == (403, "second_person_needed")
    assert told(approves(owner, by_key)) == (403, "second_person_needed")
    assert told(approves(two, by_key)) == (403, "second_person_needed")
    assert told(approves(people(Role.APPROVER), by_key)) == (201, None)
