"""Forgetting a person: what was personal is deleted, what happened stays under no name.

The record knows a customer by an id of ours and by the operator's own name for them. Name, number
and address lie in `contact` alone, and codes on their way in `passcode`; from both the rows go.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import events
from coupon_engine.answers import answered
from coupon_engine.customers import wallets
from coupon_engine.rows import locked
from coupon_engine.tables import Customer
from schemas.ids import new_id
from schemas.wallets import ErasureView, NewErasure, NewOwnErasure


@answered(ErasureView)
def erase(
    session: Session, operator_id: UUID, request: NewErasure, *, now: datetime
) -> ErasureView:
    """Delete a customer's contacts and passcodes, and end their wallets.

    Coupons and redemptions stay, held by a customer of whom nothing is known. The operator's own
    name for them stays too, unless it shall go: then it becomes one that means nobody.

    Raises:
        Unknown: No such customer.
    """
    customer = locked(session, Customer, operator_id, request.customer_id)
    # The wallets first: a phone that is just typing a code has finished, or finds its wallet over.
    ended = _end_all(session, operator_id, customer.id, now=now)
    own = {"operator_id": operator_id, "customer_id": customer.id}
    passcodes = session.connection().execute(_PASSCODES, own).rowcount
    contacts = session.connection().execute(_CONTACTS, own).rowcount
    if request.erase_ref:
        customer.ref = f"erased-{new_id(now)}"
        customer.segments = []
        session.add(customer)
    erased = ErasureView(
        id=request.id,
        customer_id=customer.id,
        contacts=contacts,
        passcodes=passcodes,
        wallets=ended,
        erased_at=now,
    )
    _tell(session, operator_id, erased, erase_ref=request.erase_ref)
    return erased


def erase_own(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewOwnErasure,
    *,
    now: datetime,
) -> ErasureView:
    """Do so for whoever asks. Their wallet ends with it, so a repeat is no longer heard.

    Raises:
        NotSignedIn: The wallet has ended.
        RequestReused: This id was used for another request.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    asked = NewErasure(id=request.id, customer_id=wallet.customer_id)
    return erase(session, operator_id, asked, now=now)


def _end_all(session: Session, operator_id: UUID, customer_id: UUID, *, now: datetime) -> int:
    rows = wallets.of_customer(session, operator_id, customer_id)
    alive = [wallet for wallet in rows if not wallet.ended_at]
    for wallet in alive:
        wallets.end(session, wallet, why="erased", now=now)
    return len(alive)


def _tell(session: Session, operator_id: UUID, erased: ErasureView, *, erase_ref: bool) -> None:
    counts = erased.model_dump(include={"contacts", "passcodes", "wallets"})
    events.record(
        session,
        events.happened(
            "customer_erased",
            erased.customer_id,
            operator_id=operator_id,
            campaign_id=None,
            at=erased.erased_at,
            data={**counts, "erase_ref": erase_ref},
        ),
    )


# Also those that another phone has asked for, to an address of this customer's.
_PASSCODES = text("""
    DELETE FROM passcode
    WHERE operator_id = :operator_id AND (
        wallet_id IN (
            SELECT id FROM wallet
            WHERE operator_id = :operator_id AND customer_id = :customer_id
        )
        OR lookup IN (
            SELECT lookup FROM contact
            WHERE operator_id = :operator_id AND customer_id = :customer_id
        )
    )
""")
_CONTACTS = text("""
    DELETE FROM contact WHERE operator_id = :operator_id AND customer_id = :customer_id
""")
