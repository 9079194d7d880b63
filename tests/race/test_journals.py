"""Uploads at once, and uploads against counters that are online."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import desk
from coupon_engine.acting import by_system
from coupon_engine.database import repeating, transaction
from coupon_engine.offline import claims, journals
from coupon_engine.redemption import redeem
from coupon_engine.rows import found
from tests import make
from tests.coupon_engine.offline.device import HOUR, MINUTE, Device, device, words, world
from tests.coupon_engine.record import count, rows, used
from tests.make import NOON
from tests.race.together import MANY, at_once, drop, meet_after, told

LATE = NOON + 3 * HOUR


def tills(engine: Engine, many: int, *, coupons: int = 1) -> list[Device]:
    """Terminals of one shop, under a lease each."""
    with transaction(engine) as session:
        of = world(session, many=coupons)
        made = [device(session, of) for _ in range(many)]
        for each in made:
            each.leases(session)
        return made


def uploads(one: Device) -> Callable[[Session], Any]:
    return lambda session: one.uploads(session, now=LATE)


def as_operator(one: Device) -> Callable[[Engine, Callable[[Session], Any]], Any]:
    return lambda engine, work: repeating(engine, work, by_system(one.of.at.operator_id))


def decided(engine: Engine) -> Counter[str]:
    with transaction(engine) as session:
        return Counter(row.decided for row in rows(session, "SELECT decided FROM redemption"))


def test_one_journal_that_comes_six_times_at_once_is_taken_once(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = tills(database, 1)
    till.redeems(at=NOON + MINUTE)
    meet_after(monkeypatch, journals, "locked")

    answers = at_once(database, [uploads(till)] * MANY, as_operator(till))

    assert told(answers) == {"won": MANY}
    assert {tuple(words(each.answers)) for each in answers} == {("noted", "accepted")}
    with transaction(database) as session:
        assert count(session, "journal_entry") == 2
        assert count(session, "event WHERE kind = 'redeemed_offline'") == 1
        assert rows(session, "SELECT used_count FROM allowance") == [(1,)]


def test_this_race_is_real(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock on the terminal, and without the index behind it, it is taken twice."""
    (till,) = tills(database, 1)
    till.redeems(at=NOON + MINUTE)
    meet_after(monkeypatch, journals, "_fresh")
    monkeypatch.setattr(journals, "locked", found)
    drop(database, "journal_entry", "pk_journal_entry")

    at_once(database, [uploads(till)] * MANY, as_operator(till))

    with transaction(database) as session:
        assert count(session, "journal_entry WHERE seq = 1") > 1


def test_terminals_that_share_coupons_wait_for_each_other_and_never_in_a_ring(
    database: Engine,
) -> None:
    """Each has all of the coupons, in an order of its own."""
    many = 4
    made = tills(database, many, coupons=many)
    for at, each in enumerate(made):
        for place in range(many):
            each.redeems((at + place) % many, at=NOON + (place + 1) * MINUTE)
    with transaction(database) as session:
        for each in made:
            each.leases(session, now=NOON + HOUR)

    answers = at_once(database, [uploads(each) for each in made], as_operator(made[0]))

    assert told(answers) == {"won": many}
    operator_id = made[0].of.at.operator_id
    with transaction(database, by_system(operator_id)) as session:
        claims.decide_due(session, operator_id, now=LATE)
    assert decided(database) == {"accepted": many, "disputed": many * (many - 1)}
    with transaction(database) as session:
        winners = rows(session, "SELECT redeemed_at FROM redemption WHERE decided = 'accepted'")
        assert winners == [(NOON + MINUTE,)] * many
        assert count(session, "lease WHERE closed_at IS NULL") == many
        (budget,) = used(session, "9/")
        assert budget == (many * 20 + many * many, many * (many * 200 + 10_000))


def redeems_online(till: Device) -> Callable[[Session], Any]:
    of = till.of
    request = make.request(of.at, of.coupons[0])
    return lambda session: redeem(session, of.at.operator_id, request, now=LATE)


def test_a_counter_and_an_upload_never_both_count(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = tills(database, 1)
    till.redeems(at=NOON + MINUTE)
    meet_after(monkeypatch, desk, "lay", many=2)

    at_once(database, [uploads(till), redeems_online(till)], as_operator(till))

    assert decided(database)["accepted"] == 1
    with transaction(database) as session:
        assert rows(session, "SELECT uses_count FROM coupon") == [(1,)]


def test_the_race_of_a_counter_and_an_upload_is_real(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = tills(database, 1)
    till.redeems(at=NOON + MINUTE)
    meet_after(monkeypatch, desk, "lay", many=2)
    monkeypatch.setattr(desk, "LOCK_COUPONS", "")
    drop(database, "redemption", "uq_redemption_operator_id_coupon_id_use_no")

    at_once(database, [uploads(till), redeems_online(till)], as_operator(till))

    assert decided(database)["accepted"] == 2
