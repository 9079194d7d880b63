"""A cheap camera at a till: 1280 x 720, 53.4 degrees across, and everything that goes wrong in it.

Light is linear until the sensor. In order: pose and pinhole, the screen's own grid, what the glass
reflects, lens and hand, exposure and grain, gamma, JPEG.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.pictures.phone import CODE_CENTRE_MM, PER_MM, Light
from bench.pictures.sample import Picture

WIDTH, HEIGHT = 1280, 720
FOCAL_PX = WIDTH / 2 / np.tan(np.radians(53.4 / 2))
_FINER = 2  # so many samples a pixel, each way, before the sensor adds them up
_SCREEN_PER_MM = 10.6  # 270 pixels to the inch
_LENS_SIGMA_PX = 0.8

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Where the phone is, and what is wrong. Nothing is, unless it is named."""

    distance_mm: float = 200
    tilt_deg: tuple[float, float] = (0, 0)  # about the phone's own axes
    roll_deg: float = 0
    offset_mm: tuple[float, float] = (0, 0)  # of the code from the middle of the picture

    defocus_px: float = 0  # diameter of the disc that a point becomes
    motion_px: tuple[float, float] = (0, 0)  # while the shutter is open
    skew: float = 0  # sideways pixels for each row read later
    wobble_px: float = 0  # the hand trembles while the rows are read
    glare: float = 0  # a lamp in the glass, in units of the screen's white
    glare_mm: float = 8  # its radius
    glare_at_mm: tuple[float, float] = (0, 0)  # on the code
    veil: float = 0  # daylight on the whole screen
    shade: float = 0  # daylight on one side of an edge across the code
    moire: float = 0  # how dark the gaps of the screen's grid look, 0 to 1
    flicker: float = 0  # how dark a dimmed screen gets in between, 0 to 1
    flicker_phase: float = 0  # radians: from frame to frame the bands wander
    exposure: float = 0.75  # where the sensor puts the screen's white
    photons: float = 4_000  # for white
    read_noise: float = 0.004
    jpeg: int = 88


def photograph(
    page: Light | None,
    shot: Shot,
    rng: np.random.Generator,
    grain: np.random.Generator | None = None,
) -> Picture:
    """Take one picture of a phone before a counter; with no phone, of the counter.

    Frames of one clip are given the same `rng` afresh, and each a `grain` of its own.
    """
    light = _counter(rng)
    if page is not None:
        light = _held_up(page, light, shot, rng)
    light = _through_the_lens(light, shot)
    return _on_the_sensor(light, shot, grain or rng)


def lens_of(shot: Shot) -> Matrix:
    """Return the projection from millimetres on the phone, the code's middle at 0, to pixels."""
    x, y, z = (np.radians(angle) for angle in (*shot.tilt_deg, shot.roll_deg))
    turn = _about("z", z) @ _about("y", y) @ _about("x", x)
    place = np.array([*shot.offset_mm, shot.distance_mm])
    camera = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]])
    rolling = np.array([[1, shot.skew, -shot.skew * HEIGHT / 2], [0, 1, 0], [0, 0, 1]])
    return rolling @ camera @ np.column_stack([turn[:, 0], turn[:, 1], place])


def defocus_of_fixed_lens(distance_mm: float) -> float:
    """Return the disc of a webcam that is sharp at 600 mm: 4 mm, F2.8, 2.8 micron pixels."""
    focus, focal, stop, pixel = 600.0, 4.0, 2.8, 0.0028
    apart = abs(distance_mm - focus) / distance_mm
    return apart * focal**2 / (stop * (focus - focal)) / pixel


def _held_up(page: Light, counter: Light, shot: Shot, rng: np.random.Generator) -> Light:
    """Put the phone before the counter, its glass and the screen's grid included."""
    to_mm = np.array(
        [[1 / PER_MM, 0, -CODE_CENTRE_MM[0]], [0, 1 / PER_MM, -CODE_CENTRE_MM[1]], [0, 0, 1]]
    )
    lens = lens_of(shot)
    finer = np.array([[_FINER, 0, _FINER / 2 - 0.5], [0, _FINER, _FINER / 2 - 0.5], [0, 0, 1]])
    size = (WIDTH * _FINER, HEIGHT * _FINER)
    onto = finer @ lens @ to_mm
    seen = _light(cv2.warpPerspective(_as_fine_as_seen(page, shot), onto, size))
    there = _light(cv2.warpPerspective(np.ones_like(page), onto, size))
    if shot.wobble_px:
        seen, there = _wobbled(seen, shot), _wobbled(there, shot)
    seen, there = _added_up(seen), _added_up(there)
    columns, rows = _place_on_glass(lens)
    if shot.moire:
        seen *= _grid(columns, shot.moire) * _grid(rows, shot.moire)
    if shot.flicker:
        seen *= _bands(shot, rng)
    seen += there * _reflected(columns, rows, shot)
    return counter * (1 - there) + seen


def _as_fine_as_seen(page: Light, shot: Shot) -> Light:
    """Smooth what is finer than the samples; a lens would, and a warp does not."""
    shrinks = PER_MM / (FOCAL_PX / shot.distance_mm * _FINER)
    if shrinks <= 1:
        return page
    return _light(cv2.GaussianBlur(page, (0, 0), 0.5 * float(np.sqrt(shrinks**2 - 1)) + 0.05))


