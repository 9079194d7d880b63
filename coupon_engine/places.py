"""Places in a campaign's status list beyond the one that each coupon is issued with."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine.positions import positions
from coupon_engine.tables import Campaign, Coupon, VoidPlace


def further_place(session: Session, campaign: Campaign) -> int:
    """Return a place that no coupon has or had."""
    named = {"operator_id": campaign.operator_id, "id": campaign.id}
    given = session.connection().execute(_NEXT, named).scalar_one()
    return positions(campaign.shuffle_key, is_further=True)(given)


def move(session: Session, coupon: Coupon, campaign: Campaign, *, now: datetime) -> None:
    """Give a coupon another place, so that every code of it that is out is void.

    Terminals without a network learn it with their next list.
    """
    session.add(
        VoidPlace(
            operator_id=coupon.operator_id,
            campaign_id=coupon.campaign_id,
            position=coupon.position,
            coupon_id=coupon.id,
            void_at=now,
        )
    )
    coupon.position = further_place(session, campaign)
    session.add(coupon)


_NEXT = text("""
    UPDATE campaign SET further_places = further_places + 1
    WHERE operator_id = :operator_id AND id = :id RETURNING further_places - 1
""")
