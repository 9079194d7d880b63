"""Card numbers, which have no business here: found in texts, so that they are kept out.

A digit run is taken for a card's number where three things agree: a length that cards have, digits
in front that card networks own, and the check digit (Luhn). One of them alone would take a tenth
of all receipt numbers for cards. See docs/decisions/0022-cards.md.
"""

import re
from collections.abc import Iterator

# 13 digits are left to EAN codes and milliseconds; no network gives out such numbers any more.
_RUN = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){13,18}(?![\w-])", re.ASCII)
_GROUPS = re.compile(
    r"\d{4}(?:([ -])\d{4})(?:\1\d{4}){1,2}(?:\1\d{1,4})?|\d{4}[ -]\d{6}[ -]\d{4,5}"
)
_NETWORKS = (
    (re.compile(r"4"), {16, 19}),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"3(?:0[0-5]|[689])"), {14, 16, 19}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 17, 18, 19}),
    (re.compile(r"6(?:011|22|4[4-9]|5)|62|81"), {16, 17, 18, 19}),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[123]"), {16, 17, 18, 19}),
)


def card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Find where card numbers stand in a text."""
    for found in _RUN.finditer(text):
        if _is_card(re.sub(r"[ -]", "", found.group())):
            yield found.span()


def grouped_card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Find those that are written in the groups that are printed on cards."""
    for start, end in card_numbers(text):
        if _GROUPS.fullmatch(text[start:end]):
            yield start, end


def _is_card(digits: str) -> bool:
    fits = any(start.match(digits) and len(digits) in sizes for start, sizes in _NETWORKS)
    return fits and _has_check_digit(digits)


def _has_check_digit(digits: str) -> bool:
    own, doubled = digits[::-2], digits[-2::-2]
    return (sum(map(int, own)) + sum(sum(divmod(2 * int(each), 10)) for each in doubled)) % 10 == 0
