"""Batches wait for each other, and never in a ring."""

import random
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import limits
from coupon_engine.database import transaction
from coupon_engine.redemption import Presented, redeem_many
from coupon_engine.reversal import reverse
from schemas.offers import LimitPer, LimitRule
from schemas.redemptions import NewReversal, RedemptionView
from tests import make
from tests.coupon_engine.record import totals, used
from tests.make import NOON
from tests.race.conftest import Scene
from tests.race.together import Work, at_once

ROUNDS = 4
THREADS = 6
EVERYWHERE = tuple(LimitRule(per=per, max_count=10_000) for per in LimitPer)


def run_once(engine: Any, work: Any) -> Any:
    """One try and no more: a ring would be seen."""
    with transaction(engine) as session:
        return work(session)


def shuffled_batches(scene: Scene, *, campaigns: int) -> list[list[Presented]]:
    """The same coupons, customers, receipts and limits in every batch, each in another order."""
    shuffle = random.Random(7)
    with transaction(scene.engine) as session:
        at = scene.at
        customers = [make.customer(session, at) for _ in range(4)]
        made = [
            (
                running,
                make.batch(
                    session, at, make.offer(session, at, running, limits=EVERYWHERE, uses=999)
                ),
            )
            for running in (make.campaign(session, at, limits=EVERYWHERE) for _ in range(campaigns))
        ]
        coupons = [
            (make.coupon(session, at, batch, customer_id=customers[number % 4]), running)
            for number, (running, batch) in enumerate(made * 3)
        ]
    batches: list[list[Presented]] = []
    for _ in range(ROUNDS * THREADS):
        some = shuffle.sample(coupons, len(coupons))
        batches.append(
            [
                make.request(
                    at,
                    coupon,
                    of=running,
                    order_ref=f"R{shuffle.randrange(5)}",
                    basket=make.basket(1_000_000),
                )
                for coupon, running in some
            ]
        )
    return batches


def redeems(scene: Scene, batches: list[list[Presented]]) -> list[Any]:
    def work(batch: list[Presented]) -> Any:
        def redeem_all(session: Session) -> list[RedemptionView]:
            outcomes = redeem_many(session, scene.at.operator_id, batch, now=NOON)
            return [RedemptionView.model_validate_json(each.body or "") for each in outcomes]

        return redeem_all

    answers: list[Any] = []
    for start in range(0, len(batches), THREADS):
        works = [work(batch) for batch in batches[start : start + THREADS]]
        answers += at_once(scene.engine, works, run_once)
    return answers


def test_batches_in_every_order_finish_without_a_ring(scene: Scene) -> None:
    batches = shuffled_batches(scene, campaigns=3)

    answers = redeems(scene, batches)

    assert [each for each in answers if isinstance(each, Exception)] == []
    many = sum(len(batch) for batch in batches)
    with transaction(scene.engine) as session:
        assert totals(session).standing == many
        assert sum(count for count, _ in used(session, "9/")) == many


def test_reversals_among_them_close_no_ring_either(scene: Scene) -> None:
    batches = shuffled_batches(scene, campaigns=2)[:THREADS]
    first = redeems(scene, batches)
    redemptions = [view for views in first for view in views]
    random.Random(8).shuffle(redemptions)

    def take_back(some: list[RedemptionView]) -> Any:
        def work(session: Session) -> None:
            for view in some[:1]:
                request = NewReversal(id=make.an_id(), redemption_id=view.id, reason="mistake")
                reverse(session, scene.at.operator_id, request, now=NOON)

        return work

    def again(batch: list[Presented]) -> Work:
        fresh = [
            Presented(each.request.model_copy(update={"id": make.an_id()}), each.shown)
            for each in batch[::-1]
        ]
        return lambda session: redeem_many(session, scene.at.operator_id, fresh, now=NOON)

    works = [take_back(redemptions[number::THREADS]) for number in range(THREADS)]
    works += [again(batch) for batch in batches[:3]]
    answers = at_once(scene.engine, works, run_once)

    assert [each for each in answers if isinstance(each, Exception)] == []
    with transaction(scene.engine) as session:
        standing = totals(session).standing
        assert sum(count for count, _ in used(session, "9/")) == standing


def test_limits_locked_as_they_come_would_close_a_ring(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the order of keys the rings are real; else the tests above prove nothing."""
    assert "ORDER BY key" in limits._SELECT
    as_they_come = limits._SELECT.replace(
        "ORDER BY key", "ORDER BY array_position(%(keys)s::text[], key::text)"
    )
    monkeypatch.setattr(limits, "_SELECT", as_they_come)
    with transaction(scene.engine) as session:
        at = scene.at
        runs = [make.campaign(session, at) for _ in range(40)]
        keys = [limits.campaign_key(run.id, "redeem") for run in runs]  # type: ignore[arg-type]

    def lock(keys: list[str]) -> Any:
        def work(session: Session) -> None:
            for _ in range(5):
                limits.give_back(session, at.operator_id, keys, count=0, minor=0)

        return work

    errors: list[Any] = []
    for _ in range(40):
        errors += at_once(scene.engine, [lock(keys), lock(keys[::-1])] * 2, run_once)
        if any(errors):
            break

    states = {getattr(error.orig, "sqlstate", None) for error in errors if error}
    assert "40P01" in states
