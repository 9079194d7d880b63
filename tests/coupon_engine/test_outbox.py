from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlmodel import select

from coupon_engine.database import transaction
from coupon_engine.outbox import LEASE, Message, dispatch, lease
from coupon_engine.tables import Event, Outbox
from tests import make
from tests.make import NOON


def test_every_event_leaves_once_it_has_arrived(database: Engine) -> None:
    with transaction(database) as session:
        make.coupon(session, make.shop(session))
    heard: list[Message] = []

    while dispatch(database, _arrives(heard), now=NOON, most=2):
        pass

    with transaction(database) as session:
        events = session.exec(select(Event.id)).all()
        assert sorted(message.id for message in heard) == sorted(events)
        assert session.exec(select(Outbox)).all() == []


def test_a_message_that_did_not_arrive_is_due_again_later_each_time(database: Engine) -> None:
    with transaction(database) as session:
        make.campaign(session, make.shop(session))
    heard: list[Message] = []

    assert dispatch(database, _is_lost(heard), now=NOON) == 0
    assert dispatch(database, _is_lost(heard), now=NOON + LEASE / 2) == 0
    first_round = len(heard)
    dispatch(database, _is_lost(heard), now=NOON + LEASE)
    dispatch(database, _is_lost(heard), now=NOON + 2 * LEASE)

    assert len(heard) == 2 * first_round
    assert {message.attempts for message in heard} == {1, 2}


def test_two_dispatchers_never_hold_the_same_message(database: Engine) -> None:
    with transaction(database) as session:
        make.coupon(session, make.shop(session))

    with transaction(database) as one, transaction(database) as other:
        first = lease(one, now=NOON, most=2)
        second = lease(other, now=NOON, most=100)

    assert first
    assert second
    assert not {message.id for message in first} & {message.id for message in second}


def test_a_dispatcher_that_dies_loses_nothing(database: Engine) -> None:
    with transaction(database) as session:
        make.campaign(session, make.shop(session))
    with transaction(database) as session:
        taken = lease(session, now=NOON, most=100)

    with transaction(database) as session:
        again = lease(session, now=NOON + LEASE + timedelta(seconds=1), most=100)

    assert {message.id for message in again} == {message.id for message in taken}


def _arrives(heard: list[Message]):
    def send(messages: Sequence[Message]) -> Sequence[UUID]:
        heard.extend(messages)
        return [message.id for message in messages]

    return send


def _is_lost(heard: list[Message]):
    def send(messages: Sequence[Message]) -> Sequence[UUID]:
        heard.extend(messages)
        return []

    return send
