"""One picture, the cheapest way first, as far as the effort goes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.eye import views
from scanner.eye.finders import Finder, binary, finders, half_sightings, sightings
from scanner.eye.grid import Blank, Grid, grids
from scanner.eye.levels import settled
from scanner.eye.reading import Effort, Picture, Points, Reading, each_once, grey, picture
from scanner.eye.soft import meant
from scanner.eye.views import View
from scanner.eye.zxing import Sighting, look, text_of

_DEFAULT_VIEWS = (
    views.REDUCED,
    views.GLOBAL,
    views.BRIGHTENED,
    views.SHARPENED,
    views.EQUALISED,
    views.ADAPTED,
    views.ADAPTED_SMALL,
)
_THOROUGH_VIEWS = (
    views.DARKENED,
    views.ADAPTED_LARGE,
    views.ENLARGED_SHARPENED,
    views.SMOOTHED,
    views.MUCH_SHARPENED,
    views.HALF,
)
_FINDERS_USED = 14
_SIGHTINGS_USED = 6
_HALF_FINDERS_USED = 4
_HALF_SIGHTINGS_USED = 18
_FITS = {Effort.FRAME: 0, Effort.DEFAULT: 2, Effort.THOROUGH: 48}

_SURELY_A_CODE = 0.42
LEAST_SIDE = 15
"""The smallest code has 21 modules a side; a reduced view of less is nothing to look for."""


def decode(image: Picture, *, effort: Effort = Effort.DEFAULT) -> list[Reading]:
    """Return every code in the picture, each text once; nothing found is an empty list.

    The same picture and effort always give the same answer. What the texts mean, and whether
    they may be trusted, is not known here.

    Raises:
        TypeError: The picture has not one byte a channel.
        ValueError: It is neither grey nor blue-green-red.
    """
    seen = Look(grey(image), most_fits=_FITS[effort])
    for _ in work(seen, effort):
        pass
    return each_once(seen.readings)


class Look:
    """What is known of one picture so far."""

    def __init__(self, grey: Picture, *, most_fits: int) -> None:
        self.grey = grey
        self.most_fits = most_fits
        """How often a grid is laid, at most: it is the dearest step by far."""

        self._smaller: dict[int, Picture] = {}
        self.readings: list[Reading] = []
        self.waiting: list[Sighting] = []
        self.tried: list[Sighting] = []
        self.blanks = 0
        """How often a grid lay well on finders alone, which is twice the work of any other."""

        self.unread: list[Grid] = []
        """Places where the patterns of a code are, but no text could be had."""

    def at_most(self, most_px: int) -> Picture:
        """Return the picture with about so many pixels; made once, whoever asks."""
        if most_px not in self._smaller:
            self._smaller[most_px] = views.reduced(self.grey, most_px)
        return self._smaller[most_px]

    @property
    def is_spent(self) -> bool:
        """No grid may be laid any more, so there is no use in looking for places."""
        return len(self.tried) + self.blanks >= self.most_fits

    def is_read_at(self, corners: Points) -> bool:
        """Tell whether the middle of this place lies in a code that was read."""
        middle = corners.mean(axis=0)
        return any(_holds(reading.corners, middle) for reading in self.readings)


def work(seen: Look, effort: Effort) -> Iterator[None]:
    """Take one step after the other, pausing after each, until nothing is left to read."""
    yield from looked(seen, (views.GREY,))
    if effort is Effort.FRAME:
        return
    if seen.readings:
        yield from fitted(seen, "grid")
        if effort is Effort.DEFAULT:
            return
        yield from searched(seen, FINDER_VIEWS)
        if not seen.unread:
            return
    for view in _DEFAULT_VIEWS:
        yield from looked(seen, (view,))
        if seen.readings and effort is Effort.DEFAULT:
            return
    yield from fitted(seen, "grid")
    yield from searched(seen, FINDER_VIEWS if effort is Effort.THOROUGH else FINDER_VIEWS[:1])
    if effort is Effort.DEFAULT or (seen.readings and not seen.unread):
        return
    yield from looked(seen, _THOROUGH_VIEWS)
    yield from fitted(seen, "grid")
    yield from located(seen)
    yield from fitted(seen, "located grid")
    yield from completed(seen)


def looked(seen: Look, through: Iterable[View]) -> Iterator[None]:
    for view in through if min(seen.grey.shape) >= LEAST_SIDE else ():
        image = view.of(seen.at_most(view.most_px))
        if min(image.shape) < LEAST_SIDE or (image is seen.grey and view is views.REDUCED):
            continue  # nothing, or the same picture again
        readings, sightings = look(
            image, view.name, is_global=view.is_global, is_binary=view.is_binary
        )
        scale = float(np.sqrt(seen.grey.size / max(image.size, 1)))
        add(seen, (replace(r, corners=(r.corners * scale).astype(np.float32)) for r in readings))
        _wait(seen, sightings, scale)
        yield


def add(seen: Look, readings: Iterable[Reading]) -> None:
    known = {reading.text for reading in seen.readings}
    seen.readings += [reading for reading in readings if reading.text not in known]
    seen.unread = [grid for grid in seen.unread if not seen.is_read_at(grid.corners)]


def fitted(seen: Look, step: str, *, most: int = _SIGHTINGS_USED) -> Iterator[None]:
    """Lay a grid over what was seen and not read."""
    waiting, seen.waiting = seen.waiting, []
    tries = 0
    for sighting in waiting:
        if tries == most or seen.is_spent:
            return
        if seen.is_read_at(sighting.corners) or any(_alike(sighting, t) for t in seen.tried):
            continue
        seen.tried.append(sighting)
        tries += 1
        best: Grid | None = None
        for grid in grids(seen.grey, sighting):
            if grid is None:
                yield
                continue
            if isinstance(grid, Blank):
                seen.blanks += 1
                yield
                continue
            best = grid if best is None or grid.fit > best.fit else best
            text = text_in(grid)
            if text is not None:
                add(seen, [Reading(text, grid.corners, step)])
                break
            yield
        else:
            if best is not None and best.fit >= _SURELY_A_CODE:
                seen.unread.append(best)
        yield


def text_in(grid: Grid) -> str | None:
    """Return what the sampled modules say, as they were seen or better settled."""
    modules = meant(grid.values)
    if modules is None:
        modules = meant(settled(grid.greys, grid.values))
    return None if modules is None else text_of(modules)


def searched(seen: Look, through: Iterable[View]) -> Iterator[None]:
    """Look for finder patterns where no code was read yet."""
    for view in through:
        if seen.is_spent:
            return
        found, scale = _found(seen, view)
        yield
        _wait(seen, sightings(found[:_FINDERS_USED], most=_SIGHTINGS_USED), scale)
        yield from fitted(seen, view.name)


def completed(seen: Look) -> Iterator[None]:
    """Look for codes with one finder torn, dirty or in shadow."""
    for view in _HALF_VIEWS:
        if seen.is_spent:
            return
        found, scale = _found(seen, view)
        yield
        _wait(seen, half_sightings(found[:_HALF_FINDERS_USED])[:_HALF_SIGHTINGS_USED], scale)
        yield from fitted(seen, view.name, most=_HALF_SIGHTINGS_USED)


def _found(seen: Look, view: View) -> tuple[list[Finder], float]:
    """Return the finders outside of the codes that were read, and how much larger all is."""
    if min(seen.grey.shape) < LEAST_SIDE:
        return [], 1.0
    image = view.of(seen.at_most(view.most_px))
    scale = float(np.sqrt(seen.grey.size / max(image.size, 1)))
    found = [
        f
        for f in finders(image)
        if not seen.is_read_at((f.centre[None] * scale).astype(np.float32))
    ]
    return found, scale


def _wait(seen: Look, sightings: Iterable[Sighting], scale: float) -> None:
    seen.waiting += [
        replace(each, corners=(each.corners * scale).astype(np.float32)) for each in sightings
    ]


def _even(grey: Picture) -> Picture:
    smooth = picture(cv2.GaussianBlur(grey, (0, 0), 0.8))
    return _without_specks(binary(smooth, window=max(grey.shape) // 25, offset=3))


def _fine(grey: Picture) -> Picture:
    return _without_specks(binary(grey, window=25, offset=2))


def _without_specks(black_and_white: Picture) -> Picture:
    """Grain would be ten thousands of outlines, each to be followed."""
    return picture(cv2.medianBlur(black_and_white, 3))


def _coarse(grey: Picture) -> Picture:
    return binary(picture(cv2.GaussianBlur(grey, (0, 0), 1)), window=25, offset=1)


def _negative(of: Callable[[Picture], Picture]) -> Callable[[Picture], Picture]:
    return lambda grey: of(picture(cv2.bitwise_not(grey)))


FINDER_VIEWS = (
    # Dark ones and light ones, coarsely and finely.
    View("coarse finders", _coarse, views.SMALL_PX),
    View("finders", _even, views.REDUCED_PX),
    View("light finders", _negative(_even), views.REDUCED_PX),
    View("fine finders", _fine, 3_000_000),
    View("coarse light finders", _negative(_coarse), views.SMALL_PX),
)
_HALF_VIEWS = (
    View("two finders", _even, views.REDUCED_PX),
    View("two light finders", _negative(_even), views.REDUCED_PX),
)


def located(seen: Look, *, most_px: int = views.REDUCED_PX) -> Iterator[None]:
    """Ask OpenCV where it sees a code, for another opinion."""
    image = seen.at_most(most_px)
    if min(image.shape) < LEAST_SIDE:
        return
    scale = (np.array(seen.grey.shape[::-1]) / image.shape[::-1]).mean()
    is_found, quads = cv2.QRCodeDetectorAruco().detectMulti(image)
    if is_found:
        _wait(seen, (Sighting(quad, None) for quad in quads), float(scale))
    yield


def _alike(a: Sighting, b: Sighting) -> bool:
    """Tell whether a grid laid at the one place would find what it finds at the other."""
    if a.version is not None and b.version is not None and abs(a.version - b.version) > 1:
        return False
    side = np.sqrt(abs(cv2.contourArea(a.corners)))
    return bool(np.abs(a.corners - b.corners).max() < 0.1 * side)


def _holds(corners: Points, point: NDArray[Any]) -> bool:
    x, y = map(float, point)
    return cv2.pointPolygonTest(corners.astype(np.float32), (x, y), False) >= 0  # noqa: FBT003
