"""What endpoints are given: who asks, what time it is, and where a transaction ends.

Only this file reads the clock.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import Depends, HTTPException, Query, Request, status
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic import Field
from sqlalchemy import Engine
from sqlmodel import Session

from api.batch import Batches
from api.kept import Kept
from coupon_engine.database import transaction
from coupon_engine.errors import Busy
from coupon_engine.redemption import Presented
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown, shown
from schemas.base import Wire
from schemas.refusals import Why

tick = time.monotonic

LONGEST_WAIT_SECONDS = 5.0


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Door:
    """What one running app holds open."""

    engine: Engine
    looking: Engine  # the same connections, in read-only transactions that see one moment
    counters: Engine  # connections for redemptions alone
    spare: Engine  # for health and the outbox, which no flood of requests may stop
    seats: asyncio.Semaphore  # as many as `engine` keeps connections
    pulse: CapacityLimiter  # threads of health's own
    issuer_url: str
    code_secret: bytes
    passphrase: bytes
    clock: Callable[[], datetime]
    callers: Kept[str, UUID | None]  # by API key
    rings: Kept[UUID, KeyRing]
    batches: Batches[UUID, Presented, str]  # answers are the bodies of `RedemptionView`


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what was shown at a counter, with the asking operator's keys."""

    door: Door
    operator_id: UUID
    now: datetime

    def read(self, code: str, challenge: str | None) -> Shown:
        """Read a code. A letter that is not in the ring may be newer than the ring."""
        ring = self.door.rings.get(self.operator_id)
        found = self._read_with(ring, code, challenge)
        if found.refused is Why.UNKNOWN_KEY:
            found = self._read_with(self.door.rings.again(self.operator_id), code, challenge)
        return found

    def read_all(self, codes: Sequence[str], challenge: str | None) -> list[Shown]:
        return [self.read(code, challenge) for code in codes]

    async def read_soon(self, code: str, challenge: str | None) -> Shown:
        """Do what `read` does, in this very thread unless the database has to be asked."""
        ring = self.door.rings.fresh(self.operator_id)
        found = self._read_with(ring, code, challenge) if ring is not None else None
        if found is None or found.refused is Why.UNKNOWN_KEY:
            return await run_in_threadpool(self.read, code, challenge)
        return found

    def _read_with(self, ring: KeyRing, code: str, challenge: str | None) -> Shown:
        return shown(code, ring, pepper=self.door.code_secret, challenge=challenge, now=self.now)


class Page(Wire):
    """Where a list goes on: after the last id that you have."""

    after: UUID | None = None
    most: int = Field(default=100, ge=1, le=500)


def door_of(request: Request) -> Door:
    return cast("Door", request.app.state.door)


@asynccontextmanager
async def _seated(door: Door) -> AsyncGenerator[None]:
    """Wait for a seat before any thread is taken.

    If requests waited in threads, for a connection or for each other's rows, the one that holds
    what they wait for would find no thread to finish in.

    Raises:
        Busy: Nobody got up. Nothing was done.
    """
    try:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            await door.seats.acquire()
    except TimeoutError:
        raise Busy from None
    try:
        yield
    finally:
        door.seats.release()


async def read_now(request: Request) -> datetime:
    return door_of(request).clock()


async def code_secret_of(request: Request) -> bytes:
    return door_of(request).code_secret


async def passphrase_of(request: Request) -> bytes:
    return door_of(request).passphrase


async def whose_key(request: Request) -> UUID:
    """Return the operator whose key was sent; the request itself never names one.

    `async`, as its neighbours are, so that a look into a dictionary needs no other thread; the
    database is asked in one.
    """
    operator_id = None
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        callers = door_of(request).callers
        operator_id = callers.fresh(key) or await run_in_threadpool(callers.get, key)
    if operator_id is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    return operator_id


OperatorId = Annotated[UUID, Depends(whose_key)]


async def in_transaction(request: Request, _: OperatorId) -> AsyncIterator[Session]:
    """Begin for somebody who has a key: a stranger takes no seat."""
    door = door_of(request)
    async with _seated(door), contextmanager_in_threadpool(transaction(door.engine)) as session:
        yield session


@asynccontextmanager
async def _looking(door: Door) -> AsyncGenerator[Session]:
    session = Session(door.looking, autoflush=False)
    async with _seated(door), contextmanager_in_threadpool(session):
        yield session


async def for_looking(request: Request, _: OperatorId) -> AsyncIterator[Session]:
    async with _looking(door_of(request)) as session:
        yield session


async def for_anybody(request: Request) -> AsyncIterator[Session]:
    async with _looking(door_of(request)) as session:
        yield session


Now = Annotated[datetime, Depends(read_now)]
CodeSecret = Annotated[bytes, Depends(code_secret_of)]
Passphrase = Annotated[bytes, Depends(passphrase_of)]

# scope="function": commit before the answer leaves, so that 201 never means "maybe".
Transaction = Annotated[Session, Depends(in_transaction, scope="function")]
Looking = Annotated[Session, Depends(for_looking, scope="function")]
OpenLooking = Annotated[Session, Depends(for_anybody, scope="function")]

Paging = Annotated[Page, Query()]


def ring_of(request: Request, operator_id: OperatorId) -> KeyRing:
    rings = door_of(request).rings
    ring = rings.get(operator_id)
    can_sign = any(key.private for key in ring.values())
    return ring if can_sign else rings.again(operator_id)


async def reader_of(request: Request) -> Reader:
    """Return what reads codes for whoever asks.

    It asks whose key was sent by itself: each dependency more costs the hot endpoint a twentieth.
    """
    door = door_of(request)
    return Reader(door, await whose_key(request), door.clock())


def forget_ring(request: Request, operator_id: OperatorId) -> Iterator[None]:
    """Let this process see at once what was just decided about a key."""
    yield
    door_of(request).rings.forget(operator_id)


Keys = Annotated[KeyRing, Depends(ring_of)]
Reading = Annotated[Reader, Depends(reader_of)]
ForgetRing = Depends(forget_ring, scope="function")
