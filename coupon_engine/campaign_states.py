"""What a campaign can be, and what a person may decide about it."""

from collections.abc import Mapping
from datetime import datetime

from coupon_engine.tables import Campaign
from schemas.campaigns import CampaignState, Move

S = CampaignState

# What a person may decide, and where it leads. Scheduled, running and over follow from the dates.
# Whoever approves what goes on already approves what has changed in it.
MOVES: Mapping[CampaignState, Mapping[Move, CampaignState]] = {
    S.DRAFT: {Move.SUBMIT: S.IN_REVIEW, Move.APPROVE: S.APPROVED, Move.ARCHIVE: S.ARCHIVED},
    S.IN_REVIEW: {Move.REJECT: S.DRAFT, Move.APPROVE: S.APPROVED},
    S.APPROVED: {Move.APPROVE: S.APPROVED, Move.PAUSE: S.PAUSED, Move.END: S.ENDED},
    S.PAUSED: {Move.APPROVE: S.PAUSED, Move.RESUME: S.APPROVED, Move.END: S.ENDED},
    S.ENDED: {Move.ARCHIVE: S.ARCHIVED},
    S.ARCHIVED: {},
}


def state_of(campaign: Campaign, now: datetime) -> CampaignState:
    """Return what a person decided and what the dates have made of it."""
    decided = CampaignState(campaign.decided)
    if decided not in (S.APPROVED, S.PAUSED):
        return decided
    if now >= campaign.ends_at:
        return S.ENDED
    if decided is S.PAUSED:
        return S.PAUSED
    return S.SCHEDULED if now < campaign.starts_at else S.RUNNING
