"""Phones held up at a counter, one fault at a time in four strengths; and counters without a code.

Each fault comes with both templates of a coupon, CP1 (version 6) and CP2 (version 9).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import zxingcpp

from bench.pictures import phone
from bench.pictures.camera import Shot, defocus_of_fixed_lens, photograph
from bench.pictures.phone import BLACK, CODE_CENTRE_MM, CODE_MM, PER_MM, WHITE, Drawing
from bench.pictures.sample import Picture, Sample

SEED = 20_261
COPIES = 2
EMPTY = "nothing to read"

# What each fault changes in a shot, from what every camera meets to what few codes survive.
FAULTS: Mapping[str, Sequence[dict[str, Any]]] = {
    "distance": [{"distance_mm": mm} for mm in (150, 200, 250, 300)],
    "far": [{"distance_mm": mm} for mm in (380, 450, 520, 600)],
    "tilt": [{"tilt_deg": (deg, deg / 3)} for deg in (15, 30, 45, 55)],
    "fixed focus": [
        {"distance_mm": mm, "defocus_px": defocus_of_fixed_lens(mm)} for mm in (300, 250, 200, 150)
    ],
    "out of focus": [{"defocus_px": px} for px in (4, 7, 10, 13)],
    "motion": [{"motion_px": (px, px / 3)} for px in (3, 6, 9, 12)],
    "glare": [
        {"glare": level, "glare_mm": mm} for level, mm in ((0.4, 9), (0.8, 10), (1.5, 8), (3, 11))
    ],
    "shade": [{"shade": level} for level in (0.3, 0.8, 2, 5)],
    "daylight": [{"veil": level} for level in (0.5, 2, 6, 12)],
    "dark": [
        {"photons": photons, "exposure": exposure, "read_noise": noise}
        for photons, exposure, noise in (
            (800, 0.3, 0.01),
            (200, 0.15, 0.02),
            (60, 0.08, 0.03),
            (25, 0.05, 0.04),
        )
    ],
    "too bright": [{"exposure": gain} for gain in (2, 6, 16, 40)],
    "moire": [
        {"moire": depth, "distance_mm": mm}
        for depth, mm in ((0.3, 232), (0.6, 236), (0.85, 244), (0.97, 240))
    ],
    "flicker": [{"flicker": depth} for depth in (0.4, 0.7, 0.82, 0.95)],
    "cracked glass": [{"cracks": strength} for strength in (2, 4, 6, 8)],
    "rolling shutter": [
        {"skew": skew, "wobble_px": px} for skew, px in ((0.05, 0), (0.15, 2), (0.25, 4), (0.35, 7))
    ],
    "jpeg": [{"jpeg": quality, "distance_mm": 290} for quality in (20, 10, 5, 3)],
    "all at once": [
        {
            "distance_mm": mm,
            "tilt_deg": (15, -10),
            "defocus_px": defocus,
            "motion_px": (motion, motion / 2),
            "shade": 0.2 * strength,
            "glare": 0.25 * strength,
            "photons": 1_200 / strength,
            "moire": 0.1 * strength,
            "jpeg": jpeg,
        }
        for strength, (mm, defocus, motion, jpeg) in enumerate(
            ((180, 2.0, 1.5, 80), (200, 4.0, 2.5, 70), (230, 4.5, 3.0, 60), (260, 5.0, 4.0, 50)), 1
        )
    ],
}


def samples(seed: int = 0) -> list[Sample]:
    """Return every phone in every fault, then the counters without a code. None is drawn yet.

    Another seed gives other texts, poses and counters of the same kinds.
    """
    copies = range(seed * COPIES, (seed + 1) * COPIES)
    empties = range(2 * copies.start, 2 * copies.stop)
    phones = [
        Sample(
            name=f"{fault} {strength} {template} {copy}",
            category=fault,
            texts=frozenset({phone.text_of(template, copy)}),
            look=partial(_phone, fault, strength, template, copy),
        )
        for fault, strengths in FAULTS.items()
        for strength in range(1, len(strengths) + 1)
        for template in phone.TEMPLATES
        for copy in copies
    ]
    return phones + [
        Sample(name=f"{what} {copy}", category=EMPTY, look=partial(_empty, what, copy))
        for copy in empties
        for what in EMPTIES
    ]


def usual(rng: np.random.Generator) -> Shot:
    """Return how a phone is held when nothing is wrong: never twice the same way."""
    return Shot(
        distance_mm=rng.uniform(185, 215),
        tilt_deg=(rng.uniform(-8, 8), rng.uniform(-8, 8)),
        roll_deg=rng.uniform(-180, 180),
        offset_mm=(rng.uniform(-15, 15), rng.uniform(-8, 8)),
    )


def _phone(fault: str, strength: int, template: str, copy: int) -> Picture:
    rng = seeded(fault, strength, copy)  # both templates are held alike
    changes = dict(FAULTS[fault][strength - 1])
    page = phone.showing(phone.text_of(template, copy))
    if cracks := changes.pop("cracks", 0):
        page = phone.cracked(page, cracks, rng)
    x, y = rng.uniform(-14, 14, 2)
    return photograph(page, replace(usual(rng), glare_at_mm=(x, y), **changes), rng)


def seeded(*names: object) -> np.random.Generator:
    return np.random.default_rng([SEED, crc32(repr(names).encode())])


def _empty(what: str, copy: int) -> Picture:
    rng = seeded(what, copy)
    if what == "counter":
        return photograph(None, Shot(), rng)
    page = phone.without_code(partial(EMPTIES[what], rng))
    return photograph(page, usual(rng), rng)


def _nothing(rng: np.random.Generator, page: Drawing) -> None:
    """Leave the page as it is."""


def _barcode(rng: np.random.Generator, page: Drawing) -> None:
    _symbol(rng, page, (zxingcpp.BarcodeFormat.EAN13, zxingcpp.BarcodeFormat.Code128))


def _matrix(rng: np.random.Generator, page: Drawing) -> None:
    _symbol(rng, page, (zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.Aztec))


def _symbol(
    rng: np.random.Generator, page: Drawing, kinds: Sequence[zxingcpp.BarcodeFormat]
) -> None:
    """Draw a code that is none of ours."""
    kind = kinds[int(rng.integers(len(kinds)))]
    # Its thirteenth digit checks the others: let the library find it.
    text = "".join(str(digit) for digit in rng.integers(0, 10, 12))
    symbol = np.asarray(zxingcpp.write_barcode_to_image(zxingcpp.create_barcode(text, kind)))
    square = _square(page)
    height = symbol.shape[0] * square.shape[1] // symbol.shape[1]
    if min(height, square.shape[0]) < square.shape[0] // 3:
        height = square.shape[0] // 3
    drawn = cv2.resize(symbol, (square.shape[1], height), interpolation=cv2.INTER_NEAREST)
    square[:height] = np.where(drawn[: square.shape[0]] > 127, WHITE, BLACK)


def _keyboard(rng: np.random.Generator, page: Drawing) -> None:
    """Draw keys in rows, dark on light, each with a letter."""
    square = _square(page)
    square[:] = 128
    pitch = int(5.5 * PER_MM)
    for y in range(0, square.shape[0] - pitch, pitch):
        for x in range(0, square.shape[1] - pitch, pitch):
            cv2.rectangle(square, (x + 4, y + 4), (x + pitch - 5, y + pitch - 5), 10, -1)
            letter = chr(int(rng.integers(65, 91)))
            place = (x + pitch // 4, y + 2 * pitch // 3)
            cv2.putText(square, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 1, 180, 2)


def _letters(rng: np.random.Generator, page: Drawing) -> None:
    """Draw small print."""
    square = _square(page)
    for y in range(24, square.shape[0], 30):
        line = "".join(chr(int(letter)) for letter in rng.integers(65, 123, 48))
        cv2.putText(square, line, (0, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, BLACK, 2, cv2.LINE_AA)


def _broken(rng: np.random.Generator, page: Drawing) -> None:
    """Draw what looks like a code to any finder, its modules drawn by lot: nothing is written."""
    square = _square(page)
    modules = np.where(rng.random((41, 41)) < 0.5, WHITE, BLACK).astype(np.uint8)
    for y, x in ((0, 0), (0, 33), (33, 0)):
        modules[y : y + 8, x : x + 8] = WHITE
    for y, x in ((0, 0), (0, 34), (34, 0)):
        modules[y : y + 7, x : x + 7] = BLACK
        modules[y + 1 : y + 6, x + 1 : x + 6] = WHITE
        modules[y + 2 : y + 5, x + 2 : x + 5] = BLACK
    side = square.shape[0] * 41 // 49
    start = (square.shape[0] - side) // 2
    drawn = cv2.resize(modules, (side, side), interpolation=cv2.INTER_NEAREST)
    square[start : start + side, start : start + side] = drawn


def _tiles(rng: np.random.Generator, page: Drawing) -> None:
    """Draw a floor of black and white tiles."""
    square = _square(page)
    pitch = int(rng.integers(20, 60))
    y, x = np.indices(square.shape) // pitch
    square[:] = np.where((x + y) % 2, WHITE, BLACK)


def _square(page: Drawing) -> Drawing:
    """Return the part of the page where a code would stand."""
    size = CODE_MM * PER_MM
    left, top = (int(centre * PER_MM - size / 2) for centre in CODE_CENTRE_MM)
    return page[top : top + size, left : left + size]


EMPTIES: Mapping[str, Callable[[np.random.Generator, Drawing], None]] = {
    "counter": _nothing,
    "page": _nothing,
    "barcode": _barcode,
    "other matrix": _matrix,
    "keyboard": _keyboard,
    "small print": _letters,
    "broken code": _broken,
    "tiles": _tiles,
}
