"""Batches: counted lots of one offer version."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col

from coupon_engine import approving, events, limits, offers
from coupon_engine.answers import answered
from coupon_engine.errors import MoveNotAllowed, OfferSuperseded, TermsMismatch
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Batch, Campaign, Offer
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.campaigns import (
    BatchMove,
    BatchState,
    BatchView,
    Level,
    NewBatch,
    NewBatchMove,
)
from schemas.offers import LimitOf

S = BatchState

# What a person may decide. Issuing and exhausted follow from how many coupons are out.
MOVES: Mapping[BatchState, Mapping[BatchMove, BatchState]] = {
    S.READY: {BatchMove.PAUSE: S.PAUSED, BatchMove.CLOSE: S.CLOSED, BatchMove.REVOKE: S.REVOKED},
    S.PAUSED: {BatchMove.RESUME: S.READY, BatchMove.CLOSE: S.CLOSED, BatchMove.REVOKE: S.REVOKED},
    S.CLOSED: {BatchMove.REVOKE: S.REVOKED},
    S.REVOKED: {},
}


@answered(BatchView)
def create_batch(
    session: Session, operator_id: UUID, request: NewBatch, *, now: datetime
) -> BatchView:
    """Make a batch of the newest version of an offer, with its limit rows.

    Raises:
        Unknown: No such offer.
        OfferSuperseded: A newer version has replaced it.
        TermsMismatch: The campaign needs short codes, or claims, that the batch has not.
    """
    offer = locked(session, Offer, operator_id, request.offer_id)
    if offers.successor(session, offer):
        raise OfferSuperseded(offer_id=str(offer.id))
    campaign = found(session, Campaign, operator_id, offer.campaign_id)
    if campaign.level == Level.SHORT_CODE and not request.has_short_codes:
        raise TermsMismatch(why="coupons of level L0 are nothing but a short code")
    batch = Batch(
        operator_id=operator_id,
        id=request.id,
        campaign_id=campaign.id,
        offer_id=offer.id,
        name=request.name,
        size=request.size,
        max_redemptions=request.max_redemptions,
        budget_minor=request.budget_minor,
        has_short_codes=request.has_short_codes,
        needs_claim=request.needs_claim,
        needs_contact=request.needs_contact,
        decided=S.READY,
        created_at=now,
    )
    session.add(batch)
    session.flush()
    is_gift = offer.terms["benefit"]["kind"] == "gift_balance"
    uses = MOST_COUNT if is_gift else min(MOST_COUNT, request.size * int(offer.terms["uses"]))
    for of, count, minor in (
        (LimitOf.ISSUE, request.size, 0),
        (LimitOf.REDEEM, request.max_redemptions or uses, request.budget_minor or MOST_MINOR),
    ):
        key = limits.batch_key(batch.id, of)
        session.add(limits.new_row(operator_id, campaign.id, key, max_count=count, max_minor=minor))
    approving.edited(session, campaign)
    _tell(session, "batch_created", batch, now, {"offer_id": offer.id, "size": batch.size})
    return _view(session, batch, now=now)


@answered(BatchView)
def decide_batch(
    session: Session, operator_id: UUID, request: NewBatchMove, *, now: datetime
) -> BatchView:
    """Pause, resume, close or revoke a batch. Coupons that are out stay valid unless told not to.

    Raises:
        Unknown: No such batch.
        MoveNotAllowed: Not from the state in which it is.
    """
    batch = locked(session, Batch, operator_id, request.batch_id)
    decided = BatchState(batch.decided)
    target = MOVES[decided].get(request.move)
    if target is None:
        raise MoveNotAllowed(state=decided, move=request.move, allowed=sorted(MOVES[decided]))
    batch.decided = target
    batch.coupons_stay_valid = request.move is not BatchMove.REVOKE or request.coupons_stay_valid
    session.add(batch)
    data = {"from": decided, "to": target, "reason": request.reason}
    stay = {"coupons_stay_valid": batch.coupons_stay_valid}
    _tell(session, "batch_decided", batch, now, {**data, **stay})
    return _view(session, batch, now=now)


def batch_view(session: Session, operator_id: UUID, batch_id: UUID, *, now: datetime) -> BatchView:
    """Return a batch and how many of its coupons are out.

    Raises:
        Unknown: No such batch.
    """
    return _view(session, found(session, Batch, operator_id, batch_id), now=now)


def batch_views(
    session: Session,
    operator_id: UUID,
    *,
    campaign_id: UUID | None = None,
    after: UUID | None,
    most: int,
    now: datetime,
) -> list[BatchView]:
    """Return batches in the order of their ids, of one campaign or of all."""
    own = None if campaign_id is None else col(Batch.campaign_id) == campaign_id
    rows = some(session, Batch, operator_id, own, after=after, most=most)
    return [_view(session, row, now=now) for row in rows]


def _view(session: Session, batch: Batch, *, now: datetime) -> BatchView:
    session.flush()
    issue_key = limits.batch_key(batch.id, LimitOf.ISSUE)
    figures = limits.figures(session, batch.operator_id, [issue_key], now=now)
    issued = figures[issue_key].used_count
    state = BatchState(batch.decided)
    if state is S.READY and issued:
        state = S.EXHAUSTED if issued >= batch.size else S.ISSUING
    return BatchView(
        id=batch.id,
        campaign_id=batch.campaign_id,
        offer_id=batch.offer_id,
        name=batch.name,
        state=state,
        size=batch.size,
        issued_count=issued,
        has_short_codes=batch.has_short_codes,
        needs_claim=batch.needs_claim,
        needs_contact=batch.needs_contact,
    )


def _tell(
    session: Session, kind: str, batch: Batch, now: datetime, data: Mapping[str, object]
) -> None:
    events.record(
        session,
        events.happened(
            kind,
            batch.id,
            operator_id=batch.operator_id,
            campaign_id=batch.campaign_id,
            at=now,
            data=data,
        ),
    )
