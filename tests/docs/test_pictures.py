"""The pictures are what `docs/pictures/make.py` draws, and the coupon in them is a coupon."""

import json
import runpy
from xml.etree import ElementTree

import cv2
import pytest

from scanner import decode
from tests.docs.pages import HOUSE

PICTURES = HOUSE / "docs" / "pictures"
MAKE = runpy.run_path(str(PICTURES / "make.py"))


def test_the_coupon_in_the_readme_can_be_scanned() -> None:
    picture = cv2.imread(str(PICTURES / "coupons.png"))
    vectors = json.loads((HOUSE / "tests" / "vectors" / "token.json").read_text(encoding="utf-8"))

    assert picture is not None
    (reading,) = decode(picture)  # pyright: ignore[reportArgumentType]
    assert reading.text == vectors["static"][0]["text"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_drawing_is_fresh_and_well_formed(theme: str) -> None:
    drawn = (PICTURES / f"flow-{theme}.svg").read_text(encoding="utf-8")

    assert drawn == MAKE["flow_svg"](theme)
    ElementTree.fromstring(drawn)  # noqa: S314 our own file
