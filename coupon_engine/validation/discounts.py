"""What a coupon takes off, to the minor unit. One pure function for each kind of benefit.

The base is what earlier coupons of the same basket have left of each line in scope. A discount on
several lines is divided in proportion to what is left of them, largest remainder first; no line
ever falls below nought. A basket without lines gets a discount without lines.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never
from uuid import UUID

from coupon_engine.validation.facts import Applied, Case, Discount
from schemas.baskets import Basket, Line, LineDiscount
from schemas.money import part, split
from schemas.offers import (
    AmountOff,
    Benefit,
    BuyXGetY,
    Conditions,
    FixedPrice,
    FreeItem,
    GiftBalance,
    PercentOff,
)


def discount_of(case: Case) -> Discount:
    """Return what this coupon takes off the basket, assuming that its conditions are met.

    `spend_minor` caps a gift balance alone: it keeps what is not spent, any other coupon loses it.
    Without a basket a sum is taken at its word, and everything else is worth nothing.
    """
    basket, benefit = case.basket, case.terms.benefit
    if basket is None:
        return Discount(minor=_sum_off(case), lines=())
    if not basket.lines:
        return Discount(minor=_off_amount(case, left_of_total(basket, case.applied)), lines=())
    match benefit:
        case AmountOff() | PercentOff() | GiftBalance():
            return _over_lines(case, basket)
        case FixedPrice() | FreeItem() | BuyXGetY():
            return _on_units(benefit, units_in_scope(case, basket))
        case _:
            assert_never(benefit)


# A part or a sum of what is left, over all lines in scope.


def _over_lines(case: Case, basket: Basket) -> Discount:
    left = left_of_lines(basket, case.applied)
    scope = scope_of(case.terms.conditions)
    if not scope.is_everything:
        left = [
            amount if scope.has(line) else 0
            for amount, line in zip(left, basket.lines, strict=True)
        ]
    minor = _off_amount(case, sum(left))
    return _discount(enumerate(split(minor, left)))


def _off_amount(case: Case, left: int) -> int:
    """Return how much comes off this amount; a kind that takes units has none to take."""
    match case.terms.benefit:
        case PercentOff() as percent:
            minor = part(left, percent.percent_off_bp)
            return minor if percent.cap_minor is None else min(minor, percent.cap_minor)
        case AmountOff() as sum_off:
            return min(left, sum_off.amount_minor)
        case GiftBalance() as gift:
            wanted = left if case.spend_minor is None else min(left, case.spend_minor)
            return min(wanted, gift_left(gift, case))
        case _:
            return 0


def _sum_off(case: Case) -> int:
    match case.terms.benefit:
        case AmountOff() as sum_off:
            return sum_off.amount_minor
        case GiftBalance() as gift:
            return min(case.spend_minor or 0, gift_left(gift, case))
        case _:
            return 0


def gift_left(gift: GiftBalance, case: Case) -> int:
    return max(0, gift.balance_minor - case.coupon.spent_minor)


# Whole units, one price each.


def takes_units(benefit: Benefit) -> bool:
    """Does it take whole units, or a part of every line in scope?"""
    return isinstance(benefit, FixedPrice | FreeItem | BuyXGetY)


@dataclass(slots=True)
class Units:
    """So many units of one line of which the same amount is left."""

    line: int
    left: int
    count: int


def _on_units(benefit: FixedPrice | FreeItem | BuyXGetY, units: list[Units]) -> Discount:
    match benefit:
        case FreeItem():
            chosen = _dearest(units, benefit.quantity)
            return _discount((run.line, run.left * count) for run, count in chosen)
        case FixedPrice(price_minor=price):
            dearer = [run for run in units if run.left > price]
            chosen = _dearest(dearer, benefit.quantity)
            return _discount((run.line, (run.left - price) * count) for run, count in chosen)
        case BuyXGetY():
            groups = min(benefit.times, count_of(units) // (benefit.buy + benefit.get))
            chosen = _cheapest(units, groups * benefit.get)
            return _discount(
                (run.line, part(run.left, benefit.percent_off_bp) * count) for run, count in chosen
            )


def _dearest(units: list[Units], quantity: int) -> list[tuple[Units, int]]:
    return _first(sorted(units, key=lambda run: -run.left), quantity)


def _cheapest(units: list[Units], quantity: int) -> list[tuple[Units, int]]:
    return _first(sorted(units, key=lambda run: run.left), quantity)


def _first(units: list[Units], quantity: int) -> list[tuple[Units, int]]:
    chosen: list[tuple[Units, int]] = []
    for run in units:
        if quantity == 0:
            break
        count = min(run.count, quantity)
        chosen.append((run, count))
        quantity -= count
    return chosen


def count_of(units: Iterable[Units]) -> int:
    return sum(run.count for run in units)


def units_in_scope(case: Case, basket: Basket) -> list[Units]:
    """Return the units in scope that still cost something; what is free already is not bought."""
    scope = scope_of(case.terms.conditions)
    return [
        run
        for line, runs in enumerate(_left_of_units(basket, case.applied))
        if scope.has(basket.lines[line])
        for run in runs
        if run.left
    ]


def _left_of_units(basket: Basket, applied: tuple[Applied, ...]) -> list[list[Units]]:
    """Return each line's units and what is left of each of them.

    A coupon that took whole units took the dearest ones. Any other took from all alike, and what
    it left is shared evenly by those that still cost something.
    """
    lines = [
        [Units(line=at, left=line.unit_price_minor, count=line.quantity)]
        for at, line in enumerate(basket.lines)
    ]
    left = [line.amount_minor for line in basket.lines]
    for earlier in applied:
        after = _after(left, earlier)
        for at, (amount, rest) in enumerate(zip(left, after, strict=True)):
            if rest < amount:
                runs, taken = lines[at], amount - rest
                lines[at] = (
                    _without_dearest(runs, taken) if earlier.by_unit else _evenly(runs, rest)
                )
        left = after
    return lines


def _without_dearest(runs: list[Units], taken: int) -> list[Units]:
    """Take this much off a line's units, each whole before the next, dearest first."""
    kept: list[Units] = []
    for run in sorted(runs, key=lambda run: -run.left):
        if not run.left:
            continue
        whole = min(run.count, taken // run.left)
        taken -= whole * run.left
        rest = run.count - whole
        if rest and taken:
            kept.append(Units(line=run.line, left=run.left - taken, count=1))
            taken, rest = 0, rest - 1
        if rest:
            kept.append(Units(line=run.line, left=run.left, count=rest))
    return kept


def _evenly(runs: list[Units], left: int) -> list[Units]:
    """Share what is left of a line among its units."""
    line, count = runs[0].line, count_of(runs)
    each, odd = divmod(left, count)
    shared = (Units(line, each + 1, odd), Units(line, each, count - odd))
    return [run for run in shared if run.count]


# What earlier coupons have left.


def left_of_total(basket: Basket, applied: Iterable[Applied]) -> int:
    return max(0, basket.amount_minor - sum(earlier.discount_minor for earlier in applied))


def left_of_lines(basket: Basket, applied: Iterable[Applied]) -> list[int]:
    left = [line.amount_minor for line in basket.lines]
    for earlier in applied:
        left = _after(left, earlier)
    return left


def _after(left: list[int], earlier: Applied) -> list[int]:
    """Take an earlier discount off, by its lines; what names no line here comes off all alike."""
    after = left.copy()
    unplaced = earlier.discount_minor
    for off in earlier.lines:
        if off.line < len(after):
            taken = min(off.discount_minor, after[off.line], unplaced)
            after[off.line] -= taken
            unplaced -= taken
    if unplaced:
        shares = split(min(unplaced, sum(after)), after)
        after = [amount - share for amount, share in zip(after, shares, strict=True)]
    return after


def _discount(parts: Iterable[tuple[int, int]]) -> Discount:
    """Return the discount that these parts of lines add up to; a line may come more than once."""
    by_line: dict[int, int] = {}
    for line, minor in parts:
        if minor:
            by_line[line] = by_line.get(line, 0) + minor
    lines = tuple(LineDiscount(line=at, discount_minor=by_line[at]) for at in sorted(by_line))
    return Discount(minor=sum(by_line.values()), lines=lines)


# What an offer is for.


@dataclass(frozen=True, slots=True)
class Scope:
    """The products, categories and stores of an offer, for looking up."""

    products: frozenset[str]
    categories: frozenset[str]
    stores: frozenset[UUID]
    is_everything: bool

    def has(self, line: Line) -> bool:
        return (
            self.is_everything
            or line.product in self.products
            or (line.category is not None and line.category in self.categories)
        )


_EVERYTHING = Scope(frozenset(), frozenset(), frozenset(), is_everything=True)


def scope_of(conditions: Conditions) -> Scope:
    """Return the scope of an offer; keep its `Terms`, for a scope is made once for each object."""
    if not (conditions.products or conditions.categories or conditions.stores):
        return _EVERYTHING
    return _scope_of(_Itself(conditions))


@dataclass(frozen=True, slots=True, eq=False)
class _Itself:
    """Equal to the same object alone. Twenty thousand products are not hashed at every look-up."""

    conditions: Conditions

    def __hash__(self) -> int:
        return id(self.conditions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.conditions is other.conditions


# The cache holds on to its keys, so that no id is given to another object meanwhile.
@lru_cache(maxsize=1_024)
def _scope_of(key: _Itself) -> Scope:
    conditions = key.conditions
    return Scope(
        products=frozenset(conditions.products),
        categories=frozenset(conditions.categories),
        stores=frozenset(conditions.stores),
        is_everything=not (conditions.products or conditions.categories),
    )
