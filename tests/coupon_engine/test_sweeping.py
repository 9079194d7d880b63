"""What is over is taken away a day later, and nothing that still counts."""

from datetime import timedelta

from sqlalchemy import Engine, text

from coupon_engine import apart, tries
from coupon_engine.acting import by_system
from coupon_engine.database import open_engine, transaction
from coupon_engine.people import ceremonies
from coupon_engine.sweeping import KEPT, sweep
from coupon_engine.tries import Budget
from tests import make
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
