"""Making a coupon good in one store alone, so that it works there when nobody has a network.

While it is activated its place in the status list reads as used, so that every other store refuses
the old code; the new code has a place, an end and a store of its own.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from coupon_engine import events
from coupon_engine.answers import answered
from coupon_engine.coupons import is_activated, refuse_unusable
from coupon_engine.errors import CouponNotUsable, CouponTaken, StillActivated
from coupon_engine.places import further_place
from coupon_engine.rows import found, locked
from coupon_engine.tables import Campaign, Coupon, Store
from schemas.campaigns import OfflinePolicy
from schemas.coupons import ActivationView, NewActivation


@answered(ActivationView)
def activate(
    session: Session, operator_id: UUID, request: NewActivation, *, now: datetime
) -> ActivationView:
    """Let a coupon work in this store alone for a while; its next token says so.

    Nobody can end an activation early: that store's terminals may be without a network.

    Raises:
        Unknown: No such coupon, or no such store.
        CouponTaken: Another customer holds it.
        CouponNotUsable: It is used up, held, given away, revoked or over, or its campaign has no
            activation.
        StillActivated: It is activated already, here or elsewhere.
    """
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    store = found(session, Store, operator_id, request.store_id)
    if coupon.customer_id != request.customer_id:
        raise CouponTaken
    refuse_unusable(coupon, now)
    campaign = found(session, Campaign, operator_id, coupon.campaign_id)
    if campaign.offline != OfflinePolicy.ACTIVATED or coupon.uses > 1 or coupon.balance_minor:
        raise CouponNotUsable(why="this campaign's coupons are not activated for a store")
    if coupon.store_id not in (None, store.id):
        raise CouponNotUsable(why="this coupon belongs to another store")
    if is_activated(coupon, now):
        assert coupon.activated_until is not None
        raise StillActivated(until=coupon.activated_until.isoformat())
    coupon.activated_at = now
    coupon.activated_store_id = store.id
    coupon.activated_until = now + timedelta(seconds=request.lasts_seconds)
    coupon.activated_position = further_place(session, campaign)
    session.add(coupon)
    events.record(
        session,
        events.happened(
            "coupon_activated",
            coupon.id,
            operator_id=operator_id,
            campaign_id=campaign.id,
            at=now,
            data={"store_id": store.id, "until": coupon.activated_until},
        ),
    )
    return ActivationView(
        id=request.id,
        coupon_id=coupon.id,
        store_id=store.id,
        activated_until=coupon.activated_until,
    )
