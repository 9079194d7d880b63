"""How many requests a minute. Counted in the memory of each worker, and forgotten with it.

This is against floods alone. What must hold for all workers together and after a restart is
counted in rows: see `coupon_engine/tries.py`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import ClassVar

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from api.asking.callers import Caller
from coupon_engine.errors import TooManyTries
from schemas.access import ActorKind


class Kind(StrEnum):
    """Who is counted, and for what."""

    SIGN_IN = "sign_in"  # an address that shows what opens nothing
    OPEN_DOOR = "open_door"  # an address at a door that wants no credential
    STRANGER = "stranger"  # an address that shows nothing, anywhere else
    CUSTOMER = "customer"
    PERSON = "person"
    TERMINAL = "terminal"
    REDEEMING = "redeeming"  # a terminal that redeems
    API_KEY = "api_key"
    OPERATOR = "operator"  # all of them together


MOST_A_MINUTE: Mapping[Kind, int] = {
    Kind.SIGN_IN: 60,
    Kind.OPEN_DOOR: 300,  # an office, or the tills of a shop, behind one address
    Kind.STRANGER: 600,
    Kind.CUSTOMER: 60,
    Kind.PERSON: 600,
    Kind.TERMINAL: 600,
    Kind.REDEEMING: 120,
    Kind.API_KEY: 120_000,
    Kind.OPERATOR: 240_000,
}

MINUTE = 60.0
# So many are counted one by one in a minute; those who come later share so many places.
MOST_COUNTED = 50_000
SHARED_PLACES = 1_000

_OF_ACTOR: Mapping[ActorKind, Kind] = {
    ActorKind.PERSON: Kind.PERSON,
    ActorKind.API_KEY: Kind.API_KEY,
    ActorKind.TERMINAL: Kind.TERMINAL,
    ActorKind.CUSTOMER: Kind.CUSTOMER,
}
_OF_ADDRESSES = (Kind.SIGN_IN, Kind.OPEN_DOOR, Kind.STRANGER)
_REDEEMING = "/v1/redemptions"
# A credential that opened something lately is looked at whatever its neighbours show.
KNOWN_SECONDS = 900.0
MOST_KNOWN = 50_000

Networks = Sequence[IPv4Network | IPv6Network]


class Flood:
    """Counts requests, and turns away those that are too many. Lives in one event loop.

    `factor` multiplies every figure. Only the proxies of these networks are believed when they say
    for whom they ask.
    """

    def __init__(
        self,
        tick: Callable[[], float],
        *,
        factor: float = 1.0,
        trusted_proxies: Networks = (),
        most_counted: int = MOST_COUNTED,
    ) -> None:
        self._items = {
            kind: RateLimitItemPerMinute(max(1, round(most * factor)))
            for kind, most in MOST_A_MINUTE.items()
        }
        self._trusted_proxies = trusted_proxies
        self._tick = tick
        self._opened: OrderedDict[bytes, float] = OrderedDict()
        # Apart, so that no crowd of strangers takes the places of those we know.
        self._strangers = Windows(tick, most_counted)
        self._known = Windows(tick, most_counted)
        self._of_strangers = FixedWindowRateLimiter(self._strangers)
        self._of_known = FixedWindowRateLimiter(self._known)

    def has_opened(self, credential: bytes) -> bool:
        """Did this credential, by its hash, open something within the last minutes?"""
        return self._tick() - self._opened.get(credential, -KNOWN_SECONDS) < KNOWN_SECONDS

    def remember(self, credential: bytes) -> None:
        """Note that this credential has just opened something."""
        self._opened[credential] = self._tick()
        self._opened.move_to_end(credential)
        if len(self._opened) > MOST_KNOWN:
            self._opened.popitem(last=False)

    async def admit_caller(self, caller: Caller, path: str) -> None:
        """Count one request of somebody we know, and of their operator.

        Raises:
            TooManyTries: There were too many in this minute.
        """
        for kind, who in _counts(caller, path):
            await self.admit(who, kind)

    async def admit(self, who: str, kind: Kind) -> None:
        """Count one request of this address, or of whoever has this id.

        Raises:
            TooManyTries: There were too many in this minute; it says when the next one begins.
        """
        if kind in _OF_ADDRESSES:
            is_fine = await self._of_strangers.hit(self._items[kind], kind, neighbours(who))
        else:
            is_fine = await self._of_known.hit(self._items[kind], kind, who)
        if not is_fine:
            raise TooManyTries(self._wait(kind))

    async def check(self, address: str) -> None:
        """Turn away an address that has shown too much that was wrong; nothing is counted.

        Asked before a credential is looked up that this worker does not know yet.

        Raises:
            TooManyTries: So many were wrong in this minute.
        """
        item = self._items[Kind.SIGN_IN]
        if not await self._of_strangers.test(item, Kind.SIGN_IN, neighbours(address)):
            raise TooManyTries(self._wait(Kind.SIGN_IN))

    def address_of(self, request: Request) -> str:
        """Return where a request came from: past our own proxies, and past nobody else's word."""
        address = request.client.host if request.client else ""
        if not self._trusted_proxies:
            return address
        said = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for before in reversed(said):
            parsed = _parsed(before.strip())
            if parsed is None or not self._is_trusted(address):
                break
            address = str(parsed)
        return address

    def _is_trusted(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted_proxies)

    def _wait(self, kind: Kind) -> timedelta:
        is_strange = kind in _OF_ADDRESSES
        return timedelta(seconds=(self._strangers if is_strange else self._known).left())


class Windows(Storage):
    """The counts of this minute, for `limits`. Everybody's minute ends at once.

    Why not the one in memory that `limits` has: it looks through all its keys at every hit, and
    with 200,000 of them the event loop stands still for 30 ms each time.
    """

    STORAGE_SCHEME: ClassVar[list[str] | None] = None  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, tick: Callable[[], float], most_counted: int) -> None:
        super().__init__()
        self._tick = tick
        self._most_counted = most_counted
        self._counts: dict[str, int] = {}
        self._ends_at = tick() + MINUTE

    def left(self) -> float:
        """Return the seconds until the next minute begins."""
        return self._ends_at - self._tick()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:  # noqa: ARG002
        place = self._place(key)
        count = self._counts[place] = self._counts.get(place, 0) + amount
        return count

    async def get(self, key: str) -> int:
        return self._counts.get(self._place(key), 0)

    async def get_expiry(self, key: str) -> float:  # noqa: ARG002
        return self._ends_at

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._counts)
        self._counts = {}
        return count

    async def clear(self, key: str) -> None:
        self._counts.pop(self._place(key), None)

    def _place(self, key: str) -> str:
        now = self._tick()
        if now >= self._ends_at:
            self._counts, self._ends_at = {}, now + MINUTE
        if key in self._counts or len(self._counts) < self._most_counted:
            return key
        return str(hash(key) % SHARED_PLACES)  # Python salts it anew in every process


def neighbours(address: str) -> str:
    """Return whom an address is counted with: of IPv6, one customer of a provider has 2**64."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def _counts(caller: Caller, path: str) -> Iterable[tuple[Kind, str]]:
    if caller.terminal_id and path == _REDEEMING:
        yield Kind.REDEEMING, caller.id
    if kind := _OF_ACTOR.get(caller.actor.kind):
        yield kind, caller.id
    yield Kind.OPERATOR, str(caller.operator_id)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
