"""Where passwords are hashed: off the event loop, by two threads that do nothing else.

A hash is slow on purpose. Ten sign-ins a second must not fill the machine, so those beyond a short
queue are turned away before any try is counted against them.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from coupon_engine.errors import Busy

THREADS = 2
MOST_WAITING = 20

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


class Hashing:
    """The two threads and their queue; lives in one event loop."""

    def __init__(self) -> None:
        self._threads = CapacityLimiter(THREADS)
        self._inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Keep a place in the queue for the whole of a request that hashes.

        Raises:
            Busy: Too many are waiting. Nothing was done.
        """
        if self._inside >= THREADS + MOST_WAITING:
            raise Busy
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(
        self, slow: Callable[Args, Answer], *args: Args.args, **more: Args.kwargs
    ) -> Answer:
        return await to_thread.run_sync(lambda: slow(*args, **more), limiter=self._threads)
