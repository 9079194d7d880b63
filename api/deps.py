"""What endpoints are given: who asks, what time it is, and where a transaction ends."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlmodel import Session

from api.asking.callers import Caller
from api.asking.flood import Kind
from api.asking.hashing import Hashing
from api.asking.who import Asking, who_asks
from api.door import Door, Lane, Place, door_of, reading, writing
from coupon_engine import acting
from coupon_engine.acting import Acting
from coupon_engine.sealing import Vault
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown, shown
from schemas.base import Wire
from schemas.refusals import Why

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what was shown at a counter, with the asking operator's keys."""

    door: Door
    caller: Caller
    now: datetime

    @property
    def place(self) -> Place:
        return Place(self.caller.operator_id, self.caller.clock_ahead)

    def read(self, code: str, challenge: str | None) -> Shown:
        """Read a code. A letter that is not in the ring may be newer than the ring."""
        ring = self.door.rings.get(self.caller.operator_id)
        found = self._read_with(ring, code, challenge)
        if found.refused is Why.UNKNOWN_KEY:
            found = self._read_with(self.door.rings.again(self.caller.operator_id), code, challenge)
        return found

    def read_all(self, codes: Sequence[str], challenge: str | None) -> list[Shown]:
        return [self.read(code, challenge) for code in codes]

    async def read_soon(self, code: str, challenge: str | None) -> Shown:
        """Do what `read` does, in this very thread unless the database has to be asked."""
        ring = self.door.rings.fresh(self.caller.operator_id)
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


async def operator_of(caller: Asking) -> UUID:
    return caller.operator_id


async def read_now(request: Request, caller: Asking) -> datetime:
    return door_of(request).clock() + caller.clock_ahead


async def open_now(request: Request) -> datetime:
    return door_of(request).clock()


async def code_secret_of(request: Request) -> bytes:
    return door_of(request).code_secret


async def passphrase_of(request: Request) -> bytes:
    return door_of(request).passphrase


async def vault_of(request: Request) -> Vault:
    return door_of(request).vault


async def in_transaction(request: Request, caller: Asking) -> AsyncIterator[Session]:
    """Begin for somebody we know: a stranger takes no seat here."""
    door = door_of(request)
    async with writing(door.lane_of(caller), caller.acting) as session:
        yield session


async def for_looking(request: Request, caller: Asking) -> AsyncIterator[Session]:
    door = door_of(request)
    async with reading(door.lane_of(caller), caller.acting) as session:
        yield session


async def _admit(request: Request, kind: Kind) -> None:
    flood = door_of(request).flood
    await flood.admit(flood.address_of(request), kind)


async def for_a_stranger(request: Request) -> AsyncGenerator[Session]:
    await _admit(request, Kind.OPEN_DOOR)
    async with writing(door_of(request).strangers, acting.NOBODY) as session:
        yield session


async def for_the_world(request: Request) -> AsyncIterator[Session]:
    await _admit(request, Kind.STRANGER)
    async with reading(door_of(request).everybody, acting.EVERYWHERE) as session:
        yield session


class Steps:
    """Short transactions of one request, between which it holds no connection and no row."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def __call__(self, for_: Acting, work: Callable[[Session], Answer]) -> Answer:
        async with writing(self._lane, for_) as session:
            return await run_in_threadpool(work, session)


async def own_steps(request: Request, caller: Asking) -> Steps:
    return Steps(door_of(request).lane_of(caller))


async def steps_of_a_stranger(request: Request) -> Steps:
    await _admit(request, Kind.OPEN_DOOR)
    return Steps(door_of(request).strangers)


async def hashing_of(request: Request) -> Hashing:
    return door_of(request).hashing


OperatorId = Annotated[UUID, Depends(operator_of)]
Now = Annotated[datetime, Depends(read_now)]
OpenNow = Annotated[datetime, Depends(open_now)]
CodeSecret = Annotated[bytes, Depends(code_secret_of)]
Passphrase = Annotated[bytes, Depends(passphrase_of)]
VaultOf = Annotated[Vault, Depends(vault_of)]
HashingOf = Annotated[Hashing, Depends(hashing_of)]
OwnSteps = Annotated[Steps, Depends(own_steps)]
OpenSteps = Annotated[Steps, Depends(steps_of_a_stranger)]

# scope="function": commit before the answer leaves, so that 201 never means "maybe".
Transaction = Annotated[Session, Depends(in_transaction, scope="function")]
Looking = Annotated[Session, Depends(for_looking, scope="function")]
OpenTransaction = Annotated[Session, Depends(for_a_stranger, scope="function")]
WorldLooking = Annotated[Session, Depends(for_the_world, scope="function")]

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
    caller = await who_asks(request)
    return Reader(door, caller, door.clock() + caller.clock_ahead)


def forget_ring(request: Request, operator_id: OperatorId) -> Iterator[None]:
    """Let this process see at once what was just decided about a key."""
    yield
    door_of(request).rings.forget(operator_id)


Keys = Annotated[KeyRing, Depends(ring_of)]
Reading = Annotated[Reader, Depends(reader_of)]
ForgetRing = Depends(forget_ring, scope="function")
