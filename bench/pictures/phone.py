"""The face of a phone that shows a coupon: 12 squares to the millimetre, and the light of each.

Light is linear: 1 is the white of the screen. What is drawn is drawn in bytes, 255 for white. The
code is 55 mm wide with its quiet zone, as on the wallet's page.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import base45
import cv2
import numpy as np
from numpy.typing import NDArray

from bench.pictures.sample import Picture
from coupon_engine.drawing import Surface, png

Light = NDArray[np.float32]
Drawing = NDArray[np.uint8]

PER_MM = 12
WIDTH_MM, HEIGHT_MM = 68, 145
CODE_MM = 55
CODE_CENTRE_MM = (WIDTH_MM / 2, 62.0)
_DARKEST = 0.015  # of a screen's white, in a lit room
_SCATTERED = 0.35  # of it, by broken glass
BLACK, WHITE = 0, 255

_BODIES = {"CP1": 107, "CP2": 211}  # bytes: QR versions 6 and 9 at level L
TEMPLATES = tuple(_BODIES)


def text_of(template: str, seed: int) -> str:
    """Return a text as long as a coupon's and in its letters; what it says is noise."""
    body = np.random.default_rng([seed, _BODIES[template]]).bytes(_BODIES[template])
    return f"{template}A{base45.b45encode(body).decode()}"


@cache
def showing(text: str) -> Light:
    """Return the wallet's page with this code. It is shared: copy it before you draw on it."""
    page = _page()
    size = CODE_MM * PER_MM
    modules = _decoded(png(text, Surface.SCREEN, module_px=1))
    code = cv2.resize(modules, (size, size), interpolation=cv2.INTER_NEAREST)
    left, top = (int(centre * PER_MM - size / 2) for centre in CODE_CENTRE_MM)
    page[top : top + size, left : left + size] = np.where(code > 0, WHITE, BLACK)
    return _lit(page)


def without_code(draw: Callable[[Drawing], object]) -> Light:
    """Return the page with something else where the code would be."""
    page = _page()
    draw(page)
    return _lit(page)


def cracked(page: Light, strength: int, rng: np.random.Generator) -> Light:
    """Break the glass: rays and rings from where it hit, bright on black and dark on white."""
    marks = np.zeros(page.shape, np.uint8)
    around = rng.uniform(-CODE_MM / 3, CODE_MM / 3, 2)
    hit = (np.array(CODE_CENTRE_MM) + around) * PER_MM
    for angle in rng.uniform(0, 2 * np.pi, 3 * strength):
        place, heading = hit.copy(), angle
        for _ in range(12):
            heading += rng.normal(0, 0.25)
            further = place + rng.uniform(4, 9) * PER_MM * _unit(heading)
            _line(marks, place, further, rng.uniform(0.1, 0.12 + 0.07 * strength))
            place = further
    for ring in range(strength - 1):
        corners = [
            hit + (2.5 + 3 * ring) * PER_MM * rng.uniform(0.7, 1.3) * _unit(angle)
            for angle in np.linspace(0, 2 * np.pi, 9)
        ]
        for start, end in pairwise(corners):
            _line(marks, start, end, 0.15)
    if strength > 2:
        cv2.circle(marks, _whole(hit), int(0.9 * strength * PER_MM), 200, -1)
    scattered = np.float32(_SCATTERED) + page * np.float32(0.1)
    return (page + marks / 255 * (scattered - page)).astype(np.float32)


def _lit(page: Drawing) -> Light:
    return (_DARKEST + (1 - _DARKEST) / 255 * page).astype(np.float32)


def _page() -> Drawing:
    """Draw what stands round the code: the edge of the phone, a title, conditions."""
    page = np.full((HEIGHT_MM * PER_MM, WIDTH_MM * PER_MM), WHITE, np.uint8)
    _write(page, "CORNER BAKERY", (8, 16), 1.6)
    _write(page, "20% off one basket", (8, 26), 1.3)
    for row, line in enumerate(("Valid until Friday, 18:00", "One per visit.", "K7WQ-93XM-4TDR")):
        _write(page, line, (8, 104 + 9 * row), 1.2)
    edge = 2 * PER_MM
    cv2.rectangle(page, (0, 0), (page.shape[1] - 1, page.shape[0] - 1), BLACK, edge)
    return page


def _write(page: Drawing, line: str, place_mm: tuple[int, int], scale: float) -> None:
    place = (place_mm[0] * PER_MM, place_mm[1] * PER_MM)
    cv2.putText(page, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, BLACK, 3, cv2.LINE_AA)


def _line(marks: Drawing, start: NDArray[np.float64], end: NDArray[np.float64], mm: float) -> None:
    width = max(1, round(mm * PER_MM))
    cv2.line(marks, _whole(start), _whole(end), 255, width, cv2.LINE_AA)


def _unit(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _whole(place: NDArray[np.float64]) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def _decoded(file: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture.astype(np.uint8)
