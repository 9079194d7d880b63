"""What endpoints are given: who asks, what time it is, and where a transaction ends.

Only this file reads the clock.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Annotated, TypeVar, cast
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import Depends, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic import Field
from sqlalchemy import Engine, QueuePool
from sqlmodel import Session

from api import cookies, signatures
from api.access import row_of
from api.batch import Batches
from api.callers import Caller, bearer_of, must
from api.credentials import Device
from api.flood import Flood, Kind
from api.hashing import Hashing
from api.kept import Kept
from api.providers import Providers
from coupon_engine import acting
from coupon_engine.acting import Acting
from coupon_engine.database import looking, transaction
from coupon_engine.errors import Busy, NotSignedIn
from coupon_engine.redemption import Presented
from coupon_engine.sealing import Vault
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown, shown
from schemas.access import ActorKind
from schemas.base import Wire
from schemas.refusals import Why
from schemas.terminals import SHIFT_HEADER

tick = time.monotonic

Answer = TypeVar("Answer")

LONGEST_WAIT_SECONDS = 3.0


def wall_clock() -> datetime:
    return datetime.now(UTC)


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
    nonces: signatures.Nonces
    flood: Flood
    rings: Kept[UUID, KeyRing]
    batches: Batches[Place, Presented, str]  # answers are the bodies of `RedemptionView`
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


def door_of(request: Request) -> Door:
    return cast("Door", request.app.state.door)


@asynccontextmanager
async def _seated(lane: Lane) -> AsyncGenerator[None]:
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
async def _writing(lane: Lane, for_: Acting) -> AsyncGenerator[Session]:
    async with (
        _seated(lane),
        contextmanager_in_threadpool(transaction(lane.engine, for_)) as session,
    ):
        yield session


@asynccontextmanager
async def _looking(lane: Lane, for_: Acting) -> AsyncGenerator[Session]:
    async with _seated(lane), contextmanager_in_threadpool(looking(lane.looking, for_)) as session:
        yield session


async def who_asks(request: Request) -> Caller:
    """Return who asks, if they may: the row of this endpoint in `access.py` decides.

    `async`, as its neighbours are, so that a look into a dictionary needs no other thread; the
    database is asked in one.

    Raises:
        NotSignedIn: No credential of ours, or one that opens nothing.
        CrossSite: A cookie came along with a request that our own pages have not made.
        NotAllowed: Not this role, or not with this key.
        StepUpNeeded: Only for somebody who has just confirmed who they are.
    """
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:  # a signature is good for one look
        return known
    door = door_of(request)
    caller = (await _somebody(door, request)).from_address(network_of(request))
    await door.flood.admit_caller(caller, request.url.path)
    caller.check(row_of(request.method, request.scope["route"].path), now=door.clock())
    request.state.caller = caller
    return caller


async def _somebody(door: Door, request: Request) -> Caller:
    """Return whom the credential names.

    Where too many wrong ones came from, an unknown one is not looked at. Whoever opened something
    lately is let in all the same: one bad neighbour must not close a whole shop.
    """
    key = bearer_of(request)
    if key and (known := door.callers.fresh(key)):
        return known
    address = door.flood.address_of(request)
    credential = _credential(request)
    if not door.flood.has_opened(credential):
        await door.flood.check(address)
    try:
        caller = must(await _caller_of(door, request))
    except NotSignedIn:
        await door.flood.admit(address, Kind.SIGN_IN)
        raise
    door.flood.remember(credential)
    return caller


def _credential(request: Request) -> bytes:
    """Return a hash of what is shown: a key, a cookie's secret, or the id that has signed."""
    signer = _KEYID.search(request.headers.get("signature-input", ""))
    shown = bearer_of(request) or (signer and signer[1]) or cookies.secret_of(request) or ""
    return sha256(shown.encode()).digest()


_KEYID = re.compile(r'keyid="([0-9a-f-]{36})"')


async def _caller_of(door: Door, request: Request) -> Caller | None:
    if key := bearer_of(request):
        async with _seated(door.asking):
            return await run_in_threadpool(door.callers.get, key)
    if signatures.is_signed(request.headers):
        body = await request.body()
        async with _seated(door.asking):
            return await run_in_threadpool(_signer, door, request, body)
    if secret := cookies.secret_of(request):
        async with _seated(door.asking):
            return await run_in_threadpool(_person, door, request, secret)
    return None


def _signer(door: Door, request: Request, body: bytes) -> Caller | None:
    """Return whose key has signed this request; for a terminal, with its cashier."""

    def key_of(id: str) -> bytes | None:
        device = door.devices.get(id)
        return device.public_key if device else None

    id = signatures.signed_by(
        request.method,
        _target(request),
        request.headers,
        body,
        key_of,
        door.nonces,
        now=door.clock(),
    )
    device = door.devices.get(id)
    if device is None:  # revoked a moment ago
        return None
    door.seen.get(device)
    secret = request.headers.get(SHIFT_HEADER)
    if secret is None or device.caller.terminal_id is None:
        return device.caller
    return door.shifts.get((device.caller, secret))


def _person(door: Door, request: Request, secret: str) -> Caller | None:
    caller = door.find_person(secret)
    if caller is not None and request.method not in _SAFE:
        cookies.check_csrf(request, secret)
    return caller


_SAFE = ("GET", "HEAD", "OPTIONS")


def _target(request: Request) -> str:
    """Return path and query as they stood in the request line."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def network_of(request: Request) -> str | None:
    """Return where a request comes from, as far as the record may know: the network, no house.

    The record is never changed, so what may not be kept for long must not get into it.
    """
    try:
        address = ip_address(door_of(request).flood.address_of(request))
    except ValueError:
        return None
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


Asking = Annotated[Caller, Depends(who_asks)]


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
    async with _writing(door.lane_of(caller), caller.acting) as session:
        yield session


async def for_looking(request: Request, caller: Asking) -> AsyncIterator[Session]:
    door = door_of(request)
    async with _looking(door.lane_of(caller), caller.acting) as session:
        yield session


async def _admit(request: Request, kind: Kind) -> None:
    flood = door_of(request).flood
    await flood.admit(flood.address_of(request), kind)


async def for_a_stranger(request: Request) -> AsyncGenerator[Session]:
    await _admit(request, Kind.OPEN_DOOR)
    async with _writing(door_of(request).strangers, acting.NOBODY) as session:
        yield session


async def for_the_world(request: Request) -> AsyncIterator[Session]:
    await _admit(request, Kind.STRANGER)
    async with _looking(door_of(request).everybody, acting.EVERYWHERE) as session:
        yield session


class Steps:
    """Short transactions of one request, between which it holds no connection and no row."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def __call__(self, for_: Acting, work: Callable[[Session], Answer]) -> Answer:
        async with _writing(self._lane, for_) as session:
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
