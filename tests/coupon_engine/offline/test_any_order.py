"""The same journals in any order and any pieces end the same in the record itself."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from coupon_engine.offline import claims
from tests.coupon_engine.offline.device import HOUR, MINUTE, Device, Offline, device, world
from tests.coupon_engine.record import redeemed, rows
from tests.make import NOON

COUPONS = 3
TERMINALS = 3
MOST = 2  # redemptions by one terminal under one lease
END = NOON + 2 * HOUR


@dataclass(frozen=True)
class Scene:
    session: Session
    of: Offline
    devices: Sequence[Device]


@pytest.fixture(scope="module")
def scene(untouched: Any) -> Iterator[Scene]:
    """A shop that each example finds as it was."""
    with Session(untouched, expire_on_commit=False, autoflush=False) as session:
        of = world(session, many=COUPONS, offline_count=MOST)
        yield Scene(session, of, [device(session, of) for _ in range(TERMINALS)])
        session.rollback()


@contextmanager
def undone(session: Session) -> Generator[None]:
    """Take everything back at the end."""
    session.flush()
    point = session.begin_nested()
    try:
        yield
    finally:
        point.rollback()
        session.expunge_all()


@dataclass(frozen=True)
class Said:
    """What one terminal did: at which minute, with which coupon."""

    minutes: tuple[int, ...]
    coupons: tuple[int, ...]


journals = st.builds(
    Said,
    st.lists(st.integers(1, 5), min_size=COUPONS, max_size=COUPONS).map(sorted).map(tuple),
    st.permutations(range(COUPONS)).map(tuple),
)


@given(
    said=st.lists(journals, min_size=TERMINALS, max_size=TERMINALS),
    online=st.sets(st.integers(0, COUPONS - 1), max_size=1),
    data=st.data(),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_uploads_ends_the_same(
    scene: Scene, said: list[Said], online: set[int], data: st.DataObject
) -> None:
    session = scene.session
    with undone(session):
        winner_of = {
            number: redeemed(session, scene.of.at, scene.of.coupons[number]).id for number in online
        }
        devices = [replace(each, journal=[]) for each in scene.devices]
        claimed: list[tuple[int, UUID, int, UUID]] = []
        for one, told in zip(devices, said, strict=True):
            one.leases(session)
            for minute, number in zip(told.minutes, told.coupons, strict=True):
                id = one.redeems(number, at=NOON + minute * MINUTE)
                if len(one.journal) - 1 <= MOST:
                    claimed.append((minute, one.id, number, id))
            one.leases(session, now=END)

        for terminal, start, end in data.draw(st.permutations(pieces(data, devices))):
            one = devices[terminal]
            one.uploads(session, one.journal[start:end], now=END + HOUR)

        for _, _, number, id in sorted(claimed):
            winner_of.setdefault(number, id)
        decided = rows(session, "SELECT * FROM redemption WHERE redeemed_at > :now", now=NOON)
        assert {row.id: row.decided for row in decided} == {
            id: "accepted" if winner_of[number] == id else "disputed"
            for _, _, number, id in claimed
        }
        answers = rows(session, "SELECT * FROM journal_entry WHERE answer = 'disputed'")
        assert {row.redemption_id: row.winner_id for row in answers} == {
            id: winner_of[number] for _, _, number, id in claimed if winner_of[number] != id
        }
        assert_each_ends_once(session, {id for _, _, _, id in claimed})
        assert_books_are_zero(session)


def pieces(data: st.DataObject, devices: Sequence[Device]) -> list[tuple[int, int, int]]:
    """Any cutting of the journals; one of the pieces comes twice."""
    cut: list[tuple[int, int, int]] = []
    for terminal, one in enumerate(devices):
        start = 0
        while start < len(one.journal):
            end = start + data.draw(st.integers(1, 4))
            cut.append((terminal, start, end))
            start = end
    return [*cut, data.draw(st.sampled_from(cut))]


def assert_each_ends_once(session: Session, ids: set[UUID]) -> None:
    events = rows(session, "SELECT data FROM event WHERE kind = 'redemption_decided'")
    assert sorted(row.data["redemption_id"] for row in events) == sorted(map(str, ids))
    assert claims.decide_due(session, _operator(session), now=END + timedelta(days=30)) == 0


def assert_books_are_zero(session: Session) -> None:
    """What the campaign bears, and what open leases keep, is what its budget lacks."""
    (borne,) = rows(
        session,
        """SELECT count(*) AS many, coalesce(sum(redemption.discount_minor), 0)::int AS minor
           FROM redemption LEFT JOIN journal_entry ON redemption_id = redemption.id
           WHERE decided = 'accepted' OR liable = 'campaign'""",
    )
    (kept,) = rows(
        session,
        """SELECT sum(max_count)::int AS many, sum(max_minor)::int AS minor
           FROM allowance WHERE returned_at IS NULL""",
    )
    (budget,) = rows(
        session, "SELECT used_count, spent_minor FROM limit_row WHERE key LIKE '9/%/redeem'"
    )
    assert budget == (borne.many + kept.many, borne.minor + kept.minor)
    spent = rows(session, "SELECT uses_count, uses FROM coupon")
    assert all(row.uses_count <= row.uses for row in spent)
    accepted = rows(
        session,
        "SELECT count(*) AS many FROM redemption WHERE decided = 'accepted' GROUP BY coupon_id",
    )
    assert all(row.many == 1 for row in accepted)


def _operator(session: Session) -> UUID:
    (row,) = rows(session, "SELECT id FROM operator")
    return row.id
