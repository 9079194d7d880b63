"""A coupon between issue and counter: shown, handed on, bound to a phone, withdrawn, told."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import coupons, holding
from coupon_engine.errors import (
    CouponError,
    CouponNotUsable,
    CouponRefused,
    CouponTaken,
    HolderKeyInvalid,
    HolderKeyRequired,
    NoSigningKey,
    RequestReused,
    TooManyHolderKeys,
    Unknown,
)
from coupon_engine.redemption import Presented, redeem
from coupon_engine.validation.issuer_keys import new_private_key, public_jwk
from coupon_engine.validation.token import compressed
from schemas.campaigns import Level
from schemas.coupons import (
    CouponState,
    CouponView,
    HolderKey,
    NewHolderKey,
    NewRevocation,
    NewTransfer,
    TokenView,
)
from schemas.offers import GiftBalance, Validity
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, refused, rows, taken_back
from tests.make import NOON, Shop

SOON = NOON + timedelta(minutes=1)


def phone() -> HolderKey:
    jwk = public_jwk(new_private_key())
    return HolderKey(x=jwk["x"], y=jwk["y"])


def revoked(
    session: Session, at: Shop, coupon: CouponView, *, now: datetime = NOON, **more: Any
) -> CouponView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "coupon_id": coupon.id,
        "reason": "misprint",
        **more,
    }
    return coupons.revoke(
        session, at.operator_id, NewRevocation(**asked), code_secret=make.SECRET, now=now
    )


def transferred(
    session: Session,
    at: Shop,
    coupon: CouponView,
    giver: UUID,
    taker: UUID,
    *,
    now: datetime = NOON,
    **more: Any,
) -> CouponView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "coupon_id": coupon.id,
        "from_customer_id": giver,
        "to_customer_id": taker,
    }
    return coupons.transfer(
        session, at.operator_id, NewTransfer(**{**asked, **more}), code_secret=make.SECRET, now=now
    )


def rebound(
    session: Session, at: Shop, coupon: CouponView, *, now: datetime = NOON, **more: Any
) -> CouponView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "coupon_id": coupon.id,
        "customer_id": coupon.customer_id,
        "holder_key": phone(),
    }
    return coupons.rebind(
        session, at.operator_id, NewHolderKey(**{**asked, **more}), code_secret=make.SECRET, now=now
    )


def seen(session: Session, at: Shop, coupon: CouponView, now: datetime = NOON) -> CouponView:
    return coupons.coupon_view(session, at.operator_id, coupon.id, code_secret=make.SECRET, now=now)


def token(
    session: Session, at: Shop, coupon: CouponView, ring: Any, now: datetime = NOON
) -> TokenView:
    return coupons.token(session, at.operator_id, coupon.id, ring, code_secret=make.SECRET, now=now)


# The state follows from the record and the hour.


def test_a_coupon_is_pending_then_active_then_expired(session: Session) -> None:
    at = make.shop(session)
    waits = make.offer(session, at, validity=Validity(wait_days=1, days_after_issue=2))
    coupon = make.coupon(session, at, make.batch(session, at, waits))
    a_moment = timedelta(microseconds=1)

    states = [
        seen(session, at, coupon, now).state
        for now in (
            coupon.valid_from - a_moment,
            coupon.valid_from,
            coupon.valid_until - a_moment,
            coupon.valid_until,
        )
    ]

    assert states == [
        CouponState.PENDING,
        CouponState.ACTIVE,
        CouponState.ACTIVE,
        CouponState.EXPIRED,
    ]


def test_a_coupon_is_held_redeemed_and_active_again(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    request = make.hold_request(at, coupon, lasts_seconds=60)
    hold = holding.hold(session, at.operator_id, request, make.of_coupon(coupon), now=NOON)
    assert seen(session, at, coupon).state is CouponState.HELD
    assert seen(session, at, coupon, SOON).state is CouponState.ACTIVE

    redemption = redeemed(session, at, coupon, hold_id=hold.id)

    after = seen(session, at, coupon)
    assert (after.state, after.uses_left) == (CouponState.REDEEMED, 0)
    taken_back(session, at, redemption)
    again = seen(session, at, coupon)
    assert (again.state, again.uses_left) == (CouponState.ACTIVE, 1)
    assert seen(session, at, coupon, coupon.valid_until).state is CouponState.EXPIRED


def test_a_gift_is_active_until_its_last_cent_is_spent(session: Session) -> None:
    at = make.shop(session)
    gift = make.offer(session, at, benefit=GiftBalance(balance_minor=500))
    coupon = make.coupon(session, at, make.batch(session, at, gift))
    redeemed(session, at, coupon, basket=make.basket(499))
    almost = seen(session, at, coupon)

    redeemed(session, at, coupon, basket=make.basket(499))

    assert (almost.state, almost.balance_minor, almost.uses_left) == (CouponState.ACTIVE, 1, 1)
    empty = seen(session, at, coupon)
    assert (empty.state, empty.balance_minor, empty.uses_left) == (CouponState.REDEEMED, 0, 0)


def test_coupons_are_listed_by_batch_and_by_customer_page_by_page(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    one, two = make.batch(session, at), make.batch(session, at)
    ann = make.customer(session, at)
    issued = [make.coupon(session, at, one, customer_id=ann) for _ in range(3)]
    issued += [make.coupon(session, at, two, customer_id=ann), make.coupon(session, at, two)]

    def listed(whose: Shop = at, **more: Any) -> list[UUID]:
        asked: dict[str, Any] = {
            "batch_id": None,
            "customer_id": None,
            "after": None,
            "most": 100,
            **more,
        }
        views = coupons.coupon_views(
            session, whose.operator_id, code_secret=make.SECRET, now=NOON, **asked
        )
        return [view.id for view in views]

    ids = [coupon.id for coupon in issued]
    assert listed() == ids
    assert listed(batch_id=one.id) == ids[:3]
    assert listed(customer_id=ann) == ids[:4]
    assert listed(batch_id=two.id, customer_id=ann) == ids[3:4]
    assert listed(after=ids[1], most=2) == ids[2:4]
    assert listed(stranger, batch_id=one.id) == []


# Withdrawn.


def test_a_revoked_coupon_stays_revoked(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)

    view = revoked(session, at, coupon)

    assert view.state is CouponState.REVOKED
    with pytest.raises(CouponNotUsable):
        revoked(session, at, coupon)
    assert kinds(session, coupon.id) == ["coupon_issued", "coupon_revoked"]


def test_what_was_redeemed_before_a_coupon_was_revoked_stays_redeemed(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    redeemed(session, at, coupon)

    revoked(session, at, coupon)

    assert count(session, "redemption WHERE reversed_at IS NULL") == 1


def test_a_revocation_repeated_is_answered_as_the_first_time(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    id = make.an_id()
    first = revoked(session, at, coupon, id=id)

    assert revoked(session, at, coupon, id=id) == first
    with pytest.raises(RequestReused):
        revoked(session, at, coupon, id=id, reason="another")


# Handed on.


def test_a_coupon_is_handed_on_by_whoever_holds_it(session: Session) -> None:
    at = make.shop(session)
    ann, bob = make.customer(session, at), make.customer(session, at)
    coupon = make.coupon(session, at, customer_id=ann)

    view = transferred(session, at, coupon, ann, bob)

    assert view.customer_id == bob
    with pytest.raises(CouponTaken):
        transferred(session, at, coupon, ann, bob)
    assert kinds(session, coupon.id) == ["coupon_issued", "coupon_transferred"]
    assert redeemed(session, at, coupon).customer_id == bob


def test_a_coupon_that_has_ended_or_is_held_is_not_handed_on(session: Session) -> None:
    at = make.shop(session)
    ann, bob = make.customer(session, at), make.customer(session, at)
    batch = make.batch(session, at)
    spent, withdrawn, kept, over = (
        make.coupon(session, at, batch, customer_id=ann) for _ in range(4)
    )
    redeemed(session, at, spent)
    revoked(session, at, withdrawn)
    request = make.hold_request(at, kept, lasts_seconds=60)
    holding.hold(session, at.operator_id, request, make.of_coupon(kept), now=NOON)

    for coupon, now in (
        (spent, NOON),
        (withdrawn, NOON),
        (kept, NOON),
        (over, over.valid_until),
    ):
        with pytest.raises(CouponNotUsable):
            transferred(session, at, coupon, ann, bob, now=now)

    assert count(session, f"coupon WHERE customer_id = '{bob}'") == 0
    assert transferred(session, at, kept, ann, bob, now=SOON).customer_id == bob


def test_a_bound_coupon_goes_to_the_other_phone_and_the_old_code_has_had_its_day(
    session: Session,
) -> None:
    at = make.shop(session)
    ann, bob = make.customer(session, at), make.customer(session, at)
    first_phone, other_phone = phone(), phone()
    coupon = make.coupon(session, at, customer_id=ann, holder_key=first_phone)
    with pytest.raises(HolderKeyRequired):
        transferred(session, at, coupon, ann, bob)

    transferred(session, at, coupon, ann, bob, holder_key=other_phone)

    assert by_phone(session, at, coupon, first_phone) == "superseded"
    assert refused(session, at, coupon).code == "live_code_required"
    assert by_phone(session, at, coupon, other_phone) == "accepted"


def by_phone(session: Session, at: Shop, coupon: CouponView, key: HolderKey) -> str:
    shown = replace(make.of_coupon(coupon), holder_key=compressed(key))
    request = Presented(make.request(at, coupon).request, shown)
    try:
        redeem(session, at.operator_id, request, now=NOON)
    except CouponError as error:
        return str(error.details["refusal"]["code"])
    return "accepted"


# Bound to a phone.


def test_a_coupon_moves_to_another_phone_three_times(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    assert rebound(session, at, coupon).is_holder_bound
    for _ in range(3):
        rebound(session, at, coupon)

    with pytest.raises(TooManyHolderKeys) as raised:
        rebound(session, at, coupon)

    assert raised.value.details == {"most": 3}
    assert kinds(session, coupon.id) == ["coupon_issued", *["holder_key_changed"] * 4]


def test_only_its_holder_binds_a_coupon_and_only_while_it_works(session: Session) -> None:
    at = make.shop(session)
    ann, bob = make.customer(session, at), make.customer(session, at)
    coupon = make.coupon(session, at, customer_id=ann)

    with pytest.raises(CouponTaken):
        rebound(session, at, coupon, customer_id=bob)
    with pytest.raises(CouponNotUsable):
        rebound(session, at, coupon, now=coupon.valid_until)
    off_the_curve = HolderKey(x="A" * 43, y="A" * 43)
    with pytest.raises(HolderKeyInvalid):
        rebound(session, at, coupon, holder_key=off_the_curve)

    assert not seen(session, at, coupon).is_holder_bound


# Shown.


def test_a_token_names_the_coupon_and_each_call_signs_the_same_coupon_anew(
    session: Session,
) -> None:
    at = make.shop(session)
    ring = make.signing_key(session, at)
    batch = make.batch(session, at, has_short_codes=True)
    coupon = make.coupon(session, at, batch, store_id=at.store.id)

    one, two = token(session, at, coupon, ring), token(session, at, coupon, ring)

    assert one.text is not None
    assert two.text is not None
    assert (one.letter, one.audience, one.head) == ("A", f"s:{at.store.number}", None)
    assert one.short_code == coupon.short_code
    assert {make.read(text, ring).coupon_id for text in (one.text, two.text, one.jwt)} == {
        coupon.id
    }
    assert make.read(one.text, ring).campaign_number == 1


def test_a_bound_coupon_gives_the_phone_what_it_must_sign_itself(session: Session) -> None:
    at = make.shop(session)
    ring = make.signing_key(session, at)
    level_3 = make.campaign(session, at, level=Level.HOLDER_SIGNED)
    batch = make.batch(session, at, make.offer(session, at, level_3))
    coupon = make.coupon(session, at, batch, holder_key=phone())

    view = token(session, at, coupon, ring)

    assert view.text is None
    assert view.head is not None
    assert (view.audience, view.freshness_seconds) == ("cpn:any", 60)
    assert make.read(view.jwt, ring).refused == "live_code_required"


def test_a_coupon_that_cannot_be_shown_says_why(session: Session) -> None:
    at = make.shop(session)
    ring = make.signing_key(session, at)
    typed = make.campaign(session, at, level=Level.SHORT_CODE)
    code_only = make.coupon(
        session, at, make.batch(session, at, make.offer(session, at, typed), has_short_codes=True)
    )

    with pytest.raises(CouponNotUsable):
        token(session, at, code_only, ring)
    with pytest.raises(NoSigningKey):
        token(session, at, make.coupon(session, at), {})
    with pytest.raises(Unknown):
        token(session, make.shop(session), code_only, ring)


# Told.


def test_the_story_tells_every_step_in_order(session: Session) -> None:
    at = make.shop(session)
    ann, bob = make.customer(session, at), make.customer(session, at)
    coupon = make.coupon(session, at, customer_id=ann)
    transferred(session, at, coupon, ann, bob)
    request = make.hold_request(at, coupon)
    hold = holding.hold(session, at.operator_id, request, make.of_coupon(coupon), now=NOON)
    redemption = redeemed(session, at, coupon, now=SOON, hold_id=hold.id, cashier="Ada")
    refused(session, at, coupon, now=SOON)
    taken_back(session, at, redemption, now=SOON)
    revoked(session, at, coupon, now=SOON)

    story = coupons.story(session, at.operator_id, coupon.id, code_secret=make.SECRET, now=SOON)

    assert [line.kind for line in story.lines] == [
        "coupon_issued",
        "coupon_transferred",
        "coupon_held",
        "coupon_redeemed",
        "redemption_refused",
        "redemption_reversed",
        "coupon_revoked",
    ]
    assert story.lines[0].data["customer_id"] == str(ann)
    assert story.lines[3].data["cashier"] == "Ada"
    assert story.lines[4].data["code"] == "already_redeemed"
    assert story.coupon.state is CouponState.REVOKED
    with pytest.raises(Unknown):
        coupons.story(
            session,
            make.shop(session).operator_id,
            coupon.id,
            code_secret=make.SECRET,
            now=NOON,
        )


def test_another_operators_coupon_cannot_be_seen_handed_on_bound_or_withdrawn(
    session: Session,
) -> None:
    at, stranger = make.shop(session), make.shop(session)
    ann, foreign = make.customer(session, at), make.customer(session, stranger)
    coupon = make.coupon(session, at, customer_id=ann)

    for attempt in (
        lambda: seen(session, stranger, coupon),
        lambda: revoked(session, stranger, coupon),
        lambda: rebound(session, stranger, coupon),
        lambda: transferred(session, stranger, coupon, ann, foreign),
        lambda: transferred(session, at, coupon, ann, foreign),
    ):
        with pytest.raises(Unknown):
            attempt()

    assert kinds(session, coupon.id) == ["coupon_issued"]


# The place in the status list.


def test_a_code_that_was_kept_when_the_coupon_was_handed_on_is_void(session: Session) -> None:
    at = make.shop(session)
    giver, taker = make.customer(session, at), make.customer(session, at)
    coupon, ring = make.coupon(session, at, customer_id=giver), make.signing_key(session, at)
    kept = make.read(make.code(session, at, coupon, ring), ring)
    given = NewTransfer(
        id=make.an_id(), coupon_id=coupon.id, from_customer_id=giver, to_customer_id=taker
    )
    coupons.transfer(session, at.operator_id, given, code_secret=make.SECRET, now=NOON)

    request = make.request(at, coupon).request
    with pytest.raises(CouponRefused) as no:
        redeem(session, at.operator_id, Presented(request, kept), now=SOON)

    assert no.value.refusal.code is Why.SUPERSEDED
    fresh = make.read(make.code(session, at, coupon, ring), ring)
    again = request.model_copy(update={"id": make.an_id()})
    assert redeem(session, at.operator_id, Presented(again, fresh), now=SOON)
    places = rows(session, "SELECT position FROM void_place WHERE coupon_id = :id", id=coupon.id)
    assert [row.position for row in places] == [kept.position]


def test_another_phone_gives_a_coupon_another_place(session: Session) -> None:
    at = make.shop(session)
    holder = make.customer(session, at)
    coupon = make.coupon(session, at, customer_id=holder, holder_key=phone())
    asked = NewHolderKey(
        id=make.an_id(), coupon_id=coupon.id, customer_id=holder, holder_key=phone()
    )
    before = place(session, coupon)
    coupons.rebind(session, at.operator_id, asked, code_secret=make.SECRET, now=NOON)

    assert place(session, coupon) != before
    voided = rows(session, "SELECT position FROM void_place WHERE coupon_id = :id", id=coupon.id)
    assert [row.position for row in voided] == [before]


def place(session: Session, coupon: CouponView) -> int:
    found = rows(session, "SELECT position FROM coupon WHERE id = :id", id=coupon.id)
    return int(found[0].position)
