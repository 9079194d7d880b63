"""Money: whole minor units and a currency, and the two ways it is divided."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal, Self

from babel.numbers import format_currency, get_currency_precision, list_currencies
from pydantic import AfterValidator, Field

from schemas.base import MOST_MINOR, Wire

_CURRENCIES = list_currencies() - {"XXX", "XTS"}  # which stand for none, and for tests

Language = Literal["en", "zh"]


def _known_currency(value: str) -> str:
    if value not in _CURRENCIES:
        raise ValueError("must be an ISO 4217 currency code, such as EUR")
    return value


Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_known_currency)]


class Money(Wire):
    """An amount, exact. Two currencies never meet in one sum."""

    minor: int = Field(strict=True, ge=-MOST_MINOR, le=MOST_MINOR)
    currency: Currency

    def share(self, basis_points: int) -> Self:
        """Return this part of the amount, half a minor unit rounded up."""
        return self._with(part(self.minor, basis_points))

    def split(self, weights: Sequence[int]) -> list[Self]:
        """Return the amount divided by these weights; the parts add up to the whole."""
        return [self._with(minor) for minor in split(self.minor, weights)]

    def in_words(self, language: Language) -> str:
        """Return the amount as a person of this language writes it: $3.50, 3,50 EUR, ¥3."""
        return in_words(self.minor, self.currency, language)

    def _with(self, minor: int) -> Self:
        return type(self)(minor=minor, currency=self.currency)


def part(minor: int, basis_points: int) -> int:
    """Return this part of an amount, half a minor unit rounded up."""
    return (minor * basis_points + 5_000) // 10_000


def split(minor: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount by weights, largest remainder first, earlier lines before later ones.

    The parts always add up to `minor`, and no part is larger than its weight while `minor` is
    at most the sum of the weights. Where all weights are nought, so are all parts, and `minor`
    must be nought too.

    Source: Hamilton's method (largest remainder).
    """
    whole = sum(weights)
    if whole == 0:
        assert minor == 0, "nothing to put the amount on"
        return [0] * len(weights)
    parts = [minor * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(minor * weights[at] % whole), at))
    for at in by_remainder[: minor - sum(parts)]:
        parts[at] += 1
    return parts


def in_words(minor: int, currency: str, language: Language) -> str:
    """Return an amount as a person of this language writes it."""
    places = get_currency_precision(currency)
    return format_currency(Decimal(minor).scaleb(-places), currency, locale=_LOCALES[language])


_LOCALES: dict[Language, str] = {"en": "en_US", "zh": "zh_Hans_CN"}
