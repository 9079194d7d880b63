"""A coupon between issue and counter: seen, shown, handed on, bound to a phone, withdrawn."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from functools import wraps
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import events, holders, places
from coupon_engine.answers import More, Request, Verb, answered
from coupon_engine.errors import (
    CouponNotUsable,
    CouponTaken,
    HolderKeyRequired,
    NoSigningKey,
    PasscodeNeeded,
    TooManyHolderKeys,
)
from coupon_engine.offers import terms_of
from coupon_engine.rows import found, locked
from coupon_engine.tables import Batch, Campaign, Coupon, Customer, Event, Offer, Store
from coupon_engine.validation import short_code
from coupon_engine.validation import token as tokens
from coupon_engine.validation.issuer_keys import IssuerKey, KeyRing
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import (
    CouponState,
    CouponView,
    NewHolderKey,
    NewRevocation,
    NewTransfer,
    StoryLine,
    StoryView,
    TokenView,
)
from schemas.offers import AmountOff, GiftBalance, PercentOff
from schemas.token import CouponFields, Policy

MOST_HOLDER_CHANGES = 3
WORTH_MUCH_MINOR = 2_000

_NOT_KEPT = "not kept"


def answered_with_code(
    verb: Verb[Request, More, CouponView],
) -> Verb[Request, More, CouponView]:
    """Do what `answered` does, and keep no short code: it would spend the coupon."""

    @wraps(verb)
    def untold(
        session: Session, operator_id: UUID, request: Request, *args: More.args, **more: More.kwargs
    ) -> CouponView:
        made = verb(session, operator_id, request, *args, **more)
        return made.model_copy(update={"short_code": made.short_code and _NOT_KEPT})

    @wraps(verb)
    def told(
        session: Session, operator_id: UUID, request: Request, *args: More.args, **more: More.kwargs
    ) -> CouponView:
        kept = answered(CouponView)(untold)(session, operator_id, request, *args, **more)
        secret = more["code_secret"]
        assert isinstance(secret, bytes)
        code = kept.short_code and short_code.short_code_of(kept.id, secret)
        return kept.model_copy(update={"short_code": code})

    return told


@answered_with_code
def revoke(
    session: Session,
    operator_id: UUID,
    request: NewRevocation,
    *,
    code_secret: bytes,
    now: datetime,
) -> CouponView:
    """Withdraw a coupon for good. What was redeemed before stays redeemed.

    Raises:
        Unknown: No such coupon.
        CouponNotUsable: It is revoked already.
    """
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    if coupon.revoked_at:
        raise CouponNotUsable(state=CouponState.REVOKED)
    coupon.revoked_at = now
    session.add(coupon)
    _tell(session, "coupon_revoked", coupon, now, {"reason": request.reason})
    return view(session, coupon, code_secret=code_secret, now=now)


@answered_with_code
def transfer(
    session: Session,
    operator_id: UUID,
    request: NewTransfer,
    *,
    code_secret: bytes,
    now: datetime,
) -> CouponView:
    """Hand a coupon on to another customer. Codes that the first one kept no longer work.

    Raises:
        Unknown: No such coupon or customer.
        CouponTaken: It is not theirs to give.
        CouponNotUsable: It is used up, held, given away, revoked or over.
        HolderSuspended: The phone that it is bound to is suspended.
        HolderKeyRequired: The coupon is bound to a phone, and the other phone's key is missing.
        HolderKeyInvalid: That key is not a point of P-256.
    """
    found(session, Customer, operator_id, request.to_customer_id)
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    if coupon.customer_id != request.from_customer_id:
        raise CouponTaken
    refuse_unusable(coupon, now)
    holders.refuse_suspended(session, coupon)
    if coupon.holder_key and not request.holder_key:
        raise HolderKeyRequired(level=Level.HOLDER_SIGNED)
    coupon.customer_id = request.to_customer_id
    coupon.holder_key = tokens.compressed(request.holder_key) if request.holder_key else None
    places.move(session, coupon, _campaign_of(session, coupon), now=now)
    parties = {"from": request.from_customer_id, "to": request.to_customer_id}
    _tell(session, "coupon_transferred", coupon, now, parties)
    return view(session, coupon, code_secret=code_secret, now=now)


@answered_with_code
def rebind(
    session: Session,
    operator_id: UUID,
    request: NewHolderKey,
    *,
    is_proven: bool = True,
    code_secret: bytes,
    now: datetime,
) -> CouponView:
    """Bind a coupon to another phone. Losing a key is normal; three times is the limit.

    The last time, and whenever the coupon is worth much, the customer must have shown just now
    that an address of theirs is their own: `is_proven`. An operator's program vouches for that.

    Raises:
        Unknown: No such coupon.
        CouponTaken: Another customer holds it.
        CouponNotUsable: It is used up, held, given away, revoked or over.
        HolderSuspended: The phone that it is bound to is suspended.
        TooManyHolderKeys: It has moved too often.
        PasscodeNeeded: This takes a proof that there is none of.
        HolderKeyInvalid: The key is not a point of P-256.
    """
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    if coupon.customer_id != request.customer_id:
        raise CouponTaken
    refuse_unusable(coupon, now)
    holders.refuse_suspended(session, coupon)
    key = tokens.compressed(request.holder_key)
    if coupon.holder_key is not None:
        if coupon.holder_changes >= MOST_HOLDER_CHANGES:
            raise TooManyHolderKeys(most=MOST_HOLDER_CHANGES)
        coupon.holder_changes += 1
        is_last = coupon.holder_changes == MOST_HOLDER_CHANGES
        if not is_proven and (is_last or _is_worth_much(session, coupon)):
            raise PasscodeNeeded
    coupon.holder_key = key
    places.move(session, coupon, _campaign_of(session, coupon), now=now)
    _tell(session, "holder_key_changed", coupon, now, {"changes": coupon.holder_changes})
    return view(session, coupon, code_secret=code_secret, now=now)


def coupon_view(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    *,
    code_secret: bytes | None,
    now: datetime,
) -> CouponView:
    """Return a coupon as it stands; without the secret, without its short code.

    Raises:
        Unknown: No such coupon.
    """
    coupon = found(session, Coupon, operator_id, coupon_id)
    return view(session, coupon, code_secret=code_secret, now=now)


def coupon_views(
    session: Session,
    operator_id: UUID,
    *,
    batch_id: UUID | None,
    customer_id: UUID | None,
    after: UUID | None,
    most: int,
    code_secret: bytes | None,
    now: datetime,
) -> list[CouponView]:
    """Return coupons in the order of their ids, of a batch or a customer or both."""
    query = select(Coupon).where(col(Coupon.operator_id) == operator_id)
    if batch_id:
        query = query.where(col(Coupon.batch_id) == batch_id)
    if customer_id:
        query = query.where(col(Coupon.customer_id) == customer_id)
    if after:
        query = query.where(col(Coupon.id) > after)
    rows = session.exec(query.order_by(col(Coupon.id)).limit(most)).all()
    return [view(session, row, code_secret=code_secret, now=now) for row in rows]


def story(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    *,
    code_secret: bytes | None,
    now: datetime,
) -> StoryView:
    """Return everything that happened to a coupon, oldest first.

    Raises:
        Unknown: No such coupon.
    """
    coupon = coupon_view(session, operator_id, coupon_id, code_secret=code_secret, now=now)
    happened = session.exec(
        select(Event)
        .where(col(Event.operator_id) == operator_id, col(Event.subject_id) == coupon_id)
        .order_by(col(Event.at), col(Event.id))
    )
    lines = [
        StoryLine(
            id=each.id, kind=each.kind, at=each.at, recorded_at=each.recorded_at, data=each.data
        )
        for each in happened
    ]
    return StoryView(coupon=coupon, lines=tuple(lines))


def token(
    session: Session,
    operator_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    code_secret: bytes,
    now: datetime,
) -> TokenView:
    """Sign a coupon's token. Each call signs anew; all of them are the same coupon.

    While it is activated for a store, the token is that store's and ends with the activation.

    Raises:
        Unknown: No such coupon.
        NoSigningKey: No key is in use.
        CouponNotUsable: It is being given away, or has a short code and no token.
        HolderSuspended: The phone that it is bound to is suspended.
        HolderKeyRequired: The coupon waits to be bound to a phone.
    """
    coupon = found(session, Coupon, operator_id, coupon_id)
    if is_given(coupon, now):
        raise CouponNotUsable(why="it is being given away; take it back first")
    holders.refuse_suspended(session, coupon)
    campaign = found(session, Campaign, operator_id, coupon.campaign_id)
    level = Level(campaign.level)
    if level is Level.SHORT_CODE:
        raise CouponNotUsable(why="coupons of level L0 have a short code and no token")
    if level in (Level.HOLDER_SIGNED, Level.CHALLENGED) and coupon.holder_key is None:
        raise HolderKeyRequired(level=level)
    key = _signing(keys)
    fields = _fields(session, coupon, campaign, now=now)
    jwt = tokens.sign(fields, key)
    is_bound = fields.holder_key is not None
    return TokenView(
        coupon_id=coupon.id,
        jwt=jwt,
        text=None if is_bound else tokens.coupon_text(fields, tokens.signature_of(jwt), key.letter),
        head=urlsafe_b64encode(tokens.head(fields)).rstrip(b"=").decode() if is_bound else None,
        letter=key.letter,
        audience=fields.audience,
        freshness_seconds=campaign.freshness_seconds,
        short_code=_short_code(coupon, code_secret),
    )


def view(
    session: Session, coupon: Coupon, *, code_secret: bytes | None, now: datetime
) -> CouponView:
    """Return a coupon as it stands, its state worked out from the record and the hour."""
    terms = terms_of(session, coupon.operator_id, [coupon.offer_id])[coupon.offer_id]
    campaign = found(session, Campaign, coupon.operator_id, coupon.campaign_id)
    batch = found(session, Batch, coupon.operator_id, coupon.batch_id)
    balance = uses_left = None
    if coupon.balance_minor is not None:
        balance = coupon.balance_minor - coupon.spent_minor
        uses_left = int(balance > 0)
    return CouponView(
        id=coupon.id,
        campaign_id=coupon.campaign_id,
        batch_id=coupon.batch_id,
        offer_id=coupon.offer_id,
        customer_id=coupon.customer_id,
        store_id=coupon.store_id,
        state=state_of(coupon, batch, now),
        title=terms.title,
        issued_at=coupon.issued_at,
        valid_from=coupon.valid_from,
        valid_until=coupon.valid_until,
        uses=coupon.uses,
        uses_left=coupon.uses - coupon.uses_count if uses_left is None else uses_left,
        currency=campaign.currency,
        balance_minor=balance,
        short_code=_short_code(coupon, code_secret),
        is_holder_bound=coupon.holder_key is not None,
    )


def state_of(coupon: Coupon, batch: Batch, now: datetime) -> CouponState:
    """Return what the record and the hour make of a coupon; the first that fits."""
    if is_used_up(coupon):
        return CouponState.REDEEMED
    if coupon.revoked_at or (batch.decided == "revoked" and not batch.coupons_stay_valid):
        return CouponState.REVOKED
    if now >= coupon.valid_until:
        return CouponState.EXPIRED
    if coupon.held_until and now < coupon.held_until:
        return CouponState.HELD
    if is_given(coupon, now):
        return CouponState.GIVEN
    if batch.needs_claim and coupon.customer_id is None:
        return CouponState.MINTED
    return CouponState.PENDING if now < coupon.valid_from else CouponState.ACTIVE


def is_used_up(coupon: Coupon) -> bool:
    if coupon.balance_minor is not None:
        return coupon.spent_minor >= coupon.balance_minor
    return coupon.uses_count >= coupon.uses


def is_activated(coupon: Coupon, now: datetime) -> bool:
    """Does it work in one store alone just now?"""
    return coupon.activated_until is not None and now < coupon.activated_until


def is_given(coupon: Coupon, now: datetime) -> bool:
    """Does it wait for a friend of its holder?"""
    return coupon.given_until is not None and now < coupon.given_until


def refuse_unusable(coupon: Coupon, now: datetime) -> None:
    """Refuse what nothing more can be done with, or nothing while it is given away."""
    refuse_over(coupon, now)
    if is_given(coupon, now):
        raise CouponNotUsable(why="it is being given away; take it back first")


def refuse_over(coupon: Coupon, now: datetime) -> None:
    is_held = coupon.held_until is not None and now < coupon.held_until
    if coupon.revoked_at or is_used_up(coupon) or is_held or now >= coupon.valid_until:
        raise CouponNotUsable


def _campaign_of(session: Session, coupon: Coupon) -> Campaign:
    return found(session, Campaign, coupon.operator_id, coupon.campaign_id)


def _is_worth_much(session: Session, coupon: Coupon) -> bool:
    """May it take off more than 20.00? Where only the basket tells, it may."""
    benefit = terms_of(session, coupon.operator_id, [coupon.offer_id])[coupon.offer_id].benefit
    match benefit:
        case AmountOff():
            most_minor = benefit.amount_minor
        case GiftBalance():
            most_minor = benefit.balance_minor - coupon.spent_minor
        case PercentOff(cap_minor=int(cap_minor)):
            most_minor = cap_minor
        case _:
            return True
    return most_minor > WORTH_MUCH_MINOR


def _signing(keys: KeyRing) -> IssuerKey:
    for key in keys.values():
        if key.private is not None:
            return key
    raise NoSigningKey


def _fields(session: Session, coupon: Coupon, campaign: Campaign, *, now: datetime) -> CouponFields:
    store_id, valid_until, position = coupon.store_id, coupon.valid_until, coupon.position
    if is_activated(coupon, now):
        assert coupon.activated_until is not None
        assert coupon.activated_position is not None
        store_id, position = coupon.activated_store_id, coupon.activated_position
        valid_until = min(valid_until, coupon.activated_until)
    store_number = found(session, Store, coupon.operator_id, store_id).number if store_id else 0
    offline = OfflinePolicy(campaign.offline)
    needs_activation = offline is OfflinePolicy.ACTIVATED
    policy = Policy(
        level=Level(campaign.level),
        offline=OfflinePolicy.STORE_BOUND if needs_activation else offline,
        quota_class=found(session, Offer, coupon.operator_id, coupon.offer_id).quota_class,
        freshness_seconds=campaign.freshness_seconds,
        paper_allowed=campaign.paper_allowed,
        activation_required=needs_activation,
        multi_use=coupon.uses > 1 or coupon.balance_minor is not None,
    )
    return CouponFields(
        jti=coupon.id.bytes,
        cmp=campaign.number,
        nbf=int(coupon.valid_from.timestamp()),
        exp=int(valid_until.timestamp()),
        off=policy.pack(),
        sto=store_number,
        idx=position,
        holder_key=coupon.holder_key,
    )


def _short_code(coupon: Coupon, secret: bytes | None) -> str | None:
    return short_code.short_code_of(coupon.id, secret) if secret and coupon.code_hash else None


def _tell(
    session: Session, kind: str, coupon: Coupon, now: datetime, data: Mapping[str, Any]
) -> None:
    events.record(
        session,
        events.happened(
            kind,
            coupon.id,
            operator_id=coupon.operator_id,
            campaign_id=coupon.campaign_id,
            at=now,
            data=data,
        ),
    )
