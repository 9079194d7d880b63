"""The bench about losses sees what it says it sees.

How fast is nobody's business here: a test that times is a test that fails on a busy machine.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text
from sqlmodel import Session

from bench.offline import Account, account, upload_speed, violations
from bench.outages import Plan, World, live, new_world
from coupon_engine.database import open_engine
from schemas.campaigns import OfflinePolicy

PLAN = Plan(terminals=4, hours=24, acceptances=200, tick_minutes=180)


@pytest.fixture(scope="module")
def world(clones: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One small simulation, at which every test here looks."""
    with clones.one() as name:
        url = make_url(clones.server).set(database=name)
        engine = open_engine(url.render_as_string(hide_password=False))
        lived = new_world(engine, PLAN, tmp_path_factory.mktemp("devices"))
        live(lived)
        yield lived
        for device in lived.devices:
            device.journal.close()
        engine.dispose()


def seen(world: World, *changes: str) -> Account:
    """Return what the record says, or would say if somebody had changed it."""
    with Session(world.engine) as session:
        for change in changes:
            assert session.connection().execute(text(change)).rowcount >= 1, change
        return account(session, world)


def test_nothing_is_lost_that_was_not_promised_to_be_at_risk(world: World) -> None:
    told = seen(world)

    assert violations(told) == []
    assert told.green >= PLAN.acceptances
    assert sum(told.answered.values()) == told.green


def test_what_should_go_wrong_does_go_wrong(world: World) -> None:
    """Else the test above proves nothing."""
    told = seen(world)

    assert {"accepted", "accepted online", "disputed", "forked"} <= {*told.answered}
    assert {"rejected: after_revocation", "rejected: forked"} <= {*told.answered}
    (quota,) = [loss for loss in told.losses if loss.policy is OfflinePolicy.DEVICE_QUOTA]
    assert 0 < quota.between_terminals_minor <= quota.bound.between_terminals
    assert all(loss.accepted for loss in told.losses)
    assert world.shown_again > 0
    assert {"online_required", "quota_reached"} <= {*world.refused}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "UPDATE redemption SET decided = 'accepted' WHERE decided = 'disputed'",
            "coupons that count more often than they may",
        ),
        (
            "UPDATE journal_entry SET answer = 'provisional' WHERE answer = 'disputed'",
            "acceptances without a final answer",
        ),
        (
            "DELETE FROM journal_entry WHERE answer = 'rejected'",
            "acceptances without a final answer",
        ),
        (
            "UPDATE journal_entry SET hash = (SELECT hash FROM journal_entry WHERE kind = "
            "'redeemed' AND mode = 'offline' LIMIT 1) WHERE kind = 'redeemed' AND mode = 'offline'",
            "acceptances with two answers",
        ),
        (
            "UPDATE journal_entry SET liable = NULL WHERE answer = 'disputed'",
            "device_quota: money that the books cannot name",
        ),
        (
            "UPDATE redemption SET basket_minor = 90000000, discount_minor = 90000000 FROM campaign"
            " WHERE campaign.id = campaign_id AND offline = 'campaign_escrow'",
            "campaign_escrow: money over the budget",
        ),
        (
            "UPDATE allowance SET returned_at = NULL",
            "allowances that are still open",
        ),
        (
            "UPDATE journal_entry SET liable = 'campaign', winner_id = redemption_id FROM campaign"
            " WHERE campaign.id = campaign_id AND offline = 'store_bound' AND answer = 'accepted'",
            "store_bound: lost between terminals",
        ),
    ],
)
def test_a_record_in_which_something_is_wrong_is_named(
    world: World, change: str, named: str
) -> None:
    broken = violations(seen(world, change))

    assert [each for each in broken if each.startswith(named)] != [], broken


def test_every_entry_that_the_bench_uploads_is_answered(database: Engine, tmp_path: Path) -> None:
    speed = upload_speed(database, tmp_path, 30)

    assert (speed.entries, speed.answered) == (30, 30)
    assert min(speed.written_per_s, speed.commits_per_s, speed.upload_seconds) > 0


def test_what_may_be_lost_is_known_before_anything_happens() -> None:
    plan = Plan(terminals=20, hours=72, acceptances=100_000)
    bounds = plan.bounds()

    assert bounds[OfflinePolicy.ONLINE_ONLY].whole == 0
    assert bounds[OfflinePolicy.STORE_BOUND].between_terminals == 0
    assert bounds[OfflinePolicy.DEVICE_QUOTA].whole == 20 * plan.leases_each * plan.offline_minor
