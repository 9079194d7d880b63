"""Holds: a redemption promised for minutes. A lapsed one frees itself; nothing has to run."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session, col, delete

from coupon_engine import desk, events, limits
from coupon_engine.answers import answered
from coupon_engine.desk import OnDesk
from coupon_engine.errors import CouponRefused, HoldOver, Unknown
from coupon_engine.redemption import code_refusal
from coupon_engine.rows import found, locked
from coupon_engine.tables import Coupon, Hold, HoldClaim
from coupon_engine.validation.ceilings import under
from coupon_engine.validation.facts import Discount
from coupon_engine.validation.judge import judge
from coupon_engine.validation.showing import Shown
from coupon_engine.validation.wording import refusal
from schemas.redemptions import HoldState, HoldView, NewHold, NewRelease

S = HoldState

# Redeeming commits a hold, its counter may release it, time ends it; nothing comes after that.
MOVES: Mapping[HoldState, frozenset[HoldState]] = {
    S.OPEN: frozenset({S.COMMITTED, S.RELEASED, S.TIMED_OUT}),
    S.COMMITTED: frozenset(),
    S.RELEASED: frozenset(),
    S.TIMED_OUT: frozenset(),
}


@answered(HoldView)
def hold(
    session: Session, operator_id: UUID, request: NewHold, shown: Shown, *, now: datetime
) -> HoldView:
    """Keep a coupon, and what it takes of every limit, for one counter for a while.

    Redeem with `hold_id` before it lapses. Until then nobody else can use the coupon or its share
    of the limits; hours, places and pauses are judged when it is redeemed.

    Raises:
        CouponRefused: The coupon would not work now.
        Unknown: No such store, or no such terminal in it.
    """
    table = desk.lay(session, operator_id, [(request, shown)], is_locked=True)
    coupon = desk.found(table, request, shown, now=now)
    if not isinstance(coupon, OnDesk):
        raise CouponRefused(code_refusal(coupon, now=now))
    verdict = judge(table.case(coupon, request, hold_id=None, now=now))
    if not isinstance(verdict, Discount):
        raise CouponRefused(verdict)
    ceilings = table.ceilings(coupon, request.store_id, now=now)
    rows = limits.locked(session, operator_id, ceilings, now=now)
    if reasons := under(rows.facts(ceilings), verdict.minor):
        campaign = coupon.campaign
        raise CouponRefused(
            refusal(reasons, currency=campaign.currency, zone=campaign.zone, now=now)
        )

    # No promise outlives the coupon.
    expires_at = min(now + timedelta(seconds=request.lasts_seconds), coupon.facts.valid_until)
    row = Hold(
        operator_id=operator_id,
        id=request.id,
        coupon_id=coupon.row.id,
        campaign_id=coupon.row.campaign_id,
        store_id=request.store_id,
        opened_at=now,
        expires_at=expires_at,
        decided=HoldState.OPEN,
        currency=coupon.campaign.currency,
        discount_minor=verdict.minor,
        lines=desk.lines_as_json(verdict.lines),
    )
    session.add(row)
    kept = locked(session, Coupon, operator_id, coupon.row.id)
    kept.held_by, kept.held_until = request.id, expires_at
    session.add(kept)
    session.flush()
    limits.claim(
        session, operator_id, row.id, ceilings, minor=verdict.minor, expires_at=expires_at, now=now
    )
    _tell(session, "coupon_held", row, now)
    return _view(row, now)


@answered(HoldView)
def release(
    session: Session,
    operator_id: UUID,
    request: NewRelease,
    *,
    store_ids: frozenset[UUID] | None = None,
    now: datetime,
) -> HoldView:
    """Let a held coupon go before its time. `store_ids` are those that the asker is tied to.

    Raises:
        Unknown: No such hold, or in another store.
        HoldOver: It was redeemed, released or has lapsed.
    """
    # The coupon first, then its hold: the order in which a redemption locks them.
    seen = found(session, Hold, operator_id, request.hold_id)
    if store_ids is not None and seen.store_id not in store_ids:
        raise Unknown("hold", seen.id)
    coupon_id = seen.coupon_id
    coupon = locked(session, Coupon, operator_id, coupon_id)
    row = locked(session, Hold, operator_id, request.hold_id)
    state = state_of(row, now)
    if S.RELEASED not in MOVES[state]:
        raise HoldOver(state=state)
    row.decided = HoldState.RELEASED
    session.add(row)
    if coupon.held_by == row.id:
        coupon.held_by = coupon.held_until = None
        session.add(coupon)
    session.connection().execute(
        delete(HoldClaim).where(
            col(HoldClaim.operator_id) == operator_id, col(HoldClaim.hold_id) == row.id
        )
    )
    _tell(session, "hold_released", row, now)
    return _view(row, now)


def state_of(row: Hold, now: datetime) -> HoldState:
    """Return what was decided, or that time has."""
    if row.decided == HoldState.OPEN and now >= row.expires_at:
        return HoldState.TIMED_OUT
    return HoldState(row.decided)


def _view(row: Hold, now: datetime) -> HoldView:
    return HoldView(
        id=row.id,
        coupon_id=row.coupon_id,
        store_id=row.store_id,
        state=state_of(row, now),
        opened_at=row.opened_at,
        expires_at=row.expires_at,
        currency=row.currency,
        discount_minor=row.discount_minor,
        lines=desk.lines_from_json(row.lines),
    )


def _tell(session: Session, kind: str, row: Hold, now: datetime) -> None:
    events.record(
        session,
        events.happened(
            kind,
            row.coupon_id,
            operator_id=row.operator_id,
            campaign_id=row.campaign_id,
            at=now,
            data={
                "hold_id": row.id,
                "store_id": row.store_id,
                "discount_minor": row.discount_minor,
                "expires_at": row.expires_at,
            },
        ),
    )
