"""Coupons as pictures: a code for a screen or for paper, and sheets to cut up.

A code uses the alphanumeric mode and has its quiet zone of four modules, always white. On a
screen the level is L: for one size, larger modules are read better than more repair. Paper gets
creased and stained, so there the level is M.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, cast

from PIL import Image, ImageDraw, ImageFont
from qrcode.constants import ERROR_CORRECT_L, ERROR_CORRECT_M
from qrcode.main import QRCode
from qrcode.util import MODE_ALPHA_NUM, QRData

from coupon_engine.errors import CouponError


class Surface(StrEnum):
    SCREEN = "screen"
    PAPER = "paper"


class CannotPrint(CouponError):
    """Better no sheet than one with boxes for letters or half of the conditions."""

    code = "cannot_print"
    message = "This cannot be printed: the font lacks characters, or the text is too long."


class FontFile(NamedTuple):
    path: Path
    face: int = 0  # which one, if the file is a collection (.ttc)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedCoupon:
    """What stands on paper, in the words and the language of whoever will hold it."""

    text: str  # the code's, from `token.coupon_text`
    title: str
    conditions: str
    validity: str
    short_code: str


def png(text: str, surface: Surface = Surface.SCREEN, *, module_px: int = 8) -> bytes:
    """Draw a code in so many pixels a module; never scale it afterwards."""
    return _png(_picture(text, surface, module_px))


def svg(text: str, surface: Surface = Surface.SCREEN) -> str:
    """Draw a code as wide as the page that shows it gives it room for."""
    rows = _modules(text, surface)
    size = len(rows)
    dark = "".join(
        f"M{start} {y}h{width}v1h-{width}z"
        for y, row in enumerate(rows)
        for start, width in _runs(row)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}"'
        ' shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{dark}"/></svg>'
    )


def sheets_pdf(coupons: Sequence[PrintedCoupon], *, font: FontFile | None = None) -> bytes:
    """Return A4 pages of eight coupons at 300 dpi, without loss, as one PDF.

    Without a font file Noto Sans serves; bring another for what it lacks.

    Raises:
        CannotPrint: The font lacks a character, or a text does not fit its place.
    """
    first, *others = _pages(coupons, font)
    pdf = io.BytesIO()
    # Without dates the same coupons give the same file.
    first.save(
        pdf,
        "PDF",
        save_all=True,
        append_images=others,
        resolution=DPI,
        creationDate=None,
        modDate=None,
    )
    return pdf.getvalue()


def sheets_png(coupons: Sequence[PrintedCoupon], *, font: FontFile | None = None) -> list[bytes]:
    """Return the pages of `sheets_pdf`, one picture each."""
    return [_png(page) for page in _pages(coupons, font)]


def noto() -> FontFile:
    """Return Noto Sans, which has English, Chinese and every currency's sign."""
    collection = resources.files("noto_cjk_sans_otc") / "NotoSansCJK-Regular.ttc"
    return FontFile(Path(str(collection)), face=2)  # the face for Simplified Chinese


DPI = 300
QUIET_ZONE = 4  # modules; ISO/IEC 18004 asks for it
COUPONS_ON_A_PAGE = 8

_LEVEL = {Surface.SCREEN: ERROR_CORRECT_L, Surface.PAPER: ERROR_CORRECT_M}
_WHITE = 1  # black is 0, as everywhere in a picture of one bit a pixel


def _modules(text: str, surface: Surface) -> list[list[bool]]:
    """Return the code with its quiet zone; True is dark."""
    code = QRCode(error_correction=_LEVEL[surface], border=QUIET_ZONE)
    # The mode is named because guessing splits a text and makes the code larger.
    mode = cast("Literal[2]", MODE_ALPHA_NUM)  # the checker's stubs want the number itself
    code.add_data(QRData(text, mode=mode), optimize=0)
    code.make()
    return [[bool(module) for module in row] for row in code.get_matrix()]


def _picture(text: str, surface: Surface, module_px: int) -> Image.Image:
    rows = _modules(text, surface)
    size = len(rows)
    pixels = bytes(0 if module else 255 for row in rows for module in row)
    small = Image.frombytes("L", (size, size), pixels)
    large = small.resize((size * module_px, size * module_px), Image.Resampling.NEAREST)
    return large.convert("1", dither=Image.Dither.NONE)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", dpi=(DPI, DPI))
    return file.getvalue()


def _runs(row: Sequence[bool]) -> Iterable[tuple[int, int]]:
    """Return start and length of each row of dark modules."""
    x = 0
    for is_dark, run in groupby(row):
        width = len(list(run))
        if is_dark:
            yield x, width
        x += width


