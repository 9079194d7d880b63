"""Issuing: coupons come into the world, one, a million, or when a customer asks for one.

No token is signed here. A token is made from the coupon's row whenever a phone asks for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import breaker, bulk, events, limits, offers
from coupon_engine.answers import answered
from coupon_engine.campaign_states import state_of
from coupon_engine.coupons import answered_with_code, is_used_up, view
from coupon_engine.database import allow_bulk
from coupon_engine.errors import (
    BatchExhausted,
    ClaimLimitReached,
    CouponNotUsable,
    CouponTaken,
    HolderKeyRequired,
    NotIssuing,
    TermsMismatch,
    Unknown,
)
from coupon_engine.positions import positions
from coupon_engine.rows import found, locked
from coupon_engine.tables import Batch, Campaign, Coupon, Customer, Offer, Store
from coupon_engine.validation import short_code
from coupon_engine.validation.token import compressed
from coupon_engine.validation.windows import validity
from schemas.campaigns import BatchState, CampaignState, Level, StoppedBy, Stops
from schemas.coupons import CouponView, HolderKey, IssuedView, NewClaim, NewCoupon, NewCoupons
from schemas.ids import new_id, new_id_texts
from schemas.offers import GiftBalance, LimitOf, LimitPer, LimitRule, Terms


@answered_with_code
def issue(
    session: Session, operator_id: UUID, request: NewCoupon, *, code_secret: bytes, now: datetime
) -> CouponView:
    """Issue one coupon of a batch.

    Raises:
        Unknown: No such batch, customer or store.
        NotIssuing: The campaign or batch gives out nothing now, or the coupon would be over.
        BatchExhausted: Batch or campaign have given out all they may.
        ClaimLimitReached: The customer has had as many as anyone may.
        HolderKeyRequired: The campaign binds coupons to a phone.
        HolderKeyInvalid: The phone's key is not a point of P-256.
    """
    source = _source(session, operator_id, request.batch_id, now=now)
    if request.customer_id:
        found(session, Customer, operator_id, request.customer_id)
    if request.store_id:
        found(session, Store, operator_id, request.store_id)
    coupon = _issue_one(
        session,
        source,
        customer_id=request.customer_id,
        store_id=request.store_id,
        holder_key=request.holder_key,
        code_secret=code_secret,
        now=now,
    )
    return view(session, coupon, code_secret=code_secret, now=now)


@answered(IssuedView)
def issue_many(
    session: Session, operator_id: UUID, request: NewCoupons, *, code_secret: bytes, now: datetime
) -> IssuedView:
    """Issue many coupons of a batch, all or none.

    Raises:
        Unknown: No such batch, or one of the customers is not known.
        NotIssuing: The campaign or batch gives out nothing now.
        BatchExhausted: Batch or campaign have not so many left.
        ClaimLimitReached: One of the customers has had as many as anyone may.
        TermsMismatch: Nothing to issue.
    """
    many = len(request.customer_ids) + request.unclaimed
    if many == 0:
        raise TermsMismatch(why="name customers, or say how many coupons nobody holds yet")
    allow_bulk(session)
    source = _source(session, operator_id, request.batch_id, now=now)
    _refuse_unknown(session, operator_id, request.customer_ids)
    _count_customers(session, source, request.customer_ids, now=now)
    first = _take(session, source, many, is_lot=many >= breaker.LOT, now=now)
    ids = new_id_texts(many, now)
    _copy(
        session,
        source,
        ids,
        first,
        [*map(str, request.customer_ids), *[r"\N"] * request.unclaimed],
        code_secret=code_secret,
        now=now,
    )
    session.connection().execute(
        _ISSUED,
        {
            "operator_id": operator_id,
            "batch_id": request.batch_id,
            "first": ids[0],
            "last": ids[-1],
        },
    )
    events.record(
        session,
        events.happened(
            "coupons_issued",
            request.batch_id,
            operator_id=operator_id,
            campaign_id=source.campaign.id,
            at=now,
            data={"count": many, "first_id": ids[0], "last_id": ids[-1]},
        ),
    )
    return IssuedView(
        id=request.id, batch_id=request.batch_id, count=many, first_position=first, issued_at=now
    )


@answered_with_code
def claim(
    session: Session, operator_id: UUID, request: NewClaim, *, code_secret: bytes, now: datetime
) -> CouponView:
    """Give a customer a fresh coupon of a batch, or the unclaimed one whose short code they have.

    Raises:
        Unknown: No such batch, customer or short code.
        CouponTaken: Somebody else has claimed this coupon.
        CouponNotUsable: It is used up, revoked or over.
        NotIssuing, BatchExhausted, ClaimLimitReached, HolderKeyRequired, HolderKeyInvalid: As
            with `issue`.
        TermsMismatch: Neither a batch nor a short code is named, or both are.
    """
    found(session, Customer, operator_id, request.customer_id)
    if (request.batch_id is None) == (request.short_code is None):
        raise TermsMismatch(why="claim a coupon by its batch or by its short code")
    if request.batch_id:
        source = _source(session, operator_id, request.batch_id, now=now)
        coupon = _issue_one(
            session,
            source,
            customer_id=request.customer_id,
            store_id=None,
            holder_key=request.holder_key,
            code_secret=code_secret,
            now=now,
        )
    else:
        assert request.short_code is not None
        coupon = _claim_by_code(session, operator_id, request, code_secret, now=now)
    return view(session, coupon, code_secret=code_secret, now=now)


def refuse_claim(
    session: Session, operator_id: UUID, batch_id: UUID, customer_id: UUID, *, now: datetime
) -> None:
    """Say what a claim of this batch would hear now. Nothing is locked, written or promised.

    Raises:
        Unknown: No such batch.
        NotIssuing: The campaign or batch gives out nothing now.
        BatchExhausted: Batch or campaign have given out all they may.
        ClaimLimitReached: The customer has had as many as anyone may.
    """
    batch = found(session, Batch, operator_id, batch_id)
    campaign = found(session, Campaign, operator_id, batch.campaign_id)
    offer = found(session, Offer, operator_id, batch.offer_id)
    source = _open(session, batch, campaign, offer, now=now)
    ceilings = [
        limits.of_batch(batch.id, campaign.id, LimitOf.ISSUE),
        limits.of_campaign(campaign.id, LimitOf.ISSUE),
        *_ceilings(source, customer_id, now=now),
    ]
    standing = limits.seen(session, operator_id, ceilings, now=now)
    for ceiling, facts in zip(ceilings, standing, strict=True):
        if facts.used_count < facts.max_count:
            continue
        if ceiling.per is LimitPer.CUSTOMER:
            raise ClaimLimitReached(rule=ceiling.rule, max_count=facts.max_count)
        raise BatchExhausted(rule=ceiling.rule, left=0)


@dataclass(frozen=True)
class _Source:
    """A batch from which coupons may come now, with all that shapes them."""

    batch: Batch
    campaign: Campaign
    offer: Offer
    terms: Terms
    valid_from: datetime
    valid_until: datetime


def _source(session: Session, operator_id: UUID, batch_id: UUID, *, now: datetime) -> _Source:
    batch = found(session, Batch, operator_id, batch_id)
    campaign = found(session, Campaign, operator_id, batch.campaign_id)
    offer = found(session, Offer, operator_id, batch.offer_id)
    if offer.frozen_at is None:
        # Nobody may change the terms between our reading and the first coupon.
        offer = locked(session, Offer, operator_id, batch.offer_id)
        session.refresh(batch)  # while we waited, new terms may have taken its approval
    source = _open(session, batch, campaign, offer, now=now)
    offers.freeze(session, offer, now=now)
    return source


def _open(
    session: Session, batch: Batch, campaign: Campaign, offer: Offer, *, now: datetime
) -> _Source:
    state = state_of(campaign, now)
    if state not in (CampaignState.RUNNING, CampaignState.SCHEDULED):
        raise NotIssuing(campaign_state=state)
    if batch.decided != BatchState.READY:
        raise NotIssuing(batch_state=batch.decided)
    if batch.approved_at is None:
        raise NotIssuing(why="nobody has approved the campaign with this batch and its terms yet")
    terms = offers.terms_of(session, batch.operator_id, [offer.id])[offer.id]
    valid_from, valid_until = validity(terms.validity, now, campaign.zone)
    valid_from = max(valid_from, campaign.starts_at.replace(microsecond=0))
    if valid_from >= valid_until:
        raise NotIssuing(why="the coupon would be over before it begins")
    return _Source(batch, campaign, offer, terms, valid_from, valid_until)


def _issue_one(
    session: Session,
    source: _Source,
    *,
    customer_id: UUID | None,
    store_id: UUID | None,
    holder_key: HolderKey | None,
    code_secret: bytes,
    now: datetime,
) -> Coupon:
    if source.campaign.level in (Level.HOLDER_SIGNED, Level.CHALLENGED) and not holder_key:
        raise HolderKeyRequired(level=source.campaign.level)
    key = compressed(holder_key) if holder_key else None
    _count_customers(session, source, [customer_id] if customer_id else [], now=now)
    nth = _take(session, source, 1, now=now)
    id = new_id(now)
    coupon = Coupon(
        operator_id=source.batch.operator_id,
        id=id,
        campaign_id=source.campaign.id,
        batch_id=source.batch.id,
        offer_id=source.offer.id,
        position=positions(source.campaign.shuffle_key)(nth),
        customer_id=customer_id,
        store_id=store_id,
        issued_at=now,
        valid_from=source.valid_from,
        valid_until=source.valid_until,
        uses=source.terms.uses,
        balance_minor=_balance(source.terms),
        holder_key=key,
        code_hash=_code_hasher(source, code_secret)(id),
    )
    session.add(coupon)
    _tell(session, "coupon_issued", coupon, now, {"batch_id": coupon.batch_id})
    return coupon


def _claim_by_code(
    session: Session, operator_id: UUID, request: NewClaim, code_secret: bytes, *, now: datetime
) -> Coupon:
    assert request.short_code is not None
    hashed = short_code.fingerprint(request.short_code, code_secret)
    coupon = session.exec(
        select(Coupon)
        .where(col(Coupon.operator_id) == operator_id, col(Coupon.code_hash) == hashed)
        .with_for_update(key_share=True)
    ).one_or_none()
    if coupon is None:
        raise Unknown("short_code", "")
    if coupon.customer_id == request.customer_id:
        return coupon
    if coupon.customer_id is not None:
        raise CouponTaken
    if coupon.revoked_at or is_used_up(coupon) or now >= coupon.valid_until:
        raise CouponNotUsable
    source = _source(session, operator_id, coupon.batch_id, now=now)
    if source.campaign.level in (Level.HOLDER_SIGNED, Level.CHALLENGED) and not request.holder_key:
        raise HolderKeyRequired(level=source.campaign.level)
    _count_customers(session, source, [request.customer_id], now=now)
    coupon.customer_id = request.customer_id
    coupon.holder_key = compressed(request.holder_key) if request.holder_key else None
    session.add(coupon)
    _tell(session, "coupon_claimed", coupon, now, {"batch_id": coupon.batch_id})
    return coupon


def _take(
    session: Session, source: _Source, many: int, *, is_lot: bool = False, now: datetime
) -> int:
    """Take so many from batch and campaign; return how many the campaign had issued before.

    What is no lot counts in its minute. The coupon that fills the minute trips the breaker.
    """
    batch, campaign = source.batch, source.campaign
    of_batch = limits.of_batch(batch.id, campaign.id, LimitOf.ISSUE)
    of_campaign = limits.of_campaign(campaign.id, LimitOf.ISSUE)
    own = [of_batch, of_campaign, *_ceilings(source, None, now=now)]
    rows = limits.locked(session, batch.operator_id, own, now=now)
    for each, facts in zip(own, rows.facts(own), strict=True):
        left = facts.max_count - facts.used_count
        if left < many:
            raise BatchExhausted(rule=each.rule, left=left)
    (before,) = rows.facts([of_campaign])
    if not is_lot and breaker.has_issued_too_fast(before):
        raise NotIssuing(campaign_state=CampaignState.PAUSED, stopped_by=StoppedBy.BREAKER)
    rows.take(own, 0, count=many, is_lot=is_lot)
    bulk.write(session, rows.changes())
    (after,) = rows.facts([of_campaign])
    if not is_lot and breaker.has_issued_too_fast(after):
        counted = {"minute_count": after.minute_count, "most_in_a_minute": after.max_per_minute}
        breaker.trip(session, batch.operator_id, campaign.id, Stops.ISSUING, counted, now=now)
    return before.used_count


def _count_customers(
    session: Session, source: _Source, customer_ids: Sequence[UUID], *, now: datetime
) -> None:
    """Let this issue count against each customer's own ceilings, all of them in key order."""
    ceilings = {
        ceiling.key: ceiling
        for customer_id in customer_ids
        for ceiling in _ceilings(source, customer_id, now=now)
        if ceiling.per is LimitPer.CUSTOMER
    }
    if not ceilings:
        return
    counted = session.connection().execute(
        _COUNT_ONE_MORE,
        {
            "operator_id": source.batch.operator_id,
            "campaign_id": source.campaign.id,
            "keys": list(ceilings),
            "most": [ceiling.max_count for ceiling in ceilings.values()],
        },
    )
    within = {row.key for row in counted}
    for key, ceiling in ceilings.items():
        if key not in within:
            raise ClaimLimitReached(rule=ceiling.rule, max_count=ceiling.max_count)


