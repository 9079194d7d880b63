"""What the server gives a terminal for the time without it, at the real door."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from jwt import PyJWK
from sqlalchemy import Engine, text

from coupon_engine.acting import NOBODY, Acting, by_system
from coupon_engine.database import transaction
from coupon_engine.offline import leases
from coupon_engine.validation import status_lists as codec
from coupon_engine.validation.token import Typ, verify_typed
from schemas.access import Role
from schemas.campaigns import CampaignView, OfflinePolicy
from schemas.coupons import CouponView
from schemas.offline import Bundle, StatusListClaims
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Codes, Counter, refuse_undocumented
from tests.coupon_engine.record import count


@pytest.fixture
def campaign(counter: Counter, database: Engine) -> CampaignView:
    with transaction(database) as session:
        return make.campaign(
            session, counter.at, offline=OfflinePolicy.DEVICE_QUOTA, offline_count=3
        )


@pytest.fixture
def coupon(counter: Counter, database: Engine, campaign: CampaignView) -> CouponView:
    with transaction(database) as session:
        batch = make.batch(session, counter.at, make.offer(session, counter.at, campaign))
        return make.coupon(session, counter.at, batch)


@pytest.fixture
def terminal(database: Engine, door: Client, counter: Counter, clock: Clock) -> Asker:
    return askers.terminal(database, door, counter.at, clock=clock)


def asks_for_lease(terminal: Asker, **more: Any) -> Response:
    return terminal.posts("/v1/leases", {"id": str(make.an_id()), **more})


def server_key(door: Client, counter: Counter) -> PyJWK:
    """The one that signs no coupons."""
    published = door.get("/.well-known/jwks.json").json()["keys"]
    signing = {key.kid for key in counter.ring.values()}
    (own,) = [key for key in published if key["kid"] not in signing]
    return PyJWK(own, "ES256")


def list_in(answer: Response, key: PyJWK) -> StatusListClaims:
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    return StatusListClaims.model_validate(verify_typed(answer.text, key, Typ.STATUS_LIST))


def test_a_terminal_fetches_all_that_it_judges_by_alone(
    terminal: Asker,
    door: Client,
    counter: Counter,
    coupon: CouponView,
    campaign: CampaignView,
    code_of: Codes,
    clock: Clock,
) -> None:
    lease = asks_for_lease(terminal)
    assert lease.status_code == 201, lease.text
    assert lease.json()["allowances"] == [
        {"campaign_id": str(campaign.id), "max_count": 3, "max_minor": 10_000}
    ]

    fetched = terminal.gets("/v1/bundle")
    key = server_key(door, counter)
    bundle = Bundle.model_validate(verify_typed(fetched.text, key, Typ.BUNDLE))
    same = terminal.asks("GET", "/v1/bundle", headers={"If-None-Match": fetched.headers["ETag"]})
    (named,) = bundle.lists
    path = f"/v1/status-lists/{named.cmp}/{named.shard}"
    first = list_in(terminal.gets(path), key)
    clock.passes(minutes=1)
    assert counter.redeems(code_of(coupon)).status_code == 201
    step = list_in(terminal.gets(path, since=first.ver), key)

    assert fetched.headers["content-type"] == "application/jwt"
    assert str(bundle.lease_id) == lease.json()["id"]
    assert (same.status_code, same.content) == (304, b"")
    assert step.changed is not None
    assert len(codec.gaps_decoded(step.changed.set)) == 1
    assert step.changed.cleared == ""


def test_the_world_reads_the_list_where_a_coupon_points(
    door: Client,
    counter: Counter,
    coupon: CouponView,
    code_of: Codes,
) -> None:
    token = counter.gets(f"/v1/coupons/{coupon.id}/token").json()["jwt"]
    told = verify_typed(token, counter.ring["A"].public, Typ.COUPON)["status"]["status_list"]
    path = told["uri"].removeprefix(make.ISSUER)
    before = door.get(path)
    assert counter.redeems(code_of(coupon)).status_code == 201

    after = door.get(path)

    key = server_key(door, counter)
    bits = [
        codec.is_set(
            codec.unpack(verify_typed(each.text, key, Typ.STATUS_LIST)["status_list"]["lst"]),
            told["idx"],
        )
        for each in (before, after)
    ]
    assert bits == [False, True]
    assert after.headers["content-type"] == "application/statuslist+jwt"
    assert after.headers["cache-control"] == "public, max-age=60"


def test_where_no_coupon_points_there_is_no_list(
    door: Client, counter: Counter, served: FastAPI
) -> None:
    for path in ("/nobody/sl/1", f"/{counter.at.slug}/sl/1"):
        answer = door.get(path)

        refuse_undocumented(served.openapi(), "GET", "/{slug}/sl/{cmp}", answer)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown")


def test_a_terminal_without_a_lease_gets_nothing_to_judge_by(
    terminal: Asker, coupon: CouponView, campaign: CampaignView, counter: Counter
) -> None:
    for path in ("/v1/bundle", f"/v1/status-lists/{campaign.number}/0"):
        answer = terminal.gets(path)
        refuse_undocumented(counter.document, "GET", path, answer)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_lease")


def test_a_terminal_whose_journal_is_not_whole_gets_no_lease(
    terminal: Asker, counter: Counter, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO journal_gap
                    (operator_id, terminal_id, first_seq, last_seq, noticed_at)
                SELECT operator_id, id, 2, 3, now() FROM terminal
            """)
        )
    with_gap = asks_for_lease(terminal)
    with database.begin() as connection:
        connection.execute(text("UPDATE terminal SET frozen_at = now()"))

    forked = asks_for_lease(terminal)

    for answer in (with_gap, forked):
        refuse_undocumented(counter.document, "POST", "/v1/leases", answer)
        assert answer.status_code == 409
    assert [answer.json()["code"] for answer in (with_gap, forked)] == [
        "journal_incomplete",
        "terminal_frozen",
    ]
    assert with_gap.json()["details"] == {"first_seq": 2, "last_seq": 3}


