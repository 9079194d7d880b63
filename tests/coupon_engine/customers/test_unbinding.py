"""A coupon is let go from its phone's key: only by that phone, and only where static codes do."""

import pytest
from sqlmodel import Session

from coupon_engine import coupons
from coupon_engine.customers import unbinding, wallets
from coupon_engine.errors import CouponNotUsable, TooManyHolderKeys, Unknown
from coupon_engine.tables import Coupon, VoidPlace
from schemas.campaigns import Level
from schemas.coupons import CouponView
from schemas.wallets import NewRebind, NewUnbinding, NewWalletClaim, WalletCouponView, WalletView
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT, Phone
from tests.coupon_engine.record import count, kinds
from tests.make import NOON, SECRET, Shop


def claimed(
    session: Session, at: Shop, by: WalletView, level: Level = Level.STATIC
) -> WalletCouponView:
    campaign = make.campaign(session, at, level=level)
    batch = make.batch(session, at, make.offer(session, at, campaign))
    asked = NewWalletClaim(id=make.an_id(), batch_id=batch.id)
    return wallets.claim(
        session,
        at.operator_id,
        by.id,
        asked,
        network=HOME,
        vault=VAULT,
        code_secret=SECRET,
        now=NOON,
    )


def unbound(session: Session, at: Shop, by: WalletView, of: CouponView) -> WalletCouponView:
    asked = NewUnbinding(id=make.an_id(), coupon_id=of.id)
    return unbinding.unbind(session, at.operator_id, by.id, asked, code_secret=SECRET, now=NOON)


def test_a_coupon_that_was_let_go_has_a_static_code_in_another_place(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon, ring = claimed(session, at, mine), make.signing_key(session, at)
    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    place = row.position

    loose = unbound(session, at, mine, coupon)
    again = unbound(session, at, mine, coupon)
    token = coupons.token(session, at.operator_id, coupon.id, ring, code_secret=SECRET, now=NOON)

    assert loose == again
    assert not loose.is_holder_bound
    assert token.text is not None
    assert token.text.startswith("CP1")
    assert row.position != place
    assert (count(session, "void_place"), row.holder_changes) == (1, 1)
    assert session.get(VoidPlace, (at.operator_id, row.campaign_id, place)) is not None
    assert kinds(session, coupon.id) == ["coupon_issued", "holder_key_removed"]


@pytest.mark.parametrize("level", [Level.HOLDER_SIGNED, Level.CHALLENGED])
def test_where_a_live_code_is_asked_for_a_coupon_stays_with_its_phone(
    session: Session, level: Level
) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon = claimed(session, at, mine, level)

    with pytest.raises(CouponNotUsable):
        unbound(session, at, mine, coupon)

    assert session.get_one(Coupon, (at.operator_id, coupon.id)).holder_key is not None


def test_another_phone_of_the_customer_binds_it_first(session: Session) -> None:
    """Else whoever got hold of the wallet would need no passcode to spend what is worth much."""
    at, old, new = make.shop(session), Phone(), Phone()
    first, second = phone.wallet(session, at, old), phone.wallet(session, at, new)
    coupon = claimed(session, at, first)
    wallets.move(session, second.id, first.customer_id, operator_id=at.operator_id, now=NOON)

    with pytest.raises(CouponNotUsable):
        unbound(session, at, second, coupon)

    assert session.get_one(Coupon, (at.operator_id, coupon.id)).holder_key == old.public_key


def test_nobody_lets_a_strangers_coupon_go(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = phone.wallet(session, at), phone.wallet(session, at)

    with pytest.raises(Unknown):
        unbound(session, at, mine, claimed(session, at, theirs))


def test_a_coupon_that_has_moved_too_often_stays_where_it_is(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon = claimed(session, at, mine)
    for _ in range(coupons.MOST_HOLDER_CHANGES):
        unbound(session, at, mine, coupon)
        bound = NewRebind(id=make.an_id(), coupon_id=coupon.id)
        wallets.rebind(session, at.operator_id, mine.id, bound, code_secret=SECRET, now=NOON)

    with pytest.raises(TooManyHolderKeys):
        unbound(session, at, mine, coupon)
