"""The same picture seen otherwise: each of these lets the reader see codes that others hide."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from scanner.eye.finders import binary
from scanner.eye.reading import Picture, picture

REDUCED_PX = 800_000
"""A code that is readable at all keeps enough pixels; texture and noise average out."""

SMALL_PX = 250_000
FULL_PX = 12_000_000
"""Of a larger picture, what only the dearer views would cost; the first look sees it as it is."""

_AS_IT_IS = 1 << 40

_ENLARGED_PX = 3_200_000
_WORTH_REDUCING = 0.85
_NEARLY = 0.05
_LONGEST_SIDE = 32_000


@dataclass(frozen=True)
class View:
    name: str
    of: Callable[[Picture], Picture]
    most_px: int = FULL_PX
    """Of the picture that is looked at; a larger one is made smaller first."""

    is_binary: bool = False
    """Already black and white: the reader shall not judge the pixels again."""

    is_global: bool = False
    """One threshold for all: good for even light, whatever is printed around the code."""


def reduced(grey: Picture, most_px: int = REDUCED_PX) -> Picture:
    """Return the picture with about so many pixels at most; the same one if it has no more."""
    if max(grey.shape) > _LONGEST_SIDE:  # neither zxing-cpp nor OpenCV can count so far
        grey = _scaled(grey, _LONGEST_SIDE / max(grey.shape))
    scale = (most_px / max(grey.size, 1)) ** 0.5
    if scale >= _WORTH_REDUCING:
        return grey
    # Whole pixels into one are ten times as fast as parts of them.
    whole = round(1 / scale)
    return _scaled(grey, 1 / whole if abs(1 / scale / whole - 1) < _NEARLY else scale)


def _enlarged(grey: Picture) -> Picture:
    """Give modules of one to three pixels room for edges."""
    scale = min(2.0, (_ENLARGED_PX / max(grey.size, 1)) ** 0.5)
    return grey if scale <= 1 else _scaled(grey, scale)


def _scaled(grey: Picture, scale: float) -> Picture:
    width, height = (max(1, round(side * scale)) for side in grey.shape[::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return picture(cv2.resize(grey, (width, height), interpolation=how))


def _same(grey: Picture) -> Picture:
    return grey


def _half(grey: Picture) -> Picture:
    return _scaled(grey, 0.5)


def _sharpened(grey: Picture) -> Picture:
    return _unsharp(grey, sigma=2, strength=2)


def _much_sharpened(grey: Picture) -> Picture:
    """Undo the blur of a lens without focus; the median first, or noise is sharpened too."""
    return _unsharp(picture(cv2.medianBlur(grey, 3)), sigma=3, strength=4)


def _enlarged_sharpened(grey: Picture) -> Picture:
    return _unsharp(_enlarged(grey), sigma=4, strength=3)


def _unsharp(grey: Picture, *, sigma: float, strength: float) -> Picture:
    blurred = cv2.GaussianBlur(grey, (0, 0), sigma)
    return picture(cv2.addWeighted(grey, 1 + strength, blurred, -strength, 0))


def _brightened(grey: Picture) -> Picture:
    return picture(cv2.LUT(grey, _gamma(0.4)))


def _darkened(grey: Picture) -> Picture:
    """Spread what is almost white: glare over print."""
    return picture(cv2.LUT(grey, _gamma(2.5)))


@cache
def _gamma(power: float) -> Picture:
    return (255 * (np.arange(256) / 255) ** power).astype(np.uint8)


def _equalised(grey: Picture) -> Picture:
    return picture(cv2.createCLAHE(3, (8, 8)).apply(grey))


def _smoothed(grey: Picture) -> Picture:
    """Let thin lines, dots and the grain of a screen run into one."""
    return picture(cv2.GaussianBlur(grey, (0, 0), 2))


def _adapted(grey: Picture) -> Picture:
    return binary(grey, window=max(grey.shape) // 20, offset=2)


def _adapted_small(grey: Picture) -> Picture:
    small = picture(cv2.GaussianBlur(grey, (0, 0), 1))
    return binary(small, window=25)


def _adapted_large(grey: Picture) -> Picture:
    return binary(_enlarged(grey), window=51)


GREY = View("grey", _same, _AS_IT_IS)
REDUCED = View("reduced", _same, REDUCED_PX)
GLOBAL = View("global", _same, is_global=True)
FIXED = View("fixed", _same, is_binary=True)
HALF = View("half", _half)
SHARPENED = View("sharpened", _sharpened, REDUCED_PX)
MUCH_SHARPENED = View("much sharpened", _much_sharpened, REDUCED_PX)
BRIGHTENED = View("brightened", _brightened)
DARKENED = View("darkened", _darkened, REDUCED_PX)
EQUALISED = View("equalised", _equalised, REDUCED_PX)
SMOOTHED = View("smoothed", _smoothed, REDUCED_PX)
ADAPTED = View("adapted", _adapted, is_binary=True)
ADAPTED_SMALL = View("adapted small", _adapted_small, SMALL_PX, is_binary=True)
ADAPTED_LARGE = View("adapted large", _adapted_large, is_binary=True)
ENLARGED_SHARPENED = View("enlarged sharpened", _enlarged_sharpened)
