"""Gifts: a customer gives a coupon to a friend, by a link that lasts for days.

Until somebody takes it the coupon works for nobody, and whoever gave it may take it back. When the
days are over it is the giver's again by the clock alone. The row of the coupon decides: one lock,
so that of a friend who takes it and a giver who takes it back one is first.
"""

import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import answers, events, holders, places, tries
from coupon_engine.answers import answered
from coupon_engine.coupons import (
    answered_with_code,
    is_activated,
    is_given,
    refuse_over,
    refuse_unusable,
    view,
)
from coupon_engine.customers import contacts, wallets
from coupon_engine.customers.showing import shown_coupons
from coupon_engine.errors import (
    ContactNeeded,
    CouponNotUsable,
    CouponTaken,
    GiftOver,
    StillActivated,
)
from coupon_engine.people.secret import hash_of
from coupon_engine.rows import found, locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Batch, Campaign, Coupon, Wallet
from coupon_engine.tries import Budget
from coupon_engine.validation.token import compressed
from schemas.campaigns import Level
from schemas.coupons import CouponView, HolderKey
from schemas.wallets import (
    GiftView,
    NewGift,
    NewGiftAcceptance,
    NewGiftWithdrawal,
    WalletCouponView,
)

GIFTS_PER_WALLET = 10

_NOT_KEPT = "not kept"


def give(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewGift,
    *,
    code_secret: bytes,
    now: datetime,
) -> GiftView:
    """Offer a coupon to whoever has the secret. A repeat is told the same secret.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
        TooManyTries: This wallet has given too often.
        RequestReused: This id was used for another request.
        CouponTaken: It was handed on just now.
        CouponNotUsable: It is used up, held, given away, revoked, over, or only a short code.
        StillActivated: One store may be accepting it without a network.
        HolderSuspended: The phone that it is bound to is suspended.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    wallets.own_coupon(session, wallet, request.coupon_id)
    if not answers.given(session, operator_id, [request.id]):
        budget = Budget(f"gifts {wallet_id}", GIFTS_PER_WALLET, wallets.HOUR)
        tries.take(session, operator_id, [budget], now=now)
    asked = _Giving(**dict(request), customer_id=wallet.customer_id)
    gift = _give(session, operator_id, asked, code_secret=code_secret, now=now)
    secret = _secret_of(operator_id, request.id, code_secret)
    return gift.model_copy(update={"secret": secret})


def accept(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewGiftAcceptance,
    *,
    network: str,
    vault: Vault,
    code_secret: bytes,
    now: datetime,
) -> WalletCouponView:
    """Take the coupon into the wallet that asks, bound to its key. Codes kept before are void.

    A try is counted as a claim is.

    Raises:
        NotSignedIn: The wallet has ended.
        TooManyTries: This wallet, or its network, or everybody, has claimed too often.
        RequestReused: This id was used for another request.
        GiftOver: No such gift, or not any more, or it is one's own.
        ContactNeeded: The batch is for customers who have shown a number or address.
        CouponNotUsable: It was revoked meanwhile.
        HolderSuspended: The phone that gave it, or this one, is suspended.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    if not answers.given(session, operator_id, [request.id]):
        network = wallets.blurred(vault, network)
        budgets = wallets.claim_budgets(wallet_id, network, is_guess=False)
        tries.take(session, operator_id, budgets, now=now)
        _refuse_unverified(session, wallet, request.secret)
    asked = _Taking(
        **dict(request),
        customer_id=wallet.customer_id,
        holder_key=wallets.holder_key_of(wallet),
    )
    taken = _take(session, operator_id, asked, code_secret=code_secret, now=now)
    return shown_coupons(session, operator_id, [taken], now=now)[0]


def withdraw(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewGiftWithdrawal,
    *,
    code_secret: bytes,
    now: datetime,
) -> WalletCouponView:
    """Take back what nobody has taken. It works again as it did, with the codes that are out.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet, or no longer.
        RequestReused: This id was used for another request.
        GiftOver: Somebody was quicker, or it is the giver's again already.
    """
    wallet = wallets.alive(session, operator_id, wallet_id)
    wallets.own_coupon(session, wallet, request.coupon_id)
    asked = _TakingBack(**dict(request), customer_id=wallet.customer_id)
    back = _take_back(session, operator_id, asked, code_secret=code_secret, now=now)
    return shown_coupons(session, operator_id, [back], now=now)[0]


# Who asks is part of what was asked: the same id and secret from another wallet is another request.


class _Giving(NewGift):
    customer_id: UUID


class _Taking(NewGiftAcceptance):
    customer_id: UUID
    holder_key: HolderKey


