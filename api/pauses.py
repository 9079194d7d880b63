"""What has stopped, told to terminals within a second: `GET /v1/pauses`, a stream of events.

    campaigns.decide ── NOTIFY ──> one thread a process ── reads once ──> everybody who listens

The thread has a connection of its own, and looks every two seconds besides, for a notification
that was lost. Whoever listens holds no connection, no seat and no thread.
"""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Annotated, Any, cast
from uuid import UUID

import psycopg
import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.asking.who import Asking
from api.problems import can_fail_with
from coupon_engine import pausing
from coupon_engine.acting import by_system
from coupon_engine.database import looking
from coupon_engine.errors import Busy, TooManyListeners
from schemas.approvals import PauseView
from schemas.campaigns import CampaignState

MOST_OF_AN_OPERATOR = 500
MOST_IN_ALL = 2_000
# A stream ends now and then; whoever listens comes back, and is asked again who they are.
LONGEST_SECONDS = 300.0
LOOK_SECONDS = 2.0
_WAIT_SECONDS = 0.1
_RECONNECT_SECONDS = 1.0

Stopped = Mapping[UUID, PauseView]

_log = structlog.get_logger()
router = APIRouter(tags=["Campaigns"])


class Listener:
    """One stream. It holds the newest news alone, however slowly it is read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_told = asyncio.Event()
        self._newest: Stopped | None = None
        self._is_over = False

    def tell(self, stopped: Stopped | None) -> None:
        """Leave the news, or None for the end. From any thread."""
        with suppress(RuntimeError):  # the loop has ended, and the stream with it
            self._loop.call_soon_threadsafe(self._put, stopped)

    def _put(self, stopped: Stopped | None) -> None:
        self._newest = stopped
        self._is_over = self._is_over or stopped is None
        self._is_told.set()

    async def news(self, *, within: float) -> Stopped | None:
        """Wait for news; None is the end, or that it is time to come back."""
        try:
            async with asyncio.timeout(within):
                await self._is_told.wait()
        except TimeoutError:
            return None
        self._is_told.clear()
        return None if self._is_over else self._newest


class Pauses:
    """All streams of this process, and the thread that tells them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: dict[UUID, set[Listener]] = {}
        self._new: set[UUID] = set()
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauses", daemon=True)

    def start(self) -> None:
        self._thread.start()
        _before_the_server_waits_for_its_streams(self.end)

    def end(self) -> None:
        """End every stream: a server that stops waits for its last answer."""
        self._is_stopping.set()
        for listener in self._all():
            listener.tell(None)

    def stop(self) -> None:
        self.end()
        self._thread.join()

    @contextmanager
    def listening(self, operator_id: UUID) -> Generator[Listener]:
        """Take a place among those who listen. The state of things comes as the first news.

        Raises:
            TooManyListeners: This operator has as many as one may have.
            Busy: The server has, or it is stopping.
        """
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            own = self._listeners.get(operator_id, set())
            if len(own) >= MOST_OF_AN_OPERATOR:
                raise TooManyListeners(most=MOST_OF_AN_OPERATOR)
            in_all = sum(len(each) for each in self._listeners.values())
            if in_all >= MOST_IN_ALL or self._is_stopping.is_set():
                raise Busy
            self._listeners.setdefault(operator_id, own).add(listener)
            self._new.add(operator_id)
        try:
            yield listener
        finally:
            with self._lock:
                own.discard(listener)
                if not own:
                    self._listeners.pop(operator_id, None)

    def _all(self) -> Sequence[Listener]:
        with self._lock:
            return [each for own in self._listeners.values() for each in own]

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with _own_connection(self._engine) as connection:
                    self._hear(connection)
            except (psycopg.Error, SQLAlchemyError) as error:
                # The database is away: nothing is redeemed either. Looking begins where it is back.
                _log.warning("pauses_unreachable", error=type(error).__name__)
                self._is_stopping.wait(_RECONNECT_SECONDS)

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        looked_at = -LOOK_SECONDS
        while not self._is_stopping.is_set():
            notes = connection.notifies(timeout=_WAIT_SECONDS, stop_after=1)
            changed = {UUID(note.payload) for note in notes}
            with self._lock:
                changed |= self._new
                self._new = set()
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    changed |= set(self._listeners)
            for operator_id in changed:
                self._tell(operator_id)

    def _tell(self, operator_id: UUID) -> None:
        with self._lock:
            listeners = list(self._listeners.get(operator_id, ()))
        if not listeners:
            return
        with looking(self._engine, by_system(operator_id)) as session:
            stopped = {each.campaign_id: each for each in pausing.stopped(session, operator_id)}
        for listener in listeners:
            listener.tell(stopped)


async def join(request: Request, caller: Asking) -> AsyncIterator[Listener]:
    """Take a place before the answer begins, so that a no is a problem like any other."""
    pauses = cast("Pauses", request.app.state.pauses)
    with pauses.listening(caller.operator_id) as listener:
        going = asyncio.create_task(_end_when_gone(request, listener))
        try:
            yield listener
        finally:
            going.cancel()


async def _end_when_gone(request: Request, listener: Listener) -> None:
    """Free the place of whoever has gone; writing to them would not tell us."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    listener.tell(None)


Listening = Annotated[Listener, Depends(join, scope="request")]


@router.get(
    "/pauses",
    response_class=EventSourceResponse,
    responses=can_fail_with(TooManyListeners),
)
async def pauses(listener: Listening) -> AsyncGenerator[ServerSentEvent]:
    """What has stopped, now (`stopped`, a list) and from now on (`pause`, one each), as events.

    A campaign that goes on again comes as `pause` with the state `running`. A comment comes every
    15 seconds. The stream ends after five minutes: connect again, as `EventSource` does.
    """
    ends_at = time.monotonic() + LONGEST_SECONDS
    known: Stopped | None = None
    while (news := await listener.news(within=ends_at - time.monotonic())) is not None:
        if known is None:
            yield ServerSentEvent(event="stopped", data=list(news.values()))
        else:
            for changed in differences(known, news):
                yield ServerSentEvent(event="pause", data=changed)
        known = news


def differences(before: Stopped, after: Stopped) -> Sequence[PauseView]:
    """Return what is told of each campaign that is not as it was."""
    gone_on = [
        PauseView(campaign_id=id, state=CampaignState.RUNNING, stops=None)
        for id in before
        if id not in after
    ]
    return [*(each for id, each in after.items() if before.get(id) != each), *gone_on]


@contextmanager
def _own_connection(engine: Engine) -> Generator[psycopg.Connection[Any]]:
    """Take a connection out of the pool for good; it listens, and nobody else waits for it."""
    pooled = engine.raw_connection()
    connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
    pooled.detach()
    with closing(connection):
        connection.autocommit = True
        connection.execute(f"LISTEN {pausing.CHANNEL}")
        yield connection


def _before_the_server_waits_for_its_streams(end: Any) -> None:
    """Hear the signal that stops the server: it waits for open answers before it tells the app."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        then = signal.getsignal(number)

        def stop(number: int, frame: FrameType | None, then: Any = then) -> None:
            end()
            if callable(then):
                then(number, frame)

        if callable(then):
            signal.signal(number, stop)
