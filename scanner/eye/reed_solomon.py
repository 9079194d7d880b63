"""Correcting a block of a QR code: Reed-Solomon over GF(256), with errors and erasures.

The field is the one of the standard: x^8 + x^4 + x^3 + x^2 + 1, first root 1. An erasure is a
byte that we know we have not seen well; it costs half of what an unknown error costs.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

_FIELD = 0x11D


def corrected(
    word: Sequence[int], check_bytes: int, erased: Sequence[int] = ()
) -> list[int] | None:
    """Return the word of the code within reach, or nothing.

    Reach is `2 * errors + erasures <= check_bytes`. Whether a word that far away can be believed
    is the caller's question.
    """
    sums = _syndromes(word, check_bytes)
    if not any(sums):
        return list(word)
    if len(erased) > check_bytes:
        return None
    locator = _locator(sums, [len(word) - 1 - place for place in erased])
    powers = _roots(locator, len(word))
    if powers is None:
        return None
    fixed = list(word)
    for place, value in zip(powers, _values(sums, locator, powers), strict=True):
        fixed[len(word) - 1 - place] ^= value
    return None if any(_syndromes(fixed, check_bytes)) else fixed


@cache
def _tables() -> tuple[list[int], list[int]]:
    """Return the powers of 2, twice over so that sums of logarithms need no remainder; and logs."""
    powers, logs = [0] * 512, [0] * 256
    value = 1
    for power in range(255):
        powers[power] = powers[power + 255] = value
        logs[value] = power
        value = value << 1 ^ (_FIELD if value & 0x80 else 0)
    return powers, logs


def _times(a: int, b: int) -> int:
    powers, logs = _tables()
    return powers[logs[a] + logs[b]] if a and b else 0


def _syndromes(word: Sequence[int], check_bytes: int) -> list[int]:
    """Evaluate the word at the roots of every word of the code."""
    return _at_powers(list(word)[::-1], range(check_bytes)).tolist()


def _locator(sums: list[int], erased_powers: list[int]) -> list[int]:
    """Find the polynomial whose roots name the wrong places (Berlekamp and Massey).

    Lowest coefficient first. It starts from the erasures, so that they need not be found.
    """
    powers, logs = _tables()
    locator = [1]
    for power in erased_powers:
        locator = _sum(locator, [0, *(_times(c, powers[power]) for c in locator)])
    erasures = length = len(erased_powers)
    before, gap, last = list(locator), 1, 1
    for step in range(erasures, len(sums)):
        off = 0
        for i, c in enumerate(locator[: step + 1]):
            off ^= _times(c, sums[step - i])
        if off == 0:
            gap += 1
            continue
        scale = powers[(logs[off] - logs[last]) % 255]
        changed = _sum(locator, [0] * gap + [_times(c, scale) for c in before])
        if 2 * length <= step + erasures:
            length, before, last, gap = step + 1 + erasures - length, locator, off, 1
        else:
            gap += 1
        locator = changed
    while len(locator) > 1 and locator[-1] == 0:
        locator.pop()
    return locator


def _roots(locator: list[int], length: int) -> list[int] | None:
    """Return the powers of the wrong places; nothing if not all lie inside the word."""
    found = np.flatnonzero(_at_powers(locator, range(0, -length, -1)) == 0).tolist()
    return found if len(found) == len(locator) - 1 else None


def _values(sums: list[int], locator: list[int], places: list[int]) -> list[int]:
    """Say by how much each wrong place is wrong (Forney)."""
    powers, logs = _tables()
    evaluator = [0] * len(sums)
    for i, c in enumerate(locator):
        for j in range(len(sums) - i):
            evaluator[i + j] ^= _times(c, sums[j])
    slope = [c if i % 2 else 0 for i, c in enumerate(locator)][1:]
    values: list[int] = []
    for place in places:
        above, below = _at(evaluator, -place), _at(slope, -place)
        # The first root is 1, hence one more factor of the place itself.
        value = powers[(logs[above] - logs[below] + place) % 255] if above and below else 0
        values.append(value)
    return values


def _at(polynomial: list[int], power: int) -> int:
    powers, logs = _tables()
    total = 0
    for i, c in enumerate(polynomial):
        if c:
            total ^= powers[logs[c] + power * i % 255]
    return total


def _at_powers(polynomial: list[int], exponents: range) -> NDArray[np.uint8]:
    """Evaluate a polynomial at many powers of 2, lowest coefficient first."""
    powers, logs = _arrays()
    coefficients = np.array(polynomial)
    places = np.flatnonzero(coefficients)
    exponent = np.array(exponents)[:, None] * places + logs[coefficients[places]]
    return np.bitwise_xor.reduce(powers[exponent % 255], axis=1)


@cache
def _arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    powers, logs = _tables()
    return np.array(powers, np.uint8), np.array(logs, np.int64)


def _sum(a: list[int], b: list[int]) -> list[int]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return [c ^ d for c, d in zip(longer, shorter, strict=False)] + longer[len(shorter) :]
