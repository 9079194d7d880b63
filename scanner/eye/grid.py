"""Laying the grid of modules over a code, however it is tilted, bent or crumpled.

A reader that lays a flat grid gives up where the paper is not flat. Here the grid is a mesh: first
a plane (four anchors, moved until finders, timing and alignment patterns agree with it), then a
smooth bend, finer and finer, that makes these patterns agree better still, and all other modules
as surely dark or light as they can be. What comes out are sampled modules for `soft.meant`.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.eye.reading import Field, Picture, Points, field, picture
from scanner.eye.symbol import (
    VERSIONS,
    format_places,
    format_words,
    pattern_of,
    size_of,
    version_of,
)
from scanner.eye.zxing import Sighting

_CROP_MODULE_PX = 5
_FLAT_MODULE_PX = 6
_FLAT_EDGE = 2
"""Modules around the flattened code: what bends outwards must not fall off."""

_LARGEST_CROP_PX = 1400
_LEAST_CROP_PX = 12
_LEAST_FIT = 0.35
"""Of 1: patterns that agree less are no code. Chance seldom gives 0.3, torn codes give 0.5."""

_STILL_TO_COME = 0.06
"""By so much the last, small moves of a plane make it fit better, at most."""

_LEAST_MARKS = 0.55
"""Of 1, without the finders. Modules drawn by lot give 0.4 and seldom 0.6, torn codes 0.75."""

_LEAST_START = 0.25
_LEAST_DEPTH = 1e-3
_NOWHERE = -1e4
_STARTS = 2
_PLANES_AT_ONCE = 32
"""As many as fit into the cache; all at once take twice as long."""

_FREE_PROBED = 150
_BENDS = (
    ((3, (0.5, 0.25, 0.25, 0.12)), (5, (0.5, 0.25, 0.25, 0.12))),
    ((4, (0.3, 0.3, 0.15)), (6, (0.3, 0.3, 0.15))),
)
"""How a grid is bent: points a side, and how many modules far they are moved, one after the other.

Where the one way ends at a grid that fits only half, the other, begun anew, often does not.
"""

_WINDOWS = (5, 9)
"""Modules a side in which dark and light are told apart: for glare, and for large blots."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Sampled modules, and where the code lies in the picture."""

    values: Field
    greys: Field
    corners: Points
    fit: float


@dataclass(frozen=True)
class Blank:
    """Finders, and nothing else of a code."""


def grids(grey: Picture, sighting: Sighting) -> Iterator[Grid | Blank | None]:
    """Yield the modules at this place as the grid fits better and better; perhaps nothing.

    `None` is a pause: whoever has little time may stop there and come back.
    """
    crop = _cropped(grey, sighting.corners, sighting.version or 3)
    if crop is None:
        return
    for plane in _planes(crop, sighting):
        if plane is None:
            yield None
        elif _marks(crop, plane) < _LEAST_MARKS:
            yield Blank()
        else:
            yield from _bent(crop, plane)


def followed(grey: Picture, before: Grid) -> Grid | None:
    """Return the grid where it has moved to since the frame before; nothing if it is not near."""
    version = version_of(len(before.values))
    assert version is not None, "a grid has the size of a code"
    crop = _cropped(grey, before.corners, version)
    if crop is None:
        return None
    plane = _refined(crop, _shifted(crop, version))
    return next(_bent(crop, plane), None) if plane.fit >= _LEAST_FIT else None


@dataclass(frozen=True, eq=False)
class _Crop:
    grey: Picture
    dark: Field
    scale: float
    origin: NDArray[np.float64]
    corners: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Plane:
    version: int
    anchors: NDArray[np.float64]
    """Where the centres of the finders, and of where a fourth would be, lie in the crop."""

    fit: float
    is_inverted: bool


@dataclass(frozen=True, eq=False)
class _Probe:
    """Where a flat grid is tested: centres of modules, what should be there, how it counts."""

    size: int
    places: Field
    """Across, down, 1."""

    signs: Field
    weights: Field
    open_weights: Field


