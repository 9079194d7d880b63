"""What a claim link would give, before anybody takes it."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from coupon_engine import issuing
from coupon_engine.customers import contacts, wallets
from coupon_engine.customers.showing import shown_offer
from coupon_engine.errors import (
    BatchExhausted,
    ClaimLimitReached,
    ContactNeeded,
    NotIssuing,
    Unknown,
)
from coupon_engine.rows import found
from coupon_engine.tables import Batch, Campaign, Wallet
from schemas.wallets import ClaimableView


def claimable(
    session: Session, operator_id: UUID, wallet_id: UUID, batch_id: UUID, *, now: datetime
) -> ClaimableView:
    """Return what this batch would give to the wallet, and what a claim would hear now.

    A batch that nobody has approved yet is nobody's business: it is unknown.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such batch.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    batch = found(session, Batch, operator_id, batch_id)
    if batch.approved_at is None:
        raise Unknown("batch", batch_id)
    campaign = found(session, Campaign, operator_id, batch.campaign_id)
    return ClaimableView(
        **shown_offer(session, operator_id, batch.offer_id, campaign),
        batch_id=batch.id,
        offer_id=batch.offer_id,
        currency=campaign.currency,
        needs_contact=batch.needs_contact,
        refused=_refused(session, wallet, batch, now=now),
    )


def _refused(session: Session, wallet: Wallet, batch: Batch, *, now: datetime) -> str | None:
    """Return the code of the no to a claim. What can be mended by a passcode is told last."""
    operator_id, customer_id = wallet.operator_id, wallet.customer_id
    try:
        issuing.refuse_claim(session, operator_id, batch.id, customer_id, now=now)
    except (NotIssuing, BatchExhausted, ClaimLimitReached) as error:
        return error.code
    if batch.needs_contact and not contacts.is_verified(session, operator_id, customer_id):
        return ContactNeeded.code
    return None
