"""Letting a coupon go from its phone's key, so that a pass or paper can show it."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from coupon_engine import events, holders, places
from coupon_engine.coupons import MOST_HOLDER_CHANGES, answered_with_code, refuse_unusable, view
from coupon_engine.customers import wallets
from coupon_engine.customers.showing import shown_coupons
from coupon_engine.errors import CouponNotUsable, TooManyHolderKeys
from coupon_engine.rows import found, locked
from coupon_engine.tables import Campaign, Coupon
from schemas.campaigns import Level
from schemas.coupons import CouponView
from schemas.wallets import NewUnbinding, WalletCouponView


def unbind(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewUnbinding,
    *,
    code_secret: bytes,
    now: datetime,
) -> WalletCouponView:
    """Make a static code of the coupon good from now on, and void those that the phone signed.

    Only where the campaign takes static codes, and only for the phone whose key is on the coupon:
    another one of the same customer binds it first, with all that this asks for.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
        RequestReused: This id was used for another request.
        CouponNotUsable: It is over or held, being given away, its campaign asks for a live code,
            or it is bound to another phone.
        HolderSuspended: This phone is suspended.
        TooManyHolderKeys: It has moved too often.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    wallets.own_coupon(session, wallet, request.coupon_id)
    asked = _Unbinding(**dict(request), key=wallet.public_key.hex())
    loose = _unbind(session, operator_id, asked, code_secret=code_secret, now=now)
    return shown_coupons(session, operator_id, [loose], now=now)[0]


class _Unbinding(NewUnbinding):
    key: str


@answered_with_code
def _unbind(
    session: Session, operator_id: UUID, request: _Unbinding, *, code_secret: bytes, now: datetime
) -> CouponView:
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    refuse_unusable(coupon, now)
    holders.refuse_suspended(session, coupon)
    campaign = found(session, Campaign, operator_id, coupon.campaign_id)
    if campaign.level != Level.STATIC:
        raise CouponNotUsable(why="this campaign's coupons have no static code")
    if coupon.holder_key is not None:
        if coupon.holder_key.hex() != request.key:
            raise CouponNotUsable(why="it is bound to another phone; bind it to this one first")
        if coupon.holder_changes >= MOST_HOLDER_CHANGES:
            raise TooManyHolderKeys(most=MOST_HOLDER_CHANGES)
        coupon.holder_changes += 1
        coupon.holder_key = None
        places.move(session, coupon, campaign, now=now)
        events.record(
            session,
            events.happened(
                "holder_key_removed",
                coupon.id,
                operator_id=operator_id,
                campaign_id=campaign.id,
                at=now,
                data={"changes": coupon.holder_changes},
            ),
        )
    return view(session, coupon, code_secret=code_secret, now=now)
