"""Offers: versions of what a coupon is worth. Changed until the first coupon, then never again."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import func, text
from sqlmodel import Session, col, select

from coupon_engine import approving, events
from coupon_engine.answers import answered
from coupon_engine.errors import OfferFrozen, OfferSuperseded, TermsMismatch
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Campaign, Offer, Store
from schemas.campaigns import NewOffer, NewTerms, OfferState, OfferView
from schemas.offers import Terms
from schemas.offline import ONLINE_CLASS


@answered(OfferView)
def create_offer(
    session: Session, operator_id: UUID, request: NewOffer, *, now: datetime
) -> OfferView:
    """Make an offer, or with `replaces` its next version. Coupons out keep the version they have.

    Raises:
        Unknown: No such campaign, or no such offer to replace.
        TermsMismatch: The terms do not fit the campaign, or `replaces` is another campaign's.
        OfferSuperseded: The version to replace has been replaced already.
    """
    # Locked, or two who make an offer at once would get one quota class.
    campaign = locked(session, Campaign, operator_id, request.campaign_id)
    _refuse_unfit(session, campaign, request.terms)
    family_id, version = request.id, 1
    if request.replaces:
        before = locked(session, Offer, operator_id, request.replaces)
        if before.campaign_id != campaign.id:
            raise TermsMismatch(why="the version to replace belongs to another campaign")
        if successor(session, before):
            raise OfferSuperseded(offer_id=str(before.id))
        family_id, version = before.family_id, before.version + 1
    offer = Offer(
        operator_id=operator_id,
        id=request.id,
        campaign_id=campaign.id,
        family_id=family_id,
        version=version,
        replaces=request.replaces,
        quota_class=_next_quota_class(session, campaign),
        terms=request.terms.model_dump(mode="json"),
        created_at=now,
    )
    session.add(offer)
    approving.edited(session, campaign)
    _tell(session, "offer_created", offer, now)
    return view(session, offer)


@answered(OfferView)
def change_terms(
    session: Session, operator_id: UUID, request: NewTerms, *, now: datetime
) -> OfferView:
    """Change an offer that no coupon has yet.

    Raises:
        Unknown: No such offer.
        OfferFrozen: Coupons of it are out.
        TermsMismatch: The new terms do not fit the campaign.
    """
    offer = locked(session, Offer, operator_id, request.offer_id)
    if offer.frozen_at:
        raise OfferFrozen(offer_id=str(offer.id))
    campaign = found(session, Campaign, operator_id, offer.campaign_id)
    _refuse_unfit(session, campaign, request.terms)
    offer.terms = request.terms.model_dump(mode="json")
    session.add(offer)
    approving.edited(session, campaign, offer_id=offer.id)
    _tell(session, "offer_changed", offer, now)
    return view(session, offer)


def offer_views(
    session: Session,
    operator_id: UUID,
    *,
    campaign_id: UUID | None = None,
    after: UUID | None,
    most: int,
) -> list[OfferView]:
    """Return offers in the order of their ids, of one campaign or of all."""
    own = None if campaign_id is None else col(Offer.campaign_id) == campaign_id
    return [
        view(session, row) for row in some(session, Offer, operator_id, own, after=after, most=most)
    ]


def freeze(session: Session, offer: Offer, *, now: datetime) -> None:
    """Let the terms never change again: a coupon of them is about to be out."""
    if offer.frozen_at is None:
        offer.frozen_at = now
        session.add(offer)
        _tell(session, "offer_frozen", offer, now)


def view(session: Session, offer: Offer) -> OfferView:
    state = OfferState.FROZEN if offer.frozen_at else OfferState.DRAFT
    if successor(session, offer):
        state = OfferState.SUPERSEDED
    return OfferView(
        id=offer.id,
        campaign_id=offer.campaign_id,
        version=offer.version,
        replaces=offer.replaces,
        state=state,
        frozen_at=offer.frozen_at,
        terms=Terms.model_validate_json(to_json(offer.terms)),
    )


def _next_quota_class(session: Session, campaign: Campaign) -> int:
    """Return the number by which codes name an offer of this campaign, as long as four bits last.

    Offers beyond that share the last number, which says that only the server knows.
    """
    query = select(func.count()).where(
        col(Offer.operator_id) == campaign.operator_id, col(Offer.campaign_id) == campaign.id
    )
    return min(ONLINE_CLASS, session.exec(query).one())


def successor(session: Session, offer: Offer) -> Offer | None:
    """Return the version that replaced this one, if any did."""
    return session.exec(
        select(Offer).where(
            Offer.operator_id == offer.operator_id,
            Offer.family_id == offer.family_id,
            Offer.version == offer.version + 1,
        )
    ).one_or_none()


def terms_of(session: Session, operator_id: UUID, offer_ids: Collection[UUID]) -> dict[UUID, Terms]:
    """Return the terms of offers that coupons have. Frozen, so read once by each process."""
    terms = {id: known for id in offer_ids if (known := _frozen.get((operator_id, id)))}
    if missing := [id for id in offer_ids if id not in terms]:
        rows = session.connection().execute(_TERMS, {"operator_id": operator_id, "ids": missing})
        for row in rows:
            terms[row.id] = Terms.model_validate_json(row.terms)
            if row.is_frozen:
                _remember(operator_id, row.id, terms[row.id])
    return terms


def _remember(operator_id: UUID, offer_id: UUID, terms: Terms) -> None:
    if len(_frozen) >= _MOST_REMEMBERED:
        del _frozen[next(iter(_frozen))]
    _frozen[operator_id, offer_id] = terms


def _refuse_unfit(session: Session, campaign: Campaign, terms: Terms) -> None:
    ends_at = terms.validity.ends_at
    starts_at = terms.validity.starts_at
    if starts_at and starts_at < campaign.starts_at:
        raise TermsMismatch(why="a coupon must not start before its campaign")
    if ends_at and ends_at <= campaign.starts_at:
        raise TermsMismatch(why="a coupon must not end before its campaign starts")
    wanted = terms.conditions.stores
    known = session.exec(
        select(Store.id).where(
            col(Store.operator_id) == campaign.operator_id, col(Store.id).in_(wanted)
        )
    ).all()
    if missing := set(wanted) - set(known):
        raise TermsMismatch(why="there is no such store", store_id=str(min(missing)))


def _tell(session: Session, kind: str, offer: Offer, now: datetime) -> None:
    events.record(
        session,
        events.happened(
            kind,
            offer.id,
            operator_id=offer.operator_id,
            campaign_id=offer.campaign_id,
            at=now,
            data={"version": offer.version, "family_id": offer.family_id, "terms": offer.terms},
        ),
    )


# What never changes may be remembered; what is remembered must be bounded.
_MOST_REMEMBERED = 10_000
_frozen: dict[tuple[UUID, UUID], Terms] = {}

# Only what was committed before any transaction of now began is frozen for good: a freeze of our
# own may still be rolled back, and the terms change after it.
_TERMS = text("""
    SELECT id, terms::text AS terms,
           frozen_at IS NOT NULL AND age(xmin) > age(
               CAST(pg_snapshot_xmin(pg_current_snapshot()) AS xid)
           ) AS is_frozen
    FROM offer
    WHERE operator_id = :operator_id AND id = ANY(:ids)
""")
