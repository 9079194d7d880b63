"""Campaigns: what a person may decide about one, and the ceilings that everybody shares."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import approving, breaker, events, limits, pausing
from coupon_engine.acting import actor_of
from coupon_engine.answers import answered
from coupon_engine.campaign_states import MOVES, state_of
from coupon_engine.errors import ApprovalNeeded, CeilingBelowUse, CeilingMoved, MoveNotAllowed
from coupon_engine.operators import next_number
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Campaign, Limit
from coupon_engine.validation.ceilings import LimitFacts
from schemas.base import MOST_COUNT, MOST_MINOR
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
        editors=[approving.name_of(actor_of(session))],
        planned_per_minute=request.planned_per_minute,
        planned_minor_per_minute=request.planned_minor_per_minute or request.budget_minor,
        max_per_minute=request.max_per_minute,
        max_per_customer=request.max_per_customer,
        level=request.level,
        offline=request.offline,
        offline_count=request.offline_count,
        offline_minor=request.offline_minor or max(1, request.budget_minor // 100),
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
    """Submit, pause, resume, end ... A pause stops issuing; it stops redeeming only if asked to.

    Terminals that listen hear of it at once.

    Raises:
        Unknown: No such campaign.
        MoveNotAllowed: Not from the state in which it is.
        ApprovalNeeded: A breaker has stopped it, and nobody has approved it since.
    """
    campaign = locked(session, Campaign, operator_id, request.campaign_id)
    decided = CampaignState(campaign.decided)
    target = MOVES[decided].get(request.move)
    if target is None:
        raise MoveNotAllowed(state=decided, move=request.move, allowed=sorted(MOVES[decided]))
    if request.move is Move.RESUME and campaign.stopped_by:
        raise ApprovalNeeded(stopped_by=campaign.stopped_by)
    before = {"state": decided, "stops": campaign.stops}
    campaign.decided = target
    if target is not S.ARCHIVED:
        campaign.stops = request.stops if target in (S.PAUSED, S.ENDED) else None
    session.add(campaign)
    data = {"move": request.move, "reason": request.reason, "stops": campaign.stops}
    data |= {"before": before, "after": {"state": target, "stops": campaign.stops}}
    _tell(session, "campaign_decided", campaign, now, {"from": decided, "to": target, **data})
    pausing.tell(session, operator_id)
    return _view(session, campaign, now=now)


@answered(CeilingView)
def move_ceiling(
    session: Session, operator_id: UUID, request: NewCeiling, *, now: datetime
) -> CeilingView:
    """Move one ceiling from where the asker believes it stands to where it should stand.

    Up to what was last approved, at once. Beyond that it is a proposal, in force when somebody has
    approved it; the next who moves the ceiling starts from there.

    Raises:
        Unknown: No such campaign.
        CeilingMoved: It stands elsewhere; somebody was quicker.
        CeilingBelowUse: More than the target is spent, issued or promised already.
    """
    found(session, Campaign, operator_id, request.campaign_id)
    facts = limits.locked_of_campaign(session, operator_id, request.campaign_id, now=now)
    campaign = locked(session, Campaign, operator_id, request.campaign_id)
    standing = approving.wanted(campaign, facts)[request.ceiling]
    if standing != request.current:
        raise CeilingMoved(current=standing)
    in_use = _in_use(campaign, facts, request.ceiling)
    if request.target < in_use:
        raise CeilingBelowUse(in_use=in_use)
    if not request.ceiling.endswith("_minor") and request.target > MOST_COUNT:
        raise CeilingBelowUse(most=MOST_COUNT)
    approved = campaign.approved["ceilings"][request.ceiling] if campaign.approved else MOST_MINOR
    in_force = approving.in_force(campaign, facts)[request.ceiling]
    pending = request.target > max(in_force, approved)
    campaign.proposed = {
        name: value for name, value in campaign.proposed.items() if name != request.ceiling
    } | ({request.ceiling.value: request.target} if pending else {})
    if not pending:
        approving.put_in_force(session, campaign, {request.ceiling: request.target})
    session.add(campaign)
    approving.edited(session, campaign)
    data = {"ceiling": request.ceiling, "from": standing, "to": request.target, "pending": pending}
    data |= {"before": standing, "after": request.target}
    _tell(session, "ceiling_moved", campaign, now, {**data, "reason": request.reason})
    return CeilingView(
        id=request.id,
        campaign_id=campaign.id,
        ceiling=request.ceiling,
        previous=standing,
        target=request.target,
        pending=pending,
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


def _limit_rows(operator_id: UUID, request: NewCampaign) -> Sequence[Limit]:
    planned_minor = request.planned_minor_per_minute or request.budget_minor
    return (
        limits.new_row(
            operator_id,
            request.id,
            limits.campaign_key(request.id, LimitOf.REDEEM),
            max_count=request.max_redemptions,
            max_minor=request.budget_minor,
            max_per_minute=request.max_per_minute,
            max_minor_per_minute=breaker.most_minor_in_a_minute(planned_minor),
        ),
        limits.new_row(
            operator_id,
            request.id,
            limits.campaign_key(request.id, LimitOf.ISSUE),
            max_count=request.max_issued,
            max_minor=0,
            max_per_minute=breaker.most_in_a_minute(request.planned_per_minute),
        ),
    )


def _in_use(campaign: Campaign, facts: Mapping[str, LimitFacts], ceiling: Ceiling) -> int:
    """Return what is used of a ceiling; of a rate nothing, the minute passes."""
    redeeming = facts[limits.campaign_key(campaign.id, LimitOf.REDEEM)]
    issuing = facts[limits.campaign_key(campaign.id, LimitOf.ISSUE)]
    match ceiling:
        case Ceiling.BUDGET_MINOR:
            return redeeming.spent_minor + redeeming.held_minor
        case Ceiling.MAX_REDEMPTIONS:
            return redeeming.used_count + redeeming.held_count
        case Ceiling.MAX_ISSUED:
            return issuing.used_count
        case _:
            return 0


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
            "stopped_by": campaign.stopped_by,
            "starts_at": campaign.starts_at,
            "ends_at": campaign.ends_at,
            "level": campaign.level,
            "offline": campaign.offline,
            "offline_count": campaign.offline_count,
            "offline_minor": campaign.offline_minor,
            "limits": campaign.limits,
            "budget_minor": redeeming.max_minor,
            "spent_minor": redeeming.spent_minor,
            "held_minor": redeeming.held_minor,
            "max_redemptions": redeeming.max_count,
            "redeemed_count": redeeming.used_count,
            "max_issued": issuing.max_count,
            "issued_count": issuing.used_count,
            "max_per_minute": campaign.max_per_minute,
            "max_per_customer": campaign.max_per_customer,
            "planned_per_minute": campaign.planned_per_minute,
            "planned_minor_per_minute": campaign.planned_minor_per_minute,
            "proposed": campaign.proposed,
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
