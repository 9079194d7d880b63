"""What endpoints are given: who asks, what time it is, and where a transaction ends.

Only this file reads the clock.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, HTTPException, Query, Request, status
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlalchemy import Engine
from sqlmodel import Session

from api.batch import Batches
from api.kept import Kept
from coupon_engine.database import transaction
from coupon_engine.redemption import Presented
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown, shown
from schemas.base import Wire
from schemas.refusals import Why

tick = time.monotonic


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Door:
    """What one running app holds open."""

    engine: Engine
    looking: Engine  # the same connections, in read-only transactions that see one moment
    counters: Engine  # connections for redemptions alone
    spare: Engine  # for health and the outbox, which no flood of requests may stop
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


def in_transaction(request: Request) -> Iterator[Session]:
    with transaction(door_of(request).engine) as session:
        yield session


def for_looking(request: Request) -> Iterator[Session]:
    with Session(door_of(request).looking, autoflush=False) as session:
        yield session


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
Now = Annotated[datetime, Depends(read_now)]
CodeSecret = Annotated[bytes, Depends(code_secret_of)]
Passphrase = Annotated[bytes, Depends(passphrase_of)]

# scope="function": commit before the answer leaves, so that 201 never means "maybe".
Transaction = Annotated[Session, Depends(in_transaction, scope="function")]
Looking = Annotated[Session, Depends(for_looking, scope="function")]

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
