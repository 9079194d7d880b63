"""The digits that phones are asked for, and how many wrong answers are heard."""

import math
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

MOST_TRIES = 3
PAUSE = timedelta(seconds=60)
ANSWERED_WITHIN = timedelta(minutes=5)
MOST_CHALLENGES = 1_000


@dataclass(slots=True)
class _Challenge:
    digits: str
    asked_at: datetime
    paused_until: datetime | None = None
    before: set[str] = field(default_factory=set[str])  # hashes of what was shown before
    tries: set[str] = field(default_factory=set[str])  # of what was shown since, and is no answer


class Challenges:
    """The digits that phones were asked for, a coupon each. Forgotten with the process."""

    def __init__(self) -> None:
        self._open: OrderedDict[UUID, _Challenge] = OrderedDict()

    def open(self, coupon_id: UUID, now: datetime) -> str | None:
        """Return the digits that count now, if this coupon's phone was asked for any."""
        found = self._found(coupon_id, now)
        return found.digits if found else None

    def digits(self, coupon_id: UUID, now: datetime) -> str:
        """Return the digits to show, choosing them the first time, or when the old ones are old."""
        return self.open(coupon_id, now) or self._choose(coupon_id, now).digits

    def pause_left(self, coupon_id: UUID, now: datetime) -> int:
        """Return for how many seconds nothing is an answer."""
        found = self._open.get(coupon_id)
        if found is None or found.paused_until is None or found.paused_until <= now:
            return 0
        return math.ceil((found.paused_until - now).total_seconds())

    def wrong(self, coupon_id: UUID, shown_hash: str, now: datetime) -> int:
        """Count what is no answer, and return for how many seconds nothing is one now.

        What was shown before anything was asked is no try, nor what a camera only sees again.
        """
        found = self._found(coupon_id, now)
        if found is None:
            self._choose(coupon_id, now, before={shown_hash})
            return 0
        if shown_hash not in found.before:
            found.tries.add(shown_hash)
        if len(found.tries) < MOST_TRIES:
            return 0
        again = self._choose(coupon_id, now, before=found.before | found.tries)
        again.paused_until = now + PAUSE
        return self.pause_left(coupon_id, now)

    def _found(self, coupon_id: UUID, now: datetime) -> _Challenge | None:
        found = self._open.get(coupon_id)
        return found if found and now < found.asked_at + ANSWERED_WITHIN else None

    def _choose(
        self, coupon_id: UUID, now: datetime, *, before: Collection[str] = ()
    ) -> _Challenge:
        chosen = _Challenge(f"{secrets.randbelow(10_000):04d}", now, before=set(before))
        self._open[coupon_id] = chosen
        self._open.move_to_end(coupon_id)
        while len(self._open) > MOST_CHALLENGES:
            self._open.popitem(last=False)
        return chosen
