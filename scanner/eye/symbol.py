"""How a QR code is built (ISO/IEC 18004, model 2): what stands where in which version.

Arrays are indexed [row, column], the quiet zone left out; +1 is dark, -1 is light, 0 is not fixed
by the version alone.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

VERSIONS = range(1, 41)
LEVELS = "LMQH"

Modules = NDArray[np.bool_]
"""A code without its quiet zone; true is dark."""

# Of each version from 1, by level: check bytes of a block, and blocks.
_CHECK_BYTES = {
    "L": "7 10 15 20 26 18 20 24 30 18 20 24 26 30 22 24 28 30 28 28 28 28 30 30 26 28"
    " 30 30 30 30 30 30 30 30 30 30 30 30 30 30",
    "M": "10 16 26 18 24 16 18 22 22 26 30 22 22 24 24 28 28 26 26 26 26 28 28 28 28 28"
    " 28 28 28 28 28 28 28 28 28 28 28 28 28 28",
    "Q": "13 22 18 26 18 24 18 22 20 24 28 26 24 20 30 24 28 28 26 30 28 30 30 30 30 28"
    " 30 30 30 30 30 30 30 30 30 30 30 30 30 30",
    "H": "17 28 22 16 22 28 26 26 24 28 24 28 22 24 24 30 28 28 26 28 30 24 30 30 30 30"
    " 30 30 30 30 30 30 30 30 30 30 30 30 30 30",
}
_BLOCKS = {
    "L": "1 1 1 1 1 2 2 2 2 4 4 4 4 4 6 6 6 6 7 8 8 9 9 10 12 12 12 13 14 15 16 17 18 19 19"
    " 20 21 22 24 25",
    "M": "1 1 1 2 2 4 4 4 5 5 5 8 9 9 10 10 11 13 14 16 17 17 18 20 21 23 25 26 28 29 31 33"
    " 35 37 38 40 43 45 47 49",
    "Q": "1 1 2 2 4 4 6 6 8 8 8 10 12 16 12 17 16 18 21 20 23 23 25 27 29 34 34 35 38 40 43"
    " 45 48 51 53 56 59 62 65 68",
    "H": "1 1 2 4 4 4 5 6 8 8 11 11 16 16 18 16 19 21 25 25 25 34 30 32 35 37 40 42 45 48 51"
    " 54 57 60 63 66 70 74 77 81",
}


def size_of(version: int) -> int:
    return 17 + 4 * version


def version_of(size: int) -> int | None:
    version, rest = divmod(size - 17, 4)
    return version if rest == 0 and version in VERSIONS else None


@cache
def alignment_centres(version: int) -> tuple[int, ...]:
    """Return the rows, which are the columns too, on which alignment patterns are centred."""
    if version == 1:
        return ()
    number = version // 7 + 2
    step = (version * 8 + number * 3 + 5) // (number * 4 - 4) * 2
    last = size_of(version) - 7
    return (6, *(last - step * back for back in range(number - 2, -1, -1)))


@dataclass(frozen=True, eq=False)
class Pattern:
    """What every code of a version has in common."""

    fixed: NDArray[np.int8]
    """Finders with their separators, timing, alignment and the one dark module."""

    finders: Modules
    timing: Modules
    alignment: Modules
    data: Modules
    """Neither fixed nor format nor version: these hold the codewords."""


@cache
def pattern_of(version: int) -> Pattern:
    size = size_of(version)
    fixed = np.zeros((size, size), np.int8)
    finders, timing, alignment = (np.zeros((size, size), np.bool_) for _ in range(3))
    stripes = np.where(np.arange(size) % 2 == 0, 1, -1)
    fixed[6], fixed[:, 6] = stripes, stripes
    timing[6], timing[:, 6] = True, True
    for row, column in _alignments(version):
        square = slice(row - 2, row + 3), slice(column - 2, column + 3)
        fixed[square] = _rings(5, 1)
        alignment[square] = True
        timing[square] = False
    corner = _rings(9, 0)
    for rows, columns, part in (
        (slice(0, 8), slice(0, 8), corner[1:, 1:]),
        (slice(0, 8), slice(size - 8, size), corner[1:, :-1]),
        (slice(size - 8, size), slice(0, 8), corner[:-1, 1:]),
    ):
        fixed[rows, columns] = part
        finders[rows, columns] = True
        timing[rows, columns] = False
    fixed[size - 8, 8] = 1
    data = fixed == 0
    for place in format_places(size):
        data[tuple(place.T)] = False
    if version >= 7:
        for place in version_places(size):
            data[tuple(place.T)] = False
    return Pattern(fixed, finders, timing, alignment, data)


def _alignments(version: int) -> list[tuple[int, int]]:
    centres = alignment_centres(version)
    if not centres:
        return []
    first, last = centres[0], centres[-1]
    under_finders = {(first, first), (first, last), (last, first)}
    return [(r, c) for r in centres for c in centres if (r, c) not in under_finders]


def _rings(size: int, outermost: int) -> NDArray[np.int8]:
    """Draw nested squares that end in a dark centre: an alignment pattern, or a finder."""
    place = np.abs(np.arange(size) - size // 2)
    ring = np.maximum(place[:, None], place[None, :])
    if outermost == 1:
        return np.where(ring == 1, -1, 1).astype(np.int8)
    return np.where((ring == 2) | (ring == 4), -1, 1).astype(np.int8)


@cache
def format_places(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the two copies of the 15 format bits stand, highest bit first."""
    first = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    second = [(size - 1 - i, 8) for i in range(7)] + [(8, size - 8 + i) for i in range(8)]
    return np.array(first), np.array(second)


