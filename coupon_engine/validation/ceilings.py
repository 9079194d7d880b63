"""Ceilings: how often and how much, judged on numbers that whoever holds the locks has read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.offers import LimitPer
from schemas.refusals import Reason, Why


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """One ceiling and what stands against it; where nothing was asked for it is out of reach.

    A hold counts until it is redeemed or lapses. Whoever redeems a hold leaves it out of
    `held_count` and `held_minor`. A campaign's or a batch's own ceilings are `LimitPer.ALL`.
    """

    rule: str  # where it stands, such as "campaign", "batch" or "limits[customer,day]"
    per: LimitPer
    max_count: int
    used_count: int
    held_count: int
    max_minor: int
    spent_minor: int
    held_minor: int
    minute_count: int = 0
    minute_minor: int = 0
    max_per_minute: int = MOST_COUNT
    max_minor_per_minute: int = MOST_MINOR
    next_minute: datetime | None = None


def under(limits: Iterable[LimitFacts], minor: int) -> tuple[Reason, ...]:
    """Return the ceilings that one more redemption, worth so much, would break.

    What passes within a minute comes last: it decides what the customer hears only where nothing
    else is in the way.
    """
    limits = tuple(limits)
    return (
        *(reason for limit in limits for reason in _broken(limit, minor)),
        *(reason for limit in limits for reason in _too_fast(limit)),
    )


def _broken(limit: LimitFacts, minor: int) -> Iterator[Reason]:
    is_own = limit.per is LimitPer.CUSTOMER
    if limit.used_count + limit.held_count + 1 > limit.max_count:
        yield Reason(
            code=Why.CUSTOMER_LIMIT_REACHED if is_own else Why.LIMIT_REACHED,
            rule=f"{limit.rule}.max_count",
            needs={"max_count": limit.max_count},
        )
    left_minor = limit.max_minor - limit.spent_minor - limit.held_minor
    if minor > left_minor:
        yield Reason(
            # A customer's own ceiling must not sound as if everybody's money were gone.
            code=Why.CUSTOMER_LIMIT_REACHED if is_own else Why.BUDGET_SPENT,
            rule=f"{limit.rule}.max_minor",
            needs={"left_minor": max(0, left_minor)},
        )


def _too_fast(limit: LimitFacts) -> Iterator[Reason]:
    at = {"from": limit.next_minute.isoformat()} if limit.next_minute else {}
    if limit.minute_minor >= limit.max_minor_per_minute:
        # The breaker has tripped under this very lock; whoever was waiting for it hears this.
        yield Reason(
            code=Why.LIMIT_REACHED,
            rule=f"{limit.rule}.max_minor_per_minute",
            needs={"max_minor_per_minute": limit.max_minor_per_minute, **at},
        )
    if limit.minute_count + 1 > limit.max_per_minute:
        yield Reason(
            code=Why.LIMIT_REACHED,
            rule=f"{limit.rule}.max_per_minute",
            needs={"max_per_minute": limit.max_per_minute, **at},
        )
