"""Looking at a coupon, holding it, redeeming it, and taking that back."""

from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Ask, Count, Minor, Moment, Name, Ref, Wire
from schemas.baskets import MOST_LINES, Basket, LineDiscount
from schemas.money import Currency
from schemas.offers import Title
from schemas.refusals import Refusal

# Longer than any code we draw (321 characters), shorter than any attack.
Code = Annotated[str, StringConstraints(min_length=1, max_length=4_096, strip_whitespace=False)]
Challenge = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")]


class OneBasket(Wire):
    """What is being paid for; coupons that name the same receipt share it."""

    basket: Basket | None = None
    order_ref: Ref | None = Field(
        default=None, description="The receipt: coupons with one receipt share one basket."
    )

    @model_validator(mode="after")
    def _receipt_has_a_basket(self) -> Self:
        if self.order_ref and self.basket is None:
            raise ValueError("coupons can share a receipt only if each comes with its basket")
        return self


class AtCounter(OneBasket):
    """What a counter tells: the code it read, where it stands, what is in the basket."""

    code: Code = Field(description="The text of the QR code, the coupon's JWT, or its short code.")
    store_id: UUID
    terminal_id: UUID | None = None
    cashier: Name | None = None
    challenge: Challenge | None = None
    spend_minor: Minor | None = Field(
        default=None, description="At most so much; for a gift balance that is spent in part."
    )


class NewValidation(OneBasket):
    """Would these coupons work on this basket, in their stacking order?"""

    codes: tuple[Code, ...] = Field(min_length=1, max_length=20)
    store_id: UUID
    challenge: Challenge | None = None
    spend_minor: Minor | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.codes)) != len(self.codes):
            raise ValueError("must not name a code twice")
        return self


class Acceptance(Wire):
    """Yes, and what it is worth."""

    kind: Literal["accepted"] = "accepted"
    coupon_id: UUID
    offer_id: UUID
    title: Title
    discount_minor: Minor
    currency: Currency
    lines: tuple[LineDiscount, ...]
    uses_left: Count
    balance_minor: Minor | None


class Refused(Wire):
    """No, and why."""

    kind: Literal["refused"] = "refused"
    coupon_id: UUID | None
    refusal: Refusal


Verdict = Annotated[Acceptance | Refused, Field(discriminator="kind")]


class ValidationView(Wire):
    """Verdicts in the order in which the coupons should be redeemed."""

    verdicts: tuple[Verdict, ...]
    discount_minor: Minor


class NewRedemption(Ask, AtCounter):
    """Spend a coupon."""

    hold_id: UUID | None = Field(default=None, description="Redeem what this hold promised.")


class RedemptionState(StrEnum):
    """`cleared` follows from time; the others were decided."""

    ACCEPTED = "accepted"
    PROVISIONAL = "provisional"
    DISPUTED = "disputed"
    REVERSED = "reversed"
    CLEARED = "cleared"


class RedemptionView(Wire):
    id: UUID
    coupon_id: UUID
    campaign_id: UUID
    offer_id: UUID
    customer_id: UUID | None
    store_id: UUID
    terminal_id: UUID | None
    cashier: str | None
    order_ref: str | None
    redeemed_at: Moment
    undo_until: Moment
    state: RedemptionState
    currency: Currency
    basket_minor: Minor
    discount_minor: Minor
    reversed_minor: Minor
    lines: tuple[LineDiscount, ...]
    use_no: Count
    uses_left: Count
    balance_minor: Minor | None


class NewHold(Ask, AtCounter):
    """Promise a redemption for a little while."""

    lasts_seconds: Annotated[int, Field(strict=True, ge=1, le=3_600)] = 300


class HoldState(StrEnum):
    """`timed_out` follows from time; the others were decided."""

    OPEN = "open"
    COMMITTED = "committed"
    RELEASED = "released"
    TIMED_OUT = "timed_out"


class HoldView(Wire):
    id: UUID
    coupon_id: UUID
    store_id: UUID
    state: HoldState
    opened_at: Moment
    expires_at: Moment
    currency: Currency
    discount_minor: Minor
    lines: tuple[LineDiscount, ...]


class NewRelease(Ask):
    """Let a held coupon go."""

    hold_id: UUID


class NewReversal(Ask):
    """Take a redemption back, whole or by line."""

    redemption_id: UUID
    reason: Name
    cashier: Name | None = None
    lines: tuple[Annotated[int, Field(strict=True, ge=0, lt=MOST_LINES)], ...] | None = Field(
        default=None, min_length=1, max_length=MOST_LINES, description="Lines; left out means all."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.lines and len(set(self.lines)) != len(self.lines):
            raise ValueError("must not name a line twice")
        return self


class ReversalView(Wire):
    id: UUID
    redemption_id: UUID
    coupon_id: UUID
    reversed_at: Moment
    reason: str
    cashier: str | None
    lines: tuple[LineDiscount, ...]
    discount_minor: Minor
    currency: Currency
    is_whole: bool
    coupon_is_usable: bool