def _cropped(grey: Picture, corners: Points, version: int) -> _Crop | None:
    """Cut out the surroundings of a code, about five pixels for each module."""
    quad = corners.astype(np.float64)
    if not np.isfinite(quad).all():
        return None
    area = abs(float(cv2.contourArea(corners)))
    side = np.sqrt(area)
    if side < _LEAST_CROP_PX:
        return None
    margin = 0.25 * float(np.max(np.ptp(quad, axis=0)))
    height, width = grey.shape
    left, top = np.maximum(np.floor(quad.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.minimum(
        np.ceil(quad.max(axis=0) + margin), np.array([width, height])
    ).astype(int)
    if min(right - left, bottom - top) < _LEAST_CROP_PX:
        return None
    part = grey[top:bottom, left:right]
    scale = _CROP_MODULE_PX * size_of(version) / side
    scale = float(min(scale, 4.0, _LARGEST_CROP_PX / max(part.shape)))
    if min(part.shape) * scale < _LEAST_CROP_PX:
        return None
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = picture(cv2.resize(part, None, fx=scale, fy=scale, interpolation=how))
    module_px = side * scale / size_of(version)
    origin = np.array([left, top], np.float64)
    dark = darkness(small, window=7 * module_px, blur=0.3 * module_px)
    return _Crop(small, dark, scale, origin, (quad - origin) * scale)


def darkness(grey: Picture, *, window: float, blur: float) -> Field:
    """Say how dark each pixel is among its neighbours, from -1 (light) to +1 (dark).

    Where all neighbours look alike, as in glare, it stays near 0.
    """
    smooth = field(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(blur, 0.3)))
    side = int(window) | 1
    square = np.ones((side, side), np.uint8)
    # In bytes, which is several times as fast and off by half a grey.
    bounds = cv2.convertScaleAbs(smooth)
    low = cv2.blur(cv2.erode(bounds, square).astype(np.float32), (side, side))
    high = cv2.blur(cv2.dilate(bounds, square).astype(np.float32), (side, side))
    half = field((high - low) / 2)
    floor = max(0.15 * float(np.percentile(half[::4, ::4], 90)), 2.0)
    return field(np.clip(((high + low) / 2 - smooth) / np.maximum(half, floor), -1, 1))


def _planes(crop: _Crop, sighting: Sighting) -> Iterator[_Plane | None]:
    """Yield the flat grids that agree best with the fixed patterns, best first."""
    guess = sighting.version
    versions = [v for v in (guess, guess - 1, guess + 1) if v in VERSIONS] if guess else [1, 2, 3]
    starts: list[_Plane] = []
    for version in versions:
        starts.append(_first_plane(crop, version))
        yield None
    starts.sort(key=lambda plane: plane.fit, reverse=True)
    refined: list[_Plane] = []
    for start in starts[:_STARTS]:
        if start.fit >= _LEAST_START:
            refined.append(_refined(crop, start))
            yield None
    refined.sort(key=lambda plane: plane.fit, reverse=True)
    seen: set[int] = set()
    for plane in refined:
        if plane.fit >= _LEAST_FIT and plane.version not in seen:
            seen.add(plane.version)
            yield plane


def _marks(crop: _Crop, plane: _Plane) -> float:
    """Say how well all that a code has besides its finders is there; 1 is perfect.

    Three squares stand in many places as finders do, but nothing else goes on from dark to light
    as often as the timing patterns, and few words of 15 bits name a format.
    """
    size = size_of(plane.version)
    pattern = pattern_of(plane.version)
    line = np.arange(size, dtype=np.float64) + 0.5
    centres: NDArray[np.float64] = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    through = _plane_through(_square(3.5, size - 3.5), plane.anchors[None])[0]
    values = _sampled(crop.dark, _moved(through, centres)).reshape(size, size)
    if plane.is_inverted:
        values = -values
    marks = [
        _share(float((values * pattern.fixed)[part].sum()), values[part])
        for part in (pattern.timing, pattern.alignment)
        if part.any()
    ]
    places = format_places(size)
    of_format = np.array([[seen[tuple(p.T)] for p in places] for seen in (values, values.T)])
    agree = format_words() @ of_format.sum(axis=1).T
    marks.append(_share(float(agree.max()), field(of_format[0])))
    return float(np.mean(marks))


def _share(agree: float, values: Field) -> float:
    return agree / max(float(np.abs(values).sum()), 1e-6)


def _first_plane(crop: _Crop, version: int) -> _Plane:
    """Try the fourth anchor all around where it should be; it is the one that nobody sees."""
    anchors, one = _anchors(crop, version)
    offsets = _around(np.arange(-6.0, 7.0), one)
    many = np.repeat(anchors[None], len(offsets), axis=0)
    many[:, 2] += offsets
    first = _best(crop, many, version, _first_probe(version))
    return _best(crop, first.anchors[None], version, _probe(version))


def _anchors(crop: _Crop, version: int) -> tuple[NDArray[np.float64], float]:
    """Return the anchors that the corners imply, and how many pixels a module has."""
    size = size_of(version)
    plane = _plane_through(_square(0, size), crop.corners[None])[0]
    anchors = _moved(plane, _square(3.5, size - 3.5))
    return anchors, _module_px(anchors, size)


def _module_px(anchors: NDArray[np.float64], size: int) -> float:
    return float(np.sqrt(abs(cv2.contourArea(anchors.astype(np.float32))))) / (size - 7)


def _around(reach: NDArray[np.float64], one: float) -> NDArray[np.float64]:
    return np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2) * one


