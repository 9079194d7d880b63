"""Approving: somebody else says yes to a campaign, having seen what it would do.

What was approved is kept word for word. What has changed since waits: raised ceilings are
proposals, and batches give out nothing, until the next yes. So a campaign never does what nobody
has seen, and an approval can be given to what goes on already.

Locks are taken as everywhere: limit rows by key, then the campaign.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, text, update
from sqlmodel import Session, col, select

from coupon_engine import breaker, events, limits
from coupon_engine.acting import actor_of
from coupon_engine.answers import answered
from coupon_engine.campaign_states import MOVES, state_of
from coupon_engine.errors import ChangedSince, MoveNotAllowed, SecondPersonNeeded
from coupon_engine.labels import label_of
from coupon_engine.rows import found, locked
from coupon_engine.tables import Batch, Campaign, Limit, Offer, Operator
from coupon_engine.validation.ceilings import LimitFacts
from schemas.access import Actor, ActorKind, Role
from schemas.approvals import ApprovalView, Change, DiffView, Exposure, NewApproval
from schemas.base import Json
from schemas.campaigns import CampaignState, Ceiling, Move
from schemas.offers import LimitOf

LONGEST_LIST = 50

OfCampaign = TypeVar("OfCampaign", Offer, Batch)


NEWCOMER = timedelta(days=1)
"""So long whoever was let in may not approve what whoever let them in has made."""


@answered(ApprovalView)
def approve(
    session: Session, operator_id: UUID, request: NewApproval, *, now: datetime
) -> ApprovalView:
    """Say yes to a campaign as it stands: it may run, and what was proposed is in force.

    The campaign is locked before it is compared with what the approver has seen.

    Raises:
        Unknown: No such campaign.
        MoveNotAllowed: It is over.
        ChangedSince: It is no longer what the approver has seen.
        SecondPersonNeeded: Whoever asks has changed it, or may not approve so much.
    """
    found(session, Campaign, operator_id, request.campaign_id)
    facts = limits.locked_of_campaign(session, operator_id, request.campaign_id, now=now)
    campaign = locked(session, Campaign, operator_id, request.campaign_id)
    decided = CampaignState(campaign.decided)
    target = MOVES[decided].get(Move.APPROVE)
    if target is None:
        raise MoveNotAllowed(state=decided, move=Move.APPROVE, allowed=sorted(MOVES[decided]))
    standing = snapshot(session, campaign, facts)
    if fingerprint(standing) != request.seen:
        raise ChangedSince(fingerprint=fingerprint(standing))
    exposure = exposure_of(standing)
    actor = actor_of(session)
    _refuse_own(session, campaign, actor, exposure, now)

    before = campaign.approved
    put_in_force(session, campaign, wanted(campaign, facts))
    seen = col(Batch.id).in_([UUID(id) for id in standing["batches"]])
    _cover(session, campaign, seen & col(Batch.approved_at).is_(None), now)
    _tell(session, campaign, request, exposure, before, target, now)
    campaign.decided = target
    campaign.approved = {**standing, "campaign": {**standing["campaign"], "stopped_by": None}}
    campaign.proposed = {}
    campaign.editors = []
    campaign.stopped_by = None
    session.add(campaign)
    return ApprovalView(
        id=request.id,
        campaign_id=campaign.id,
        fingerprint=request.seen,
        state=state_of(campaign, now),
        exposure=exposure,
        at=now,
    )


def diff(session: Session, operator_id: UUID, campaign_id: UUID, *, now: datetime) -> DiffView:
    """Return what an approval would change, in words, and the worst that could come of it.

    Raises:
        Unknown: No such campaign.
    """
    campaign = found(session, Campaign, operator_id, campaign_id)
    keys = [limits.campaign_key(campaign_id, of) for of in LimitOf]
    standing = snapshot(session, campaign, limits.figures(session, operator_id, keys, now=now))
    exposure = exposure_of(standing)
    return DiffView(
        campaign_id=campaign_id,
        fingerprint=fingerprint(standing),
        changes=tuple(changes(campaign.approved or {}, standing)),
        exposure=exposure,
        exposure_before=exposure_of(campaign.approved) if campaign.approved else None,
        needs_second_person=_is_over(session, operator_id, exposure),
        editors=tuple(campaign.editors),
    )


def edited(session: Session, campaign: Campaign, *, offer_id: UUID | None = None) -> None:
    """Remember who changed a campaign, an offer, a batch or a ceiling of it, until it is approved.

    The campaign stays locked to the end of the transaction, so that no approval comes between.
    Batches of an offer whose terms have changed give out nothing until the next yes.
    """
    session.flush()
    session.connection().execute(
        _EDITED,
        {
            "operator_id": campaign.operator_id,
            "campaign_id": campaign.id,
            "who": name_of(actor_of(session)),
        },
    )
    session.expire(campaign, ["editors"])
    if offer_id:
        _cover(session, campaign, col(Batch.offer_id) == offer_id, None)


def name_of(actor: Actor) -> str:
    """Return by what an actor is told from any other one."""
    return f"{actor.kind}:{actor.id}"


def wanted(campaign: Campaign, facts: Mapping[str, LimitFacts]) -> dict[Ceiling, int]:
    """Return where the ceilings stand, or should stand as soon as somebody has said yes."""
    proposed = {Ceiling(name): value for name, value in campaign.proposed.items()}
    return {**in_force(campaign, facts), **proposed}


def in_force(campaign: Campaign, facts: Mapping[str, LimitFacts]) -> dict[Ceiling, int]:
    redeeming = facts[limits.campaign_key(campaign.id, LimitOf.REDEEM)]
    issuing = facts[limits.campaign_key(campaign.id, LimitOf.ISSUE)]
    return {
        Ceiling.BUDGET_MINOR: redeeming.max_minor,
        Ceiling.MAX_REDEMPTIONS: redeeming.max_count,
        Ceiling.MAX_ISSUED: issuing.max_count,
        **{Ceiling(name): getattr(campaign, name) for name in _COLUMNS},
    }


def put_in_force(session: Session, campaign: Campaign, targets: Mapping[Ceiling, int]) -> None:
    """Move ceilings to these figures. Their limit rows and the campaign are locked."""
    redeeming, issuing = (
        locked(session, Limit, campaign.operator_id, limits.campaign_key(campaign.id, of))
        for of in (LimitOf.REDEEM, LimitOf.ISSUE)
    )
    for ceiling, target in targets.items():
        match ceiling:
            case Ceiling.BUDGET_MINOR:
                redeeming.max_minor = target
            case Ceiling.MAX_REDEMPTIONS:
                redeeming.max_count = target
            case Ceiling.MAX_ISSUED:
                issuing.max_count = target
            case Ceiling.MAX_PER_MINUTE:
                campaign.max_per_minute = redeeming.max_per_minute = target
            case Ceiling.MAX_PER_CUSTOMER:
                campaign.max_per_customer = target
            case Ceiling.PLANNED_PER_MINUTE:
                campaign.planned_per_minute = target
                issuing.max_per_minute = breaker.most_in_a_minute(target)
            case Ceiling.PLANNED_MINOR_PER_MINUTE:
                campaign.planned_minor_per_minute = target
                redeeming.max_minor_per_minute = breaker.most_minor_in_a_minute(target)
    for row in (redeeming, issuing):
        # A minute that has had more than it may from now on is full.
        row.minute_count = min(row.minute_count, row.max_per_minute)
    session.add_all([redeeming, issuing, campaign])


def snapshot(session: Session, campaign: Campaign, facts: Mapping[str, LimitFacts]) -> Json:
    """Return all that a yes is said to: the campaign, its ceilings, offers and batches."""
    offers = _of_campaign(session, Offer, campaign)
    batches = _of_campaign(session, Batch, campaign)
    standing = {
        "campaign": {name: getattr(campaign, name) for name in _CAMPAIGN},
        "ceilings": wanted(campaign, facts),
        "offers": {str(each.id): _short(each.terms) for each in offers},
        "batches": {
            str(each.id): {name: getattr(each, name) for name in _BATCH} for each in batches
        },
    }
    return _plain(standing)


def fingerprint(standing: Json) -> str:
    return sha256(to_json(_sorted(standing))).hexdigest()


def changes(before: Json, after: Json) -> Iterable[Change]:
    """Yield what differs, leaf by leaf, in the order of the paths."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield Change(path=path, label=label_of(path), before=old.get(path), after=new.get(path))


