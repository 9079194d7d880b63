"""A coupon is given to a friend by a link: it works for nobody until one of them has it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, select

from coupon_engine import activating, coupons, holding, redemption
from coupon_engine.customers import exporting, gifts, wallets
from coupon_engine.errors import (
    ContactNeeded,
    CouponNotUsable,
    CouponRefused,
    GiftOver,
    NotSignedIn,
    RequestReused,
    StillActivated,
    TooManyTries,
    Unknown,
)
from coupon_engine.tables import Answer, Campaign, Coupon, Event, VoidPlace
from coupon_engine.validation.short_code import fingerprint, short_code_of
from coupon_engine.validation.showing import Shown
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import CouponState, CouponView, NewActivation, NewRevocation, NewTransfer
from schemas.redemptions import NewRedemption, RedemptionView
from schemas.refusals import Why
from schemas.wallets import (
    GiftView,
    NewGift,
    NewGiftAcceptance,
    NewGiftWithdrawal,
    NewWalletClaim,
    WalletCouponView,
    WalletView,
)
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT, Phone
from tests.coupon_engine.record import kinds
from tests.make import NOON, SECRET, Shop

DAY = timedelta(days=1)


def claimed(
    session: Session,
    at: Shop,
    of: WalletView,
    *,
    campaign: dict[str, Any] | None = None,
    batch: dict[str, Any] | None = None,
    **offer: Any,
) -> CouponView:
    running = make.campaign(session, at, **(campaign or {}))
    lot = make.batch(session, at, make.offer(session, at, running, **offer), **(batch or {}))
    asked = NewWalletClaim(id=make.an_id(), batch_id=lot.id)
    return wallets.claim(
        session,
        at.operator_id,
        of.id,
        asked,
        network=HOME,
        vault=VAULT,
        code_secret=SECRET,
        now=NOON,
    )


def given(
    session: Session,
    at: Shop,
    by: WalletView,
    coupon_id: UUID,
    *,
    id: UUID | None = None,
    now: Any = NOON,
    **more: Any,
) -> GiftView:
    asked = NewGift(id=id or make.an_id(), coupon_id=coupon_id, **more)
    return gifts.give(session, at.operator_id, by.id, asked, code_secret=SECRET, now=now)


def taken(
    session: Session,
    at: Shop,
    by: WalletView,
    secret: str,
    *,
    id: UUID | None = None,
    now: Any = NOON,
) -> WalletCouponView:
    asked = NewGiftAcceptance(id=id or make.an_id(), secret=secret)
    return gifts.accept(
        session,
        at.operator_id,
        by.id,
        asked,
        network=HOME,
        vault=VAULT,
        code_secret=SECRET,
        now=now,
    )


def taken_back(
    session: Session, at: Shop, by: WalletView, coupon_id: UUID, *, now: Any = NOON
) -> WalletCouponView:
    asked = NewGiftWithdrawal(id=make.an_id(), coupon_id=coupon_id)
    return gifts.withdraw(session, at.operator_id, by.id, asked, code_secret=SECRET, now=now)


def state(session: Session, at: Shop, of: CouponView, *, now: Any = NOON) -> CouponState:
    return coupons.coupon_view(session, at.operator_id, of.id, code_secret=None, now=now).state


def shown(session: Session, at: Shop, of: CouponView) -> Shown:
    """What the phone that has the coupon shows."""
    row = session.get_one(Coupon, (at.operator_id, of.id))
    number = session.get_one(Campaign, (at.operator_id, of.campaign_id)).number
    return Shown(
        coupon_id=of.id,
        campaign_number=number,
        position=row.position,
        holder_key=row.holder_key,
    )


def redeemed(session: Session, at: Shop, of: CouponView) -> RedemptionView:
    asked = make.request(at, of)
    return redemption.redeem(
        session,
        at.operator_id,
        redemption.Presented(asked.request, shown(session, at, of)),
        now=NOON,
    )


def test_a_friend_takes_the_coupon_and_the_givers_codes_are_void(session: Session) -> None:
    at, friends_phone = make.shop(session), Phone()
    giver, friend = phone.wallet(session, at), phone.wallet(session, at, friends_phone)
    coupon = claimed(session, at, giver)
    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    place = row.position

    gift = given(session, at, giver, coupon.id)
    had = taken(session, at, friend, gift.secret)

    assert had.customer_id == friend.customer_id
    assert (had.state, had.given_until) == (CouponState.ACTIVE, None)
    assert (row.holder_key, row.gift_hash) == (friends_phone.public_key, None)
    assert row.position != place
    assert [void.position for void in session.exec(select(VoidPlace))] == [place]
    assert kinds(session, coupon.id) == ["coupon_issued", "coupon_given", "coupon_transferred"]


def test_meanwhile_it_works_for_nobody_and_the_counter_hears_why(session: Session) -> None:
    at = make.shop(session)
    giver = phone.wallet(session, at)
    coupon = claimed(session, at, giver)
    given(session, at, giver, coupon.id)

    with pytest.raises(CouponRefused) as on_redeeming:
        redeemed(session, at, coupon)
    with pytest.raises(CouponRefused) as on_holding:
        holding.hold(
            session,
            at.operator_id,
            make.hold_request(at, coupon),
            shown(session, at, coupon),
            now=NOON,
        )
    with pytest.raises(CouponNotUsable):
        coupons.token(session, at.operator_id, coupon.id, {}, code_secret=SECRET, now=NOON)

    assert on_redeeming.value.refusal.code is on_holding.value.refusal.code is Why.GIVEN
    assert on_redeeming.value.refusal.cashier.en == "The customer is giving it away."
    assert state(session, at, coupon) is CouponState.GIVEN


def test_a_short_code_that_the_giver_knows_by_heart_helps_no_longer(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver, batch={"has_short_codes": True})
    code_hash = fingerprint(short_code_of(coupon.id, SECRET), SECRET)

    def typed() -> Why:
        asked = NewRedemption(
            id=make.an_id(), code="typed", store_id=at.store.id, basket=make.basket()
        )
        with pytest.raises(CouponRefused) as no:
            redemption.redeem(
                session,
                at.operator_id,
                redemption.Presented(asked, Shown(code_hash=code_hash)),
                now=NOON,
            )
        return no.value.refusal.code

    gift = given(session, at, giver, coupon.id)
    meanwhile = typed()
    had = taken(session, at, friend, gift.secret)

    assert (meanwhile, typed()) == (Why.GIVEN, Why.SHORT_CODE_UNKNOWN)
    assert had.short_code is None


def test_whoever_gave_it_takes_it_back_until_somebody_has_it(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver)
    gift = given(session, at, giver, coupon.id)

    back = taken_back(session, at, giver, coupon.id)

    assert (back.state, back.customer_id) == (CouponState.ACTIVE, giver.customer_id)
    with pytest.raises(GiftOver):
        taken(session, at, friend, gift.secret)
    with pytest.raises(GiftOver):
        taken_back(session, at, giver, coupon.id)
    assert redeemed(session, at, coupon).discount_minor == 200


def test_a_gift_that_nobody_takes_comes_back_by_the_clock_alone(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver)
    gift = given(session, at, giver, coupon.id, lasts_days=2)
    last, over = NOON + 2 * DAY - timedelta(microseconds=1), NOON + 2 * DAY

    assert gift.given_until == over
    assert state(session, at, coupon, now=last) is CouponState.GIVEN
    assert state(session, at, coupon, now=over) is CouponState.ACTIVE
    with pytest.raises(GiftOver):
        taken(session, at, friend, gift.secret, now=over)
    with pytest.raises(GiftOver):
        taken_back(session, at, giver, coupon.id, now=over)
    again = given(session, at, giver, coupon.id, now=over)
    assert again.secret != gift.secret
    assert taken(session, at, friend, again.secret, now=over).customer_id == friend.customer_id


def test_no_gift_lasts_longer_than_its_coupon(session: Session) -> None:
    at = make.shop(session)
    giver = phone.wallet(session, at)
    coupon = claimed(session, at, giver)

    late = coupon.valid_until - timedelta(hours=1)
    gift = given(session, at, giver, coupon.id, now=late)

    assert gift.given_until == coupon.valid_until


def test_the_secret_stands_nowhere_and_a_repeat_is_told_the_same(session: Session) -> None:
    at, id = make.shop(session), make.an_id()
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver)

    first = given(session, at, giver, coupon.id, id=id)
    again = given(session, at, giver, coupon.id, id=id)
    taken(session, at, friend, first.secret)

    assert again == first
    assert len(first.secret) == 22
    kept = [row.body for row in session.exec(select(Answer))]
    told = [str(row.data) for row in session.exec(select(Event))]
    assert not [text for text in (*kept, *told) if first.secret in text]


def test_taking_a_gift_twice_by_one_id_gives_the_first_answer(session: Session) -> None:
    at, id = make.shop(session), make.an_id()
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    other = phone.wallet(session, at)
    secret = given(session, at, giver, claimed(session, at, giver).id).secret

    first = taken(session, at, friend, secret, id=id)

    assert taken(session, at, friend, secret, id=id) == first
    with pytest.raises(RequestReused):  # the same words from another wallet are another request
        taken(session, at, other, secret, id=id)


def test_no_gift_is_told_from_another_that_opens_nothing(session: Session) -> None:
    at, elsewhere = make.shop(session), make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    gift = given(session, at, giver, claimed(session, at, giver).id)
    stranger = phone.wallet(session, elsewhere)

    with pytest.raises(GiftOver):
        taken(session, elsewhere, stranger, gift.secret)
    with pytest.raises(GiftOver):
        taken(session, at, friend, "A" * 22)
    with pytest.raises(GiftOver, match="taken"):
        taken(session, at, giver, gift.secret)


def test_only_ones_own_coupon_is_given_and_taken_back(session: Session) -> None:
    at = make.shop(session)
    giver, stranger = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver)

    with pytest.raises(Unknown):
        given(session, at, stranger, coupon.id)
    given(session, at, giver, coupon.id)
    with pytest.raises(Unknown):
        taken_back(session, at, stranger, coupon.id)


def test_what_is_being_given_is_not_given_again_handed_on_or_activated(session: Session) -> None:
    at = make.shop(session)
    giver, friend_id = phone.wallet(session, at), make.customer(session, at)
    coupon = claimed(session, at, giver, campaign={"offline": OfflinePolicy.ACTIVATED})
    transfer = NewTransfer(
        id=make.an_id(),
        coupon_id=coupon.id,
        from_customer_id=giver.customer_id,
        to_customer_id=friend_id,
    )
    activation = NewActivation(
        id=make.an_id(), coupon_id=coupon.id, customer_id=giver.customer_id, store_id=at.store.id
    )
    given(session, at, giver, coupon.id)

    with pytest.raises(CouponNotUsable):
        given(session, at, giver, coupon.id)
    with pytest.raises(CouponNotUsable):
        coupons.transfer(session, at.operator_id, transfer, code_secret=SECRET, now=NOON)
    with pytest.raises(CouponNotUsable):
        activating.activate(session, at.operator_id, activation, now=NOON)


def test_what_has_ended_is_neither_given_nor_taken(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    used, revoked = claimed(session, at, giver), claimed(session, at, giver)
    redeemed(session, at, used)
    gift = given(session, at, giver, revoked.id)
    coupons.revoke(
        session,
        at.operator_id,
        NewRevocation(id=make.an_id(), coupon_id=revoked.id, reason="fraud"),
        code_secret=SECRET,
        now=NOON,
    )

    with pytest.raises(CouponNotUsable):
        given(session, at, giver, used.id)
    with pytest.raises(CouponNotUsable):
        taken(session, at, friend, gift.secret)
    assert session.get_one(Coupon, (at.operator_id, revoked.id)).customer_id == giver.customer_id


def test_a_coupon_that_is_only_a_short_code_cannot_be_given(session: Session) -> None:
    at = make.shop(session)
    giver = phone.wallet(session, at)
    coupon = claimed(
        session,
        at,
        giver,
        campaign={"level": Level.SHORT_CODE},
        batch={"has_short_codes": True},
    )

    with pytest.raises(CouponNotUsable):
        given(session, at, giver, coupon.id)


def test_a_coupon_that_one_store_may_be_accepting_alone_cannot_be_given(session: Session) -> None:
    at = make.shop(session)
    giver = phone.wallet(session, at)
    coupon = claimed(session, at, giver, campaign={"offline": OfflinePolicy.ACTIVATED})
    asked = NewActivation(
        id=make.an_id(), coupon_id=coupon.id, customer_id=giver.customer_id, store_id=at.store.id
    )
    activating.activate(session, at.operator_id, asked, now=NOON)

    with pytest.raises(StillActivated):
        given(session, at, giver, coupon.id)


def test_a_friend_needs_a_contact_where_a_claim_would(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, giver)
    gift = given(session, at, giver, claimed(session, at, giver, batch={"needs_contact": True}).id)

    with pytest.raises(ContactNeeded):
        taken(session, at, friend, gift.secret)
    phone.verified(session, at, friend, to="+491701234567")

    assert taken(session, at, friend, gift.secret).customer_id == friend.customer_id


def test_tries_at_gifts_are_counted_as_claims_are(session: Session) -> None:
    at = make.shop(session)
    friend = phone.wallet(session, at)

    for _ in range(wallets.CLAIMS_PER_WALLET):
        with pytest.raises(GiftOver):
            taken(session, at, friend, "A" * 22)

    with pytest.raises(TooManyTries):
        taken(session, at, friend, "A" * 22)


def test_nobody_gives_all_day(session: Session) -> None:
    at = make.shop(session)
    giver = phone.wallet(session, at)
    coupon = claimed(session, at, giver)
    for _ in range(gifts.GIFTS_PER_WALLET):
        given(session, at, giver, coupon.id)
        taken_back(session, at, giver, coupon.id)

    with pytest.raises(TooManyTries):
        given(session, at, giver, coupon.id)


def test_a_wallet_that_has_ended_neither_gives_nor_takes(session: Session) -> None:
    at = make.shop(session)
    giver, gone = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver)
    gift = given(session, at, giver, coupon.id)
    wallets.end(session, wallets.alive(session, at.operator_id, gone.id), why="lost", now=NOON)

    with pytest.raises(NotSignedIn):
        taken(session, at, gone, gift.secret)


def test_the_friends_own_data_tells_nothing_of_the_giver(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver, uses=2)
    redeemed(session, at, coupon)
    taken(session, at, friend, given(session, at, giver, coupon.id).secret)
    redeemed(session, at, coupon)

    told = exporting.export_own(
        session, at.operator_id, friend.id, vault=VAULT, code_secret=SECRET, now=NOON
    )

    assert str(giver.customer_id) not in told.model_dump_json()
    assert [each.id for each in told.coupons] == [coupon.id]
    assert [each.customer_id for each in told.coupons] == [friend.customer_id]
    assert len(told.redemptions) == 1
    assert [each.kind for each in told.events if each.subject_id == coupon.id] == [
        "coupon_redeemed"
    ]