def test_a_revoked_terminal_gets_nothing(
    terminal: Asker, door: Client, counter: Counter, database: Engine, clock: Clock
) -> None:
    assert asks_for_lease(terminal).status_code == 201
    manager = askers.person(database, door, counter.at, Role.SHOP_MANAGER, now=clock())
    body = {"id": str(make.an_id()), "terminal_id": str(counter.at.terminal.id), "reason": "lost"}
    assert manager.posts("/v1/terminal-revocations", body).status_code == 201

    heard = [asks_for_lease(terminal), terminal.gets("/v1/bundle")]

    assert [each.status_code for each in heard] == [401, 401]


def test_what_cannot_be_meant_is_refused(terminal: Asker) -> None:
    lasting = [asks_for_lease(terminal, lasts_seconds=each) for each in (59, 86_401, 3_600.5, "60")]
    since = [terminal.gets("/v1/status-lists/1/0", since=each) for each in ("-1", "x", str(2**53))]
    places = [terminal.gets(f"/v1/status-lists/{each}") for each in ("x/0", "1/-1", f"{2**40}/0")]

    assert {each.status_code for each in (*lasting, *since, *places)} == {422}


def test_nothing_of_another_operators_is_reachable(
    terminal: Asker,
    door: Client,
    counter: Counter,
    stranger: Counter,
    coupon: CouponView,
    database: Engine,
    clock: Clock,
) -> None:
    """Their campaign has a number that is none of ours; numbers count within an operator."""
    with transaction(database) as session:
        foreign = askers.terminal(database, door, stranger.at, clock=clock)
        make.campaign(session, stranger.at)
        theirs = make.campaign(session, stranger.at, offline=OfflinePolicy.DEVICE_QUOTA)
        offer = make.offer(session, stranger.at, theirs)
        make.coupon(session, stranger.at, make.batch(session, stranger.at, offer))
    assert asks_for_lease(terminal).status_code == 201
    assert asks_for_lease(foreign).status_code == 201

    ours = terminal.gets("/v1/bundle").text
    number = theirs.number

    assert terminal.gets(f"/v1/status-lists/{number}/0").status_code == 404
    assert foreign.gets(f"/v1/status-lists/{number}/0").status_code == 200
    keys = [PyJWK(key, "ES256") for key in door.get("/.well-known/jwks.json").json()["keys"]]
    (claims,) = [told for key in keys if (told := opened(ours, key)) is not None]
    assert {each["number"] for each in claims["campaigns"]} == {1}
    assert claims["iss"] == f"{make.ISSUER}/{counter.at.slug}"
    assert claims["terminals"] == []


def opened(jwt: str, key: PyJWK) -> dict[str, Any] | None:
    try:
        return verify_typed(jwt, key, Typ.BUNDLE)
    except Exception:
        return None


def test_row_level_security_hides_what_terminals_of_others_were_given(
    terminal: Asker, stranger: Counter, coupon: CouponView, limited: Engine
) -> None:
    asks_for_lease(terminal)
    terminal.gets("/v1/bundle")
    assert terminal.gets("/v1/status-lists/1/0").status_code == 200

    def seen_by(acting: Acting) -> list[int]:
        with transaction(limited, acting) as session:
            return [count(session, table) for table in TABLES]

    assert seen_by(by_system(terminal.at.operator_id)) == [1, 1, 1, 1]
    assert seen_by(by_system(stranger.at.operator_id)) == [0, 0, 0, 0]
    assert seen_by(NOBODY) == [0, 0, 0, 0]


TABLES = ("lease", "allowance", "server_key", "status_list")


def test_a_lease_is_closed_with_the_rights_that_a_server_has(
    terminal: Asker, coupon: CouponView, limited: Engine
) -> None:
    id = asks_for_lease(terminal).json()["id"]

    with transaction(limited, by_system(terminal.at.operator_id)) as session:
        unused = leases.close(session, terminal.at.operator_id, id, now=make.NOON)

    assert [(each.max_count, each.max_minor) for each in unused] == [(3, 10_000)]
