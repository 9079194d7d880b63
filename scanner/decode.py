"""A picture in, the texts of its QR codes out."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)

Picture = NDArray[np.uint8]
"""Grey (height, width) or blue-green-red (height, width, 3), as OpenCV gives it."""


def decode(image: Picture) -> list[str]:
    """Return the text of every QR code in the picture, each once; nothing found is an empty list.

    Tries the dearer ways only while the cheaper ones find nothing. What the texts mean, and
    whether they may be trusted, is not known here.
    """
    grey = _grey(image)
    for prepared in _STEPS:
        if texts := _texts(prepared(grey)):
            return texts
    return _last_resort(grey)


def _grey(image: Picture) -> Picture:
    assert image.dtype == np.uint8, "pictures have one byte a channel"
    if image.ndim == 3 and image.shape[2] == 3:
        return _picture(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    assert image.ndim == 2, "a picture is grey or has three channels"
    return image


def _raw(grey: Picture) -> Picture:
    return grey


def _sharpened(grey: Picture) -> Picture:
    """Undo the blur of a lens without focus; the median first, or noise is sharpened too."""
    return _unsharp(_picture(cv2.medianBlur(grey, 3)), sigma=3, strength=4)


def _enlarged(grey: Picture) -> Picture:
    """Give modules of two or three pixels room for edges."""
    large = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return _unsharp(_picture(large), sigma=4, strength=3)


_STEPS: tuple[Callable[[Picture], Picture], ...] = (_raw, _sharpened, _enlarged)


def _unsharp(grey: Picture, *, sigma: float, strength: float) -> Picture:
    blurred = cv2.GaussianBlur(grey, (0, 0), sigma)
    return _picture(cv2.addWeighted(grey, 1 + strength, blurred, -strength, 0))


def _texts(grey: Picture) -> list[str]:
    codes = zxingcpp.read_barcodes(grey, formats=_QR, text_mode=zxingcpp.TextMode.Plain)
    return _each_once(code.text for code in codes)


def _last_resort(grey: Picture) -> list[str]:
    """Ask OpenCV's own reader; its default class misses clean codes, this one does not."""
    _, texts, _, _ = cv2.QRCodeDetectorAruco().detectAndDecodeMulti(grey)
    return _each_once(texts)


def _each_once(texts: Any) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]


def _picture(array: Any) -> Picture:
    """Give OpenCV's results the type they have when bytes went in."""
    return array
