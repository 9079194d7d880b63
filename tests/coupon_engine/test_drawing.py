"""A coupon is drawn so that a cheap camera reads it, and printed whole or not at all."""

import io
import json
import re
import struct
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from coupon_engine.drawing import (
    COUPONS_ON_A_PAGE,
    CannotPrint,
    PrintedCoupon,
    Surface,
    png,
    sheets_pdf,
    sheets_png,
    svg,
)
from tests.vectors import make_token_vectors as vectors

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
STATIC = VECTORS["static"][0]["text"]
BOUND = VECTORS["bound"][0]["text"]
SHORT_CODE = VECTORS["short_codes"]["codes"][0]["code"]

COUPON = PrintedCoupon(
    text=STATIC,
    title="EUR 3 off from EUR 15",
    conditions="Once per customer. Not together with other coupons.",
    validity="Until 31 December 2026",
    short_code=SHORT_CODE,
)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def texts_in(picture: Image.Image) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(picture.convert("L"))]


@pytest.mark.parametrize(
    ("text", "surface", "modules"),
    [
        (STATIC, Surface.SCREEN, 41),  # version 6
        (STATIC, Surface.PAPER, 45),  # version 7
        (BOUND, Surface.SCREEN, 53),  # version 9: as much as a cheap webcam can read
        (BOUND, Surface.PAPER, 61),
    ],
)
def test_a_code_is_no_larger_than_it_must_be(text: str, surface: Surface, modules: int) -> None:
    assert opened(png(text, surface, module_px=3)).size == ((modules + 8) * 3,) * 2


def test_a_code_has_a_white_border_of_four_modules() -> None:
    picture = opened(png(STATIC, module_px=5)).convert("L")
    side = picture.width
    ImageDraw.Draw(picture).rectangle((20, 20, side - 21, side - 21), fill=255)

    assert picture.getextrema() == (255, 255)
    assert opened(png(STATIC, module_px=5)).convert("L").getpixel((20, 20)) == 0


def test_the_drawing_for_a_page_shows_the_same_modules() -> None:
    root = ElementTree.fromstring(svg(BOUND))  # noqa: S314  # we have just written it ourselves
    size = int(root.attrib["viewBox"].split()[2])
    picture = Image.new("1", (size, size), 1)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", root[1].attrib["d"]):
        ImageDraw.Draw(picture).line((int(x), int(y), int(x) + int(width) - 1, int(y)), fill=0)

    assert picture.tobytes() == opened(png(BOUND, module_px=1)).tobytes()
    assert root[0].attrib == {"fill": "#fff", "d": f"M0 0h{size}v{size}H0z"}


def test_a_text_that_no_camera_would_read_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="can not be represented"):
        png(STATIC.lower())


def test_every_coupon_on_a_sheet_can_be_read() -> None:
    coupons = [replace(COUPON, text=case["text"]) for case in VECTORS["static"]]

    (page,) = sheets_png(coupons)

    assert sorted(texts_in(opened(page))) == sorted(coupon.text for coupon in coupons)
    assert opened(page).size == (2480, 3508)  # A4 at 300 dpi


def test_the_ninth_coupon_begins_another_page() -> None:
    full = [COUPON] * COUPONS_ON_A_PAGE

    assert len(sheets_png(full)) == 1
    assert len(sheets_png([*full, COUPON])) == 2
    assert b"/Count 2" in sheets_pdf([*full, COUPON])


def test_a_pdf_holds_the_very_same_page() -> None:
    coupons = [COUPON] * 3

    page = picture_in(sheets_pdf(coupons))

    assert page.tobytes() == opened(sheets_png(coupons)[0]).tobytes()


def test_the_same_coupons_give_the_same_file() -> None:
    assert sheets_pdf([COUPON]) == sheets_pdf([COUPON])
    assert sheets_pdf([COUPON]) != sheets_pdf([replace(COUPON, title="EUR 4 off")])


def test_every_word_makes_a_difference_to_the_page() -> None:
    pages = [
        sheets_png([coupon])[0]
        for coupon in (
            COUPON,
            replace(COUPON, title="EUR 4 off"),
            replace(COUPON, conditions="Twice."),
            replace(COUPON, validity="For ever"),
            replace(COUPON, short_code="0000-0000-0000"),
        )
    ]

    assert len(set(pages)) == 5


def test_a_coupon_is_not_printed_with_boxes_for_letters() -> None:
    with pytest.raises(CannotPrint) as refusal:
        sheets_pdf([replace(COUPON, title="15 کوپن")])

    assert refusal.value.details == {"missing": "".join(sorted("کوپن"))}


def test_a_coupon_is_printed_in_chinese_and_with_every_currency() -> None:
    chinese = replace(COUPON, title="满¥15减¥3 €", conditions="周日不可用。")

    assert texts_in(opened(sheets_png([chinese])[0])) == [STATIC]


def test_a_coupon_is_not_printed_with_half_of_its_conditions() -> None:
    endless = "Not on Sundays. " * 100

    with pytest.raises(CannotPrint) as refusal:
        sheets_pdf([replace(COUPON, conditions=endless)])

    assert refusal.value.details == {"too_long": endless}


def test_long_conditions_are_written_smaller() -> None:
    long = "Not on Sundays. " * 20

    assert texts_in(opened(sheets_png([replace(COUPON, conditions=long)])[0])) == [STATIC]


def picture_in(pdf: bytes) -> Image.Image:
    """Take the first picture out of a PDF: a fax (CCITT group 4), as a TIFF would hold it."""
    width, height = (
        int(found[1])
        for name in (b"Width", b"Height")
        if (found := re.search(name + rb" (\d+)", pdf))
    )
    length = re.search(rb"/BitsPerComponent 1.*?/Length (\d+)\s*>>stream\n", pdf, re.DOTALL)
    assert length is not None
    fax = pdf[length.end() : length.end() + int(length[1])]
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, 1), (259, 3, 4), (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(fax)),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + fax
    return opened(tiff)