def _ceilings(source: _Source, customer_id: UUID | None, *, now: datetime) -> list[limits.Ceiling]:
    """Return the rules' ceilings on issuing to this customer; to nobody, those of all together."""
    campaign, offer = source.campaign, source.offer
    campaign_rules = [LimitRule.model_validate(rule) for rule in campaign.limits]
    return [
        ceiling
        for place, rules, owner_id in (
            ("campaign", campaign_rules, campaign.id),
            ("offer", source.terms.limits, offer.family_id),
        )
        for ceiling in limits.of_rules(
            rules,
            LimitOf.ISSUE,
            place=place,
            owner_id=owner_id,
            campaign_id=campaign.id,
            store_id=None,
            customer_id=customer_id,
            zone=campaign.zone,
            now=now,
        )
    ]


def _refuse_unknown(session: Session, operator_id: UUID, customer_ids: Sequence[UUID]) -> None:
    unknown = session.connection().execute(
        _UNKNOWN, {"operator_id": operator_id, "ids": list(customer_ids)}
    )
    if row := unknown.first():
        raise Unknown("customer", row.id)


def _copy(
    session: Session,
    source: _Source,
    ids: Sequence[str],
    first: int,
    customers: Sequence[str],
    *,
    code_secret: bytes,
    now: datetime,
) -> None:
    """Write the rows: by COPY into a table of this transaction's own, and from there.

    Nothing else puts a million rows into a table in seconds, but COPY knows nothing of row-level
    security, so PostgreSQL lets it write into no table that has it.
    """
    position = positions(source.campaign.shuffle_key)
    hasher = _code_hasher(source, code_secret)
    has_codes = source.batch.has_short_codes
    session.connection().execute(_LOT)
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            copy.write(
                "".join(
                    f"{id}\t{position(first + at)}\t{customers[at]}"
                    f"\t{_hex(hasher(UUID(id))) if has_codes else _NULL}\n"
                    for at, id in enumerate(ids[start : start + _ROWS_AT_ONCE], start)
                )
            )
    batch = source.batch
    session.connection().execute(
        _FROM_LOT,
        {
            "operator_id": batch.operator_id,
            "campaign_id": batch.campaign_id,
            "batch_id": batch.id,
            "offer_id": batch.offer_id,
            "issued_at": now,
            "valid_from": source.valid_from,
            "valid_until": source.valid_until,
            "uses": source.terms.uses,
            "balance_minor": _balance(source.terms),
        },
    )


