"""An offer that is still being written: how it will read, and what it would take off a basket."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.base import Minor, Moment, Wire, Zone
from schemas.baskets import Basket, LineDiscount
from schemas.money import Currency
from schemas.offers import Face, Refs, Terms
from schemas.refusals import Refusal


class Draft(Wire):
    """Terms, and what they need of the campaign that they will be for."""

    terms: Terms
    currency: Currency
    zone: Zone


class NewPreview(Draft):
    """How would this read on a phone?"""


class PreviewView(Wire):
    face: Face


class TrialCustomer(Wire):
    """Somebody made up, who holds the coupon."""

    segments: Refs = Field(default=(), max_length=100)
    has_purchased: bool = Field(default=False, strict=True)


class NewTrial(Draft):
    """What would a coupon of these terms, given out just now, take off this basket?"""

    basket: Basket | None = None
    store_id: UUID | None = Field(
        default=None, description="Left out: in a store where it works, on the campaign's clock."
    )
    customer: TrialCustomer | None = Field(default=None, description="Left out: nobody knows them.")
    at: Moment | None = Field(
        default=None, description="Left out: as soon as a coupon given out now may be used."
    )
    spend_minor: Minor | None = None


class TrialAccepted(Wire):
    """Yes, and what it would take off."""

    kind: Literal["accepted"] = "accepted"
    at: Moment
    discount_minor: Minor
    currency: Currency
    lines: tuple[LineDiscount, ...]


class TrialRefused(Wire):
    """No, and why."""

    kind: Literal["refused"] = "refused"
    at: Moment
    refusal: Refusal


TrialView = Annotated[TrialAccepted | TrialRefused, Field(discriminator="kind")]
