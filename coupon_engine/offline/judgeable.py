"""What a terminal can judge without the record: which campaigns, and which of their offers.

A rule that needs to know who the customer is, or what others have redeemed, needs the record. Of
such an offer terminals are told nothing, and its coupons wait for a network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine.offers import terms_of
from coupon_engine.tables import Batch, Campaign, Offer
from coupon_engine.validation.alone import can_be_judged_alone
from coupon_engine.validation.windows import validity
from schemas.campaigns import CampaignState, Level, OfflinePolicy, Stops
from schemas.offers import LimitOf, Terms
from schemas.offline import ONLINE_CLASS

# An archived draft never had a coupon; any other archived campaign goes on as it ended.
_OVER = (CampaignState.ENDED, CampaignState.ARCHIVED)
_LIVE = (CampaignState.APPROVED, CampaignState.PAUSED, *_OVER)
_IN_ONE_STORE = (OfflinePolicy.STORE_BOUND, OfflinePolicy.ACTIVATED)


@dataclass(frozen=True, slots=True)
class JudgeableOffer:
    id: UUID
    quota_class: int
    terms: Terms


@dataclass(frozen=True, slots=True)
class Judgeable:
    """A campaign with the offers that a terminal can judge alone: at least one."""

    row: Campaign
    offers: tuple[JudgeableOffer, ...]

    @property
    def is_paused(self) -> bool:
        """Does a pause stop redeeming? One of issuing alone means nothing at a counter."""
        return (
            self.row.decided == CampaignState.PAUSED
            and self.row.stops == Stops.ISSUING_AND_REDEEMING
        )

    @property
    def has_ended_for_good(self) -> bool:
        return self.row.decided in _OVER and self.row.stops == Stops.ISSUING_AND_REDEEMING

    def works_at(self, store_id: UUID, *, is_authority: bool) -> bool:
        """May this terminal redeem anything of it alone?"""
        if self.has_ended_for_good:
            return False
        if self.row.offline in _IN_ONE_STORE and not is_authority:
            return False
        listed = [each.terms.conditions.stores for each in self.offers]
        return any(not stores or store_id in stores for stores in listed)


def campaigns(session: Session, operator_id: UUID, *, now: datetime) -> list[Judgeable]:
    """Return the campaigns of which coupons may still be good, in the order of their numbers."""
    rows = session.exec(
        select(Campaign)
        .where(
            col(Campaign.operator_id) == operator_id,
            col(Campaign.offline) != OfflinePolicy.ONLINE_ONLY,
            col(Campaign.level) != Level.SHORT_CODE,
            col(Campaign.decided).in_(_LIVE),
        )
        .order_by(col(Campaign.number))
    ).all()
    unlimited = [row for row in rows if not _limits_redeeming(row.limits)]
    offers = _offers(session, operator_id, unlimited, now=now)
    return [Judgeable(row, offers[row.id]) for row in unlimited if offers.get(row.id)]


def _offers(
    session: Session, operator_id: UUID, campaigns: Sequence[Campaign], *, now: datetime
) -> dict[UUID, tuple[JudgeableOffer, ...]]:
    by_id = {row.id: row for row in campaigns}
    if not by_id:
        return {}
    rows = session.exec(
        select(Offer)
        .where(
            col(Offer.operator_id) == operator_id,
            col(Offer.campaign_id).in_(by_id),
            col(Offer.quota_class) < ONLINE_CLASS,
            col(Offer.frozen_at).is_not(None),  # of others no coupon is out
        )
        .order_by(col(Offer.campaign_id), col(Offer.quota_class))
    ).all()
    needing_the_record = _with_batches_that_need_the_record(session, operator_id, by_id)
    terms = terms_of(session, operator_id, {row.id for row in rows})
    offers: dict[UUID, tuple[JudgeableOffer, ...]] = {}
    for row in rows:
        campaign, own = by_id[row.campaign_id], terms[row.id]
        if row.id in needing_the_record or not can_be_judged_alone(own):
            continue
        _, until = validity(own.validity, campaign.ends_at, campaign.zone)
        if now < until:
            one = JudgeableOffer(row.id, row.quota_class, own)
            offers[campaign.id] = (*offers.get(campaign.id, ()), one)
    return offers


def _limits_redeeming(rules: Iterable[dict[str, object]]) -> bool:
    return any(rule["of"] == LimitOf.REDEEM for rule in rules)


def _with_batches_that_need_the_record(
    session: Session, operator_id: UUID, campaigns: dict[UUID, Campaign]
) -> set[UUID]:
    """Return the offers some of whose coupons come under a batch's own ceilings, or are unclaimed.

    That a coupon is claimed, a static code does not tell; one bound to a phone was claimed by it.
    """
    rows = session.exec(
        select(Batch).where(
            col(Batch.operator_id) == operator_id, col(Batch.campaign_id).in_(campaigns)
        )
    ).all()
    return {
        row.offer_id
        for row in rows
        if row.max_redemptions is not None
        or row.budget_minor is not None
        or (row.needs_claim and campaigns[row.campaign_id].level == Level.STATIC)
    }
