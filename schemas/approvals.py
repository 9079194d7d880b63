"""A second person's yes: what has changed, what it may cost, and who saw it."""

from uuid import UUID

from pydantic import Field, JsonValue

from schemas.base import Ask, Count, Minor, Moment, Name, Wire
from schemas.campaigns import CampaignState, Stops
from schemas.money import Currency
from schemas.refusals import Sentences


class Change(Wire):
    """One thing that is not as it was when somebody last approved the campaign."""

    path: str = Field(description="Where it stands, such as `ceilings.budget_minor`.")
    label: Sentences
    before: JsonValue
    after: JsonValue


class Exposure(Wire):
    """The worst case: all that a campaign may give away if everything goes wrong at once."""

    currency: Currency
    money_minor: Minor
    redemptions: Count
    coupons: Count
    per_redemption_minor: Minor = Field(description="The most that one redemption takes off.")
    per_minute_minor: Minor = Field(description="The most that one minute takes off.")
    per_customer: Count = Field(description="The most redemptions by one customer.")


class DiffView(Wire):
    """What an approval would say yes to. Its fingerprint tells this state from any other."""

    campaign_id: UUID
    fingerprint: str
    changes: tuple[Change, ...]
    exposure: Exposure
    exposure_before: Exposure | None = Field(description="As last approved; none before that.")
    needs_second_person: bool
    editors: tuple[str, ...] = Field(description="Who has changed it since; they cannot approve.")


class NewApproval(Ask):
    """Say yes to a campaign as it stands, having seen what it would do."""

    campaign_id: UUID
    seen: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="The fingerprint of the diff that was looked at."
    )
    reason: Name


class ApprovalView(Wire):
    id: UUID
    campaign_id: UUID
    fingerprint: str
    state: CampaignState
    exposure: Exposure
    at: Moment


class PauseView(Wire):
    """What a terminal must know of a campaign at once: what is stopped now, if anything is."""

    campaign_id: UUID
    state: CampaignState
    stops: Stops | None
