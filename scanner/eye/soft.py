"""From how dark each module looked to the code that was meant.

A module that lies in glare or under a crack is not read wrong but unsure, and unsure bytes cost
error correction half as much when they are named. So a code is still read that a plain reader,
which takes every module for certain, gives up.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.eye.reading import Field
from scanner.eye.reed_solomon import corrected
from scanner.eye.symbol import (
    LEVELS,
    Block,
    Modules,
    blocks_of,
    codeword_places,
    format_places,
    format_words,
    mask_of,
    pattern_of,
    version_of,
    version_places,
    version_words,
)

MOST_LUCK_BITS = -27
"""Noise may pass for a block once in 2^27 times, and is asked some hundred times a picture."""

MOST_AGAINST = 0.25
"""Of all that the modules say, so much may speak against what was made of them."""

_FORMATS_TRIED = 3
_LEAST_SHARE = 0.6
"""A format that fits so much worse than the best is not tried."""


def meant(values: Field) -> Modules | None:
    """Return the whole code behind these modules, every module right; or nothing.

    `values` is square: +1 surely dark, -1 surely light, 0 unknown. A mirrored code comes back as
    it was meant, not mirrored.
    """
    version = version_of(len(values))
    assert version is not None, "a code has 21, 25, ... 177 modules a side"
    for seen, number in _likeliest_formats(values):
        level, mask = LEVELS[number // 8], number % 8
        unmasked = np.where(mask_of(mask, len(seen)), -seen, seen)
        codewords = _corrected_codewords(unmasked, version, level)
        if codewords is None:
            continue
        modules = _drawn(codewords, version, number, mask)
        if _share_against(modules, seen) <= MOST_AGAINST:
            return modules
    return None


def _likeliest_formats(values: Field) -> Iterator[tuple[Field, int]]:
    """Yield the modules, mirrored where that fits better, with the number of a format."""
    words = format_words().astype(np.float32)
    tries: list[tuple[float, bool, int]] = []
    for mirrored in (False, True):
        seen = values.T if mirrored else values
        fits = sum(words @ seen[tuple(place.T)] for place in format_places(len(seen)))
        tries += [(float(fit), mirrored, number) for number, fit in enumerate(np.asarray(fits))]
    likeliest = sorted(tries, reverse=True)[:_FORMATS_TRIED]
    for fit, mirrored, number in likeliest:
        if fit < _LEAST_SHARE * likeliest[0][0]:
            return
        yield (values.T if mirrored else values), number


def _corrected_codewords(unmasked: Field, version: int, level: str) -> NDArray[np.uint8] | None:
    places = codeword_places(version)
    bits = unmasked[places[..., 0], places[..., 1]]
    seen = np.packbits(bits > 0, axis=1)[:, 0]
    sureness = np.abs(bits).min(axis=1) + 0.1 * np.abs(bits).mean(axis=1)
    right = seen.copy()
    for block in blocks_of(version, level):
        answer = _corrected_block(seen[block.codewords], sureness[block.codewords], block)
        if answer is None:
            return None
        right[block.codewords] = answer
    return right


def _corrected_block(
    seen: NDArray[np.uint8], sureness: Field, block: Block
) -> Sequence[int] | None:
    """Correct one block, giving up more and more of the least sure bytes.

    Each block is believed for itself: that its neighbours are right says nothing about it.
    """
    word: Sequence[int] = seen.tolist()
    unsure_first = np.argsort(sureness, kind="stable").tolist()
    for erasures in range(0, block.check_bytes - 1, max(2, block.check_bytes // 6)):
        erased = unsure_first[:erasures]
        answer = corrected(word, block.check_bytes, erased)
        if answer is None:
            continue
        given_up = set(erased)
        errors = sum(
            a != b for i, (a, b) in enumerate(zip(word, answer, strict=True)) if i not in given_up
        )
        if _luck_bits(len(word), block.check_bytes, erasures, errors) <= MOST_LUCK_BITS:
            return answer
    return None


def _luck_bits(length: int, check_bytes: int, erasures: int, errors: int) -> float:
    """How probable it is that noise lies within so many errors of some word, as a logarithm."""
    ways = math.comb(length - erasures, errors) * 255.0**errors
    return math.log2(ways) - 8 * (check_bytes - erasures)


def _drawn(codewords: NDArray[np.uint8], version: int, format_number: int, mask: int) -> Modules:
    pattern = pattern_of(version)
    modules = pattern.fixed > 0
    size = len(modules)
    places = codeword_places(version)
    bits = np.unpackbits(codewords[:, None], axis=1).astype(np.bool_)
    modules[places[..., 0], places[..., 1]] = bits
    modules ^= mask_of(mask, size) & pattern.data
    for place in format_places(size):
        modules[tuple(place.T)] = format_words()[format_number] > 0
    if version >= 7:
        for place in version_places(size):
            modules[tuple(place.T)] = version_words()[version - 7] > 0
    return modules


def _share_against(modules: Modules, seen: Field) -> float:
    weight = np.abs(seen)
    against = weight[modules != (seen > 0)].sum()
    return float(against / max(float(weight.sum()), 1e-6))
