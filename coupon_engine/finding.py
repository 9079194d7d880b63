"""Finding coupons by what is known of them, for lists and for files."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, false, literal, or_
from sqlmodel import Session, col, select

from coupon_engine.coupons import view
from coupon_engine.errors import Unknown
from coupon_engine.offers import terms_of
from coupon_engine.rows import found
from coupon_engine.tables import Batch, Campaign, Coupon, Customer
from coupon_engine.validation import short_code
from schemas.coupons import CouponLine, CouponState, CouponView, Sought

S = CouponState


def found_coupons(
    session: Session,
    operator_id: UUID,
    sought: Sought,
    *,
    after: UUID | None,
    most: int,
    code_secret: bytes | None,
    now: datetime,
) -> list[CouponView]:
    """Return the coupons that fit, in the order of their ids.

    Raises:
        Unknown: No coupon has this short code, or whoever asks may not be told of short codes.
    """
    hashed = _hash_of(sought.short_code, code_secret)
    rows = _rows(session, operator_id, sought, hashed, after=after, most=most, now=now)
    if sought.short_code and not rows:
        raise Unknown("short_code", "")
    return [view(session, row, code_secret=code_secret, now=now) for row, *_ in rows]


def coupon_lines(
    session: Session,
    operator_id: UUID,
    sought: Sought,
    *,
    after: UUID | None,
    most: int,
    now: datetime,
) -> list[CouponLine]:
    """Return the coupons that fit, as lines of a file. A file is passed on: no short code is told.

    A few statements for all of them, where `found_coupons` asks for each.
    """
    rows = _rows(session, operator_id, sought, None, after=after, most=most, now=now)
    terms = terms_of(session, operator_id, {coupon.offer_id for coupon, *_ in rows})
    return [
        CouponLine(
            id=coupon.id,
            state=S(state),
            campaign=found(session, Campaign, operator_id, coupon.campaign_id).name,
            batch=batch.name,
            title_en=terms[coupon.offer_id].title.en,
            title_zh=terms[coupon.offer_id].title.zh,
            customer_ref=ref,
            issued_at=coupon.issued_at,
            valid_from=coupon.valid_from,
            valid_until=coupon.valid_until,
            uses=coupon.uses,
            uses_count=coupon.uses_count,
            last_redeemed_at=coupon.last_redeemed_at,
            revoked_at=coupon.revoked_at,
        )
        for coupon, batch, ref, state in rows
    ]


_Row = tuple[Coupon, Batch, str | None, str]


def _rows(
    session: Session,
    operator_id: UUID,
    sought: Sought,
    hashed: bytes | None,
    *,
    after: UUID | None,
    most: int,
    now: datetime,
) -> Sequence[_Row]:
    state = _state(now)
    query = (
        select(Coupon, Batch, col(Customer.ref), state)
        .join(Batch, _same(Batch, "batch_id"))
        .outerjoin(Customer, _same(Customer, "customer_id"))
        .where(col(Coupon.operator_id) == operator_id, *_filters(sought, hashed))
        .order_by(col(Coupon.id))
        .limit(most)
    )
    if sought.state:
        query = query.where(state == sought.state)
    if after:
        query = query.where(col(Coupon.id) > after)
    return session.exec(query).all()


def _filters(sought: Sought, hashed: bytes | None) -> Iterator[ColumnElement[bool]]:
    for name in ("campaign_id", "batch_id", "customer_id", "store_id"):
        if wanted := getattr(sought, name):
            yield getattr(Coupon, name) == wanted
    if sought.short_code:
        yield col(Coupon.code_hash) == hashed if hashed else false()
    if sought.issued_since:
        yield col(Coupon.issued_at) >= sought.issued_since
    if sought.issued_until:
        yield col(Coupon.issued_at) < sought.issued_until


def _state(now: datetime) -> ColumnElement[str]:
    """Say in SQL what `coupons.state_of` says; a test keeps the two alike."""
    is_used_up = or_(
        and_(
            col(Coupon.balance_minor).is_not(None),
            col(Coupon.spent_minor) >= col(Coupon.balance_minor),
        ),
        and_(col(Coupon.balance_minor).is_(None), col(Coupon.uses_count) >= col(Coupon.uses)),
    )
    is_revoked = or_(
        col(Coupon.revoked_at).is_not(None),
        and_(col(Batch.decided) == "revoked", ~col(Batch.coupons_stay_valid)),
    )
    return case(
        (is_used_up, S.REDEEMED.value),
        (is_revoked, S.REVOKED.value),
        (col(Coupon.valid_until) <= now, S.EXPIRED.value),
        (col(Coupon.held_until) > now, S.HELD.value),
        (col(Coupon.given_until) > now, S.GIVEN.value),
        (and_(col(Batch.needs_claim), col(Coupon.customer_id).is_(None)), S.MINTED.value),
        (col(Coupon.valid_from) > now, S.PENDING.value),
        else_=literal(S.ACTIVE.value),
    )


def _same(table: type[Batch | Customer], column: str) -> ColumnElement[bool]:
    own: ColumnElement[UUID] = getattr(Coupon, column)
    return and_(col(table.operator_id) == col(Coupon.operator_id), col(table.id) == own)


def _hash_of(typed: str | None, code_secret: bytes | None) -> bytes | None:
    if typed is None or code_secret is None or not short_code.is_short_code(typed):
        return None
    return short_code.fingerprint(typed, code_secret)
