"""What need not be asked of the database every time: kept for a few seconds, and not too much."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from coupon_engine.errors import Busy

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# However often somebody shows an unknown letter, the keys are not read more often than this.
SOONEST_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 1.0
_LANES = 16  # so that one slow key does not hold up all others


class Kept(Generic[Key, Value]):
    """Values by key, each read again when it is older than `seconds`.

    What is kept may be wrong for so long: a revoked API key still opens the door. For one key
    `read` is called by one thread at a time. `tick` tells seconds that only ever rise.
    """

    def __init__(
        self,
        read: Callable[[Key], Value],
        *,
        seconds: float,
        most: int,
        tick: Callable[[], float],
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._most = most
        self._tick = tick
        self._values: dict[Key, tuple[float, Value]] = {}
        self._reading = [threading.Lock() for _ in range(_LANES)]

    def fresh(self, key: Key) -> Value | None:
        """Return the value if it is here and young; never waits."""
        return self._younger_than(self._seconds, key)

    def get(self, key: Key) -> Value:
        """Return the value, reading it if need be.

        Raises:
            Busy: Others who read such keys are slow.
        """
        return self._get(key, self._seconds)

    def again(self, key: Key) -> Value:
        """Return the value as it is now, or was a moment ago."""
        return self._get(key, min(SOONEST_SECONDS, self._seconds))

    def forget(self, key: Key) -> None:
        self._values.pop(key, None)

    def _get(self, key: Key, seconds: float) -> Value:
        # Whoever had to wait finds what the one before has read.
        reading = self._reading[hash(key) % _LANES]
        if not reading.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise Busy
        try:
            value = self._younger_than(seconds, key)
            if value is None:
                value = self._read(key)
                self._keep(key, value)
            return value
        finally:
            reading.release()

    def _younger_than(self, seconds: float, key: Key) -> Value | None:
        kept = self._values.get(key)
        return kept[1] if kept and self._tick() - kept[0] < seconds else None

    def _keep(self, key: Key, value: Value) -> None:
        self._values.pop(key, None)
        if value is None:  # a wrong key costs a look each time, and room never
            return
        if len(self._values) >= self._most:
            self._values.pop(next(iter(self._values)), None)
        self._values[key] = self._tick(), value
