"""Floods: so many in a minute, and nobody else pays for it."""

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from sys import getsizeof
from typing import Any
from uuid import UUID

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from api import problems
from api.asking.callers import Caller
from api.asking.flood import MOST_A_MINUTE, SHARED_PLACES, Flood, Kind, Windows, neighbours
from coupon_engine.errors import TooManyTries
from schemas.access import Actor, ActorKind, Role

OPERATOR, ANOTHER = UUID(int=1), UUID(int=2)


@dataclass
class Watch:
    """Seconds that pass when a test says so."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def admitted(flood: Flood, who: str, kind: Kind, many: int) -> int:
    """How many of so many requests come in?"""
    return passing(flood.admit(who, kind) for _ in range(many))


def passes(asking: Coroutine[Any, Any, None]) -> bool:
    return passing([asking]) == 1


def passing(asks: Iterable[Coroutine[Any, Any, None]]) -> int:
    async def all_of_them() -> int:
        passed = 0
        for each in asks:
            with suppress(TooManyTries):
                await each
                passed += 1
        return passed

    return asyncio.run(all_of_them())


def caller(kind: ActorKind, id: str, operator_id: UUID = OPERATOR) -> Caller:
    terminal_id = UUID(int=9) if kind is ActorKind.TERMINAL else None
    actor = Actor(kind=kind, id=id, name="Somebody")
    return Caller(operator_id, Role.INTEGRATOR, actor, id, terminal_id=terminal_id)


def request(client: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return Request(
        {"type": "http", "headers": headers, "client": (client, 1234) if client else None}
    )


@pytest.mark.parametrize("kind", [Kind.SIGN_IN, Kind.STRANGER, Kind.CUSTOMER, Kind.REDEEMING])
def test_so_many_come_in_and_not_one_more(kind: Kind) -> None:
    flood, most = Flood(Watch()), MOST_A_MINUTE[kind]

    assert admitted(flood, "192.0.2.1", kind, most + 20) == most
    assert admitted(flood, "192.0.2.2", kind, 1) == 1


def test_many_at_once_are_counted_one_by_one() -> None:
    flood = Flood(Watch())

    async def everybody() -> list[Any]:
        asks = [flood.admit("192.0.2.1", Kind.SIGN_IN) for _ in range(500)]
        return await asyncio.gather(*asks, return_exceptions=True)

    answers = asyncio.run(everybody())

    assert answers.count(None) == MOST_A_MINUTE[Kind.SIGN_IN]
    assert {type(each) for each in answers} == {type(None), TooManyTries}


def test_whoever_waits_as_told_comes_in_again() -> None:
    watch = Watch()
    flood = Flood(watch)
    watch.seconds += 20.5
    admitted(flood, "192.0.2.1", Kind.SIGN_IN, 60)

    with pytest.raises(TooManyTries) as raised:
        asyncio.run(flood.admit("192.0.2.1", Kind.SIGN_IN))

    wait = raised.value.details["retry_after_seconds"]
    assert wait == 40
    answer = problems.answer(problems.problem_of(raised.value))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
    watch.seconds += wait - 1
    assert admitted(flood, "192.0.2.1", Kind.SIGN_IN, 1) == 0
    watch.seconds += 1
    assert admitted(flood, "192.0.2.1", Kind.SIGN_IN, 61) == 60


def test_what_was_wrong_counts_against_the_address_and_what_was_right_does_not() -> None:
    flood = Flood(Watch())

    assert passing(flood.check("192.0.2.1") for _ in range(100)) == 100
    admitted(flood, "192.0.2.1", Kind.SIGN_IN, 59)
    assert passes(flood.check("192.0.2.1"))
    admitted(flood, "192.0.2.1", Kind.SIGN_IN, 1)

    assert not passes(flood.check("192.0.2.1"))
    assert passes(flood.check("192.0.2.2"))
    assert admitted(flood, "192.0.2.1", Kind.STRANGER, 1) == 1


def test_a_terminal_redeems_so_often_and_does_other_things_besides() -> None:
    flood = Flood(Watch())
    till = caller(ActorKind.TERMINAL, "till")

    redeemed = passing(flood.admit_caller(till, "/v1/redemptions") for _ in range(150))
    looked = passing(flood.admit_caller(till, "/v1/validations") for _ in range(600))

    assert (redeemed, looked) == (120, 480)


def test_an_operators_callers_are_counted_together_and_apart_from_anothers() -> None:
    flood = Flood(Watch(), factor=1 / 24_000)  # an operator has 10

    asked = [passes(flood.admit_caller(caller(ActorKind.SYSTEM, "a"), "/v1/x")) for _ in range(12)]
    other = caller(ActorKind.SYSTEM, "a", ANOTHER)

    assert asked == [True] * 10 + [False] * 2
    assert passes(flood.admit_caller(other, "/v1/x"))


def test_a_factor_widens_every_figure() -> None:
    assert admitted(Flood(Watch(), factor=2), "192.0.2.1", Kind.SIGN_IN, 200) == 120
    assert admitted(Flood(Watch(), factor=0.001), "192.0.2.1", Kind.SIGN_IN, 200) == 1


def test_a_million_addresses_take_no_more_room_than_the_first_ones() -> None:
    watch = Watch()
    windows = Windows(watch, most_counted=5_000)
    addresses = random.Random(1)

    async def come(many: int) -> int:
        for _ in range(many):
            await windows.incr(str(IPv4Address(addresses.getrandbits(32))), 60)
        return getsizeof(windows._counts)  # pyright: ignore[reportPrivateUsage]

    room = asyncio.run(come(20_000))
    assert asyncio.run(come(980_000)) == room
    assert asyncio.run(windows.reset()) == 5_000 + SHARED_PLACES
    watch.seconds += 60
    asyncio.run(come(3))
    assert asyncio.run(windows.reset()) == 3


def test_a_crowd_of_strangers_shares_places_and_takes_none_of_ours() -> None:
    flood = Flood(Watch(), most_counted=100)
    known = caller(ActorKind.CUSTOMER, "a wallet")
    assert passes(flood.admit_caller(known, "/v1/x"))

    addresses = (str(IPv4Address(number)) for number in range(65_000))
    crowd = passing(flood.admit(address, Kind.SIGN_IN) for address in addresses)

    assert 100 + SHARED_PLACES * 50 < crowd <= 100 + SHARED_PLACES * 60
    assert passes(flood.admit_caller(caller(ActorKind.CUSTOMER, "new"), "/v1/x"))
    assert passes(flood.admit_caller(known, "/v1/x"))


def test_an_address_of_version_6_is_counted_with_its_neighbours() -> None:
    flood = Flood(Watch())
    home = ip_network("2001:db8:1:2::/64")

    for number in range(60):
        assert admitted(flood, str(home[number * 7_919]), Kind.SIGN_IN, 1) == 1

    assert admitted(flood, str(home[2**63]), Kind.SIGN_IN, 1) == 0
    assert admitted(flood, "2001:db8:1:3::1", Kind.SIGN_IN, 1) == 1
    assert neighbours("::ffff:192.0.2.1") == neighbours("192.0.2.1") == "192.0.2.1"


@given(st.integers(0, 2**128 - 1))
def test_the_last_64_bits_change_nothing(number: int) -> None:
    first = str(IPv6Address(number >> 64 << 64))

    if IPv6Address(number).ipv4_mapped is None and IPv6Address(first).ipv4_mapped is None:
        assert neighbours(str(IPv6Address(number))) == neighbours(first)


@pytest.mark.parametrize(
    ("client", "forwarded", "is_from"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),  # no proxy of ours: its word is nothing
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # the first is the client's own word
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        (None, ["203.0.113.9"], ""),
    ],
)
def test_only_our_own_proxies_are_believed(
    client: str | None, forwarded: Sequence[str], is_from: str
) -> None:
    ours = (ip_network("10.0.0.0/8"), ip_network("::1"))
    flood = Flood(Watch(), trusted_proxies=ours)

    assert flood.address_of(request(client, *forwarded)) == is_from


def test_nobody_is_believed_unless_it_is_said_who() -> None:
    assert Flood(Watch()).address_of(request("127.0.0.1", "203.0.113.9")) == "127.0.0.1"