# Sheets. Lengths are pixels at 300 dpi: 12 to the millimetre.

_PAGE = (2480, 3508)
_MARGIN = 120  # what office printers cannot reach
_CELL = ((_PAGE[0] - 2 * _MARGIN) // 2, (_PAGE[1] - 2 * _MARGIN) // 4)
_PAD = 36
_MODULE_PX = 8  # a code of 36 mm

Font = ImageFont.FreeTypeFont
Fonts = Callable[[int], Font]


def _pages(coupons: Sequence[PrintedCoupon], font: FontFile | None) -> list[Image.Image]:
    assert coupons, "an empty sheet is no sheet"
    fonts = _fonts(font)
    _refuse_missing_letters(coupons, fonts(40))
    return [
        _page(coupons[at : at + COUPONS_ON_A_PAGE], fonts)
        for at in range(0, len(coupons), COUPONS_ON_A_PAGE)
    ]


def _page(coupons: Sequence[PrintedCoupon], fonts: Fonts) -> Image.Image:
    page = Image.new("1", _PAGE, _WHITE)
    draw = ImageDraw.Draw(page)
    draw.fontmode = "1"  # letters without grey: a printer has none
    for place, coupon in enumerate(coupons):
        row, column = divmod(place, 2)
        x, y = _MARGIN + column * _CELL[0], _MARGIN + row * _CELL[1]
        draw.rectangle((x, y, x + _CELL[0], y + _CELL[1]), outline=0)  # where to cut
        _coupon(page, draw, (x + _PAD, y + _PAD), coupon, fonts)
    return page


def _coupon(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    coupon: PrintedCoupon,
    fonts: Fonts,
) -> None:
    """Code and short code on the left; title, conditions and validity beside them."""
    x, y = corner
    code = _picture(coupon.text, Surface.PAPER, _MODULE_PX)
    height = _CELL[1] - 2 * _PAD
    beside = x + code.width + _PAD
    width = _CELL[0] - code.width - 3 * _PAD
    page.paste(code, corner)
    _write(draw, (x, y + code.height + _PAD), coupon.short_code, (code.width, 60), fonts, (46, 30))
    _write(draw, (beside, y), coupon.title, (width, 220), fonts, (66, 34))
    _write(draw, (beside, y + 240), coupon.conditions, (width, height - 380), fonts, (36, 24))
    _write(draw, (beside, y + height - 120), coupon.validity, (width, 120), fonts, (38, 24))


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    box: tuple[int, int],
    fonts: Fonts,
    sizes: tuple[int, int],
) -> None:
    """Write a text as large as its place allows, between two sizes."""
    width, height = box
    largest, smallest = sizes
    for size in range(largest, smallest - 1, -2):
        lines, line_height = _wrapped(text, fonts(size), width), size * 5 // 4
        fits_across = all(fonts(size).getlength(line) <= width for line in lines)
        if fits_across and len(lines) * line_height <= height:
            for number, line in enumerate(lines):
                place = (corner[0], corner[1] + number * line_height)
                draw.text(place, line, fill=0, font=fonts(size))
            return
    raise CannotPrint(too_long=text)


# A line may break after a space, and beside any Chinese character but not before its stop.
_CHINESE = "\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60"
_PIECE = re.compile(f"[{_CHINESE}][，。、；：！？）》」』”]*|[^\\s{_CHINESE}]+|\\s+")


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for piece in _PIECE.findall(paragraph):
            if line and font.getlength(line + piece.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece if line else piece.lstrip()
        lines.append(line.rstrip())
    return lines


def _fonts(font: FontFile | None) -> Fonts:
    path, face = font or noto()

    @cache
    def at(size: int) -> Font:
        return ImageFont.truetype(path, size, index=face)

    return at


def _refuse_missing_letters(coupons: Iterable[PrintedCoupon], font: Font) -> None:
    """Refuse what would print as empty boxes: a font draws one box for all it lacks."""
    letters = {
        letter
        for coupon in coupons
        for letter in coupon.title + coupon.conditions + coupon.validity + coupon.short_code
        if not letter.isspace()
    }
    box = _drawn("\U0010fffe", font)
    if missing := sorted(letter for letter in letters if _drawn(letter, font) == box):
        raise CannotPrint(missing="".join(missing))


def _drawn(letter: str, font: Font) -> bytes:
    picture = Image.new("1", (160, 160), _WHITE)
    ImageDraw.Draw(picture).text((40, 40), letter, fill=0, font=font)
    return picture.tobytes()
