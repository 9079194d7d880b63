"""Work that goes on beside the requests of a server: messages, codes on their way, sweeping up.

Every worker of every server may do it; what one has leased no other one gets.
"""

from collections.abc import Callable
from threading import Event, Thread

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted

_log = structlog.get_logger()


class Background:
    """A thread that does one thing over and over until it is stopped.

    `work` returns how much it has done. While there is something to do it goes on at once;
    otherwise it looks again after `idle_seconds`.
    """

    def __init__(self, name: str, work: Callable[[], int], *, idle_seconds: float) -> None:
        self._name = name
        self._work = work
        self._idle_seconds = idle_seconds
        self._is_stopping = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in hand; the rest waits in the record for the next server."""
        self._is_stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                done = self._work()
            except (SQLAlchemyError, PoolExhausted) as error:
                # The database is away. What is to be done is in it, so nothing is lost meanwhile.
                _log.warning("background_unreachable", work=self._name, error=type(error).__name__)
                done = 0
            if not done:
                self._is_stopping.wait(self._idle_seconds)
