"""Looking at an offer before it is one: its face, and what it would take off. Nothing is written.

The judge is the one of the counters. What has no place in terms, such as budgets and ceilings,
is not judged here.
"""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine.errors import Unknown
from coupon_engine.rows import found
from coupon_engine.tables import Store
from coupon_engine.validation.facts import (
    CampaignFacts,
    Case,
    CouponFacts,
    CustomerFacts,
    StoreFacts,
)
from coupon_engine.validation.judge import judge
from coupon_engine.validation.telling import face
from coupon_engine.validation.windows import validity
from schemas.previews import (
    NewPreview,
    NewTrial,
    PreviewView,
    TrialAccepted,
    TrialRefused,
    TrialView,
)
from schemas.refusals import Refusal

_NOBODY = UUID(int=0)


def preview(session: Session, operator_id: UUID, request: NewPreview) -> PreviewView:
    """Return how coupons of these terms would read.

    Raises:
        Unknown: The terms name a store that is not there.
    """
    names = _names(session, operator_id, request.terms.conditions.stores)
    return PreviewView(face=face(request.terms, request.currency, zone=request.zone, stores=names))


def trial(session: Session, operator_id: UUID, request: NewTrial, *, now: datetime) -> TrialView:
    """Judge a coupon of these terms, as if it were given out now to whoever comes.

    Raises:
        Unknown: The terms, or the request, name a store that is not there.
    """
    _names(session, operator_id, request.terms.conditions.stores)
    case = _case(request, _store(session, operator_id, request), now=now)
    verdict = judge(case)
    if isinstance(verdict, Refusal):
        return TrialRefused(at=case.now, refusal=verdict)
    return TrialAccepted(
        at=case.now,
        discount_minor=verdict.minor,
        currency=request.currency,
        lines=verdict.lines,
    )


def _names(session: Session, operator_id: UUID, store_ids: tuple[UUID, ...]) -> list[str]:
    """Return the names of these stores, in the order in which they are given."""
    rows = session.exec(
        select(Store.id, Store.name).where(
            col(Store.operator_id) == operator_id, col(Store.id).in_(store_ids)
        )
    )
    names = dict(rows.all())
    for id in store_ids:
        if id not in names:
            raise Unknown("store", id)
    return [names[id] for id in store_ids]


def _store(session: Session, operator_id: UUID, request: NewTrial) -> StoreFacts:
    if request.store_id is None:
        own = request.terms.conditions.stores
        return StoreFacts(id=own[0] if own else _NOBODY, zone=request.zone)
    store = found(session, Store, operator_id, request.store_id)
    return StoreFacts(id=store.id, zone=store.zone)


def _case(request: NewTrial, store: StoreFacts, *, now: datetime) -> Case:
    valid_from, valid_until = validity(request.terms.validity, now, request.zone)
    customer = request.customer and CustomerFacts(
        id=_NOBODY,
        segments=frozenset(request.customer.segments),
        has_purchased=request.customer.has_purchased,
    )
    return Case(
        coupon=CouponFacts(
            id=_NOBODY,
            customer_id=customer.id if customer else None,
            store_id=None,
            valid_from=valid_from,
            valid_until=valid_until,
            uses_count=0,
            spent_minor=0,
            is_claimed=True,
            is_revoked=False,
        ),
        campaign=CampaignFacts(
            id=_NOBODY,
            currency=request.currency,
            zone=request.zone,
            is_live=True,
            stops=None,
            has_ended_for_good=False,
            is_batch_revoked=False,
        ),
        offer_id=_NOBODY,
        terms=request.terms,
        store=store,
        customer=customer,
        basket=request.basket,
        applied=(),
        spend_minor=request.spend_minor,
        hold_id=None,
        now=request.at or max(now, valid_from),
    )
