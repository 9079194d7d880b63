"""The floor every wire model stands on: frozen, exact, in bounds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from unicodedata import category
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from schemas.cards import card_numbers, grouped_card_numbers

# A sum of any two still fits a 64-bit column and a JavaScript number.
MOST_MINOR = 10**12
MOST_COUNT = 10**9


class Wire(BaseModel):
    """What crosses a wire: never changed once read, nothing unknown let in."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Ask(Wire):
    """A write. Its id is made and kept by whoever asks, so that asking twice is harmless."""

    id: UUID = Field(description="Made by the asker (UUIDv7); a repeat gets the first answer.")


def _text_moment(value: object) -> object:
    # A text of digits alone would be read as seconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and "-" in value):
        return value
    raise ValueError("must be an ISO 8601 text with an offset, such as 2026-03-01T12:00:00Z")


def _in_reach(value: datetime) -> datetime:
    if not _FIRST <= value <= _LAST:
        raise ValueError("must lie between the years 2000 and 2199")
    return value.astimezone(UTC)


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("must be an IANA time zone, such as Asia/Shanghai")
    return value


def _printable(value: str) -> str:
    """Refuse what no person types: controls, halves of characters, and what turns text around."""
    if any(category(letter) in _UNSEEN or letter in _TURNS for letter in value):
        raise ValueError("must hold no control characters")
    return value


def no_card_number(value: str) -> str:
    """Refuse what a person types where it holds the number of a card."""
    if any(card_numbers(value)):
        raise ValueError("must hold no card number")
    return value


def _no_card_as_printed(value: str) -> str:
    # Receipts have numbers as long as cards do, but nobody prints them in a card's groups.
    if any(grouped_card_numbers(value)):
        raise ValueError("must hold no card number")
    return value


def each_once(name: Callable[[Any], object]) -> AfterValidator:
    """Refuse a list in which two members share a name."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({name(value) for value in values}) != len(values):
            raise ValueError("must not repeat itself")
        return values

    return AfterValidator(check)


_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)

Moment = Annotated[AwareDatetime, BeforeValidator(_text_moment), AfterValidator(_in_reach)]
"""An instant. Comes with an offset, is kept in UTC."""

Minor = Annotated[int, Field(strict=True, ge=0, le=MOST_MINOR)]
"""Money in whole minor units of a currency named beside it."""

Count = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNT)]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, le=MOST_COUNT)]
BasisPoints = Annotated[int, Field(strict=True, ge=1, le=10_000)]
"""A part of a whole in hundredths of a percent."""

Zone = Annotated[str, AfterValidator(_known_zone)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_printable),
    AfterValidator(no_card_number),
]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]
"""A short name fit for an address."""

Ref = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_printable),
    AfterValidator(_no_card_as_printed),
]
"""Somebody else's name for a thing: a receipt number, a product code."""

Json = dict[str, Any]
