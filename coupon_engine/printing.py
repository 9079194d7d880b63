"""Coupons on screen and paper: a token signed and drawn, with the offer's words beside it."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlmodel import Session

from coupon_engine import coupons, drawing
from coupon_engine.drawing import PrintedCoupon
from coupon_engine.errors import Unknown
from coupon_engine.offers import terms_of
from coupon_engine.rows import found
from coupon_engine.tables import Batch, Campaign
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.telling import describe
from coupon_engine.validation.token_refused import LiveCodeRequired
from schemas.money import Language


def qr_png(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    code_secret: bytes,
    now: datetime,
) -> bytes:
    """Return a coupon's code as a picture for a screen.

    Raises:
        LiveCodeRequired: The coupon is bound to a phone, which alone can draw its code.
        Unknown, NoSigningKey, CouponNotUsable, HolderSuspended, HolderKeyRequired: As with
            `coupons.token`.
    """
    return drawing.png(
        _text(session, operator_id, coupon_id, keys, code_secret=code_secret, now=now)
    )


def qr_svg(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    code_secret: bytes,
    now: datetime,
) -> str:
    """Return a coupon's code as a drawing of any size.

    Raises:
        LiveCodeRequired: The coupon is bound to a phone, which alone can draw its code.
        Unknown, NoSigningKey, CouponNotUsable, HolderSuspended, HolderKeyRequired: As with
            `coupons.token`.
    """
    return drawing.svg(
        _text(session, operator_id, coupon_id, keys, code_secret=code_secret, now=now)
    )


def sheet(
    session: Session,
    operator_id: UUID,
    batch_id: UUID,
    keys: KeyRing,
    *,
    language: Language,
    after: UUID | None,
    most: int,
    code_secret: bytes,
    now: datetime,
) -> bytes:
    """Return coupons of a batch as a PDF to cut up, in the order of their ids.

    Raises:
        Unknown: No such batch, or no coupon of it comes after `after`.
        CannotPrint: The words do not fit, or no font has one of their letters.
        LiveCodeRequired: The coupons are bound to phones; paper is not enough.
        NoSigningKey, CouponNotUsable, HolderKeyRequired: As with `coupons.token`.
    """
    batch = found(session, Batch, operator_id, batch_id)
    campaign = found(session, Campaign, operator_id, batch.campaign_id)
    terms = terms_of(session, operator_id, [batch.offer_id])[batch.offer_id]
    views = coupons.coupon_views(
        session,
        operator_id,
        batch_id=batch_id,
        customer_id=None,
        after=after,
        most=most,
        code_secret=code_secret,
        now=now,
    )
    if not views:
        raise Unknown("coupon", after or batch_id)
    conditions = "\n".join(describe(terms, language, campaign.currency))
    return drawing.sheets_pdf(
        [
            PrintedCoupon(
                text=_text(session, operator_id, each.id, keys, code_secret=code_secret, now=now),
                title=each.title.zh if language == "zh" else each.title.en,
                conditions=conditions,
                validity=_validity(each.valid_from, each.valid_until, campaign.zone),
                short_code=each.short_code or "",
            )
            for each in views
        ]
    )


def _text(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    code_secret: bytes,
    now: datetime,
) -> str:
    token = coupons.token(session, operator_id, coupon_id, keys, code_secret=code_secret, now=now)
    if token.text is None:
        raise LiveCodeRequired
    return token.text


def _validity(starts: datetime, ends: datetime, zone: str) -> str:
    here = ZoneInfo(zone)
    return f"{starts.astimezone(here):%Y-%m-%d %H:%M} – {ends.astimezone(here):%Y-%m-%d %H:%M}"
