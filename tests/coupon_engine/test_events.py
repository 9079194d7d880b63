"""What happened, happened: events are added, never changed and never taken away."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from coupon_engine import events
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import NOON


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE event SET kind = 'nothing'",
        "UPDATE event SET data = '{}' WHERE kind = 'coupon_issued'",
        "DELETE FROM event",
        "TRUNCATE event",
        "TRUNCATE event CASCADE",
    ],
)
def test_the_database_refuses_to_change_what_happened(session: Session, sql: str) -> None:
    make.coupon(session, make.shop(session))
    before = rows(session, "SELECT * FROM event ORDER BY id")

    with pytest.raises(IntegrityError, match="append-only"), session.begin_nested():
        rows(session, f"{sql} RETURNING 1" if "TRUNCATE" not in sql else sql)

    assert rows(session, "SELECT * FROM event ORDER BY id") == before
    assert before


def test_every_event_leaves_a_message_of_the_same_words(session: Session) -> None:
    coupon = make.coupon(session, make.shop(session))

    (event,) = rows(session, "SELECT * FROM event WHERE subject_id = :id", id=coupon.id)
    (message,) = rows(session, "SELECT * FROM outbox WHERE id = :id", id=event.id)

    assert message.body["data"] == event.data
    assert message.body["subject_id"] == str(coupon.id)
    assert (message.kind, message.attempts, message.due_at) == ("coupon_issued", 0, NOON)


def test_news_that_came_late_tells_both_hours(session: Session) -> None:
    at = make.shop(session)
    late = NOON + timedelta(days=2)

    events.record(
        session,
        events.happened(
            "coupon_redeemed",
            make.an_id(),
            operator_id=at.operator_id,
            campaign_id=None,
            at=NOON,
            recorded_at=late,
            data={},
        ),
    )

    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'coupon_redeemed'")
    assert (event.at, event.recorded_at) == (NOON, late)
    assert count(session, "outbox WHERE kind = 'coupon_redeemed'") == 1
