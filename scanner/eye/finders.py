"""Looking for the three finder patterns ourselves, where the reader has seen no code.

A finder is a dark square in a light ring in a dark ring, and stays that however it is tilted; so
we look for nested outlines, not for lines of 1:1:3:1:1. The outer ring may run into something
else: the light ring with the square inside it is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.eye.reading import Picture, Points, picture
from scanner.eye.symbol import VERSIONS, size_of
from scanner.eye.zxing import Sighting

_MOST_FINDERS = 14
_LEAST_SQUARE_PX = 5
_LARGEST_UNLIKENESS = 0.45
_LARGEST_STEP = 2.2
"""Of one code the nearest finder looks so much larger than the farthest, at most."""

_LEAST_SINE = 0.35


@dataclass(frozen=True, eq=False)
class Finder:
    centre: NDArray[np.float64]
    ring: NDArray[np.float64]
    """Outline of the light ring, five modules a side, about the centre."""

    shape: NDArray[np.float64]
    """Second moments (2, 2) of the square inside: how the finder is tilted."""

    module_px: float
    looks: float
    """How much it looks like a finder: 0 is perfect."""

    def five_modules(self, towards: NDArray[np.float64]) -> float:
        """Measure through the centre how long five modules are in this direction."""
        direction = towards / max(float(np.hypot(*towards)), 1e-9)
        along, across = self.ring @ direction, self.ring @ np.array([-direction[1], direction[0]])
        crosses = np.signbit(across) != np.signbit(np.roll(across, -1))
        a, b = across[crosses], np.roll(across, -1)[crosses]
        at = along[crosses] + (np.roll(along, -1)[crosses] - along[crosses]) * a / (a - b)
        return float(np.ptp(at)) if len(at) > 1 else 5 * self.module_px


def binary(grey: Picture, *, window: int, offset: int = 0) -> Picture:
    """Return the picture in black and white, each pixel judged among its neighbours."""
    return picture(
        cv2.adaptiveThreshold(
            grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, max(window | 1, 3), offset
        )
    )


def finders(black_and_white: Picture) -> list[Finder]:
    """Return what looks like a finder pattern, dark on light, the likeliest first."""
    found_outlines: Any = cv2.findContours(
        cv2.bitwise_not(black_and_white), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE
    )
    outlines: Sequence[NDArray[np.int32]] = found_outlines[0]
    if not outlines:
        return []
    found: list[Finder] = []
    lengths = np.fromiter((len(o) for o in outlines), np.intp, len(outlines))
    links: NDArray[np.int32] = found_outlines[1][0]
    # A light ring is the inner edge of something dark that itself holds something dark.
    is_ring = (links[:, 3] >= 0) & (links[:, 2] >= 0) & (lengths >= 4 * _LEAST_SQUARE_PX)
    for ring in np.flatnonzero(is_ring).tolist():
        inside = int(links[ring, 2])
        while inside >= 0:
            if 2 * lengths[inside] > lengths[ring] * 0.7:
                finder = _finder(outlines[ring], outlines[inside])
                if finder is not None:
                    found.append(finder)
            inside = int(links[inside, 0])
    found.sort(key=lambda finder: finder.looks)
    return _apart(found)


def _finder(ring: NDArray[np.int32], square: NDArray[np.int32]) -> Finder | None:
    # An inner edge runs through the dark pixels around the hole, hence a pixel too far out.
    outer, inner = cv2.contourArea(ring), cv2.contourArea(square)
    if inner < _LEAST_SQUARE_PX**2 / 2:
        return None
    hole = outer - len(ring) / 2
    blot = inner + len(square) / 2
    ratio = hole / blot
    if not 1.5 < ratio < 5.5:
        return None
    hull_ring, hull_square = (
        cv2.contourArea(cv2.convexHull(ring)),
        cv2.contourArea(cv2.convexHull(square)),
    )
    solid = min(outer / max(hull_ring, 1), inner / max(hull_square, 1))
    if solid < 0.75:
        return None
    a, b = cv2.moments(ring), cv2.moments(square)
    centre = np.array([b["m10"] / b["m00"], b["m01"] / b["m00"]])
    other = np.array([a["m10"] / a["m00"], a["m01"] / a["m00"]])
    off = float(np.hypot(*(centre - other))) / np.sqrt(hole)
    if off > 0.15:
        return None
    looks = abs(np.log(ratio * 9 / 25)) + 3 * off + 2 * (1 - solid)
    outline = ring[:, 0].astype(np.float64) - centre
    shape = np.array([(b["mu20"], b["mu11"]), (b["mu11"], b["mu02"])]) / b["m00"]
    return Finder(centre, outline, shape, float(np.sqrt(hole) / 5), float(looks))


def _apart(found: list[Finder]) -> list[Finder]:
    kept: list[Finder] = []
    for finder in found:
        if all(np.hypot(*(finder.centre - other.centre)) > 3 * other.module_px for other in kept):
            kept.append(finder)
    return kept


def sightings(found: list[Finder]) -> list[Sighting]:
    """Return where three finders stand as those of one code do, the likeliest first."""
    if len(found) < 3:
        return []
    number = len(found)
    centres = np.array([finder.centre for finder in found])
    away = centres[None] - centres[:, None]
    lengths = np.hypot(away[..., 0], away[..., 1])
    chords = np.array(
        [[5.0 if i == j else found[i].five_modules(away[i, j]) for j in range(number)]
         for i in range(number)]
    )  # fmt: skip
    modules = 10 * lengths / (chords + chords.T)
    tries: list[tuple[float, int, int, int]] = []
    for three in combinations(range(number), 3):
        for i in range(3):
            corner, b, c = three[i], three[i - 2], three[i - 1]
            unlike = _unlikeness(modules[corner, b], modules[corner, c])
            if unlike > _LARGEST_UNLIKENESS:
                continue
            turn = away[corner, b, 0] * away[corner, c, 1] - away[corner, b, 1] * away[corner, c, 0]
            sine = turn / (lengths[corner, b] * lengths[corner, c])
            sizes = [found[each].module_px for each in three]
            if abs(sine) < _LEAST_SINE or max(sizes) > _LARGEST_STEP * min(sizes):
                continue
            rating = (
                unlike
                + 0.5 * (1 - abs(sine))
                + 0.5 * np.log(max(sizes) / min(sizes))
                + 0.2 * sum(found[each].looks for each in three)
            )
            # Clockwise from the corner comes the top right one first.
            tries.append(
                (float(rating), corner, b, c) if turn > 0 else (float(rating), corner, c, b)
            )
    tries.sort()
    return [
        _sighting(found[corner], found[b], found[c], (modules[corner, b] + modules[corner, c]) / 2)
        for _, corner, b, c in tries
    ]


def _unlikeness(a: float, b: float) -> float:
    """Say how far two sides, in modules, are from being those of one code."""
    mean = (a + b) / 2
    return abs(a - b) / mean if 11 < mean < 185 else np.inf


def _sighting(corner: Finder, b: Finder, c: Finder, modules: float) -> Sighting:
    version = _version(modules)
    return Sighting(_corners(corner, b, c, version), version)


def half_sightings(found: list[Finder]) -> list[Sighting]:
    """Return where the third finder might be, of which only two were found.

    Seen so that both finders are square, the third stands beside one of them, at the other end
    of a side, or where they are the two ends of the diagonal.
    """
    tries: list[tuple[float, Sighting]] = []
    for a, b in combinations(found, 2):
        if max(a.module_px, b.module_px) > _LARGEST_STEP * min(a.module_px, b.module_px):
            continue
        between = b.centre - a.centre
        modules = 10 * np.hypot(*between) / (a.five_modules(between) + b.five_modules(between))
        upright, tilted = _squared((a.shape + b.shape) / 2)
        straight = upright @ between
        rating = a.looks + b.looks
        if 11 < modules < 100:
            for turn in (_QUARTER, -_QUARTER):
                side = tilted @ turn @ straight
                version = _version(modules)
                for corner, first, second in (
                    (a.centre, a.centre + side, b.centre),
                    (b.centre, a.centre, b.centre + side),
                ):
                    tries.append((rating, _placed(corner, first, second, version)))
        # Along the diagonal the chord is longer than five modules by as much as the diagonal is.
        if 11 < modules < 100:
            for turn in (_EIGHTH, _EIGHTH.T):
                corner = a.centre + tilted @ turn @ straight / np.sqrt(2)
                tries.append((rating, _placed(corner, a.centre, b.centre, _version(modules))))
    tries.sort(key=lambda each: each[0])
    return [sighting for _, sighting in tries]


_QUARTER = np.array([(0.0, -1.0), (1.0, 0.0)])
_EIGHTH = np.array([(1.0, -1.0), (1.0, 1.0)]) / np.sqrt(2)


def _squared(shape: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how to make a tilted finder square, and how to tilt it again."""
    lengths, axes = np.linalg.eigh(shape)
    roots = np.sqrt(np.maximum(lengths, 1e-9))
    return axes @ np.diag(1 / roots) @ axes.T, axes @ np.diag(roots) @ axes.T


