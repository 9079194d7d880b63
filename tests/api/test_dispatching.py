import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from api.beside.dispatching import dispatcher, to
from coupon_engine.database import transaction
from coupon_engine.outbox import Message
from coupon_engine.tables import Event, Outbox
from tests import make
from tests.make import NOON


class Listener(ThreadingHTTPServer):
    """The far side: somebody's own server that hears of every event."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hears)
        self.heard: list[str] = []
        self.answers = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/events"


class _Hears(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert message["id"] == self.headers["webhook-id"]
        if self.server.answers == 204:
            self.server.heard.append(message["id"])
        self.send_response(self.server.answers)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_whoever_listens_hears_of_every_event(database: Engine, listener: Listener) -> None:
    with transaction(database) as session:
        make.coupon(session, make.shop(session))

    _dispatch_until_empty(database, listener.url)

    with transaction(database) as session:
        assert sorted(listener.heard) == sorted(map(str, session.exec(select(Event.id))))


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
    listener.answers = 204
    _dispatch_until_empty(database, listener.url)

    with transaction(database) as session:
        assert sorted(listener.heard) == sorted(map(str, session.exec(select(Event.id))))


def test_a_listener_that_is_away_loses_nothing(database: Engine) -> None:
    with transaction(database) as session:
        make.campaign(session, make.shop(session))

    assert to("http://127.0.0.1:9/events")(_waiting(database)) == []

    with transaction(database) as session:
        assert session.exec(select(Outbox)).all() != []


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
