"""A video, frame by frame, within the time that a frame may cost.

Most codes are read by the first cheap look. For the others there is one dear step for each frame,
another one each time, so that no frame is late and every step has its turn; and a code that is
there but cannot be read in any one frame is voted on by all of them, module by module.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle

import cv2
import numpy as np

from scanner.eye import views
from scanner.eye.cascade import (
    FINDER_VIEWS,
    LEAST_SIDE,
    Look,
    completed,
    fitted,
    located,
    looked,
    searched,
    text_in,
)
from scanner.eye.grid import Grid, followed
from scanner.eye.levels import settled
from scanner.eye.reading import Field, Picture, Points, Reading, each_once, field, grey
from scanner.eye.soft import meant
from scanner.eye.symbol import pattern_of, version_of
from scanner.eye.zxing import text_of

_FITS_A_STEP = 2
_PLACES_REMEMBERED = 2
_FORGOTTEN_AFTER_SECONDS = 1.0
_EVERYWHERE_EVERY_SECONDS = 0.2
_LEAST_LIKENESS = 0.25
"""Of two frames' modules: a code is like itself, and another code is like chance."""

_FADES = 0.9
"""What a frame's vote still counts at the next: a grid that slipped is outvoted in time."""

_MARGIN = 0.35

_NEWEST_COUNTS = 0.25
_SHIFT_SEEN_AT_PX = 240
_LEAST_SURENESS = 0.1


@dataclass(eq=False)
class _Place:
    """Where a code is, or was a moment ago."""

    corners: Points
    seen_at: float


@dataclass(eq=False)
class _Vote:
    """A code that no single frame has told yet."""

    grid: Grid
    votes: Field
    seen_at: float


class Together:
    """What the last frames show together: where each alone is mostly grain, their mean is not.

    A hand shifts a code from frame to frame, so each frame is shifted back first.
    """

    def __init__(self) -> None:
        self._mean: Field | None = None

    def add(self, picture: Picture) -> None:
        frame = picture.astype(np.float32)
        if self._mean is None or self._mean.shape != frame.shape:
            self._mean = frame
            return
        (x, y), sureness = _shift(self._mean, frame)
        if sureness < _LEAST_SURENESS:  # something else came before the camera
            self._mean = frame
            return
        height, width = frame.shape
        back = np.array([(1, 0, x), (0, 1, y)], np.float32)
        moved = cv2.warpAffine(self._mean, back, (width, height), borderMode=cv2.BORDER_REPLICATE)
        self._mean = field(cv2.addWeighted(moved, 1 - _NEWEST_COUNTS, frame, _NEWEST_COUNTS, 0))

    @property
    def picture(self) -> Picture:
        assert self._mean is not None, "there was a frame"
        return np.clip(self._mean, 0, 255).astype(np.uint8)


def _shift(before: Field, after: Field) -> tuple[tuple[float, float], float]:
    """Return by how many pixels all has moved, and how sure that is, from 0 to 1."""
    scale = max(1.0, min(before.shape) / _SHIFT_SEEN_AT_PX)
    size = round(before.shape[1] / scale), round(before.shape[0] / scale)
    if min(size) < LEAST_SIDE:
        return (0.0, 0.0), 0.0
    one = cv2.resize(before, size, interpolation=cv2.INTER_AREA)
    other = cv2.resize(after, size, interpolation=cv2.INTER_AREA)
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    (x, y), sureness = cv2.phaseCorrelate(one, other, window)
    return (x * scale, y * scale), sureness


