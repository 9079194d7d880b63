"""Photographs that nobody here made, with what is written in them: a folder beside the house.

Its `groundtruth.json` lists, for each file, the codes and their texts. Where nobody knows a code's
text for sure it is null, and `candidates` says what it may be: all texts of that set.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.pictures.sample import Picture, Sample

FOLDER_VARIABLE = "COUNTERFOIL_QR_PHOTOS"
NEGATIVE = "nothing to read"

# A code inside a code: the truth names the outer text alone, and who reads the inner one is right.
ALSO_THERE: Mapping[str, frozenset[str]] = {
    "zxing/qrcode-2/16.png": frozenset({"[内側QRコード]\r\n\r\n*ダブルQR*\r\nhttp://d-qr.net/ex/"}),
}


def samples(folder: Path) -> list[Sample]:
    """Return the photographs in the order of the list. None is opened yet."""
    truth = json.loads((folder / "groundtruth.json").read_text(encoding="utf-8"))
    return [_sample(folder, image) for image in truth["images"]]


def _sample(folder: Path, image: Mapping[str, Any]) -> Sample:
    texts = [code["text"] for code in image["codes"]]
    return Sample(
        name=image["file"],
        category=NEGATIVE if image["negative"] else f"{image['set']} {image['category']}",
        look=partial(_opened, folder / image["file"]),
        texts=frozenset(text for text in texts if text is not None),
        unknown_count=texts.count(None),
        candidates=frozenset(image.get("candidates", ())) - set(texts),
        also_there=ALSO_THERE.get(image["file"], frozenset()),
    )


def _opened(file: Path) -> Picture:
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(file)
    return picture.astype(np.uint8, copy=False)