def _best(crop: _Crop, many: NDArray[np.float64], version: int, probe: _Probe) -> _Plane:
    fits = _fits(crop.dark, many, probe)
    best = int(np.argmax(np.abs(fits)))
    return _Plane(version, many[best], float(abs(fits[best])), bool(fits[best] < 0))


def _shifted(crop: _Crop, version: int) -> _Plane:
    """Try the whole grid all around where it was: a hand moves, and turns little."""
    anchors, one = _anchors(crop, version)
    many = anchors[None] + _around(np.arange(-5.0, 6.0), one)[:, None]
    return _best(crop, many, version, _probe(version))


def _refined(crop: _Crop, plane: _Plane) -> _Plane:
    """Move the four anchors, all in turn, as long as the fit gets better."""
    anchors, fit = plane.anchors, plane.fit
    probe, sign = _probe(plane.version), -1 if plane.is_inverted else 1
    size = size_of(plane.version)
    one = _module_px(anchors, size)
    around = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y], np.float64)
    for step in (1.0, 0.5, 0.5, 0.25, 0.12):
        if step < 0.5 and fit < _LEAST_FIT - _STILL_TO_COME:
            break
        for _ in range(4):
            many = np.repeat(anchors[None], 4 * len(around), axis=0)
            for anchor in range(4):
                many[anchor * 8 : anchor * 8 + 8, anchor] += around * (step * one)
            fits = sign * _fits(crop.dark, many, probe)
            best = int(np.argmax(fits))
            if fits[best] <= fit:
                break
            anchors, fit = many[best], float(fits[best])
    return _Plane(plane.version, anchors, fit, plane.is_inverted)


@cache
def _probe(version: int) -> _Probe:
    """Return all places that tell whether a plane fits."""
    return _every(version, 1)


@cache
def _first_probe(version: int) -> _Probe:
    """Return enough of them to tell good planes from bad ones, if not the best from the second."""
    return _every(version, 3)


