"""Stores where one's coupons work. Which of them is near, the phone finds out by itself."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import coupons
from coupon_engine.customers import wallets
from coupon_engine.offers import terms_of
from coupon_engine.rows import some
from coupon_engine.tables import Batch, Coupon, Merchant, Store
from schemas.coupons import CouponState
from schemas.wallets import WalletStoreView

_GOOD = (CouponState.PENDING, CouponState.ACTIVE, CouponState.HELD)


def stores(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    *,
    coupon_id: UUID | None,
    after: UUID | None,
    most: int,
    now: datetime,
) -> list[WalletStoreView]:
    """Return the stores where this coupon works, or any of one's coupons that are still good.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    if coupon_id is None:
        own = _good(session, operator_id, wallet.customer_id, now=now)
    else:
        own = [wallets.own_coupon(session, wallet, coupon_id)]
    ids = _where(session, operator_id, own, now=now)
    which = None if ids is None else col(Store.id).in_(ids)
    rows = some(session, Store, operator_id, which, after=after, most=most)
    merchants = session.exec(
        select(Merchant.id, Merchant.name).where(
            col(Merchant.operator_id) == operator_id,
            col(Merchant.id).in_({row.merchant_id for row in rows}),
        )
    )
    names = dict(merchants.all())
    return [
        WalletStoreView(
            id=row.id,
            name=row.name,
            merchant=names[row.merchant_id],
            zone=row.zone,
            address=row.address,
            latitude_microdegrees=row.latitude_microdegrees,
            longitude_microdegrees=row.longitude_microdegrees,
        )
        for row in rows
    ]


def _good(session: Session, operator_id: UUID, customer_id: UUID, *, now: datetime) -> list[Coupon]:
    rows = session.exec(
        select(Coupon, Batch)
        .join(
            Batch,
            (col(Batch.operator_id) == col(Coupon.operator_id))
            & (col(Batch.id) == col(Coupon.batch_id)),
        )
        .where(
            col(Coupon.operator_id) == operator_id,
            col(Coupon.customer_id) == customer_id,
            col(Coupon.valid_until) > now,
        )
    )
    return [coupon for coupon, batch in rows if coupons.state_of(coupon, batch, now) in _GOOD]


def _where(
    session: Session, operator_id: UUID, own: list[Coupon], *, now: datetime
) -> set[UUID] | None:
    """Return where these coupons work; None means everywhere."""
    terms = terms_of(session, operator_id, {each.offer_id for each in own})
    ids = set[UUID]()
    for coupon in own:
        works_at = terms[coupon.offer_id].conditions.stores
        if coupon.store_id is not None:
            works_at = (coupon.store_id,)
        if coupon.activated_store_id is not None and coupons.is_activated(coupon, now):
            works_at = (coupon.activated_store_id,)
        if not works_at:
            return None
        ids.update(works_at)
    return ids