class _TakingBack(NewGiftWithdrawal):
    customer_id: UUID


@answered(GiftView)
def _give(
    session: Session, operator_id: UUID, request: _Giving, *, code_secret: bytes, now: datetime
) -> GiftView:
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    if coupon.customer_id != request.customer_id:
        raise CouponTaken
    refuse_unusable(coupon, now)
    holders.refuse_suspended(session, coupon)
    if is_activated(coupon, now):
        assert coupon.activated_until is not None
        raise StillActivated(until=coupon.activated_until.isoformat())
    if found(session, Campaign, operator_id, coupon.campaign_id).level == Level.SHORT_CODE:
        raise CouponNotUsable(why="whoever has read a short code keeps it; it cannot be given away")
    given_until = min(now + timedelta(days=request.lasts_days), coupon.valid_until)
    coupon.given_until = given_until
    coupon.gift_hash = hash_of(_secret_of(operator_id, request.id, code_secret))
    session.add(coupon)
    _tell(session, "coupon_given", coupon, now, until=given_until)
    return GiftView(id=request.id, coupon_id=coupon.id, secret=_NOT_KEPT, given_until=given_until)


@answered_with_code
def _take(
    session: Session, operator_id: UUID, request: _Taking, *, code_secret: bytes, now: datetime
) -> CouponView:
    gift_hash = hash_of(request.secret)
    coupon_id = _coupon_of(session, operator_id, gift_hash)
    if coupon_id is None:
        raise GiftOver
    coupon = locked(session, Coupon, operator_id, coupon_id)
    if coupon.gift_hash != gift_hash or not is_given(coupon, now):
        raise GiftOver
    giver_id = coupon.customer_id
    if giver_id == request.customer_id:
        raise GiftOver(why="it is your own: take it back instead")
    refuse_over(coupon, now)
    holders.refuse_suspended(session, coupon)
    coupon.customer_id = request.customer_id
    coupon.holder_key = compressed(request.holder_key)
    coupon.code_hash = None  # whoever gave it may know its short code by heart
    _give_no_more(coupon)
    holders.refuse_suspended(session, coupon)
    places.move(session, coupon, found(session, Campaign, operator_id, coupon.campaign_id), now=now)
    told = {"from": giver_id, "to": request.customer_id}
    _tell(session, "coupon_transferred", coupon, now, **told)
    return view(session, coupon, code_secret=code_secret, now=now)


@answered_with_code
def _take_back(
    session: Session, operator_id: UUID, request: _TakingBack, *, code_secret: bytes, now: datetime
) -> CouponView:
    coupon = locked(session, Coupon, operator_id, request.coupon_id)
    if coupon.customer_id != request.customer_id or not is_given(coupon, now):
        raise GiftOver
    _give_no_more(coupon)
    session.add(coupon)
    _tell(session, "gift_withdrawn", coupon, now)
    return view(session, coupon, code_secret=code_secret, now=now)


def _secret_of(operator_id: UUID, gift_id: UUID, code_secret: bytes) -> str:
    """Return a gift's secret. It is made anew each time it is told; only its hash is kept."""
    said = b"counterfoil gift 1" + operator_id.bytes + gift_id.bytes
    return urlsafe_b64encode(hmac.digest(code_secret, said, sha256)[:16]).rstrip(b"=").decode()


def _refuse_unverified(session: Session, wallet: Wallet, secret: str) -> None:
    """Let nobody take from a friend what they could not have claimed without a contact."""
    asked = session.exec(
        select(Coupon.id)
        .join(
            Batch,
            (col(Batch.operator_id) == col(Coupon.operator_id))
            & (col(Batch.id) == col(Coupon.batch_id)),
        )
        .where(
            col(Coupon.operator_id) == wallet.operator_id,
            col(Coupon.gift_hash) == hash_of(secret),
            col(Batch.needs_contact),
        )
    )
    if asked.first() is None:
        return
    if not contacts.is_verified(session, wallet.operator_id, wallet.customer_id):
        raise ContactNeeded


def _coupon_of(session: Session, operator_id: UUID, gift_hash: bytes) -> UUID | None:
    return session.exec(
        select(Coupon.id).where(
            col(Coupon.operator_id) == operator_id, col(Coupon.gift_hash) == gift_hash
        )
    ).one_or_none()


def _give_no_more(coupon: Coupon) -> None:
    coupon.given_until = coupon.gift_hash = None


def _tell(session: Session, kind: str, coupon: Coupon, now: datetime, **told: Any) -> None:
    events.record(
        session,
        events.happened(
            kind,
            coupon.id,
            operator_id=coupon.operator_id,
            campaign_id=coupon.campaign_id,
            at=now,
            data=told,
        ),
    )
