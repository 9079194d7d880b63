import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from api.beside.dispatching import dispatcher, to
from coupon_engine.database import transaction
from coupon_engine.outbox import Message
from coupon_engine.tables import Event, Outbox
from tests import make
from tests.listening import Listener, listening
from tests.make import NOON


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Somebody's own server that hears of every event."""
    with listening(answers=204) as server:
        yield server


def test_whoever_listens_hears_of_every_event(database: Engine, listener: Listener) -> None:
    with transaction(database) as session:
        make.coupon(session, make.shop(session))

    _dispatch_until_empty(database, listener.url)

    assert _heard(listener) == _happened(database)


def test_with_nobody_to_tell_the_outbox_does_not_grow(database: Engine) -> None:
    with transaction(database) as session:
        make.coupon(session, make.shop(session))

    _dispatch_until_empty(database, None)

    with transaction(database) as session:
        assert session.exec(select(Event)).first() is not None


def test_a_listener_that_says_no_is_told_again_later(database: Engine, listener: Listener) -> None:
    with transaction(database) as session:
        make.campaign(session, make.shop(session))
    listener.answers = 500

    assert to(listener.url)(_waiting(database)) == []
    assert listener.heard  # it was told, and has said no
    listener.heard.clear()
    listener.answers = 204
    _dispatch_until_empty(database, listener.url)

    assert _heard(listener) == _happened(database)


def test_a_listener_that_is_away_loses_nothing(database: Engine) -> None:
    with transaction(database) as session:
        make.campaign(session, make.shop(session))

    assert to("http://127.0.0.1:9/events")(_waiting(database)) == []

    with transaction(database) as session:
        assert session.exec(select(Outbox)).all() != []


def _heard(listener: Listener) -> list[str]:
    """Return of which events it was told, each under its own id."""
    for post in listener.heard:
        assert post.headers["webhook-id"] == post.body["id"]
    return sorted(post.body["id"] for post in listener.heard)


def _happened(database: Engine) -> list[str]:
    with transaction(database) as session:
        return sorted(map(str, session.exec(select(Event.id))))


def _waiting(database: Engine) -> list[Message]:
    with transaction(database) as session:
        return [
            Message(
                operator_id=row.operator_id,
                id=row.id,
                kind=row.kind,
                attempts=0,
                sandbox=False,
                body={},
            )
            for row in session.exec(select(Outbox))
        ]


def _dispatch_until_empty(database: Engine, url: str | None) -> None:
    running = dispatcher(database, to(url), lambda: NOON)
    running.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with transaction(database) as session:
            if session.exec(select(Outbox)).first() is None:
                break
        time.sleep(0.02)
    else:
        pytest.fail("the outbox was not emptied")
    running.stop()
