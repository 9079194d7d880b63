"""Codes as cameras see them: drawn from seeds, then tilted, bent, torn, dimmed, and grainy."""

from functools import cache

import cv2
import numpy as np
import qrcode
from numpy.typing import NDArray
from qrcode.constants import (
    ERROR_CORRECT_H,
    ERROR_CORRECT_L,
    ERROR_CORRECT_M,
    ERROR_CORRECT_Q,
)

from scanner.eye.reading import Picture
from scanner.eye.symbol import Modules

LEVELS = {
    "L": ERROR_CORRECT_L,
    "M": ERROR_CORRECT_M,
    "Q": ERROR_CORRECT_Q,
    "H": ERROR_CORRECT_H,
}
PAPER, INK, TABLE = 215, 30, 120


def modules_of(
    text: str | bytes, *, version: int = 4, level: str = "M", mask: int | None = None
) -> Modules:
    """Return a code's modules, which are yours to spoil."""
    return _drawn_once(text, version, level, mask).copy()


@cache
def _drawn_once(text: str | bytes, version: int, level: str, mask: int | None) -> Modules:
    code = qrcode.QRCode(
        version=version, border=0, error_correction=LEVELS[level], mask_pattern=mask
    )
    code.add_data(text)
    code.make(fit=False)
    return np.array(code.get_matrix(), np.bool_)


def drawn(modules: Modules, *, module_px: int = 8, quiet: int = 4) -> Picture:
    """Draw a code on paper, its quiet zone around it."""
    ink = np.pad(modules, quiet)
    grey = np.where(ink, INK, PAPER).astype(np.uint8)
    return np.kron(grey, np.ones((module_px, module_px), np.uint8))


def on_a_table(
    code: Picture, *, turned: float = 0, scale: float = 1, size: tuple[int, int] = (480, 640)
) -> Picture:
    """Lay a code on a grey table, in the middle."""
    height, width = size
    middle = code.shape[1] / 2, code.shape[0] / 2
    lens = cv2.getRotationMatrix2D(middle, turned, scale)
    lens[:, 2] += np.array([width / 2 - middle[0], height / 2 - middle[1]])
    return _bytes(
        cv2.warpAffine(code, lens, (width, height), flags=cv2.INTER_AREA, borderValue=(TABLE,))
    )


def tilted(code: Picture, by: float) -> Picture:
    """Look at a code from the side: one edge comes nearer, the other goes away."""
    height, width = code.shape
    before = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    off = by * width / 2
    after = np.array(
        [(off, off / 2), (width - off / 3, 0), (width, height), (off / 2, height - off)],
        np.float32,
    )
    lens = cv2.getPerspectiveTransform(before, after)
    return _bytes(cv2.warpPerspective(code, lens, (width, height), borderValue=(TABLE,)))


def bent(code: Picture, by: float) -> Picture:
    """Wrap a code around a bottle."""
    height, width = code.shape
    y, x = np.indices((height, width), np.float32)
    across = x / width * 2 - 1
    turned = np.arcsin(np.clip(across * np.sin(by), -1, 1)) / by
    # Seen a little from above, level lines become arcs.
    fall = by * 0.2 * height * (1 - np.cos(across * by))
    source_x = ((turned + 1) / 2 * width).astype(np.float32)
    remapped = cv2.remap(
        code,
        source_x,
        (y - fall).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(TABLE,),
    )
    return _bytes(remapped)


def crumpled(code: Picture, by: float) -> Picture:
    """Bend the paper to and fro, by so many pixels."""
    height, width = code.shape
    y, x = np.indices((height, width), np.float32)
    remapped = cv2.remap(
        code,
        (x + by * np.sin(y / height * 2 * np.pi)).astype(np.float32),
        (y + by * np.sin(x / width * 2 * np.pi)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(TABLE,),
    )
    return _bytes(remapped)


def lit(picture: Picture, *, spot: tuple[float, float], width: float, strength: float) -> Picture:
    """Let a lamp shine back at the camera."""
    y, x = np.indices(picture.shape)
    height, across = picture.shape
    away = ((x / across - spot[0]) ** 2 + (y / height - spot[1]) ** 2) / width**2
    return _clipped(picture + strength * np.exp(-away))


def grainy(picture: Picture, noise: float, *, seed: int = 7) -> Picture:
    return _clipped(picture + np.random.default_rng(seed).normal(0, noise, picture.shape))


def blurred(picture: Picture, by: float) -> Picture:
    return _bytes(cv2.GaussianBlur(picture, (0, 0), by))


def _clipped(values: NDArray[np.floating]) -> Picture:
    return np.clip(values, 0, 255).astype(np.uint8)


def _bytes(array: object) -> Picture:
    return np.asarray(array, np.uint8)
