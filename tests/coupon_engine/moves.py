"""Walking a state machine: every pair of a state and a move, allowed or not."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
M = TypeVar("M", bound=StrEnum)


def way_to(moves: Mapping[S, Mapping[M, S]], start: S, goal: S) -> list[M]:
    """Return the shortest moves that lead to this state."""
    ways: dict[S, list[M]] = {start: []}
    for state in list_growing(ways):
        for move, target in moves[state].items():
            if target not in ways:
                ways[target] = [*ways[state], move]
        if goal in ways:
            return ways[goal]
    raise AssertionError(f"no way leads to {goal}")


def list_growing(ways: Mapping[S, object]) -> Iterable[S]:
    seen: set[S] = set()
    while rest := [state for state in ways if state not in seen]:
        seen.add(rest[0])
        yield rest[0]


def every_pair(moves: Mapping[S, Mapping[M, S]], every_move: type[M]) -> list[tuple[S, M]]:
    return [(state, move) for state in moves for move in every_move]
