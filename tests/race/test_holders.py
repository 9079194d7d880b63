"""Uploads that count against one phone at once count everything, and suspend it once."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import holders
from coupon_engine.acting import by_system
from coupon_engine.database import repeating, transaction
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import NOON
from tests.race.together import Work, at_once

KEYS = (b"\x02" + b"a" * 32, b"\x03" + b"b" * 32)


def test_disputes_that_are_counted_at_once_are_all_counted(database: Engine) -> None:
    with transaction(database) as session:
        operator_id = make.shop(session).operator_id

    at_once(database, [counting(operator_id) for _ in range(8)], as_server(operator_id))

    with transaction(database) as session:
        found = rows(session, "SELECT * FROM disputed_holder ORDER BY holder_key")
        assert [(bytes(row.holder_key), row.disputed_count) for row in found] == [
            (key, 8) for key in KEYS
        ]
        assert count(session, "disputed_holder WHERE suspended_at = '2026-03-02T12:00:00Z'") == 2
        assert count(session, "event WHERE kind = 'holder_suspended'") == 2


def counting(operator_id: UUID) -> Work:
    """One dispute of each phone. In whichever order they are named, they are locked in one."""

    def work(session: Session) -> None:
        against = dict.fromkeys(KEYS, 1)
        holders.hold_against(session, operator_id, against, now=NOON)

    return work


def as_server(operator_id: UUID) -> Callable[[Engine, Work], Any]:
    return lambda engine, work: repeating(engine, work, by_system(operator_id))
