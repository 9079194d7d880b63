"""Who did what, before and after, from where; and nobody changes it."""

from httpx import Client
from sqlalchemy import Engine, text

from schemas.access import Role
from schemas.coupons import CouponView
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, Codes, Counter


def test_every_act_has_a_name_a_role_and_a_place(
    counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    owner.posts("/v1/merchants", {"id": str(make.an_id()), "name": "Corner shop"})

    (line,) = owner.gets("/v1/audit", kind="merchant_created", most=1).json()

    assert line["actor"]["kind"] == "person"
    assert line["actor"]["name"] == "The owner"
    assert line["actor"]["role"] == "owner"
    # The network, never the house: the record cannot be made to forget.
    assert line["actor"]["address"] == "127.0.0.0/24"


def test_a_ceiling_tells_where_it_stood_and_where_it_stands(
    counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    editor = askers.person(database, door, counter.at, Role.CAMPAIGN_EDITOR, now=clock())
    auditor = askers.person(database, door, counter.at, Role.AUDITOR, now=clock())
    campaign = editor.gets("/v1/campaigns").json() or [_campaign(editor)]
    asked = {
        "id": str(make.an_id()),
        "campaign_id": campaign[0]["id"],
        "ceiling": "budget_minor",
        "current": 10_000,
        "target": 9_000,
        "reason": "less to lose",
    }
    assert editor.posts("/v1/ceilings", asked).status_code == 201

    (line,) = auditor.gets("/v1/audit", kind="ceiling_moved").json()

    assert (line["data"]["before"], line["data"]["after"]) == (10_000, 9_000)
    assert line["actor"]["name"] == "The campaign editor"


def test_each_of_those_who_share_a_batch_has_their_own_name_on_it(
    counter: Counter, coupon: CouponView, code_of: Codes
) -> None:
    assert counter.redeems(code_of(coupon)).status_code == 201

    (line,) = counter.gets("/v1/audit", kind="coupon_redeemed").json()

    assert line["actor"]["kind"] == "api_key"
    assert line["actor"]["id"] in counter.api_key


def test_the_newest_comes_first_and_a_list_goes_on_where_it_ended(counter: Counter) -> None:
    for number in range(5):
        counter.posts("/v1/merchants", {"id": str(make.an_id()), "name": f"Shop {number}"})

    newest = counter.gets("/v1/audit", kind="merchant_created", most=2).json()
    older = counter.gets(
        "/v1/audit", kind="merchant_created", most=3, before=newest[-1]["id"]
    ).json()

    names = [line["data"]["name"] for line in (*newest, *older)]
    assert names == [f"Shop {number}" for number in reversed(range(5))]


def test_it_is_searched_by_who_what_and_when(
    counter: Counter, database: Engine, door: Client, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    before = clock().isoformat()
    clock.passes(minutes=1)
    owner.posts("/v1/merchants", {"id": str(make.an_id()), "name": "Mine"})
    counter.posts("/v1/merchants", {"id": str(make.an_id()), "name": "The key's"})

    def names(**looked: object) -> list[str]:
        lines = counter.gets("/v1/audit", kind="merchant_created", **looked).json()
        return [line["data"]["name"] for line in lines]

    assert names(actor_kind="person", since=before) == ["Mine"]
    assert names(actor_kind="api_key", since=before) == ["The key's"]
    assert names(until=before, actor_kind="person") == []
    assert counter.gets("/v1/audit", subject_id=str(make.an_id())).json() == []


def test_all_rows_of_the_record_have_an_actor(
    counter: Counter, coupon: CouponView, code_of: Codes, database: Engine
) -> None:
    redeemed = counter.redeems(code_of(coupon))
    body = {
        "id": str(make.an_id()),
        "redemption_id": redeemed.json()["id"],
        "reason": "changed their mind",
    }
    assert counter.posts("/v1/reversals", body).status_code == 201

    with database.connect() as connection:
        found = connection.execute(
            text("SELECT count(*), count(actor->>'id'), count(actor->>'name') FROM event")
        ).one()

    assert found[0] > 5
    assert found[0] == found[1] == found[2]


def _campaign(editor: askers.Asker) -> dict[str, object]:
    body = {
        "id": str(make.an_id()),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2027-01-01T00:00:00Z",
        "budget_minor": 10_000,
        "max_redemptions": 100,
        "max_issued": 100,
    }
    answer = editor.posts("/v1/campaigns", body)
    assert answer.status_code == 201, answer.text
    return answer.json()
