"""What is over is taken away a day later, and nothing that still counts."""

from datetime import timedelta

from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine import apart, tries
from coupon_engine.acting import by_system
from coupon_engine.database import open_engine, transaction
from coupon_engine.offline import leases
from coupon_engine.people import ceremonies
from coupon_engine.sweeping import KEPT, sweep
from coupon_engine.tries import Budget
from schemas.campaigns import OfflinePolicy
from tests import make
from tests.coupon_engine.offline.device import device, world
from tests.coupon_engine.record import rows, used
from tests.make import NOON

HOUR = timedelta(hours=1)


def test_counts_and_ceremonies_go_a_day_after_they_are_over(
    database: Engine, database_url: str
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    with transaction(database, by_system(at.operator_id)) as session:
        tries.take(session, at.operator_id, [Budget("over", 5, HOUR)], now=NOON)
        tries.take(session, at.operator_id, [Budget("counts", 5, HOUR)], now=NOON + HOUR)
        ceremonies.begin(
            session, at.operator_id, "passkey", {}, account_id=None, lasts=HOUR, now=NOON
        )
    server = open_engine(database_url, role=apart.ROLE)  # with the rights that it has

    early = sweep(server, now=NOON + HOUR + KEPT)
    late = sweep(server, now=NOON + HOUR + KEPT + timedelta(seconds=1))
    again = sweep(server, now=NOON + HOUR + KEPT + timedelta(seconds=1))

    server.dispose()
    assert (early, late, again) == (0, 2, 0)
    with database.connect() as connection:
        left = connection.execute(text("SELECT key FROM tries")).scalars().all()
    assert left == ["counts"]


def test_a_lease_of_a_terminal_that_was_never_heard_of_again_is_closed(
    database: Engine, database_url: str
) -> None:
    with transaction(database) as session:
        at, other = make.shop(session), make.shop(session)
        ours = make.campaign(session, at, offline=OfflinePolicy.DEVICE_QUOTA)
        make.coupon(session, at, make.batch(session, at, make.offer(session, at, ours)))
        lost = make.lease(session, at)
        make.lease(session, other)
        heard_of = make.another_terminal(session, at)
        make.lease(session, at, terminal_id=heard_of.id, now=NOON + HOUR)
    last = lost.ends_at + leases.LATEST_UPLOAD
    server = open_engine(database_url, role=apart.ROLE)

    early = sweep(server, now=last - timedelta(microseconds=1))
    late = sweep(server, now=last)
    again = sweep(server, now=last)

    server.dispose()
    assert (early, late, again) == (0, 2, 0)
    with transaction(database) as session:
        assert used(session, f"9/{ours.id}") == [(20, 10_000)]


def test_what_was_redeemed_alone_is_decided_once_nobody_can_have_been_earlier(
    database: Engine, database_url: str
) -> None:
    with transaction(database) as session:
        of = world(session)
        one, lost = device(session, of), device(session, of)
        one.leases(session)
        lease = lost.leases(session)
        one.redeems()
        one.uploads(session)
    last = lease.ends_at + leases.LATEST_UPLOAD
    server = open_engine(database_url, role=apart.ROLE)

    sweep(server, now=last - timedelta(microseconds=1))
    with transaction(database) as session:
        before = decisions(session)
    sweep(server, now=last)

    server.dispose()
    with transaction(database) as session:
        assert (before, decisions(session)) == (["provisional"], ["accepted"])


def decisions(session: Session) -> list[str]:
    return [row.decided for row in rows(session, "SELECT decided FROM redemption")]
