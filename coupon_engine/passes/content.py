"""What stands on a pass, whoever's app shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import coupons
from coupon_engine.customers import wallets
from coupon_engine.customers.showing import shown_coupons
from coupon_engine.tables import Store
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.token_refused import LiveCodeRequired
from schemas.money import Language
from schemas.refusals import Sentences
from schemas.wallets import WalletCouponView

MOST_PLACES = 10
"""Apple's app looks no further."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store that the phone may recognise when it is near: it asks nobody."""

    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class PassContent:
    """One coupon in one language."""

    coupon_id: UUID
    offer_id: UUID
    language: Language
    title: str
    offered_by: str
    operator: str
    benefit: tuple[str, ...]
    conditions: tuple[str, ...]
    code: str
    short_code: str | None
    valid_from: datetime
    valid_until: datetime
    places: tuple[Place, ...]


def content(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    language: Language,
    code_secret: bytes,
    now: datetime,
) -> PassContent:
    """Return what a pass of one of the wallet's coupons shows.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
        LiveCodeRequired: Only the phone that it is bound to can draw its code.
        NoSigningKey, CouponNotUsable, HolderSuspended, HolderKeyRequired: As with the token.
    """
    token = wallets.token(
        session, operator_id, wallet_id, coupon_id, keys, code_secret=code_secret, now=now
    )
    if token.text is None:
        raise LiveCodeRequired
    view = coupons.coupon_view(session, operator_id, coupon_id, code_secret=code_secret, now=now)
    (shown,) = shown_coupons(session, operator_id, [view], now=now)

    def told(sentences: Sequence[Sentences]) -> tuple[str, ...]:
        return tuple(each.zh if language == "zh" else each.en for each in sentences)

    return PassContent(
        coupon_id=shown.id,
        offer_id=shown.offer_id,
        language=language,
        title=shown.title.zh if language == "zh" else shown.title.en,
        offered_by=shown.merchant or shown.operator,
        operator=shown.operator,
        benefit=told(shown.face.benefit),
        conditions=told((*shown.face.conditions, *shown.face.validity)),
        code=token.text,
        short_code=token.short_code,
        valid_from=shown.valid_from,
        valid_until=shown.valid_until,
        places=_places(session, operator_id, shown),
    )


def _places(session: Session, operator_id: UUID, shown: WalletCouponView) -> tuple[Place, ...]:
    """Return some stores where it works, as far as anybody has told where they are."""
    query = select(Store).where(
        col(Store.operator_id) == operator_id, col(Store.latitude_microdegrees).is_not(None)
    )
    if shown.store_ids:
        query = query.where(col(Store.id).in_(shown.store_ids))
    rows = session.exec(query.order_by(col(Store.id)).limit(MOST_PLACES))
    return tuple(
        Place(store.name, store.latitude_microdegrees / 1e6, store.longitude_microdegrees / 1e6)
        for store in rows
        if store.latitude_microdegrees is not None and store.longitude_microdegrees is not None
    )
