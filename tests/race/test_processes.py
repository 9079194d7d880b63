"""The same promises between processes, which share nothing but the database; and after kill -9."""

import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import Session

from coupon_engine.database import transaction
from coupon_engine.redemption import Presented
from schemas.coupons import CouponView
from tests import make
from tests.coupon_engine.record import count, rows, totals, used
from tests.race.conftest import Scene

ROOT = Path(__file__).parents[2]


def coupons(scene: Scene, many: int) -> list[CouponView]:
    with transaction(scene.engine) as session:
        batch = make.batch(session, scene.at, make.offer(session, scene.at, scene.campaign))
        return [make.coupon(session, scene.at, batch) for _ in range(many)]


@contextmanager
def counters(
    scene: Scene, loads: Sequence[Sequence[Presented]]
) -> Generator[list["subprocess.Popen[str]"]]:
    """Processes that have read what to redeem and are let go together."""
    url = scene.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.race.a_counter", url, str(scene.at.operator_id)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in loads
    ]
    try:
        for process, load in zip(started, loads, strict=True):
            say(process, *(each.request.model_dump_json() for each in load), "")
        for process in started:
            assert hear(process) == "ready"
        for process in started:
            say(process, "go")
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def say(process: "subprocess.Popen[str]", *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_counters_in_three_processes_share_coupons_and_budget(scene: Scene) -> None:
    issued = coupons(scene, 12)  # the budget is enough for three
    orders = (issued, issued[::-1], issued[6:] + issued[:6])
    loads = [[make.request(scene.at, coupon) for coupon in order] for order in orders]

    with counters(scene, loads) as started:
        answers = [hear(process).split() for process in started for _ in issued]

    outcomes = Counter(word for _, word in answers)
    assert outcomes["won"] == 3
    assert outcomes["already_redeemed"] + outcomes["budget_spent"] == 33
    with transaction(scene.engine) as session:
        assert used(session, "9/") == [(3, 600)]
        redeemed = {str(row.id) for row in rows(session, "SELECT id FROM redemption")}
        assert redeemed == {id for id, word in answers if word == "won"}


def test_one_request_asked_by_three_processes_is_one_redemption(scene: Scene) -> None:
    load = [make.request(scene.at, coupon) for coupon in coupons(scene, 3)]

    with counters(scene, [load] * 3) as started:
        answers = [[hear(process) for _ in load] for process in started]

    assert answers[0] == answers[1] == answers[2]
    assert answers[0] == [f"{each.request.id} won" for each in load]
    with transaction(scene.engine) as session:
        assert used(session, "9/") == [(3, 600)]
        assert count(session, "answer WHERE verb = 'redeem'") == 3


def test_a_counter_killed_in_the_middle_leaves_a_whole_record(scene: Scene) -> None:
    load = [make.request(scene.at, coupon) for coupon in coupons(scene, 200)]
    with transaction(scene.engine) as session:
        more = "max_minor = 1000000, max_minor_per_minute = 1000000"
        rows(session, f"UPDATE limit_row SET {more} RETURNING key")  # noqa: S608

    with counters(scene, [load]) as (process,):
        acknowledged = [hear(process).split()[0] for _ in range(20)]
        process.kill()
        said, _ = process.communicate()
        acknowledged += [line.split()[0] for line in said.splitlines() if line.endswith(" won")]

    with transaction(scene.engine) as session:
        redeemed = {str(row.id) for row in rows(session, "SELECT id FROM redemption")}
        assert set(acknowledged) <= redeemed
        assert len(acknowledged) <= len(redeemed) <= len(acknowledged) + 1 < len(load)
        assert whole(session, len(redeemed))

    with counters(scene, [load]) as (process,):  # the counter starts again, and simply repeats
        answers = [hear(process) for _ in load]

    assert answers == [f"{each.request.id} won" for each in load]
    with transaction(scene.engine) as session:
        assert whole(session, len(load))


def whole(session: Session, many: int) -> bool:
    """Are redemptions, coupons, budget, answers, events and messages the same story?"""
    seen = totals(session)
    return (
        [seen.standing, len(seen.coupons)] == [many, many]
        and used(session, "9/") == [(many, 200 * many)]
        and count(session, "answer WHERE verb = 'redeem' AND body <> ''") == many
        and count(session, "event WHERE kind = 'coupon_redeemed'") == many
        and count(session, "outbox WHERE kind = 'coupon_redeemed'") == many
    )
