"""Gathering requests in flight: who shares a batch, and who never pays for a neighbour."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from threading import Event, Thread
from typing import TypeVar

import pytest

from api.batch import Batches, WorkBroke
from coupon_engine.errors import Busy

Result = TypeVar("Result")


class Gate:
    """Work that can be held up, and remembers who came together."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.open = Event()
        self.open.set()
        self.begun = Event()

    def __call__(self, key: str, asks: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append((key, list(asks)))
        self.begun.set()
        assert self.open.wait(10)
        return [ask * 10 for ask in asks]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def in_a_loop(story: Callable[[], Awaitable[Result]]) -> Result:
    async def told() -> Result:
        return await asyncio.wait_for(story(), 20)

    return asyncio.run(told())


def test_a_lone_request_waits_for_nobody() -> None:
    gate = Gate()

    async def story() -> int:
        return await Batches(gate).ask("a", 1)

    assert in_a_loop(story) == 10
    assert gate.batches == [("a", [1])]


def test_requests_that_come_during_a_commit_share_the_next_one() -> None:
    gate = Gate()

    async def story() -> list[int]:
        batches = Batches(gate, most_together=3)
        gate.open.clear()
        asking = [asyncio.create_task(batches.ask("a", 1))]
        await until(gate.begun.is_set)
        asking += [asyncio.create_task(batches.ask("a", number)) for number in range(2, 7)]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(*asking)

    assert in_a_loop(story) == [10, 20, 30, 40, 50, 60]
    assert gate.batches == [("a", [1]), ("a", [2, 3, 4]), ("a", [5, 6])]


def test_one_operator_does_not_wait_for_another() -> None:
    slow, quick = Event(), Event()

    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        if key == "slow":
            assert slow.wait(10)
        return asks

    async def story() -> None:
        batches: Batches[str, int, int] = Batches(work)
        held_up = asyncio.create_task(batches.ask("slow", 1))
        await batches.ask("quick", 2)
        quick.set()
        slow.set()
        await held_up

    in_a_loop(story)

    assert quick.is_set()


def test_one_bad_request_fails_alone() -> None:
    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        if 3 in asks:
            raise ZeroDivisionError
        return asks

    assert outcomes(work, [1, 2, 3, 4]) == [1, 2, ZeroDivisionError, 4]


def test_a_lost_database_is_told_to_everybody_and_tried_once() -> None:
    tries: list[int] = []

    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        tries.append(len(asks))
        raise ConnectionError

    told = outcomes(work, [1, 2, 3], everybodys=(ConnectionError,))

    assert told == [ConnectionError] * 3
    assert tries == [1, 3]  # the one that let the others gather, and they


def test_a_locked_coupon_fails_alone() -> None:
    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        if 2 in asks:
            raise Busy
        return asks

    assert outcomes(work, [1, 2, 3, 4]) == [1, Busy, 3, 4]


def test_a_locked_campaign_does_not_make_everybody_wait_in_turn() -> None:
    tries: list[int] = []

    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        tries.append(len(asks))
        raise Busy

    assert outcomes(work, list(range(1, 11))) == [Busy] * 10
    assert tries == [1, 10, 1, 1]


def test_an_answer_that_is_an_error_is_raised_to_its_asker() -> None:
    def work(key: str, asks: Sequence[int]) -> Sequence[int | Exception]:
        return [KeyError(ask) if ask == 2 else ask for ask in asks]

    assert outcomes(work, [1, 2, 3]) == [1, KeyError, 3]


@pytest.mark.parametrize("answers", [[], [1, 2, 3]], ids=["too few", "too many"])
def test_a_wrong_number_of_answers_is_told_and_the_next_request_is_worked_on(
    answers: list[int],
) -> None:
    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        return asks if asks == [7] else answers

    assert after_it_broke(work) == (WorkBroke, 7)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration])
def test_what_no_request_may_be_told_ends_neither_the_waiting_nor_the_server(
    error: type[BaseException],
) -> None:
    def work(key: str, asks: Sequence[int]) -> Sequence[int]:
        if asks == [7]:
            return asks
        raise error

    assert after_it_broke(work) == (WorkBroke, 7)


def after_it_broke(
    work: Callable[[str, Sequence[int]], Sequence[int | Exception]],
) -> tuple[type[BaseException], int]:
    """Ask 1, which breaks, then 7, and stop; return the kind of error and the answer."""

    async def story() -> tuple[type[BaseException], int]:
        batches: Batches[str, int, int] = Batches(work)
        (broke,) = await asyncio.gather(batches.ask("a", 1), return_exceptions=True)
        answer = await batches.ask("a", 7)
        await batches.stop()
        assert isinstance(broke, BaseException)
        return type(broke), answer

    return in_a_loop(story)


def test_a_request_whose_asker_hung_up_is_still_worked_on() -> None:
    gate = Gate()

    async def story() -> None:
        batches = Batches(gate)
        gate.open.clear()
        first = asyncio.create_task(batches.ask("a", 1))
        await until(gate.begun.is_set)
        gone = asyncio.create_task(batches.ask("a", 2))
        await asyncio.sleep(0)
        gone.cancel()
        gate.open.set()
        await first
        await batches.stop()

    in_a_loop(story)

    assert gate.batches == [("a", [1]), ("a", [2])]


def test_too_many_are_sent_away_at_once() -> None:
    gate = Gate()

    async def story() -> None:
        batches = Batches(gate, most_waiting=2)
        gate.open.clear()
        asking = [asyncio.create_task(batches.ask("a", number)) for number in (1, 2)]
        await until(gate.begun.is_set)
        with pytest.raises(Busy):
            await batches.ask("a", 3)
        gate.open.set()
        await asyncio.gather(*asking)

        assert await batches.ask("a", 4) == 40

    in_a_loop(story)


def test_closing_lets_nobody_in_and_leaves_nobody_behind() -> None:
    gate = Gate()

    async def story() -> int:
        batches = Batches(gate)
        gate.open.clear()
        last = asyncio.create_task(batches.ask("a", 1))
        await until(gate.begun.is_set)
        Thread(target=gate.open.set).start()
        await batches.stop()
        with pytest.raises(Busy):
            await batches.ask("a", 2)
        return await last

    assert in_a_loop(story) == 10


def outcomes(
    work: Callable[[str, Sequence[int]], Sequence[int | Exception]],
    asks: list[int],
    *,
    everybodys: tuple[type[Exception], ...] = (),
) -> list[int | type[BaseException]]:
    """Ask all in one batch and return answers and kinds of errors."""
    together = Event()

    def held_up(key: str, asks: Sequence[int]) -> Sequence[int | Exception]:
        assert together.wait(10)
        return work(key, asks)

    async def story() -> list[int | BaseException]:
        batches: Batches[str, int, int] = Batches(held_up, everybodys=everybodys)
        gathering = asyncio.create_task(batches.ask("a", 0))
        await asyncio.sleep(0.02)
        asking = [asyncio.create_task(batches.ask("a", ask)) for ask in asks]
        await asyncio.sleep(0)
        together.set()
        await asyncio.gather(gathering, return_exceptions=True)
        return await asyncio.gather(*asking, return_exceptions=True)

    return [
        type(answer) if isinstance(answer, BaseException) else answer for answer in in_a_loop(story)
    ]
