"""Draw the pictures of the pages again: `python docs/pictures/make.py`, in the virtual environment.

The coupons are drawn by the same code that prints them for shops, from the vectors in
`tests/vectors/token.json`, so they are real ones and can be scanned.
"""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from PIL import Image

from coupon_engine.drawing import PrintedCoupon, sheets_png
from coupon_engine.validation.short_code import short_code_of
from coupon_engine.validation.telling import describe
from schemas.money import Language
from schemas.offers import AmountOff, Conditions, Terms, Title, Validity

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent.parent / "tests" / "vectors" / "token.json"

FIRST_ROW_OF_THE_SHEET = (112, 112, 2368, 946)  # with the lines along which it is cut
SHRUNK = 2  # a module is then four pixels wide

TERMS = Terms(
    title=Title(en="3.50 off from 20", zh="满20减3.50"),
    benefit=AmountOff(amount_minor=350),
    conditions=Conditions(minimum_basket_minor=2_000),
    validity=Validity(days_after_issue=30),
)

FONT = "font-family='system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif'"
COLOURS = {
    "light": {"ink": "#1f2328", "soft": "#59636e", "line": "#818b98", "box": "#f6f8fa"},
    "dark": {"ink": "#f0f6fc", "soft": "#9198a1", "line": "#656c76", "box": "#151b23"},
}
ACCENT = {"light": "#0969da", "dark": "#4493f8"}
STEPS = (
    ("issue", "one row each;", "nothing signed yet"),
    ("show", "signed when asked for,", "165 characters in a QR"),
    ("scan", "picture to text; signature", "checked, no database"),
    ("redeem", "requests in flight", "share one transaction"),
    ("tell", "story, report, outbox:", "one row per event"),
)
INSIDE = ("asked before?", "lock coupons", "judge", "lock limits", "write all", "commit")


def main() -> None:
    (HERE / "coupons.png").write_bytes(coupons_png())
    for theme in COLOURS:
        (HERE / f"flow-{theme}.svg").write_text(flow_svg(theme), encoding="utf-8")


def coupons_png() -> bytes:
    """Return a coupon as it lies on a printed sheet, once in each language."""
    case = json.loads(VECTORS.read_text(encoding="utf-8"))["static"][0]
    (sheet,) = sheets_png([_printed(case, "en"), _printed(case, "zh")])
    row = Image.open(io.BytesIO(sheet)).crop(FIRST_ROW_OF_THE_SHEET).convert("L").reduce(SHRUNK)
    picture = io.BytesIO()
    row.quantize(16).save(picture, "PNG", optimize=True)
    return picture.getvalue()


def _printed(case: dict[str, Any], language: Language) -> PrintedCoupon:
    starts, ends = (datetime.fromtimestamp(case["fields"][at], UTC) for at in ("nbf", "exp"))
    return PrintedCoupon(
        text=case["text"],
        title=TERMS.title.zh if language == "zh" else TERMS.title.en,
        conditions="\n".join(describe(TERMS, language, "EUR")),
        validity=f"{starts:%Y-%m-%d} – {ends:%Y-%m-%d}",
        short_code=short_code_of(UUID(case["fields"]["jti"]), b"a secret of the pages"),
    )


def flow_svg(theme: str) -> str:
    """Return a coupon's way in five steps, and what one transaction of the fourth does."""
    colour, accent = COLOURS[theme], ACCENT[theme]
    parts = [
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 920 214' role='img'>",
        "<title>A coupon from issue to report</title>",
        f"<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
        f"markerHeight='7' orient='auto'><path d='M0 0L8 4L0 8z' fill='{colour['line']}'/>"
        "</marker></defs>",
    ]
    for at, (name, *lines) in enumerate(STEPS):
        x = 10 + at * 184
        edge = accent if name == "redeem" else colour["line"]
        parts.append(_box(x, 10, 164, 78, colour["box"], edge))
        parts.append(_text(x + 82, 36, name, colour["ink"], size=17, weight=600))
        for row, line in enumerate(lines):
            parts.append(_text(x + 82, 57 + 18 * row, line, colour["soft"], size=12))
        if at:
            parts.append(_arrow(x - 20, 49, x - 2, colour["line"]))
    # From the fourth step down to what happens inside it.
    parts.append(
        f"<path d='M644 88V108H460V124' fill='none' stroke='{accent}' stroke-dasharray='4 3'/>"
    )
    parts.append(_box(10, 124, 900, 80, "none", accent))
    for at, name in enumerate(INSIDE):
        x = 28 + at * 147
        parts.append(_box(x, 144, 129, 40, colour["box"], colour["line"]))
        parts.append(_text(x + 64, 169, name, colour["ink"], size=13))
        if at:
            parts.append(_arrow(x - 18, 164, x - 2, colour["line"]))
    return "\n".join([*parts, "</svg>", ""])


def _box(x: int, y: int, width: int, height: int, fill: str, stroke: str) -> str:
    place = f"x='{x}' y='{y}' width='{width}' height='{height}'"
    return f"<rect {place} rx='6' fill='{fill}' stroke='{stroke}'/>"


def _text(x: int, y: int, words: str, fill: str, *, size: int, weight: int = 400) -> str:
    look = f"font-size='{size}' font-weight='{weight}' fill='{fill}'"
    return f"<text x='{x}' y='{y}' text-anchor='middle' {FONT} {look}>{words}</text>"


def _arrow(start: int, y: int, end: int, stroke: str) -> str:
    return f"<path d='M{start} {y}H{end}' stroke='{stroke}' marker-end='url(#tip)'/>"


if __name__ == "__main__":
    main()