def _wobbled(light: Light, shot: Shot) -> Light:
    """Move each row by what the hand did until it was read."""
    rows = np.arange(light.shape[0], dtype=np.float32)
    period = light.shape[0] / 2.6
    aside = _FINER * shot.wobble_px * np.sin(2 * np.pi * rows / period + shot.roll_deg)
    columns = np.arange(light.shape[1], dtype=np.float32)
    x = columns[None, :] + aside[:, None].astype(np.float32)
    y = np.repeat(rows[:, None], light.shape[1], axis=1)
    return _light(cv2.remap(light, x, y, cv2.INTER_LINEAR))


def _added_up(light: Light) -> Light:
    return _light(cv2.resize(light, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))


def _place_on_glass(lens: Matrix) -> tuple[Light, Light]:
    """Return where on the phone each pixel looks, in millimetres from the code's middle."""
    back = np.linalg.inv(lens)
    x = np.arange(WIDTH)[None, :]
    y = np.arange(HEIGHT)[:, None]
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in back)
    return (across / depth).astype(np.float32), (down / depth).astype(np.float32)


def _grid(mm: Light, depth: float) -> Light:
    """Return the gaps between the screen's pixels as single points see them: that is moire."""
    wave = np.cos(2 * np.pi * _SCREEN_PER_MM * mm)
    return _light(1 - depth * (0.5 - 0.5 * wave))


def _bands(shot: Shot, rng: np.random.Generator) -> Light:
    """Return the dark bands of a screen that is dimmed by pulses, rows being read one by one."""
    rows = np.arange(HEIGHT)[:, None]
    wave = np.sin(2 * np.pi * rows / rng.uniform(60, 140) + shot.flicker_phase)
    lit = 1 / (1 + np.exp(-6 * wave))
    return _light(1 - shot.flicker * (1 - lit))


def _reflected(columns: Light, rows: Light, shot: Shot) -> Light:
    light = np.full_like(columns, shot.veil)
    if shot.glare:
        across = (columns - shot.glare_at_mm[0]) / shot.glare_mm
        down = (rows - shot.glare_at_mm[1]) / (0.7 * shot.glare_mm)
        light += shot.glare * np.exp(-((across**2 + down**2) ** 2) / 2)
    if shot.shade:
        light += shot.shade * (0.5 + 0.5 * np.tanh((columns + 0.4 * rows) / 3))
    return _light(light)


def _through_the_lens(light: Light, shot: Shot) -> Light:
    if shot.defocus_px > 1:
        light = _light(cv2.filter2D(light, -1, _disc(shot.defocus_px)))
    if np.hypot(*shot.motion_px) > 0.5:
        light = _light(cv2.filter2D(light, -1, _streak(shot.motion_px)))
    return _light(cv2.GaussianBlur(light, (0, 0), _LENS_SIGMA_PX))


def _disc(diameter: float) -> Light:
    """Return the light of one point out of focus, its edge as fine as an eighth of a pixel."""
    return _kernel(diameter, lambda x, y: np.hypot(x, y) <= diameter / 2)


def _streak(motion: tuple[float, float]) -> Light:
    length = float(np.hypot(*motion))
    along = np.array(motion) / length
    return _kernel(
        length,
        lambda x, y: (
            (np.abs(x * along[0] + y * along[1]) <= length / 2)
            & (np.abs(x * along[1] - y * along[0]) <= 0.5)
        ),
    )


def _on_the_sensor(light: Light, shot: Shot, rng: np.random.Generator) -> Picture:
    """Expose for the screen and what it reflects, add grain, and do what the camera's chip does."""
    brightest = 1 + shot.veil + 0.6 * shot.shade
    exposed = light * np.float32(shot.exposure / brightest)
    grain = rng.standard_normal(exposed.shape, np.float32)
    exposed += grain * np.sqrt(np.maximum(exposed, 0) / shot.photons + shot.read_noise**2)
    levels = np.clip(exposed * (len(_GAMMA) - 1), 0, len(_GAMMA) - 1).astype(np.uint16)
    _, file = cv2.imencode(".jpg", _GAMMA[levels], [cv2.IMWRITE_JPEG_QUALITY, shot.jpeg])
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


def _counter(rng: np.random.Generator) -> Light:
    """Return what is behind: wood or stone under the light of a shop, out of focus."""
    coarse = rng.uniform(0.08, 0.35) + rng.normal(0, 0.05, (9, 16))
    grain = rng.normal(0, 0.03, (90, 12 if rng.random() < 0.5 else 160))
    large = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.maximum(large + small, 0.01).astype(np.float32)


def _kernel(width: float, covers: Callable[[Matrix, Matrix], NDArray[np.bool_]]) -> Light:
    half = int(np.ceil(width / 2)) + 1
    fine = (np.arange((2 * half + 1) * 8) + 0.5) / 8 - half - 0.5
    inside = covers(fine[None, :], fine[:, None]).astype(np.float32)
    kernel = cv2.resize(inside, (2 * half + 1, 2 * half + 1), interpolation=cv2.INTER_AREA)
    return _light(kernel / kernel.sum())


def _about(axis: str, angle: float) -> Matrix:
    cos, sin = np.cos(angle), np.sin(angle)
    turns = {
        "x": [[1, 0, 0], [0, cos, -sin], [0, sin, cos]],
        "y": [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]],
        "z": [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
    }
    return np.array(turns[axis])


def _light(array: object) -> Light:
    """Give OpenCV's and numpy's results the type they have when light went in."""
    return np.asarray(array, np.float32)


_GAMMA = np.round(255 * (np.arange(4096) / 4095) ** (1 / 2.2)).astype(np.uint8)