class Watcher:
    """Tells what codes come into sight of one camera.

    It is not for several threads. Frames must be of one camera and in their order.
    """

    def __init__(
        self,
        *,
        budget_seconds: float = 0.03,
        away_seconds: float = 2.0,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Spend about so long on a frame; the first look is always taken, and ends when it ends.

        A code that was out of sight for `away_seconds` is told again.
        """
        self._budget_seconds = budget_seconds
        self._away_seconds = away_seconds
        self._timer = timer
        self._told: dict[str, float] = {}
        self._places: deque[_Place] = deque(maxlen=_PLACES_REMEMBERED)
        self._votes: list[_Vote] = []
        self._steps = cycle(_STEPS)
        self._together = Together()
        self._unfinished: tuple[Look, Iterator[None]] | None = None
        self._looked_everywhere_at = -np.inf

    def see(self, frame: Picture, *, at: float) -> list[Reading]:
        """Look at the next frame, taken at this moment in seconds; return what is new in it.

        The same text is told once, and again only after it has been out of sight for a while.

        Raises:
            TypeError: The frame has not one byte a channel.
            ValueError: It is neither grey nor blue-green-red.
        """
        until = self._timer() + self._budget_seconds
        seen = Look(grey(frame), most_fits=_FITS_A_STEP)
        self._forget(at)
        readings = self._looked_where_it_was(seen.grey)
        if not readings or abs(at - self._looked_everywhere_at) >= _EVERYWHERE_EVERY_SECONDS:
            self._looked_everywhere_at = at
            readings += _first_looks(seen)
        if min(seen.grey.shape) < LEAST_SIDE:
            return []
        if not readings:
            readings = self._voted(seen.grey, at, until)
        if not readings:
            self._together.add(seen.grey)
            readings = self._worked(seen, at, until)
        self._remember(readings, at)
        return self._new(each_once(readings), at)

    @property
    def in_sight(self) -> list[str]:
        """What has been read and not been out of sight for long, the oldest first."""
        return list(self._told)

    def _forget(self, at: float) -> None:
        self._told = {t: seen for t, seen in self._told.items() if at - seen < self._away_seconds}
        self._places = deque(
            (p for p in self._places if at - p.seen_at < _FORGOTTEN_AFTER_SECONDS),
            maxlen=_PLACES_REMEMBERED,
        )
        self._votes = [v for v in self._votes if at - v.seen_at < _FORGOTTEN_AFTER_SECONDS]

    def _looked_where_it_was(self, picture: Picture) -> list[Reading]:
        found: list[Reading] = []
        for place in self._places:
            box = _box(place.corners, picture.shape)
            crop = Look(np.ascontiguousarray(picture[box]), most_fits=0)
            found += [_moved(r, box) for r in _advanced(crop, looked(crop, (views.GREY,)))]
        return found

    def _voted(self, picture: Picture, at: float, until: float) -> list[Reading]:
        """Add this frame's votes to those of the frames before."""
        found: list[Reading] = []
        for vote in list(self._votes):
            if self._timer() >= until:
                break
            grid = followed(picture, vote.grid)
            if grid is None:
                continue
            values = votes_of(grid)
            if likeness(values, vote.votes) < _LEAST_LIKENESS:
                self._votes.remove(vote)
                continue
            vote.grid, vote.seen_at = grid, at
            vote.votes = vote.votes * _FADES + values
            text = text_in(grid) or _text_of_votes(vote.votes)
            if text is not None:
                found.append(Reading(text, grid.corners, "frames together"))
                self._votes.remove(vote)
        return found

    def _worked(self, seen: Look, at: float, until: float) -> list[Reading]:
        """Take dear steps while there is time; what is not finished goes on at the next frame."""
        while self._timer() < until:
            if self._unfinished is None:
                begin, is_of_many = next(self._steps)
                if is_of_many:
                    seen = Look(self._together.picture, most_fits=_FITS_A_STEP)
                self._unfinished = seen, begin(seen)
            look, step = self._unfinished
            if next(step, _DONE) is _DONE:
                self._unfinished = None
                self._follow(look, at)
            if look.readings:
                self._unfinished = None
                return look.readings
        return []

    def _follow(self, seen: Look, at: float) -> None:
        """Let the coming frames vote on what a step has seen and could not read."""
        for grid in seen.unread:
            if not any(_is_near(grid.corners, vote.grid.corners) for vote in self._votes):
                self._votes.append(_Vote(grid, votes_of(grid), at))
        self._votes = self._votes[-_PLACES_REMEMBERED:]

    def _remember(self, readings: list[Reading], at: float) -> None:
        for reading in readings:
            near = next((p for p in self._places if _is_near(reading.corners, p.corners)), None)
            if near is None:
                self._places.append(_Place(reading.corners, at))
            else:
                near.corners, near.seen_at = reading.corners, at

    def _new(self, readings: list[Reading], at: float) -> list[Reading]:
        new = [reading for reading in readings if reading.text not in self._told]
        for reading in readings:
            self._told[reading.text] = at
        return new


def _first_looks(seen: Look) -> list[Reading]:
    """Take every look that costs no more than a millisecond or two, until one reads something.

    So no plain reader is earlier, whatever the dear steps do with the rest of the frame's time.
    """
    for view in _EVERY_FRAME:
        if readings := _advanced(seen, looked(seen, (view,))):
            return readings
    return []


def _advanced(seen: Look, step: Iterator[None]) -> list[Reading]:
    for _ in step:
        pass
    return seen.readings


def _view_step(view: views.View) -> Callable[[Look], Iterator[None]]:
    def step(seen: Look) -> Iterator[None]:
        yield from looked(seen, (view,))
        yield from fitted(seen, "grid")

    return step


def _finder_step(view: views.View) -> Callable[[Look], Iterator[None]]:
    return lambda seen: searched(seen, (view,))


def _located_step(seen: Look) -> Iterator[None]:
    # On all pixels it takes longer than a frame, and cannot be interrupted.
    yield from located(seen, most_px=views.SMALL_PX)
    yield from fitted(seen, "located grid")


_EVERY_FRAME = (views.GREY, views.GLOBAL, views.FIXED)
_ON_ONE: tuple[Callable[[Look], Iterator[None]], ...] = (
    _view_step(views.SHARPENED),
    _finder_step(FINDER_VIEWS[0]),
    _view_step(views.EQUALISED),
    _view_step(views.ADAPTED_SMALL),
    _finder_step(FINDER_VIEWS[1]),
    _view_step(views.BRIGHTENED),
    _view_step(views.ENLARGED_SHARPENED),
    _view_step(views.ADAPTED),
    _finder_step(FINDER_VIEWS[2]),
    _view_step(views.DARKENED),
    _view_step(views.MUCH_SHARPENED),
    _located_step,
    _view_step(views.SMOOTHED),
    completed,
)
_ON_MANY = (_view_step(views.GREY), _finder_step(FINDER_VIEWS[1]), _view_step(views.SHARPENED))
"""Taken on what frames show together; one after so many of the others."""

_STEPS = [
    each
    for number, step in enumerate(_ON_ONE)
    for each in ((step, False), (_ON_MANY[number // 3 % 3], True))[: 1 + (number % 3 == 2)]
]
_DONE = object()


def votes_of(grid: Grid) -> Field:
    return settled(grid.greys, grid.values)


def likeness(a: Field, b: Field) -> float:
    """Say how alike two samples of modules are, 1 for the same code, about 0 for another one.

    What all codes of a size have in common does not count.
    """
    version = version_of(len(a))
    if a.shape != b.shape or version is None:
        return 0.0
    data = pattern_of(version).data
    one, other = a[data], b[data]
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6))


def _text_of_votes(votes: Field) -> str | None:
    modules = meant(field(votes / max(float(np.abs(votes).max()), 1e-6)))
    return None if modules is None else text_of(modules)


def _box(corners: Points, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns about a code, with room for a hand to move."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = _MARGIN * float((high - low).max()) + 8
    left, top = np.maximum(low - room, 0).astype(int)
    right, bottom = np.minimum(high + room, np.array(shape[1::-1])).astype(int)
    return slice(int(top), max(int(bottom), int(top))), slice(int(left), max(int(right), int(left)))


def _moved(reading: Reading, box: tuple[slice, slice]) -> Reading:
    origin = np.array([box[1].start, box[0].start], np.float32)
    return replace(reading, corners=reading.corners + origin)


def _is_near(a: Points, b: Points) -> bool:
    apart = np.hypot(*(a.mean(axis=0) - b.mean(axis=0)))
    return bool(apart < 0.5 * np.sqrt(max(float(np.ptp(a, axis=0).prod()), 1.0)))