def _code_hasher(source: _Source, secret: bytes) -> Callable[[UUID], bytes | None]:
    if not source.batch.has_short_codes:
        return lambda _: None
    return lambda id: short_code.fingerprint(short_code.short_code_of(id, secret), secret)


def _balance(terms: Terms) -> int | None:
    return terms.benefit.balance_minor if isinstance(terms.benefit, GiftBalance) else None


def _hex(value: bytes | None) -> str:
    return _NULL if value is None else rf"\\x{value.hex()}"


def _tell(session: Session, kind: str, coupon: Coupon, now: datetime, data: dict[str, Any]) -> None:
    session.flush()
    events.record(
        session,
        events.happened(
            kind,
            coupon.id,
            operator_id=coupon.operator_id,
            campaign_id=coupon.campaign_id,
            at=now,
            data={**data, "customer_id": coupon.customer_id},
        ),
    )


_NULL = r"\N"
_ROWS_AT_ONCE = 10_000
_LOT = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS lot
        (id uuid, position bigint, customer_id uuid, code_hash bytea) ON COMMIT DROP;
    TRUNCATE lot
""")
_COPY = "COPY lot (id, position, customer_id, code_hash) FROM STDIN"
_FROM_LOT = text("""
    INSERT INTO coupon (operator_id, campaign_id, batch_id, offer_id, id, position, customer_id,
                        issued_at, valid_from, valid_until, uses, balance_minor, code_hash)
    SELECT :operator_id, :campaign_id, :batch_id, :offer_id, id, position, customer_id,
           :issued_at, :valid_from, :valid_until, :uses, :balance_minor, code_hash
    FROM lot