@cache
def version_places(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the two copies of the 18 version bits stand, lowest bit first."""
    first = np.array([(i // 3, size - 11 + i % 3) for i in range(18)])
    return first, first[:, ::-1].copy()


@cache
def format_words() -> NDArray[np.int8]:
    """Return the 15 bits of each (level, mask), as +1 and -1; row `level * 8 + mask`."""
    rows = [_format_word(level, mask) for level in LEVELS for mask in range(8)]
    bits = (np.array(rows)[:, None] >> np.arange(14, -1, -1)) & 1
    return (bits * 2 - 1).astype(np.int8)


def _format_word(level: str, mask: int) -> int:
    data = "MLHQ".index(level) << 3 | mask
    rest = data
    for _ in range(10):
        rest = (rest << 1) ^ ((rest >> 9) * 0x537)
    return (data << 10 | rest) ^ 0x5412


@cache
def version_words() -> NDArray[np.int8]:
    """Return the 18 bits of versions 7 to 40, lowest first, as +1 and -1."""
    rows: list[int] = []
    for version in range(7, 41):
        rest = version
        for _ in range(12):
            rest = (rest << 1) ^ ((rest >> 11) * 0x1F25)
        rows.append(version << 12 | rest)
    bits = (np.array(rows)[:, None] >> np.arange(18)) & 1
    return (bits * 2 - 1).astype(np.int8)


@cache
def mask_of(number: int, size: int) -> Modules:
    """Return which modules a mask turns over."""
    r, c = np.indices((size, size))
    return (
        (r + c) % 2,
        r % 2,
        c % 3,
        (r + c) % 3,
        (r // 2 + c // 3) % 2,
        r * c % 2 + r * c % 3,
        (r * c % 2 + r * c % 3) % 2,
        ((r + c) % 2 + r * c % 3) % 2,
    )[number] == 0


@cache
def codeword_places(version: int) -> NDArray[np.intp]:
    """Return row and column of every bit of every codeword, as (codewords, 8, 2)."""
    size, data = size_of(version), pattern_of(version).data
    places: list[tuple[int, int]] = []
    upward = True
    for right in (c if c > 6 else c - 1 for c in range(size - 1, 0, -2)):
        for r in range(size - 1, -1, -1) if upward else range(size):
            places += [(r, c) for c in (right, right - 1) if data[r, c]]
        upward = not upward
    whole = len(places) // 8
    return np.array(places[: whole * 8]).reshape(whole, 8, 2)


@dataclass(frozen=True, eq=False)
class Block:
    """Codewords that are corrected together, by their position in the stream."""

    codewords: NDArray[np.intp]
    check_bytes: int


@cache
def blocks_of(version: int, level: str) -> tuple[Block, ...]:
    check = int(_CHECK_BYTES[level].split()[version - 1])
    number = int(_BLOCKS[level].split()[version - 1])
    total = len(codeword_places(version))
    shorter, longer_ones = divmod(total - check * number, number)
    rows: list[list[int]] = [[] for _ in range(number)]
    position = 0
    for turn in range(shorter + 1):
        for block in range(number if turn < shorter else 0):
            rows[block].append(position)
            position += 1
    for block in range(number - longer_ones, number):
        rows[block].append(position)
        position += 1
    for _ in range(check):
        for block in range(number):
            rows[block].append(position)
            position += 1
    return tuple(Block(np.array(row), check) for row in rows)
