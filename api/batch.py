"""Requests in flight, gathered so that they can share a commit.

A lone request is handed over at once: nobody waits for company. While one batch of a key is being
worked on, the next one gathers; batches of different keys run side by side. This file knows
nothing of coupons.

    ask, ask, ask  ->  waiting[key]  ->  a worker thread  ->  each waiter's own answer
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from coupon_engine.errors import Busy

Key = TypeVar("Key", bound=Hashable)
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

MOST_TOGETHER = 64
MOST_WAITING = 2_048
THREADS = 4
# When so many fail for want of a lock, one after the other, the rest need not wait for it as well.
MOST_BUSY = 2


class WorkBroke(Exception):
    """The work gave a wrong number of answers, or died of what no asker may be handed."""


class Batches(Generic[Key, Ask, Answer]):
    """Gathers asks by key and has them worked on together; lives in one event loop.

    `work` runs in a thread and answers a whole batch, in its order; an answer that is an exception
    is raised to its asker. Where `work` itself raises an error of the `everybodys` kinds, it says
    nothing about any single ask, and everybody gets it. After another one each ask is worked on
    alone, so that only the one at fault fails: `work` must bear being repeated.
    """

    def __init__(
        self,
        work: Callable[[Key, Sequence[Ask]], Sequence[Answer | Exception]],
        *,
        everybodys: tuple[type[Exception], ...] = (),
        most_together: int = MOST_TOGETHER,
        most_waiting: int = MOST_WAITING,
        threads: int = THREADS,
    ) -> None:
        self._work = work
        self._everybodys = everybodys
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._waiting: dict[Key, deque[tuple[Ask, asyncio.Future[Answer]]]] = {}
        self._count = 0
        self._is_open = True
        self._idle = asyncio.Event()
        self._idle.set()

    async def ask(self, key: Key, ask: Ask) -> Answer:
        """Return the answer to this ask.

        It is worked on even if whoever awaits it goes away.

        Raises:
            Busy: Too many are waiting, or we are closing. Nothing was done.
            Exception: Whatever `work` answered this ask with.
        """
        if not self._is_open or self._count >= self._most_waiting:
            raise Busy
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._count += 1
        self._idle.clear()
        if key in self._waiting:  # a batch of this key is at work; the next one gathers
            self._waiting[key].append((ask, answer))
        else:
            self._waiting[key] = deque([(ask, answer)])
            self._hand_over(loop, key)
        return await answer

    async def stop(self) -> None:
        """Take no more, and return when everything taken has been worked on."""
        self._is_open = False
        await self._idle.wait()
        self._threads.shutdown()

    def _hand_over(self, loop: asyncio.AbstractEventLoop, key: Key) -> None:
        done = loop.run_in_executor(self._threads, self._work_on_next, key)
        done.add_done_callback(partial(self._deliver, loop, key))

    def _work_on_next(self, key: Key) -> list[tuple[asyncio.Future[Answer], Answer | Exception]]:
        """Take what has gathered until now. Runs in a thread, the only one that takes of a key.

        It never raises: whoever was taken is told something, or would wait for ever.
        """
        waiting = self._waiting[key]
        taken = [waiting.popleft() for _ in range(min(len(waiting), self._most_together))]
        answers: Sequence[Answer | Exception]
        try:
            answers = self._answers(key, [ask for ask, _ in taken])
        except BaseException as error:
            answers = [_bearable(error)] * len(taken)
        return [(future, answer) for (_, future), answer in zip(taken, answers, strict=True)]

    def _answers(self, key: Key, asks: Sequence[Ask]) -> Sequence[Answer | Exception]:
        try:
            answers = self._work(key, asks)
            if len(answers) != len(asks):
                raise WorkBroke(f"{len(answers)} answers to {len(asks)} asks")
            return answers
        except Exception as error:
            if len(asks) == 1 or isinstance(error, self._everybodys):
                return [error] * len(asks)
        return self._one_by_one(key, asks)

    def _one_by_one(self, key: Key, asks: Sequence[Ask]) -> list[Answer | Exception]:
        answers: list[Answer | Exception] = []
        busy = 0
        for ask in asks:
            if busy == MOST_BUSY:
                answers.append(Busy())
                continue
            (answer,) = self._answers(key, [ask])
            busy += isinstance(answer, Busy)
            answers.append(answer)
        return answers

    def _deliver(
        self,
        loop: asyncio.AbstractEventLoop,
        key: Key,
        done: asyncio.Future[list[tuple[asyncio.Future[Answer], Answer | Exception]]],
    ) -> None:
        delivered = done.result()
        if self._waiting[key]:
            self._hand_over(loop, key)
        else:
            del self._waiting[key]
        for future, answer in delivered:
            if future.done():  # nobody listens any more
                continue
            if isinstance(answer, Exception):
                future.set_exception(_bearable(answer))
            else:
                future.set_result(answer)
        self._count -= len(delivered)
        if not self._count:
            self._idle.set()


def _bearable(error: BaseException) -> Exception:
    """Return what a waiter can be told: no SystemExit, and no StopIteration in a future."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    broke = WorkBroke(type(error).__name__)
    broke.__cause__ = error
    return broke
