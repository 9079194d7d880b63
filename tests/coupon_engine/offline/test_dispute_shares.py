"""Which share of a terminal's own redemptions was disputed, and what of it the merchant bears."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from sqlmodel import Session

from coupon_engine import operators
from coupon_engine.offline import claims
from coupon_engine.offline.dispute_shares import disputes_view, tolerated
from schemas.disputes import DisputesView, MerchantDisputes
from schemas.offers import PercentOff
from tests.coupon_engine.offline.device import (
    HOUR,
    MINUTE,
    ONE,
    Device,
    Offline,
    device,
    millis,
    world,
)
from tests.coupon_engine.record import redeemed, rows
from tests.make import NOON

DAY = timedelta(days=1)
LATE = NOON + 5 * HOUR


@pytest.fixture
def of(session: Session) -> Offline:
    """Every coupon takes a fifth off, so that each basket has its own discount."""
    return world(session, many=14, terms={"benefit": PercentOff(percent_off_bp=2_000)})


def leased(session: Session, of: Offline) -> Device:
    one = device(session, of)
    one.leases(session)
    return one


def online(session: Session, of: Offline, numbers: Iterable[int]) -> None:
    for number in numbers:
        redeemed(session, of.at, of.coupons[number], now=NOON + HOUR)


def alone(till: Device, numbers: Iterable[int], *, more_minor: int = 0) -> None:
    """Redeem these, a minute apart; each takes so much more off than the one before."""
    for place, number in enumerate(numbers):
        minor = 200 + place * more_minor
        basket = {"currency": "EUR", "total_minor": 5 * minor}
        till.redeems(number, at=till.ts + MINUTE, basket=basket, discount_minor=minor)


def seen(session: Session, of: Offline, *, since: datetime = NOON) -> DisputesView:
    return disputes_view(session, of.at.operator_id, since=since, until=LATE)


def by_merchant(view: DisputesView) -> MerchantDisputes:
    (merchant,) = view.merchants
    return merchant


def alarms(session: Session) -> list[tuple[int, int]]:
    told = rows(session, "SELECT data FROM event WHERE kind = 'many_disputed' ORDER BY at")
    return [(row.data["disputed"], row.data["share_bp"]) for row in told]


def test_a_few_are_tolerated_always_and_a_share_of_many() -> None:
    assert [tolerated(many, 300) for many in (0, 5, 166, 167, 1_000)] == [4, 4, 4, 5, 30]


def test_each_terminal_has_its_own_share(session: Session, of: Offline) -> None:
    online(session, of, range(5))
    bad, good = leased(session, of), leased(session, of)
    alone(bad, range(8))
    alone(good, range(8, 11))
    for till in (bad, good):
        till.leases(session, now=NOON + 2 * HOUR)
        till.uploads(session, now=LATE)

    view = seen(session, of)

    assert view.most_disputed_bp == 300
    assert {
        each.terminal_id: (each.accepted, each.disputed, each.share_bp, each.is_over)
        for each in view.terminals
    } == {bad.id: (3, 5, 6_250, True), good.id: (3, 0, 0, False)}


def test_beyond_what_is_tolerated_the_merchant_bears_the_latest(
    session: Session, of: Offline
) -> None:
    online(session, of, range(6))
    till = leased(session, of)
    alone(till, range(8), more_minor=1)
    till.uploads(session, now=LATE)

    merchant = by_merchant(seen(session, of))

    assert (merchant.accepted, merchant.disputed, merchant.tolerated) == (2, 6, 4)
    assert (merchant.campaign_minor, merchant.merchant_minor) == (1_215, 0)
    assert (merchant.over, merchant.over_minor) == (2, 204 + 205)


def test_an_operator_may_tolerate_more(session: Session, of: Offline) -> None:
    online(session, of, range(6))
    till = leased(session, of)
    alone(till, range(8))
    operators.set_most_disputed(session, of.at.operator_id, 6_250, now=NOON)

    till.uploads(session, now=LATE)

    merchant = by_merchant(seen(session, of))
    assert (merchant.tolerated, merchant.over, merchant.over_minor) == (5, 1, 200)


def test_what_a_terminal_had_been_told_of_is_the_merchants_beforehand(
    session: Session, of: Offline
) -> None:
    online(session, of, range(6))
    till = leased(session, of)
    for number in range(6):
        till.redeems(number, at=NOON + (2 + number) * HOUR / 2, list_ver=millis(NOON))
    for number in range(2):
        till.redeems(6 + number, at=NOON + 9 * HOUR / 2 + number * MINUTE)
    informed = leased(session, of)
    redeemed(session, of.at, of.coupons[8], now=NOON)
    informed.redeems(8, at=NOON + HOUR, list_ver=millis(NOON + MINUTE))
    for each in (till, informed):
        each.writes("refused", at=NOON + 5 * HOUR - ONE)
        each.uploads(session, now=LATE)

    merchant = by_merchant(seen(session, of))

    assert (merchant.disputed, merchant.campaign_minor, merchant.merchant_minor) == (7, 1_200, 200)
    assert merchant.over == 2


def test_what_is_not_decided_is_in_no_share(session: Session, of: Offline) -> None:
    till, dark = leased(session, of), leased(session, of)
    alone(till, range(3))
    till.uploads(session, now=LATE)

    assert seen(session, of).terminals == ()

    dark.leases(session, now=NOON + 2 * HOUR)
    dark.uploads(session, now=LATE)
    till.leases(session, now=NOON + 2 * HOUR)
    till.uploads(session, now=LATE)
    assert [(each.accepted, each.disputed) for each in seen(session, of).terminals] == [(3, 0)]


def test_a_time_is_that_of_the_redemptions_and_ends_before_its_end(
    session: Session, of: Offline
) -> None:
    till = leased(session, of)
    till.redeems(0, at=NOON + MINUTE)
    till.redeems(1, at=NOON + 2 * MINUTE)
    till.redeems(2, at=LATE)
    till.uploads(session, now=LATE + HOUR)

    (terminal,) = seen(session, of, since=NOON + 2 * MINUTE).terminals

    assert terminal.accepted == 1


def test_any_order_of_journals_reads_the_same(session: Session, of: Offline) -> None:
    """Three terminals that each accepted what the others did, in every order."""
    online(session, of, range(2))
    tills = [leased(session, of) for _ in range(3)]
    for number, till in enumerate(tills):
        till.ts += number * ONE
        alone(till, range(9), more_minor=1 + number)
        till.leases(session, now=NOON + 2 * HOUR)

    view, *others = (uploaded(session, of, order) for order in permutations(tills))

    assert others == [view] * 5
    assert by_merchant(view).disputed == 3 * 9 - 7
    assert by_merchant(view).over == 3 * 9 - 7 - 4


def uploaded(session: Session, of: Offline, order: Sequence[Device]) -> DisputesView:
    """Return how it reads once these have come in, and take it back."""
    point = session.begin_nested()
    for till in order:
        till.uploads(session, till.journal[:4], now=LATE)
    for till in order:
        till.uploads(session, till.journal[4:], now=LATE)
    view = seen(session, of)
    point.rollback()
    session.expunge_all()
    return view


def test_an_alarm_sounds_at_the_fifth_and_once_a_day(session: Session, of: Offline) -> None:
    online(session, of, range(7))
    till = leased(session, of)
    alone(till, range(4))
    till.uploads(session, now=LATE)
    assert alarms(session) == []

    alone(till, [4])
    till.uploads(session, now=LATE)
    alone(till, [5])
    till.uploads(session, now=LATE + MINUTE)
    assert alarms(session) == [(5, 10_000)]

    alone(till, [6])
    till.uploads(session, now=LATE + DAY + ONE)
    assert alarms(session) == [(5, 10_000), (7, 10_000)]
    (event, _) = rows(session, "SELECT * FROM event WHERE kind = 'many_disputed' ORDER BY at")
    assert (event.subject_id, event.data["store_id"]) == (till.id, str(of.at.store.id))


def test_many_that_count_are_worth_some_disputes(session: Session, of: Offline) -> None:
    operators.set_most_disputed(session, of.at.operator_id, 5_000, now=NOON)
    online(session, of, range(5))
    till = leased(session, of)
    alone(till, range(5, 10))
    alone(till, range(5))

    till.uploads(session, now=LATE)

    assert seen(session, of).terminals[0].share_bp == 5_000
    assert alarms(session) == []


def test_an_alarm_sounds_also_when_anothers_journal_decides(session: Session, of: Offline) -> None:
    early, late = leased(session, of), leased(session, of)
    alone(early, range(5))
    early.leases(session, now=NOON + 2 * HOUR)
    late.ts = NOON + HOUR
    alone(late, range(5))
    late.leases(session, now=NOON + 2 * HOUR)
    late.uploads(session, now=LATE)
    assert alarms(session) == []

    early.uploads(session, now=LATE)

    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'many_disputed'")
    assert event.subject_id == late.id


def test_an_alarm_sounds_also_when_time_decides(session: Session, of: Offline) -> None:
    """The terminal that is waited for never comes back."""
    till, _ = leased(session, of), leased(session, of)
    online(session, of, range(0))
    early = leased(session, of)
    alone(early, range(5))
    early.leases(session, now=NOON + 2 * HOUR)
    till.ts = NOON + HOUR
    alone(till, range(5))
    till.leases(session, now=NOON + 2 * HOUR)
    for each in (early, till):
        each.uploads(session, now=LATE)
    assert alarms(session) == []

    session.connection().exec_driver_sql("UPDATE lease SET closed_at = now()")
    claims.decide_due(session, of.at.operator_id, now=LATE + DAY)

    assert alarms(session) == [(5, 10_000)]
