"""What a customer's own coupons took off, one line for each time that one was redeemed."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from coupon_engine import redemption
from coupon_engine.customers import wallets
from coupon_engine.offers import terms_of
from coupon_engine.rows import some
from coupon_engine.tables import Event, Merchant, Redemption, Store
from schemas.wallets import ReceiptView


def receipts(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    *,
    after: UUID | None,
    most: int,
    now: datetime,
) -> list[ReceiptView]:
    """Return what the coupons of the wallet's customer took off, in the order of the ids.

    Raises:
        NotSignedIn: The wallet has ended.
    """
    customer_id = wallets.alive(session, operator_id, wallet_id).customer_id
    own = redeemed_by(session, operator_id, customer_id)
    rows = some(session, Redemption, operator_id, own, after=after, most=most)
    terms = terms_of(session, operator_id, {row.offer_id for row in rows})
    stores = _stores(session, operator_id, {row.store_id for row in rows})

    def one(row: Redemption) -> ReceiptView:
        store, merchant = stores[row.store_id]
        return ReceiptView(
            id=row.id,
            coupon_id=row.coupon_id,
            title=terms[row.offer_id].title,
            store_id=row.store_id,
            store=store.name,
            merchant=merchant,
            zone=store.zone,
            order_ref=row.order_ref,
            redeemed_at=row.redeemed_at,
            state=redemption.state_of(row, now),
            currency=row.currency,
            basket_minor=row.basket_minor,
            discount_minor=row.discount_minor,
            reversed_minor=row.reversed_minor,
        )

    return [one(row) for row in rows]


def redeemed_by(session: Session, operator_id: UUID, customer_id: UUID) -> ColumnElement[bool]:
    """Say which redemptions are this person's.

    What a coupon did in the hands of somebody who gave it away stays theirs.
    """
    return col(Redemption.customer_id).in_(selves(session, operator_id, customer_id))


def selves(session: Session, operator_id: UUID, customer_id: UUID) -> set[UUID]:
    """Return the ids under which the record knows this person: this one, and those they had before.

    A phone that showed whose it is brought its coupons along from a customer who was nobody but
    that phone.
    """
    own = [wallet.id for wallet in wallets.of_customer(session, operator_id, customer_id)]
    moves = session.exec(
        select(Event).where(
            col(Event.operator_id) == operator_id,
            col(Event.subject_id).in_(own),
            col(Event.kind) == "wallet_moved",
        )
    )
    before = {
        UUID(move.data["before"])
        for move in moves
        if move.data["after"] == str(customer_id) and move.data["coupons"]
    }
    return {customer_id, *before}


def _stores(
    session: Session, operator_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, tuple[Store, str]]:
    rows = session.exec(
        select(Store, Merchant.name)
        .join(
            Merchant,
            (col(Merchant.operator_id) == col(Store.operator_id))
            & (col(Merchant.id) == col(Store.merchant_id)),
        )
        .where(col(Store.operator_id) == operator_id, col(Store.id).in_(ids))
    )
    return {store.id: (store, merchant) for store, merchant in rows}