def _version(modules: float) -> int:
    return int(np.clip(round((modules + 7 - 17) / 4), VERSIONS[0], VERSIONS[-1]))


def _placed(
    corner: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    version: int,
) -> Sighting:
    a, b = first - corner, second - corner
    if a[0] * b[1] - a[1] * b[0] < 0:
        first, second = second, first
    return Sighting(_outline(corner, first, second, first + second - corner, version), version)


def _corners(corner: Finder, b: Finder, c: Finder, version: int) -> Points:
    """Guess where the code ends: the farther a finder, the smaller it looks."""
    near = [finder.module_px ** (-2 / 3) for finder in (corner, b, c)]
    fourth = near[1] + near[2] - near[0]
    if fourth > 0.4 * near[0]:
        last = (b.centre * near[1] + c.centre * near[2] - corner.centre * near[0]) / fourth
    else:
        last = b.centre + c.centre - corner.centre
    return _outline(corner.centre, b.centre, c.centre, last, version)


def _outline(
    corner: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    last: NDArray[np.float64],
    version: int,
) -> Points:
    size = size_of(version)
    plane = cv2.getPerspectiveTransform(
        np.array(
            [(3.5, 3.5), (size - 3.5, 3.5), (size - 3.5, size - 3.5), (3.5, size - 3.5)],
            np.float32,
        ),
        np.array([corner, first, last, second], np.float32),
    )
    square = np.array([[(0, 0), (size, 0), (size, size), (0, size)]], np.float32)
    return cv2.perspectiveTransform(square, plane)[0].astype(np.float32)
