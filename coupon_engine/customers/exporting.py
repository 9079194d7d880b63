"""Everything that is known about one person, as one document. That it was asked for is recorded."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import coupons, events
from coupon_engine.customers import contacts, wallets
from coupon_engine.customers.receipts import redeemed_by, selves
from coupon_engine.rows import found
from coupon_engine.sealing import Vault
from coupon_engine.tables import Coupon, Customer, Event, Redemption, Wallet
from schemas.campaigns import CustomerView
from schemas.coupons import CouponView
from schemas.wallets import (
    ContactKind,
    ExportedEvent,
    ExportedRedemption,
    ExportedWallet,
    ExportView,
    FullContactView,
)


def export(
    session: Session,
    operator_id: UUID,
    customer_id: UUID,
    *,
    vault: Vault,
    code_secret: bytes,
    now: datetime,
) -> ExportView:
    """Return everything about one customer, contacts in clear, and record that it was given out.

    Short codes are left out: whoever reads the document should not be able to spend the coupons.

    Raises:
        Unknown: No such customer.
    """
    customer = found(session, Customer, operator_id, customer_id)
    own_wallets = wallets.of_customer(session, operator_id, customer_id)
    own_coupons = _coupons(session, operator_id, customer_id)
    redemptions = _redemptions(session, operator_id, customer_id)
    subjects = [
        customer_id,
        *(row.id for row in own_wallets),
        *(row.id for row in own_coupons),
        *(row.id for row in redemptions),
    ]
    document = ExportView(
        exported_at=now,
        customer=CustomerView(
            id=customer.id,
            ref=customer.ref,
            segments=tuple(customer.segments),
            has_purchased=customer.has_purchased,
        ),
        contacts=tuple(
            FullContactView(
                kind=ContactKind(row.kind),
                value=contacts.unsealed(row, vault),
                verified_at=row.verified_at,
            )
            for row in contacts.of_customer(session, operator_id, customer_id)
        ),
        wallets=tuple(_exported_wallet(row) for row in own_wallets),
        coupons=tuple(_exported_coupon(session, row, code_secret, now) for row in own_coupons),
        redemptions=tuple(_exported_redemption(row) for row in redemptions),
        events=tuple(_events(session, operator_id, customer_id, subjects)),
    )
    _tell(session, operator_id, customer_id, now)
    return document


def export_own(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    *,
    vault: Vault,
    code_secret: bytes,
    now: datetime,
) -> ExportView:
    """Return everything about whoever asks.

    Raises:
        NotSignedIn: The wallet has ended.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    return export(
        session, operator_id, wallet.customer_id, vault=vault, code_secret=code_secret, now=now
    )


def _coupons(session: Session, operator_id: UUID, customer_id: UUID) -> list[Coupon]:
    return list(
        session.exec(
            select(Coupon)
            .where(col(Coupon.operator_id) == operator_id, col(Coupon.customer_id) == customer_id)
            .order_by(col(Coupon.id))
        )
    )


def _redemptions(session: Session, operator_id: UUID, customer_id: UUID) -> list[Redemption]:
    return list(
        session.exec(
            select(Redemption)
            .where(
                col(Redemption.operator_id) == operator_id,
                redeemed_by(session, operator_id, customer_id),
            )
            .order_by(col(Redemption.redeemed_at), col(Redemption.id))
        )
    )


def _events(
    session: Session, operator_id: UUID, customer_id: UUID, subjects: Collection[UUID]
) -> list[ExportedEvent]:
    """Return what happened to these; of a coupon that somebody else gave, what came after."""
    rows = session.exec(
        select(Event)
        .where(col(Event.operator_id) == operator_id, col(Event.subject_id).in_(subjects))
        .order_by(col(Event.at), col(Event.id))
    ).all()
    own = {str(id) for id in selves(session, operator_id, customer_id)}
    came = {
        row.subject_id: at
        for at, row in enumerate(rows)
        if row.kind == "coupon_transferred" and row.data["from"] not in own
    }
    return [
        ExportedEvent(
            id=row.id,
            kind=row.kind,
            subject_id=row.subject_id,
            at=row.at,
            data={name: value for name, value in row.data.items() if name not in _OF_OTHERS},
        )
        for at, row in enumerate(rows)
        if at > came.get(row.subject_id, -1)
    ]


# Who stood at the counter is another person's business.
_OF_OTHERS = {"cashier"}


def _exported_wallet(row: Wallet) -> ExportedWallet:
    return ExportedWallet(
        id=row.id, created_at=row.created_at, seen_at=row.seen_at, ended_at=row.ended_at
    )


def _exported_coupon(
    session: Session, row: Coupon, code_secret: bytes, now: datetime
) -> CouponView:
    shown = coupons.view(session, row, code_secret=code_secret, now=now)
    return shown.model_copy(update={"short_code": None})


def _exported_redemption(row: Redemption) -> ExportedRedemption:
    return ExportedRedemption(
        id=row.id,
        coupon_id=row.coupon_id,
        store_id=row.store_id,
        order_ref=row.order_ref,
        redeemed_at=row.redeemed_at,
        currency=row.currency,
        basket_minor=row.basket_minor,
        discount_minor=row.discount_minor,
        reversed_minor=row.reversed_minor,
    )


def _tell(session: Session, operator_id: UUID, customer_id: UUID, now: datetime) -> None:
    events.record(
        session,
        events.happened(
            "customer_exported",
            customer_id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={},
        ),
    )
