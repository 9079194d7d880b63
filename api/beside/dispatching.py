"""Sends what waits in the outbox, in the background of a server, one message after the other.

Where no address is configured there is nobody to tell, and messages are struck off as they come.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import httpx
import structlog
from sqlalchemy import Engine

from api.beside.background import Background
from coupon_engine.outbox import LEASE, Message, Send, dispatch

IDLE_SECONDS = 1.0
LONGEST_ANSWER_SECONDS = 5.0

_log = structlog.get_logger()


def dispatcher(engine: Engine, send: Send, clock: Callable[[], datetime]) -> Background:
    """Return what empties the outbox, again and again."""
    return Background(
        "dispatcher", lambda: dispatch(engine, send, now=clock()), idle_seconds=IDLE_SECONDS
    )


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
