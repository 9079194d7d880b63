"""zxing-cpp, by far the best reader there is, asked for everything that it sees."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import zxingcpp

from scanner.eye.reading import Picture, Points, Reading, picture
from scanner.eye.symbol import Modules

_ANY_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
_MODEL_2 = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)
_LOCAL = zxingcpp.Binarizer.LocalAverage
_GLOBAL = zxingcpp.Binarizer.GlobalHistogram
_HALF = zxingcpp.Binarizer.FixedThreshold

_QUIET_ZONE = 4
_CLEAN_MODULE_PX = 3


@dataclass(frozen=True, eq=False)
class Sighting:
    """A place where a code seems to be that nobody could read yet."""

    corners: Points
    """Clockwise from the code's own top left."""

    version: int | None
    """Where it is known; a guess, for it may have been misread."""


def look(
    grey: Picture, step: str, *, is_global: bool = False, is_binary: bool = False
) -> tuple[list[Reading], list[Sighting]]:
    """Return what can be read in a picture, and where else something seems to be."""
    found = zxingcpp.read_barcodes(
        grey,
        formats=_ANY_QR if step == "grey" else _MODEL_2,
        binarizer=_HALF if is_binary else _GLOBAL if is_global else _LOCAL,
        text_mode=zxingcpp.TextMode.Plain,
        return_errors=True,
    )
    readings: list[Reading] = []
    sightings: list[Sighting] = []
    for code in found:
        if code.valid and code.text:
            readings.append(Reading(code.text, _corners(code.position), step))
        elif not code.valid and (version := _version(code.extra)) is not None:
            sightings.append(Sighting(_corners(code.position), version))
    return readings, sightings


def _version(extra: Any) -> int | None:
    """Return the version that a failed reading names; micro codes have other names."""
    known: dict[str, Any] = extra or {}
    named = str(known.get("Version", ""))
    return int(named) if named.isdigit() else None


def text_of(modules: Modules) -> str | None:
    """Return what a code says, every module of which is right."""
    clean = np.where(modules, 0, 255).astype(np.uint8)
    side = len(modules) * _CLEAN_MODULE_PX
    drawn = cv2.resize(clean, (side, side), interpolation=cv2.INTER_NEAREST)
    edge = _QUIET_ZONE * _CLEAN_MODULE_PX
    framed = cv2.copyMakeBorder(drawn, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(255,))
    found = zxingcpp.read_barcodes(
        picture(framed),
        formats=_ANY_QR,  # `is_pure` with model 2 alone takes every code for model 1
        binarizer=_HALF,
        text_mode=zxingcpp.TextMode.Plain,
        is_pure=True,
    )
    return next((code.text for code in found if code.text), None)


def _corners(position: zxingcpp.Position) -> Points:
    four = position.top_left, position.top_right, position.bottom_right, position.bottom_left
    return np.array([(corner.x, corner.y) for corner in four], np.float32)