def exposure_of(standing: Json) -> Exposure:
    """Return the worst that these ceilings and offers allow."""
    ceilings = standing["ceilings"]
    budget_minor = ceilings[Ceiling.BUDGET_MINOR]
    most = max((_most_of(terms["benefit"]) for terms in standing["offers"].values()), default=0)
    at_once = min(most, budget_minor)
    return Exposure(
        currency=standing["campaign"]["currency"],
        money_minor=budget_minor,
        redemptions=ceilings[Ceiling.MAX_REDEMPTIONS],
        coupons=ceilings[Ceiling.MAX_ISSUED],
        per_redemption_minor=at_once,
        per_minute_minor=min(
            budget_minor,
            ceilings[Ceiling.MAX_PER_MINUTE] * at_once,
            breaker.most_minor_in_a_minute(ceilings[Ceiling.PLANNED_MINOR_PER_MINUTE]) + at_once,
        ),
        per_customer=ceilings[Ceiling.MAX_PER_CUSTOMER],
    )


def _cover(
    session: Session, campaign: Campaign, which: ColumnElement[bool], at: datetime | None
) -> None:
    """Let these batches give out coupons, or with no moment, none."""
    own = (
        col(Batch.operator_id) == campaign.operator_id,
        col(Batch.campaign_id) == campaign.id,
    )
    session.exec(update(Batch).where(*own, which).values(approved_at=at))