def _every(version: int, so_many: int) -> _Probe:
    """Probe the timing patterns whole, and each so many of all else."""
    size = size_of(version)
    pattern = pattern_of(version)
    weight = np.zeros((size, size), np.float32)
    some = np.random.default_rng(version)
    for part, nth in (
        (pattern.finders, so_many),
        (pattern.timing, 1),
        (pattern.alignment, so_many),
    ):
        rows, columns = np.nonzero(part)
        probed = some.permutation(len(rows))[::nth]
        weight[rows[probed], columns[probed]] += 1 / max(len(probed), 1)
    rows, columns = np.nonzero(weight)
    places = [np.stack([columns + 0.5, rows + 0.5], axis=1)]
    signs = [pattern.fixed[rows, columns].astype(np.float32)]
    weights = [weight[rows, columns]]
    # The first light line around the code tells where it ends; often it is printed over.
    line = np.arange(0, size, so_many, dtype=np.float64) + 0.5
    ends = np.concatenate(
        [
            np.stack([line, np.full(len(line), size + 0.5)], 1),
            np.stack([np.full(len(line), size + 0.5), line], 1),
        ]
    )
    places.append(ends)
    signs.append(np.full(len(ends), -1, np.float32))
    weights.append(np.full(len(ends), 0.4 / len(ends), np.float32))
    free = np.argwhere(pattern.data)
    free = free[some.permutation(len(free))[: _FREE_PROBED // so_many]]
    places.append(free[:, ::-1].astype(np.float64) + 0.5)
    total = float(sum(w.sum() for w in weights)) + 0.5
    open_weights = np.full(len(free), 0.5 / len(free) / total, np.float32)
    return _Probe(
        size,
        np.insert(np.concatenate(places), 2, 1, axis=1).astype(np.float32),
        np.concatenate(signs),
        np.concatenate(weights) / total,
        open_weights,
    )


def _fits(dark: Field, anchors: NDArray[np.float64], probe: _Probe) -> Field:
    """Say for each set of anchors how well the patterns agree; negative where all is inverted."""
    planes = _plane_through(_square(3.5, probe.size - 3.5), anchors).astype(np.float32)
    some = [planes[at : at + _PLANES_AT_ONCE] for at in range(0, len(planes), _PLANES_AT_ONCE)]
    return np.concatenate([_fits_of(dark, each, probe) for each in some])


def _fits_of(dark: Field, planes: Field, probe: _Probe) -> Field:
    across, down, depth = (planes[:, row] @ probe.places.T for row in range(3))
    # Behind the camera, or so far off that it does not matter: there nothing is seen.
    is_behind = depth <= _LEAST_DEPTH
    if is_behind.any():
        depth[is_behind], across[is_behind] = 1, _NOWHERE
    xy = np.empty((*depth.shape, 2), np.float32)
    np.divide(across, depth, out=xy[..., 0])
    np.divide(down, depth, out=xy[..., 1])
    values = _sampled(dark, xy)
    known = len(probe.signs)
    fixed = values[:, :known] @ (probe.signs * probe.weights)
    sureness = np.abs(values[:, known:]) @ probe.open_weights
    return field(fixed + np.sign(fixed) * sureness)


def _plane_through(
    source: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve for the projections that take four points to each four of many."""
    x, y = source[:, 0], source[:, 1]
    u, v = targets[..., 0], targets[..., 1]
    rows = np.zeros((len(targets), 8, 8))
    rows[:, 0::2, 0], rows[:, 0::2, 1], rows[:, 0::2, 2] = x, y, 1
    rows[:, 1::2, 3], rows[:, 1::2, 4], rows[:, 1::2, 5] = x, y, 1
    rows[:, 0::2, 6], rows[:, 0::2, 7] = -x * u, -y * u
    rows[:, 1::2, 6], rows[:, 1::2, 7] = -x * v, -y * v
    right = np.stack([u, v], axis=-1).reshape(len(targets), 8, 1)
    try:
        solved = np.linalg.solve(rows, right)[..., 0]
    except np.linalg.LinAlgError:  # three of the points lie on one line
        solved = np.tile([1.0, 0, -1e4, 0, 1, -1e4, 0, 0], (len(targets), 1))
    whole = np.ones((len(targets), 9))
    whole[:, :8] = solved
    return whole.reshape(-1, 3, 3)


def _sampled(image: Field, places: NDArray[Any]) -> Field:
    """Read the image at these places (..., 2), zero outside."""
    flat = places.reshape(-1, 2).astype(np.float32, copy=False)
    wide = 1 << 10
    rest = -len(flat) % wide
    if rest:
        flat = np.concatenate([flat, np.full((rest, 2), _NOWHERE, np.float32)])
    grid = flat.reshape(-1, wide, 2)
    remap: Any = cv2.remap
    out = field(remap(image, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
    return out.reshape(-1)[: places.size // 2].reshape(places.shape[:-1])


def _bent(crop: _Crop, plane: _Plane) -> Iterator[Grid | None]:
    """Flatten the code, and bend the grid as far as the flattening was wrong.

    The first grid is the flat one, and comes without a pause.
    """
    size = size_of(plane.version)
    flat, back = _flattened(crop, plane)
    px = _FLAT_MODULE_PX
    views = [darkness(flat, window=w * px, blur=0.25 * px) for w in _WINDOWS]
    if plane.is_inverted:
        views = [field(-view) for view in views]
    line = np.arange(size, dtype=np.float64) + 0.5 + _FLAT_EDGE
    centres: NDArray[np.float64] = np.stack(np.meshgrid(line, line), axis=-1) * px
    corners = _in_picture(crop, _moved(back, (_square(0, size) + _FLAT_EDGE) * px))
    # Pixel centres lie half a pixel from where the grid counts.
    base = centres - 0.5
    smooth = field(cv2.GaussianBlur(flat.astype(np.float32), (0, 0), 0.2 * px))
    if plane.is_inverted:
        smooth = field(255 - smooth)
    yield _grid(views, smooth, base, corners, plane.fit)
    guide = field(cv2.GaussianBlur(views[-1], (0, 0), 0.2 * px))
    for way in _BENDS:
        shift = np.zeros((size, size, 2))
        for points, steps in way:
            shift = yield from _bend(guide, base, shift, points, steps, plane.version)
            yield _grid(views, smooth, base + shift, corners, plane.fit)


def _grid(
    views: list[Field], smooth: Field, places: NDArray[np.float64], corners: Points, fit: float
) -> Grid:
    values = np.mean([_sampled(view, places) for view in views], axis=0)
    return Grid(field(values.astype(np.float32)), _sampled(smooth, places), corners, fit)


def _flattened(crop: _Crop, plane: _Plane) -> tuple[Picture, NDArray[np.float64]]:
    size = size_of(plane.version)
    side = (size + 2 * _FLAT_EDGE) * _FLAT_MODULE_PX
    inner = (_square(3.5, size - 3.5) + _FLAT_EDGE) * _FLAT_MODULE_PX
    back = _plane_through(inner, plane.anchors[None])[0]
    flat = cv2.warpPerspective(
        crop.grey,
        back,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return picture(flat), back


def _bend(
    guide: Field,
    base: NDArray[np.float64],
    shift: NDArray[np.float64],
    points: int,
    steps: tuple[float, ...],
    version: int,
) -> Generator[None, None, NDArray[np.float64]]:
    """Move the points of a coarse mesh, one after the other, to where the modules agree best."""
    pattern = pattern_of(version)
    signs = pattern.fixed.astype(np.float32) * 1.5
    is_free = pattern.fixed == 0
    waves = _waves(points, len(base))
    around = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y], np.float64)

    def fits(shifts: NDArray[np.float64]) -> Field:
        values = _sampled(guide, base + shifts)
        return field((values * signs + np.abs(values) * is_free).sum(axis=(-1, -2)))

    best = float(fits(shift[None])[0])
    for step in steps:
        for row in range(points):
            for column in range(points):
                wave = waves[row][:, None] * waves[column][None, :]
                tries = shift + (around[:, None, None] * wave[..., None]) * (step * _FLAT_MODULE_PX)
                all_fits = fits(tries)
                which = int(np.argmax(all_fits))
                if all_fits[which] > best:
                    best, shift = float(all_fits[which]), tries[which]
        yield None
    return shift


@cache
def _waves(points: int, size: int) -> NDArray[np.float64]:
    """Return for each point of a mesh how strongly it pulls at each module of a line."""
    nodes = np.linspace(0, size - 1, points)
    line = np.arange(size, dtype=np.float64)
    if points <= 4:
        pulls = [
            np.prod([(line - other) / (node - other) for other in nodes if other != node], axis=0)
            for node in nodes
        ]
        return np.array(pulls)
    step = nodes[1] - nodes[0]
    return np.maximum(0, 1 - np.abs(line[None, :] - nodes[:, None]) / step)


def _square(low: float, high: float) -> NDArray[np.float64]:
    return np.array([(low, low), (high, low), (high, high), (low, high)], np.float64)


def _moved(plane: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ plane.T
    return moved[:, :2] / moved[:, 2:]


def _in_picture(crop: _Crop, points: NDArray[np.float64]) -> Points:
    return (points / crop.scale + crop.origin).astype(np.float32)
