"""Whether a picture proves a text that nobody knows: module by module, before any correction.

What a reader tells has passed its error correction, which turns much into words. So the text is
drawn anew by another library, and laid over the modules as the picture shows them. A text is proven
if so many agree that, among all texts as long, not one would be expected to agree as well by luck.
"""

import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import qrcode
from qrcode.exceptions import DataOverflowError
from qrcode.util import BitBuffer, QRData

import scanner
from bench.pictures.sample import Picture
from scanner import Effort
from scanner.eye.grid import Grid, grids
from scanner.eye.reading import Field, Points, grey
from scanner.eye.symbol import LEVELS, Modules, pattern_of, version_of
from scanner.eye.zxing import Sighting

LEAST_BITS = 40  # by luck, of all texts as long, 2^-40 of one agrees as well
_HEADER_BITS = 20  # what a code says besides its text
_LEVEL_NUMBERS = {"L": 1, "M": 0, "Q": 3, "H": 2}  # as the standard, and the library, count them
_MASKS = 8
_BYTES = 4  # not digits, not letters


def is_proven(picture: Picture, text: str) -> bool:
    """Tell whether this text is in the picture, whoever says so.

    Where it stands, our own eye has to find: what that does not read stays unproven.
    """
    places = [r.corners for r in scanner.decode(picture, effort=Effort.THOROUGH) if r.text == text]
    return any(
        bits_beyond_luck(values, modules, said_bits) >= LEAST_BITS
        for masked, said_bits in codes_of(text)
        for corners in places
        for values in _seen(picture, corners, version_of(len(masked[0])))
        for modules in masked
    )


def bits_beyond_luck(values: Field, modules: Modules, said_bits: int) -> float:
    """Say how improbable it is that any text of so many bits agrees as well, in bits."""
    if values.shape != modules.shape:
        return -math.inf
    version = version_of(len(modules))
    assert version is not None, "the library draws codes"
    is_data = pattern_of(version).data
    wrong = float(((values > 0) != modules)[is_data].mean())
    if wrong >= 0.5:
        return -math.inf
    unsure = -sum(p * math.log2(p) for p in (wrong, 1 - wrong) if p > 0)
    return float(is_data.sum()) * (1 - unsure) - said_bits - _HEADER_BITS


def codes_of(text: str) -> list[tuple[list[Modules], int]]:
    """Return the smallest code of each level with this text, once with each mask, and its bits."""
    as_bytes, as_it_likes = QRData(text.encode(), mode=_BYTES), QRData(text.encode())
    codes: list[tuple[list[Modules], int]] = []
    with suppress(DataOverflowError):
        for level in LEVELS:
            for data in (as_bytes, as_it_likes)[: 1 + (as_it_likes.mode != _BYTES)]:
                bits = BitBuffer()
                data.write(bits)
                codes.append(([_modules(data, level, mask) for mask in range(_MASKS)], len(bits)))
    return codes


def _seen(picture: Picture, corners: Points, version: int | None) -> Iterator[Field]:
    laid = grids(grey(picture), Sighting(corners, version))
    return (grid.values for grid in laid if isinstance(grid, Grid))


def _modules(data: QRData, level: str, mask: int) -> Modules:
    code = qrcode.QRCode(border=0, error_correction=_LEVEL_NUMBERS[level], mask_pattern=mask)
    code.add_data(data)
    code.make(fit=True)
    return np.array(code.get_matrix(), np.bool_)
