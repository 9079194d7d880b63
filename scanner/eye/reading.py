"""What the eye is given, what it gives back, and how hard it tries."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Grey (height, width) or blue-green-red (height, width, 3), as OpenCV gives it."""

Field = NDArray[np.float32]
"""One number for each pixel or module."""

Points = NDArray[np.float32]
"""Points (n, 2): x to the right, y down, in pixels unless said otherwise."""


class Effort(StrEnum):
    """How much work one picture is worth."""

    FRAME = "frame"
    """One look, a few milliseconds: what a video can afford for every frame."""

    DEFAULT = "default"
    """Everything cheap: under 40 ms for a frame of 720 lines that has no code."""

    THOROUGH = "thorough"
    """Everything, up to about a second: for a photograph that will not come again."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One code that was read, with its error correction satisfied."""

    text: str
    corners: Points
    """Clockwise from the code's own top left, whichever way up it is held."""

    step: str
    """Which step found it, for whoever measures the steps."""


def grey(image: Picture) -> Picture:
    """Return the picture in grey, in one piece of memory.

    Raises:
        TypeError: Not one byte a channel.
        ValueError: Neither (height, width) nor (height, width, 3).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("A picture is an array with one byte (uint8) a channel.")
    if image.ndim == 3 and image.shape[2] == 3:
        if image.size == 0:
            return np.zeros(image.shape[:2], np.uint8)
        return picture(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY))
    if image.ndim != 2:
        raise ValueError(f"A picture is grey or has three channels; this one is {image.shape}.")
    return np.ascontiguousarray(image)


def each_once(readings: Iterable[Reading]) -> list[Reading]:
    """Keep the first of each text: a code that is shown twice is still one code."""
    return list({reading.text: reading for reading in reversed(list(readings))}.values())[::-1]


def picture(array: Any) -> Picture:
    """Give OpenCV's results the type that they have when bytes went in."""
    return array


def field(array: Any) -> Field:
    """Give OpenCV's results the type that they have when 32-bit floats went in."""
    return array
