"""How a campaign goes, as figures for curves and tables. They count; they explain nothing."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from schemas.base import Count, Minor, Moment, Wire
from schemas.money import Currency

Step = Literal["hour", "day"]

LONGEST: dict[Step, timedelta] = {"hour": timedelta(days=31), "day": timedelta(days=3 * 366)}


class Figured(Wire):
    """Of which stretch of time, and in what steps. Left out: the whole campaign, in days."""

    since: Moment | None = None
    until: Moment | None = None
    step: Step = "day"
    store_id: UUID | None = Field(default=None, description="Of this store alone.")

    @model_validator(mode="after")
    def _is_short_enough(self) -> "Figured":
        if self.since and self.until:
            if self.until <= self.since:
                raise ValueError("until must be after since")
            if self.until - self.since > LONGEST[self.step]:
                raise ValueError(
                    f"at most {LONGEST[self.step].days} days in steps of a {self.step}"
                )
        return self


class Point(Wire):
    """One step on the campaign's own clock, from `at` until the next."""

    at: Moment
    issued: Count
    redeemed: Count
    reversed: Count
    discount_minor: Minor


class Warmth(Wire):
    """Redemptions of one store in one hour of the day, on the store's own clock."""

    store_id: UUID
    hour: Annotated[int, Field(ge=0, le=23)]
    redeemed: Count


class Funnel(Wire):
    """How far coupons have come. Each step but the last is of coupons, and part of the one before.

    `held` are those that somebody has, or has used: a customer, a phone, or whoever bore it.
    """

    issued: Count
    held: Count
    redeemed: Count = Field(description="Coupons that were redeemed at least once.")
    reversed: Count = Field(description="Redemptions that were taken back whole.")


class Forecast(Wire):
    """What comes of it if the coming days are like the last seven. Nothing cleverer."""

    days_looked_at: Annotated[int, Field(ge=1, le=7)]
    per_day_minor: Minor
    per_day_redeemed: Count
    ends_with_minor: Minor = Field(description="Spent by the end of the campaign.")
    ends_with_redeemed: Count
    stops_at: Moment | None = Field(
        description="When the budget or the count is used up; None: not before the end."
    )


class FiguresView(Wire):
    """`forecast` is of the whole campaign, so it is told only to those who see all stores."""

    at: Moment
    campaign_id: UUID
    currency: Currency
    zone: str
    step: Step
    since: datetime
    until: datetime
    starts_at: Moment
    ends_at: Moment
    budget_minor: Minor
    max_redemptions: Count
    points: tuple[Point, ...]
    warmth: tuple[Warmth, ...]
    funnel: Funnel
    forecast: Forecast | None
