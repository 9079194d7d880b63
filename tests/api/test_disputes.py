"""Disputes at the door: who reads the shares, and who lets a suspended phone go on."""

import pytest
from httpx import Client
from sqlalchemy import Engine

from coupon_engine import holders
from coupon_engine.database import transaction
from schemas.access import Role, Scope
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, Counter


@pytest.fixture
def holder_id(database: Engine, counter: Counter, clock: Clock) -> str:
    """A phone that was in three disputes."""
    own = counter.at.operator_id
    with transaction(database) as session:
        against = {b"\x02" + bytes(32): holders.MOST_DISPUTES}
        holders.hold_against(session, own, against, now=clock.now)
        (view,) = holders.views(session, own, coupon_id=None, after=None, most=2)
    return str(view.id)


def test_a_person_sees_who_is_suspended_and_lifts_it(
    database: Engine, door: Client, counter: Counter, clock: Clock, holder_id: str
) -> None:
    support = askers.person(database, door, counter.at, Role.SUPPORT, now=clock.now)
    (before,) = support.gets("/v1/disputed-holders").json()
    body = {"id": str(make.an_id()), "holder_id": holder_id, "reason": "a family"}

    answer = support.posts("/v1/holder-lifts", body)

    assert before["suspended_at"] is not None
    assert (answer.status_code, answer.json()["suspended_at"]) == (201, None)
    assert support.posts("/v1/holder-lifts", body).json() == answer.json()
    again = support.posts("/v1/holder-lifts", {**body, "id": str(make.an_id())})
    assert (again.status_code, again.json()["code"]) == (409, "move_not_allowed")


def test_no_program_lifts_a_suspension(
    database: Engine, door: Client, counter: Counter, clock: Clock, holder_id: str
) -> None:
    program = askers.program(database, door, counter.at, *Scope, now=clock.now)
    body = {"id": str(make.an_id()), "holder_id": holder_id, "reason": "always"}

    answer = program.posts("/v1/holder-lifts", body)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert program.gets("/v1/disputed-holders").json()[0]["suspended_at"] is not None


def test_shares_are_read_for_as_many_days_as_one_asks(
    database: Engine, door: Client, counter: Counter, clock: Clock
) -> None:
    finance = askers.person(database, door, counter.at, Role.FINANCE, now=clock.now)

    month = finance.gets("/v1/disputes", until="2026-03-01T00:00:00+01:00", days=31)

    assert month.json() == {
        "since": "2026-01-28T23:00:00Z",
        "until": "2026-02-28T23:00:00Z",
        "most_disputed_bp": 300,
        "terminals": [],
        "merchants": [],
    }
    assert finance.gets("/v1/disputes", days=93).status_code == 422
