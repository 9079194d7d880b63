"""What a phone shows of a coupon or an offer: its face, who gives it, and where it works."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine.offers import terms_of
from coupon_engine.rows import found
from coupon_engine.tables import Campaign, Coupon, Merchant, Operator, Store
from coupon_engine.validation.telling import face, window
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import CouponView
from schemas.offers import Terms
from schemas.wallets import MOST_STORES_SHOWN, ShownOffer, WalletCouponView


def shown_coupons(
    session: Session, operator_id: UUID, coupons: Sequence[CouponView], *, now: datetime
) -> list[WalletCouponView]:
    """Return coupons as the phones of their holders show them."""
    terms = terms_of(session, operator_id, {each.offer_id for each in coupons})
    works_at = {each.id: _works_at(terms[each.offer_id], each.store_id) for each in coupons}
    stores = _Stores.named(session, operator_id, {id for ids in works_at.values() for id in ids})

    def one(coupon: CouponView) -> WalletCouponView:
        row = found(session, Coupon, operator_id, coupon.id)
        campaign = found(session, Campaign, operator_id, coupon.campaign_id)
        shown = _shown(terms[coupon.offer_id], campaign, works_at[coupon.id], stores, zone=None)
        times = window(coupon.valid_from, coupon.valid_until, campaign.zone, now=now)
        return WalletCouponView(
            **dict(coupon),
            **{**shown, "face": shown["face"].model_copy(update={"validity": times})},
            **_until(row, now),
        )

    return [one(coupon) for coupon in coupons]


def shown_offer(
    session: Session, operator_id: UUID, offer_id: UUID, campaign: Campaign
) -> dict[str, Any]:
    """Return the fields of `ShownOffer` for an offer of which one has no coupon yet."""
    terms = terms_of(session, operator_id, [offer_id])[offer_id]
    works_at = _works_at(terms, None)
    stores = _Stores.named(session, operator_id, works_at)
    return _shown(terms, campaign, works_at, stores, zone=campaign.zone)


@dataclass(frozen=True)
class _Stores:
    """The names that faces need: of the operator, of stores, and of whose stores they are."""

    operator: str
    only_merchant: str | None  # where the operator has no more than one
    names: Mapping[UUID, tuple[str, str]]

    @classmethod
    def named(cls, session: Session, operator_id: UUID, ids: Collection[UUID]) -> "_Stores":
        merchants = session.exec(
            select(Merchant.name).where(col(Merchant.operator_id) == operator_id).limit(2)
        ).all()
        rows = session.exec(
            select(Store.id, Store.name, Merchant.name)
            .join(
                Merchant,
                (col(Merchant.operator_id) == col(Store.operator_id))
                & (col(Merchant.id) == col(Store.merchant_id)),
            )
            .where(col(Store.operator_id) == operator_id, col(Store.id).in_(ids))
        )
        return cls(
            operator=session.get_one(Operator, operator_id).name,
            only_merchant=merchants[0] if len(merchants) == 1 else None,
            names={id: (store, merchant) for id, store, merchant in rows},
        )

    def merchant(self, ids: Sequence[UUID]) -> str | None:
        if not ids:
            return self.only_merchant
        merchants = {self.names[id][1] for id in ids}
        return merchants.pop() if len(merchants) == 1 else None


def _works_at(terms: Terms, store_id: UUID | None) -> tuple[UUID, ...]:
    """Return the stores where a coupon works; none means everywhere."""
    return terms.conditions.stores if store_id is None else (store_id,)


def _shown(
    terms: Terms,
    campaign: Campaign,
    works_at: Sequence[UUID],
    stores: _Stores,
    *,
    zone: str | None,
) -> dict[str, Any]:
    names = [stores.names[id][0] for id in works_at]
    shown = ShownOffer(
        face=face(terms, campaign.currency, zone=zone, stores=names),
        operator=stores.operator,
        merchant=stores.merchant(works_at),
        zone=campaign.zone,
        level=Level(campaign.level),
        needs_activation=campaign.offline == OfflinePolicy.ACTIVATED,
        store_ids=tuple(works_at[:MOST_STORES_SHOWN]),
        store_count=len(works_at),
    )
    return dict(shown)


def _until(row: Coupon, now: datetime) -> dict[str, Any]:
    """Tell what is so for a while, while it is so."""
    is_activated = row.activated_until is not None and now < row.activated_until
    is_given = row.given_until is not None and now < row.given_until
    return {
        "activated_store_id": row.activated_store_id if is_activated else None,
        "activated_until": row.activated_until if is_activated else None,
        "given_until": row.given_until if is_given else None,
    }