def _most_of(benefit: Json) -> int:
    """Return the most that one redemption can take off; only the budget bounds some of them."""
    for name in ("amount_minor", "cap_minor", "balance_minor"):
        if benefit.get(name) is not None:
            return int(benefit[name])
    return limits.MOST_MINOR


def _refuse_own(
    session: Session, campaign: Campaign, actor: Actor, exposure: Exposure, now: datetime
) -> None:
    asking = _people(session, campaign.operator_id, [name_of(actor)])
    editing = _people(session, campaign.operator_id, campaign.editors)
    is_own = not (
        asking.isdisjoint(editing)
        and asking.isdisjoint(_who_let_in(session, campaign.operator_id, editing, now))
        and editing.isdisjoint(_who_let_in(session, campaign.operator_id, asking, now))
    )
    is_over = _is_over(session, campaign.operator_id, exposure)
    if is_own and (is_over or actor.role is Role.APPROVER):
        raise SecondPersonNeeded(editors=sorted(campaign.editors))
    if is_over and actor.role is Role.CAMPAIGN_EDITOR:
        raise SecondPersonNeeded(roles=[Role.OWNER, Role.APPROVER])
    if campaign.stopped_by and (
        actor.kind is not ActorKind.PERSON or actor.role not in (Role.OWNER, Role.APPROVER)
    ):
        raise SecondPersonNeeded(
            why="a breaker has stopped this: a person must look", roles=[Role.OWNER, Role.APPROVER]
        )


def _people(session: Session, operator_id: UUID, names: Sequence[str]) -> set[str]:
    """Return who these are. A key that a person made is that person: they hold it."""
    rows = session.connection().execute(_MAKERS, {"operator_id": operator_id, "names": list(names)})
    makers = {row.key: row.maker for row in rows}
    return {makers.get(name, name) for name in names}


