"""Our eye and every peer behind one face: a picture in, texts out. Who is not here is named."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import zxingcpp

import scanner
from bench.pictures.sample import Picture
from scanner import Effort, Watcher

Read = Callable[[Picture], Sequence[str]]
See = Callable[[Picture, float], Sequence[str]]
"""As `Read`, of a frame and when in the clip it was taken; it may remember earlier ones."""

OURS = "ours"  # at the default effort; the others' names begin with it
ZXING = "zxing-cpp"

_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


@dataclass(frozen=True)
class Decoder:
    """Something that reads one picture, and something fresh that reads one clip."""

    name: str
    read: Read
    watch: Callable[[], See]


def by_frame(name: str, read: Read) -> Decoder:
    """Return a decoder that knows nothing of clips and looks at each frame alone."""
    return Decoder(name, read, lambda: lambda frame, _at: read(frame))


def ours() -> list[Decoder]:
    """Return our eye at every effort, the greatest last."""
    return [by_frame(_name(effort), partial(_by_effort, effort=effort)) for effort in Effort]


def watcher() -> Decoder:
    """Return our eye for video."""
    return Decoder(OURS, partial(_by_effort, effort=Effort.DEFAULT), _watching)


def peers(models: Path | None = None) -> tuple[list[Decoder], dict[str, str]]:
    """Return who else is here, zxing-cpp first; and who is not, and why.

    `models` is the folder with WeChat's four files (detect and sr, prototxt and caffemodel).
    """
    present = [
        by_frame(ZXING, zxing),
        by_frame("zxing-cpp, every binarizer", _zxing_at_its_best),
        by_frame("OpenCV", _of_opencv(cv2.QRCodeDetector())),
        by_frame("OpenCV Aruco", _of_opencv(cv2.QRCodeDetectorAruco())),
    ]
    missing: dict[str, str] = {}
    for name, find in (("pyzbar", _pyzbar), ("WeChat", partial(_wechat, models))):
        found = find()
        if isinstance(found, str):
            missing[name] = found
        else:
            present.append(by_frame(name, found))
    return present, missing


def zxing(
    image: Picture, binarizer: zxingcpp.Binarizer = zxingcpp.Binarizer.LocalAverage
) -> list[str]:
    """Read with every default: any turn, any scale, dark on light or light on dark.

    No other single call reads more: without smaller scales it reads a tenth less.
    """
    found = zxingcpp.read_barcodes(
        cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
        formats=_QR,
        # Control characters as they are; the default draws them.
        text_mode=zxingcpp.TextMode.Plain,
        binarizer=binarizer,
    )
    return [code.text for code in found]


def _zxing_at_its_best(image: Picture) -> list[str]:
    """Go on to its other binarizers while nothing is found: all that its options can add."""
    kinds = zxingcpp.Binarizer
    for binarizer in (kinds.LocalAverage, kinds.GlobalHistogram, kinds.FixedThreshold):
        if texts := zxing(image, binarizer):
            return texts
    return []


def _of_opencv(detector: cv2.QRCodeDetector | cv2.QRCodeDetectorAruco) -> Read:
    def read(image: Picture) -> Sequence[str]:
        try:
            _, texts, _, _ = detector.detectAndDecodeMulti(image)
        except (UnicodeDecodeError, cv2.error):
            return []  # it gives up at texts that are not UTF-8, and at some shapes of picture
        return texts

    return read


def _pyzbar() -> Read | str:
    try:
        pyzbar = importlib.import_module("pyzbar.pyzbar")
    except ImportError:
        return "not installed"

    def read(image: Picture) -> list[str]:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        try:
            found = pyzbar.decode(grey, symbols=[pyzbar.ZBarSymbol.QRCODE])
        except ValueError:
            return []  # its binding trips over a code that the library saw, but not which way up
        return [code.data.decode("utf-8", errors="replace") for code in found]

    return read


_WECHAT_FILES = ("detect.prototxt", "detect.caffemodel", "sr.prototxt", "sr.caffemodel")


def _wechat(models: Path | None) -> Read | str:
    made: Any = getattr(cv2, "wechat_qrcode_WeChatQRCode", None)
    if made is None:
        return "not in this OpenCV"
    if models is None or not all((models / name).is_file() for name in _WECHAT_FILES):
        return "no models"
    detector = made(*(str(models / name) for name in _WECHAT_FILES))

    def read(image: Picture) -> Sequence[str]:
        texts, _ = detector.detectAndDecode(image)
        return texts

    return read


def _name(effort: Effort) -> str:
    return OURS if effort is Effort.DEFAULT else f"{OURS}, {effort}"


def _by_effort(image: Picture, *, effort: Effort) -> list[str]:
    return [reading.text for reading in scanner.decode(image, effort=effort)]


def _watching() -> See:
    # What it may spend on a frame is counted as the bench counts: what one core computes.
    eye = Watcher(timer=time.process_time)
    return lambda frame, at: [reading.text for reading in eye.see(frame, at=at)]
