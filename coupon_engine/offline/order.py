"""Which of several redemptions of one coupon counts, whatever came in first.

What was redeemed online comes first, then what terminals redeemed alone, by their guarded clocks;
ties go by terminal and number. A redemption counts for good as soon as nobody can bring an earlier
one any more. So the same journals end the same, in whatever order and pieces they come in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from schemas.redemptions import RedemptionState


@dataclass(frozen=True, slots=True)
class Reach:
    """Who can redeem a coupon alone: terminals anywhere, or the one that decides for a store."""

    campaign_id: UUID
    store_id: UUID | None


@dataclass(frozen=True, slots=True)
class Claim:
    """One redemption of a coupon. `is_final`: it was made online, or counts for good already."""

    id: UUID
    coupon_id: UUID
    reach: Reach
    at: datetime
    terminal_id: UUID
    seq: int
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """A terminal under a lease that is open. All that it did before `until` has come in."""

    terminal_id: UUID
    until: datetime


@dataclass(frozen=True, slots=True)
class Bound:
    """Until when all is known; of what the `slowest` terminal did itself, a little longer."""

    until: datetime
    slowest: UUID | None
    until_for_slowest: datetime

    def of(self, terminal_id: UUID) -> datetime:
        return self.until_for_slowest if terminal_id == self.slowest else self.until


@dataclass(frozen=True, slots=True)
class Horizon:
    """Whose journals are awaited. Leases that are still to come begin `now` at the earliest."""

    now: datetime
    awaited: Mapping[Reach, Sequence[Awaited]]

    def bound(self, reach: Reach) -> Bound:
        """Return how far back nobody can bring anything any more.

        A terminal waits for the others alone: it never redeems a coupon twice, and what it did
        itself came in order.
        """
        until_of: dict[UUID, datetime] = {}
        for each in self.awaited.get(reach, ()):
            known = until_of.get(each.terminal_id, each.until)
            until_of[each.terminal_id] = min(known, each.until)
        slow = sorted((until, terminal_id) for terminal_id, until in until_of.items())
        first = slow[0] if slow else (self.now, None)
        second = slow[1][0] if len(slow) > 1 else self.now
        return Bound(min(first[0], self.now), first[1], min(second, self.now))


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a redemption; `winner_id` is the one that counts instead."""

    state: RedemptionState
    winner_id: UUID | None = None


def decide(claims: Iterable[Claim], horizon: Horizon) -> Mapping[UUID, Decision]:
    """Say of every redemption that is not final what becomes of it, as far as can be told.

    All standing redemptions of a coupon have to be among the claims. Each coupon counts once:
    those of several uses are never redeemed alone.
    """
    decisions: dict[UUID, Decision] = {}
    for _, rivals in groupby(sorted(claims, key=_rank), key=lambda claim: claim.coupon_id):
        winner, *others = rivals
        is_final = winner.is_final or _is_known(winner, horizon)
        if not winner.is_final:
            state = RedemptionState.ACCEPTED if is_final else RedemptionState.PROVISIONAL
            decisions[winner.id] = Decision(state)
        for other in others:
            assert not other.is_final, "a coupon of one use was spent twice for good"
            decisions[other.id] = (
                Decision(RedemptionState.DISPUTED, winner.id)
                if is_final
                else Decision(RedemptionState.PROVISIONAL)
            )
    return decisions


def first(claims: Iterable[Claim]) -> Claim:
    """Return the one that counts, as far as is known."""
    return min(claims, key=_rank)


def _rank(claim: Claim) -> tuple[UUID, bool, datetime, UUID, int]:
    return claim.coupon_id, not claim.is_final, claim.at, claim.terminal_id, claim.seq


def _is_known(claim: Claim, horizon: Horizon) -> bool:
    return claim.at < horizon.bound(claim.reach).of(claim.terminal_id)
