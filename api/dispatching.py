"""Sends what waits in the outbox, in the background of a server, one message after the other.

Every worker of every server may run this: a message that one has leased no other one gets. Where
no address is configured there is nobody to tell, and messages are struck off as they come.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event, Thread
from uuid import UUID

import httpx
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from coupon_engine.outbox import LEASE, Message, Send, dispatch

IDLE_SECONDS = 1.0
LONGEST_ANSWER_SECONDS = 5.0

_log = structlog.get_logger()


class Dispatcher:
    """A thread that empties the outbox until it is stopped."""

    def __init__(self, engine: Engine, send: Send, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._send = send
        self._clock = clock
        self._is_stopping = Event()
        self._thread = Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the message at hand; the others wait in the record for the next server."""
        self._is_stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                arrived = dispatch(self._engine, self._send, now=self._clock())
            except SQLAlchemyError as error:
                # The database is away. The messages are in it, so nothing can be lost meanwhile.
                _log.warning("outbox_unreachable", error=type(error).__name__)
                arrived = 0
            if not arrived:
                self._is_stopping.wait(IDLE_SECONDS)


def to(url: str | None) -> Send:
    """Return a sender that posts each message as JSON; any 2xx means that it arrived."""
    return _to_nobody if url is None else _poster(url)


def _to_nobody(messages: Sequence[Message]) -> Sequence[UUID]:
    return [message.id for message in messages]


def _poster(url: str) -> Send:
    client = httpx.Client(timeout=LONGEST_ANSWER_SECONDS, follow_redirects=False)

    def post(messages: Sequence[Message]) -> Sequence[UUID]:
        arrived: list[UUID] = []
        lease_is_short = time.monotonic() + LEASE.total_seconds() / 2
        for message in messages:
            if time.monotonic() > lease_is_short:
                return arrived
            try:
                answer = client.post(
                    url,
                    content=message.model_dump_json(),
                    headers={"content-type": "application/json", "webhook-id": str(message.id)},
                )
            except httpx.HTTPError as error:
                # Whoever does not answer the first will not answer the next hundred either.
                _log.warning("message_not_sent", error=type(error).__name__)
                return arrived
            if answer.is_success:
                arrived.append(message.id)
        return arrived

    return post