""")
# One coupon is issued once, so its event can have its id. Two batches of one moment can lie among
# each other; the second leaves the first one's events alone.
_ISSUED = text("""
    INSERT INTO event (operator_id, id, kind, subject_id, campaign_id, at, recorded_at, data)
    SELECT operator_id, id, 'coupon_issued', id, campaign_id, issued_at, issued_at,
           jsonb_build_object('batch_id', batch_id, 'customer_id', customer_id)
    FROM coupon
    WHERE operator_id = :operator_id AND batch_id = :batch_id
      AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)
    ON CONFLICT DO NOTHING
""")
_UNKNOWN = text("""
    SELECT wanted.id FROM unnest(CAST(:ids AS uuid[])) AS wanted (id)
    LEFT JOIN customer ON customer.operator_id = :operator_id AND customer.id = wanted.id
    WHERE customer.id IS NULL LIMIT 1
""")
# The update's condition is judged on the newest row, under its lock: no customer gets one too many.
_COUNT_ONE_MORE = text("""
    INSERT INTO limit_row (operator_id, key, campaign_id, max_count, used_count, max_minor)
    SELECT :operator_id, key, :campaign_id, most, 1, 0
    FROM unnest(CAST(:keys AS text[]), CAST(:most AS bigint[])) AS wanted (key, most)
    ORDER BY key COLLATE "C"
    ON CONFLICT (operator_id, key) DO UPDATE
    SET used_count = limit_row.used_count + 1,
        max_count = greatest(limit_row.max_count, excluded.max_count)
    WHERE limit_row.used_count < excluded.max_count
    RETURNING key
""")
