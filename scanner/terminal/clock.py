"""The guarded clock: it never goes behind what the terminal knows to be past.

What is known to be past is the latest instant that the server has signed, or that stands in the
journal, and what has gone by since on a clock that nobody can set. Winding the terminal's clock
back brings no expired coupon back to life; winding it on ends the lease.

A clock that was far ahead once leaves its time in the journal, and the terminal decides nothing
alone until that time has come. If that is too far, pair it anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

MOST_BEHIND = timedelta(seconds=120)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the clock."""

    now: datetime
    t_min: datetime  # the latest instant known to be past
    behind: timedelta  # by how much the terminal's own clock is behind that

    @property
    def is_behind(self) -> bool:
        """Too far to trust it: somebody has to look, and only the server decides meanwhile."""
        return self.behind > MOST_BEHIND


class GuardedClock:
    """`wall` is the terminal's clock; `steady` counts seconds and cannot be set."""

    def __init__(self, wall: Callable[[], datetime], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._past = _BEGINNING
        self._learnt_at = steady()
        self._lock = Lock()

    def learn(self, past: datetime) -> None:
        """Know that this instant is past. An earlier one than is known teaches nothing."""
        with self._lock:
            if past > self._t_min():
                self._past, self._learnt_at = past, self._steady()

    def read(self) -> Reading:
        with self._lock:
            wall, t_min = self._wall(), self._t_min()
        return Reading(now=max(wall, t_min), t_min=t_min, behind=max(timedelta(), t_min - wall))

    def _t_min(self) -> datetime:
        if self._past == _BEGINNING:
            return _BEGINNING
        return self._past + timedelta(seconds=max(0.0, self._steady() - self._learnt_at))
