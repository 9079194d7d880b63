"""What one running app holds open: lanes of connections, keys, what is kept for a moment.

Only this file reads the clock.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy import Engine, QueuePool
from sqlmodel import Session

from api.asking.callers import Caller
from api.asking.credentials import Device
from api.asking.flood import Flood
from api.asking.hashing import Hashing
from api.asking.providers import Providers
from api.asking.signatures import Nonces
from api.batch import Batches
from api.kept import Kept
from coupon_engine.acting import Acting
from coupon_engine.database import looking, transaction
from coupon_engine.errors import Busy
from coupon_engine.passes.signers import Signers
from coupon_engine.redemption import Presented
from coupon_engine.sealing import Vault
from coupon_engine.validation.issuer_keys import KeyRing
from schemas.access import ActorKind

tick = time.monotonic

LONGEST_WAIT_SECONDS = 3.0


@dataclass(frozen=True)
class Lane:
    """Connections that only some requests may take, and a seat for each of them."""

    engine: Engine
    looking: Engine  # the same connections, in read-only transactions that see one moment
    seats: asyncio.Semaphore


def lane(engine: Engine) -> Lane:
    assert isinstance(engine.pool, QueuePool)
    looking = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Lane(engine, looking, asyncio.Semaphore(engine.pool.size()))


@dataclass(frozen=True, slots=True)
class Place:
    """Whose redemptions share a transaction, and how far their clock is ahead."""

    operator_id: UUID
    clock_ahead: timedelta


@dataclass(frozen=True)
class Door:
    """What one running app holds open."""

    everybody: Lane
    people: Lane  # of operators: no flood of other requests keeps them from pausing a campaign
    strangers: Lane  # who sign in, and nothing else
    counters: Engine  # connections for redemptions alone
    asking: Lane  # connections for finding out who asks
    spare: Engine  # for health and the outbox
    pulse: CapacityLimiter  # threads of health's own
    issuer_url: str
    code_secret: bytes
    passphrase: bytes
    vault: Vault
    clock: Callable[[], datetime]
    callers: Kept[str, Caller | None]  # by API key
    devices: Kept[str, Device | None]  # by the id that signs
    shifts: Kept[tuple[Caller, str], Caller | None]  # by terminal and the shift's secret
    seen: Kept[Device, bool]  # who has signed lately, written down once in a while
    find_person: Callable[[str], Caller | None]  # by the cookie's secret
    nonces: Nonces
    flood: Flood
    rings: Kept[UUID, KeyRing]
    batches: Batches[Place, Presented, str]  # answers are the bodies of `RedemptionView`
    passes: Signers = field(default_factory=Signers)  # of coupons for other apps
    hashing: Hashing = field(default_factory=Hashing)  # of passwords
    providers: Providers = field(default_factory=lambda: Providers(tick))  # of identity

    def close(self) -> None:
        """Give the connections back; those of `everybody` belong to whoever opened us."""
        for engine in (
            self.people.engine,
            self.strangers.engine,
            self.counters,
            self.asking.engine,
            self.spare,
        ):
            engine.dispose()

    def lane_of(self, caller: Caller) -> Lane:
        return self.people if caller.actor.kind is ActorKind.PERSON else self.everybody


def door_of(request: Request) -> Door:
    return cast("Door", request.app.state.door)


@asynccontextmanager
async def seated(lane: Lane) -> AsyncGenerator[None]:
    """Wait for a seat before any thread is taken.

    If requests waited in threads, for a connection or for each other's rows, the one that holds
    what they wait for would find no thread to finish in.

    Raises:
        Busy: Nobody got up. Nothing was done.
    """
    try:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            await lane.seats.acquire()
    except TimeoutError:
        raise Busy from None
    try:
        yield
    finally:
        lane.seats.release()


@asynccontextmanager
async def writing(lane: Lane, for_: Acting) -> AsyncGenerator[Session]:
    async with (
        seated(lane),
        contextmanager_in_threadpool(transaction(lane.engine, for_)) as session,
    ):
        yield session


@asynccontextmanager
async def reading(lane: Lane, for_: Acting) -> AsyncGenerator[Session]:
    async with seated(lane), contextmanager_in_threadpool(looking(lane.looking, for_)) as session:
        yield session
