"""Campaigns: what a person may decide about one, and the ceilings that everybody shares."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import events, limits
from coupon_engine.answers import answered
from coupon_engine.errors import CeilingBelowUse, CeilingMoved, MoveNotAllowed
from coupon_engine.operators import next_number
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Campaign, Limit
from coupon_engine.validation.ceilings import LimitFacts
from schemas.base import MOST_COUNT
from schemas.campaigns import (
    CampaignState,
    CampaignView,
    Ceiling,
    CeilingView,
    Move,
    NewCampaign,
    NewCeiling,
    NewMove,
)
from schemas.offers import LimitOf

S = CampaignState

# What a person may decide, and where it leads. Scheduled, running and over follow from the dates.
MOVES: Mapping[CampaignState, Mapping[Move, CampaignState]] = {
    S.DRAFT: {Move.SUBMIT: S.IN_REVIEW, Move.APPROVE: S.APPROVED, Move.ARCHIVE: S.ARCHIVED},
    S.IN_REVIEW: {Move.REJECT: S.DRAFT, Move.APPROVE: S.APPROVED},
    S.APPROVED: {Move.PAUSE: S.PAUSED, Move.END: S.ENDED},
    S.PAUSED: {Move.RESUME: S.APPROVED, Move.END: S.ENDED},
    S.ENDED: {Move.ARCHIVE: S.ARCHIVED},
    S.ARCHIVED: {},
}


@answered(CampaignView)
def create_campaign(
    session: Session, operator_id: UUID, request: NewCampaign, *, now: datetime
) -> CampaignView:
    """Make a campaign as a draft, with its own two limit rows: to issue, and to redeem."""
    campaign = Campaign(
        operator_id=operator_id,
        id=request.id,
        number=next_number(session, operator_id, Campaign),
        name=request.name,
        currency=request.currency,
        zone=request.zone,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        decided=S.DRAFT,
        level=request.level,
        offline=request.offline,
        freshness_seconds=request.freshness_seconds,
        paper_allowed=request.paper_allowed,
        limits=[rule.model_dump(mode="json") for rule in request.limits],
        shuffle_key=secrets.token_bytes(16),
        created_at=now,
    )
    session.add(campaign)
    session.flush()
    session.add_all(_limit_rows(operator_id, request))
    _tell(session, "campaign_created", campaign, now, {"name": campaign.name})
    return _view(session, campaign, now=now)


@answered(CampaignView)
def decide(session: Session, operator_id: UUID, request: NewMove, *, now: datetime) -> CampaignView:
    """Approve, pause, resume, end ... A pause stops issuing; it stops redeeming only if asked to.

    Raises:
        Unknown: No such campaign.
        MoveNotAllowed: Not from the state in which it is.
    """
    campaign = locked(session, Campaign, operator_id, request.campaign_id)
    decided = CampaignState(campaign.decided)
    target = MOVES[decided].get(request.move)
    if target is None:
        raise MoveNotAllowed(state=decided, move=request.move, allowed=sorted(MOVES[decided]))
    campaign.decided = target
    if target is not S.ARCHIVED:
        campaign.stops = request.stops if target in (S.PAUSED, S.ENDED) else None
    session.add(campaign)
    data = {"move": request.move, "reason": request.reason, "stops": campaign.stops}
    _tell(session, "campaign_decided", campaign, now, {"from": decided, "to": target, **data})
    return _view(session, campaign, now=now)


@answered(CeilingView)
def move_ceiling(
    session: Session, operator_id: UUID, request: NewCeiling, *, now: datetime
) -> CeilingView:
    """Move one ceiling from where the asker believes it stands to where it should stand.

    Raises:
        Unknown: No such campaign.
        CeilingMoved: It stands elsewhere; somebody was quicker.
        CeilingBelowUse: More than the target is spent, issued or promised already.
    """
    campaign = found(session, Campaign, operator_id, request.campaign_id)
    of = LimitOf.ISSUE if request.ceiling is Ceiling.MAX_ISSUED else LimitOf.REDEEM
    own = limits.of_campaign(campaign.id, of)
    (facts,) = limits.locked(session, operator_id, [own], now=now).facts([own])
    standing, in_use = _standing(facts, request.ceiling)
    if standing != request.current:
        raise CeilingMoved(current=standing)
    if request.target < in_use:
        raise CeilingBelowUse(in_use=in_use)
    if request.ceiling is not Ceiling.BUDGET_MINOR and request.target > MOST_COUNT:
        raise CeilingBelowUse(most=MOST_COUNT)
    row = locked(session, Limit, operator_id, own.key)
    if request.ceiling is Ceiling.BUDGET_MINOR:
        row.max_minor = request.target
    else:
        row.max_count = request.target
    session.add(row)
    data = {"ceiling": request.ceiling, "from": standing, "to": request.target}
    _tell(session, "ceiling_moved", campaign, now, {**data, "reason": request.reason})
    return CeilingView(
        id=request.id,
        campaign_id=campaign.id,
        ceiling=request.ceiling,
        previous=standing,
        target=request.target,
        at=now,
    )


def campaign_view(
    session: Session, operator_id: UUID, campaign_id: UUID, *, now: datetime
) -> CampaignView:
    """Return a campaign and how far its ceilings are used.

    Raises:
        Unknown: No such campaign.
    """
    return _view(session, found(session, Campaign, operator_id, campaign_id), now=now)


def campaign_views(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int, now: datetime
) -> list[CampaignView]:
    rows = some(session, Campaign, operator_id, after=after, most=most)
    return [_view(session, row, now=now) for row in rows]


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


def _limit_rows(operator_id: UUID, request: NewCampaign) -> Sequence[Limit]:
    def row(of: LimitOf, max_count: int, max_minor: int) -> Limit:
        key = limits.campaign_key(request.id, of)
        return limits.new_row(
            operator_id, request.id, key, max_count=max_count, max_minor=max_minor
        )

    return (
        row(LimitOf.REDEEM, request.max_redemptions, request.budget_minor),
        row(LimitOf.ISSUE, request.max_issued, 0),
    )


def _standing(facts: LimitFacts, ceiling: Ceiling) -> tuple[int, int]:
    """Return where a ceiling stands, and what is used of it."""
    if ceiling is Ceiling.BUDGET_MINOR:
        return facts.max_minor, facts.spent_minor + facts.held_minor
    return facts.max_count, facts.used_count + facts.held_count


def _view(session: Session, campaign: Campaign, *, now: datetime) -> CampaignView:
    session.flush()
    issue_key = limits.campaign_key(campaign.id, LimitOf.ISSUE)
    redeem_key = limits.campaign_key(campaign.id, LimitOf.REDEEM)
    figures = limits.figures(session, campaign.operator_id, [issue_key, redeem_key], now=now)
    issuing, redeeming = figures[issue_key], figures[redeem_key]
    return CampaignView.model_validate(
        {
            "id": campaign.id,
            "number": campaign.number,
            "name": campaign.name,
            "currency": campaign.currency,
            "zone": campaign.zone,
            "state": state_of(campaign, now),
            "stops": campaign.stops,
            "starts_at": campaign.starts_at,
            "ends_at": campaign.ends_at,
            "level": campaign.level,
            "offline": campaign.offline,
            "limits": campaign.limits,
            "budget_minor": redeeming.max_minor,
            "spent_minor": redeeming.spent_minor,
            "held_minor": redeeming.held_minor,
            "max_redemptions": redeeming.max_count,
            "redeemed_count": redeeming.used_count,
            "max_issued": issuing.max_count,
            "issued_count": issuing.used_count,
        }
    )


def _tell(
    session: Session, kind: str, campaign: Campaign, now: datetime, data: Mapping[str, Any]
) -> None:
    events.record(
        session,
        events.happened(
            kind,
            campaign.id,
            operator_id=campaign.operator_id,
            campaign_id=campaign.id,
            at=now,
            data=data,
        ),
    )
