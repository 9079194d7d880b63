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
_RING_POINTS = 128


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

    def five_modules(self, towards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measure through the centre how long five modules are in each of these directions."""
        way = towards / np.maximum(np.hypot(*towards.T), 1e-9)[:, None]
        along, across = self.ring @ way.T, self.ring @ np.stack([-way[:, 1], way[:, 0]])
        along_next, across_next = np.roll(along, -1, axis=0), np.roll(across, -1, axis=0)
        crosses = np.signbit(across) != np.signbit(across_next)
        share = across / np.where(crosses, across - across_next, 1)
        at = along + (along_next - along) * share
        length = np.max(at, axis=0, where=crosses, initial=-np.inf) - np.min(
            at, axis=0, where=crosses, initial=np.inf
        )
        return np.where(crosses.sum(axis=0) > 1, length, 5 * self.module_px)


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
    outline = ring[:: len(ring) // _RING_POINTS + 1, 0].astype(np.float64) - centre
    shape = np.array([(b["mu20"], b["mu11"]), (b["mu11"], b["mu02"])]) / b["m00"]
    return Finder(centre, outline, shape, float(np.sqrt(hole) / 5), float(looks))


def _apart(found: list[Finder]) -> list[Finder]:
    kept: list[Finder] = []
    for finder in found:
        if all(np.hypot(*(finder.centre - other.centre)) > 3 * other.module_px for other in kept):
            kept.append(finder)
    return kept


def sightings(found: list[Finder], *, most: int) -> list[Sighting]:
    """Return where three finders stand as those of one code do, the likeliest first."""
    if len(found) < 3:
        return []
    threes = np.array(list(combinations(range(len(found)), 3)), np.intp)
    turned = np.concatenate([threes, threes[:, [1, 2, 0]], threes[:, [2, 0, 1]]])
    corner, b, c = turned[:, 0], turned[:, 1], turned[:, 2]
    modules, away = _apart_in_modules(found)
    unlike = _unlikeness(modules[corner, b], modules[corner, c])
    to_b, to_c = away[corner, b], away[corner, c]
    turn = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0]
    sine = np.abs(turn) / (np.hypot(*to_b.T) * np.hypot(*to_c.T))
    px = np.array([finder.module_px for finder in found])
    px = np.stack([px[corner], px[b], px[c]])
    step = px.max(axis=0) / px.min(axis=0)
    looks = np.array([finder.looks for finder in found])
    rating = (
        unlike + 0.5 * (1 - sine) + 0.5 * np.log(step) + 0.2 * (looks[corner] + looks[b] + looks[c])
    )
    fits = (unlike <= _LARGEST_UNLIKENESS) & (sine >= _LEAST_SINE) & (step <= _LARGEST_STEP)
    likeliest = np.flatnonzero(fits)[np.argsort(rating[fits], kind="stable")][:most]
    corner, b, c, turn = corner[likeliest], b[likeliest], c[likeliest], turn[likeliest]
    sides = (modules[corner, b] + modules[corner, c]) / 2
    # Clockwise from the corner comes the top right one first.
    first, second = np.where(turn > 0, b, c), np.where(turn > 0, c, b)
    return [
        _sighting(found[int(corner[i])], found[int(first[i])], found[int(second[i])], sides[i])
        for i in range(sides.size)
    ]


def _apart_in_modules(
    found: list[Finder],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far each two are apart, in modules, and which way, in pixels (n, n, 2)."""
    centres = np.array([finder.centre for finder in found])
    away = centres[None] - centres[:, None]
    chords = np.array([finder.five_modules(ways) for finder, ways in zip(found, away, strict=True)])
    return 10 * np.hypot(away[..., 0], away[..., 1]) / (chords + chords.T), away


def _unlikeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far two sides, in modules, are from being those of one code."""
    mean = (a + b) / 2
    return np.where((mean > 11) & (mean < 185), np.abs(a - b) / np.maximum(mean, 1e-9), np.inf)


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
        chords = a.five_modules(between[None])[0] + b.five_modules(between[None])[0]
        modules = 10 * np.hypot(*between) / chords
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