def _who_let_in(session: Session, operator_id: UUID, names: set[str], now: datetime) -> set[str]:
    """Return who handed these people, within a day, the invitation by which they came in.

    It was in their hands: they may have accepted it themselves.
    """
    values = {"operator_id": operator_id, "names": list(names), "since": now - NEWCOMER}
    return set(session.connection().execute(_LET_IN, values).scalars())


def _is_over(session: Session, operator_id: UUID, exposure: Exposure) -> bool:
    over_minor = session.exec(
        select(Operator.approval_over_minor).where(Operator.id == operator_id)
    ).one()
    return exposure.money_minor > over_minor


def _of_campaign(
    session: Session, table: type[OfCampaign], campaign: Campaign
) -> Sequence[OfCampaign]:
    own = select(table).where(
        col(table.operator_id) == campaign.operator_id, col(table.campaign_id) == campaign.id
    )
    # As they stand now, not as this session once read them.
    newest = own.order_by(col(table.id)).execution_options(populate_existing=True)
    return session.exec(newest).all()


def _short(value: Any) -> Any:
    """Return a document in which no list is longer than anybody reads."""
    match value:
        case dict():
            return {name: _short(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() if len(value) > LONGEST_LIST:  # pyright: ignore[reportUnknownArgumentType]
            digest = sha256(to_json(value)).hexdigest()[:16]
            return {"count": len(value), "digest": digest}  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return value


def _plain(standing: Json) -> Json:
    """Return it as JSON gives it back, so that what is kept equals what is made anew."""
    return from_json(to_json(standing))


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {name: _sorted(value[name]) for name in sorted(value)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list():
            return [_sorted(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(each, f"{path}.{name}" if path else str(name))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield path, value


def _tell(
    session: Session,
    campaign: Campaign,
    request: NewApproval,
    exposure: Exposure,
    before: Json | None,
    target: CampaignState,
    now: datetime,
) -> None:
    told = exposure_of(before).model_dump(mode="json") if before else None
    events.record(
        session,
        events.happened(
            "campaign_approved",
            campaign.id,
            operator_id=campaign.operator_id,
            campaign_id=campaign.id,
            at=now,
            data={
                "from": campaign.decided,
                "to": target,
                "reason": request.reason,
                "seen": request.seen,
                "editors": sorted(campaign.editors),
                "stopped_by": campaign.stopped_by,
                "before": told,
                "after": exposure.model_dump(mode="json"),
            },
        ),
    )


_COLUMNS = ("max_per_minute", "max_per_customer", "planned_per_minute", "planned_minor_per_minute")
_CAMPAIGN = (
    "name",
    "currency",
    "zone",
    "starts_at",
    "ends_at",
    "level",
    "offline",
    "offline_count",
    "offline_minor",
    "freshness_seconds",
    "paper_allowed",
    "limits",
    "stopped_by",
)
_BATCH = (
    "name",
    "offer_id",
    "size",
    "max_redemptions",
    "budget_minor",
    "has_short_codes",
    "needs_claim",
    "needs_contact",
)
# A key and the event that tells of it bear one moment, by which an index finds the event.
_MAKERS = text("""
    SELECT 'api_key:' || api_key.id AS key, 'person:' || (event.actor ->> 'id') AS maker
    FROM api_key JOIN event
        ON event.operator_id = api_key.operator_id AND event.recorded_at = api_key.created_at
        AND event.kind = 'api_key_made' AND event.data ->> 'key_id' = api_key.id
    WHERE api_key.operator_id = :operator_id AND 'api_key:' || api_key.id = ANY(:names)
        AND event.actor ->> 'kind' = 'person'
""")
_LET_IN = text("""
    SELECT 'person:' || let_in_by FROM account
    WHERE operator_id = :operator_id AND 'person:' || id = ANY(:names) AND let_in_at > :since
""")
_EDITED = text("""
    UPDATE campaign SET
        editors = CASE WHEN :who = ANY(editors) THEN editors ELSE array_append(editors, :who) END
    WHERE operator_id = :operator_id AND id = :campaign_id
""")
