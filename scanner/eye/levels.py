"""Settling what is dark and what is light, module by module, from how grey each one is.

A threshold over pixels is misled by shadows, glare and blur. Once most modules are right, their
own neighbours tell better: how grey dark ones and light ones are around here, and how much of a
module's grey is spilt over from the modules beside it.
"""

import cv2
import numpy as np

from scanner.eye.reading import Field, field

_NEARBY = 2.5
"""Modules within which light and ink change little."""

_ROUNDS = 3
_MOST_SPILL = 0.35


def settled(greys: Field, guess: Field) -> Field:
    """Return how surely each module is dark, better than the guess (+1 dark, -1 light)."""
    values = guess
    for _ in range(_ROUNDS):
        values = _unspilt(_judged(greys, values), values)
    return values


def _judged(greys: Field, values: Field) -> Field:
    """Judge each module between the greys of the dark and of the light ones near it."""
    dark_weight = np.clip(values, 0.02, 1).astype(np.float32)
    light_weight = np.clip(-values, 0.02, 1).astype(np.float32)
    dark = _nearby(greys * dark_weight) / _nearby(dark_weight)
    light = _nearby(greys * light_weight) / _nearby(light_weight)
    half = (light - dark) / 2
    floor = max(0.2 * float(np.median(half)), 1.0)
    return field(np.clip(((light + dark) / 2 - greys) / np.maximum(half, floor), -1.5, 1.5))


def _unspilt(judged: Field, values: Field) -> Field:
    """Take away what the four neighbours spill over, as much as they do on the average."""
    certain = np.clip(values * 2, -1, 1).astype(np.float32)
    beside = field(cv2.filter2D(certain, -1, _BESIDE, borderType=cv2.BORDER_REPLICATE))
    own, spilt = np.linalg.lstsq(
        np.stack([certain.ravel(), beside.ravel()], axis=1), judged.ravel(), rcond=None
    )[0]
    share = float(np.clip(spilt / max(own, 1e-3), 0, _MOST_SPILL))
    return field(np.clip(judged - share * beside * max(own, 0.3), -1, 1))


_BESIDE = np.array([(0, 1, 0), (1, 0, 1), (0, 1, 0)], np.float32)


def _nearby(values: Field) -> Field:
    return field(cv2.GaussianBlur(values, (0, 0), _NEARBY, borderType=cv2.BORDER_REFLECT))
