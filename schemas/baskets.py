"""What the customer is about to pay for."""

from typing import Annotated

from pydantic import Field, model_validator

from schemas.base import MOST_MINOR, Minor, Ref, Wire
from schemas.money import Currency

MOST_LINES = 1_000


class Line(Wire):
    """One line of a till receipt."""

    product: Ref
    category: Ref | None = None
    quantity: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    unit_price_minor: Annotated[int, Field(strict=True, ge=0, le=10**9)]

    @property
    def amount_minor(self) -> int:
        return self.quantity * self.unit_price_minor


class Basket(Wire):
    """Lines, or a total alone where the till knows no more.

    With lines the total is ours to add up; a total sent beside them must agree.
    """

    currency: Currency
    lines: tuple[Line, ...] = Field(default=(), max_length=MOST_LINES)
    total_minor: Minor | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> "Basket":
        if not self.lines and self.total_minor is None:
            raise ValueError("a basket has lines or a total")
        if self.lines and self.total_minor not in (None, self.amount_minor):
            raise ValueError("the total differs from the sum of the lines")
        if self.amount_minor > MOST_MINOR:
            raise ValueError("the lines add up to more than any amount may be")
        return self

    @property
    def amount_minor(self) -> int:
        if self.lines:
            return sum(line.amount_minor for line in self.lines)
        return self.total_minor or 0


class LineDiscount(Wire):
    """What one line of the basket is reduced by; `line` counts from 0."""

    line: Annotated[int, Field(ge=0, lt=MOST_LINES)]
    discount_minor: Annotated[int, Field(strict=True, ge=1, le=MOST_MINOR)]
