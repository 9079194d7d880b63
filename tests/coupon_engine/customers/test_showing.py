"""What a phone shows of its coupons, of a claim link, of its receipts and of the way to a store."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine import activating, batches, coupons, operators
from coupon_engine.customers import claimable, exporting, receipts, wallets, where
from coupon_engine.errors import NotSignedIn, Unknown
from coupon_engine.redemption import Presented, redeem
from coupon_engine.tables import Batch, Campaign, Coupon
from coupon_engine.validation.showing import Shown
from schemas.campaigns import (
    BatchMove,
    BatchView,
    Level,
    NewBatchMove,
    NewMerchant,
    NewStore,
    NewStoreChange,
    OfflinePolicy,
    StoreView,
)
from schemas.coupons import CouponView, NewActivation, NewRevocation
from schemas.offers import Conditions, LimitOf, LimitPer, LimitRule
from schemas.redemptions import RedemptionState, RedemptionView
from schemas.wallets import ClaimableView, NewWalletClaim, WalletCouponView, WalletView
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT
from tests.coupon_engine.record import taken_back
from tests.make import NOON, SECRET, Shop


def lot(
    session: Session,
    at: Shop,
    *,
    campaign: dict[str, Any] | None = None,
    batch: dict[str, Any] | None = None,
    **offer: Any,
) -> BatchView:
    running = make.campaign(session, at, **(campaign or {}))
    return make.batch(session, at, make.offer(session, at, running, **offer), **(batch or {}))


def claimed(session: Session, at: Shop, by: WalletView, of: BatchView) -> WalletCouponView:
    asked = NewWalletClaim(id=make.an_id(), batch_id=of.id)
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


def held(session: Session, at: Shop, by: WalletView, *, now: Any = NOON) -> list[WalletCouponView]:
    found = wallets.holdings(
        session,
        at.operator_id,
        by.id,
        after=None,
        most=100,
        vault=VAULT,
        code_secret=SECRET,
        now=now,
    )
    return list(found.coupons)


def offered(
    session: Session, at: Shop, to: WalletView, of: BatchView, *, now: Any = NOON
) -> ClaimableView:
    return claimable.claimable(session, at.operator_id, to.id, of.id, now=now)


def spent(session: Session, at: Shop, of: CouponView, **more: Any) -> RedemptionView:
    row = session.get_one(Coupon, (at.operator_id, of.id))
    number = session.get_one(Campaign, (at.operator_id, of.campaign_id)).number
    asked = make.request(at, of, **more).request
    shown = Shown(coupon_id=of.id, campaign_number=number, holder_key=row.holder_key)
    return redeem(session, at.operator_id, Presented(asked, shown), now=NOON)


def another_merchants_store(session: Session, at: Shop, name: str) -> StoreView:
    merchant = operators.create_merchant(
        session, at.operator_id, NewMerchant(id=make.an_id(), name=name), now=NOON
    )
    asked = NewStore(
        id=make.an_id(), merchant_id=merchant.id, name=f"{name} hall", zone="Europe/Berlin"
    )
    return operators.create_store(session, at.operator_id, asked, now=NOON)


def of_wallet(session: Session, at: Shop, by: WalletView, **more: Any) -> list[UUID]:
    asked: dict[str, Any] = {"coupon_id": None, "after": None, "most": 100, "now": NOON}
    found = where.stores(session, at.operator_id, by.id, **{**asked, **more})
    return [store.id for store in found]


# One's own coupons.


def test_a_coupon_tells_in_words_what_it_gives_and_asks(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    only = Conditions(minimum_basket_minor=1_000, stores=(at.store.id,))
    claimed(session, at, mine, lot(session, at, conditions=only))

    (coupon,) = held(session, at, mine)

    assert coupon.face.title == coupon.title
    assert [each.en for each in coupon.face.benefit] == ["€2.00 off."]
    assert [each.en for each in coupon.face.conditions] == [
        "From a purchase of €10.00.",
        "Only at Main street.",
    ]
    assert [each.en for each in coupon.face.validity] == ["Valid until April 1, 2026, 24:00."]
    assert (coupon.operator, coupon.merchant) == ("Acme", "Corner shop")
    assert (coupon.store_ids, coupon.store_count) == ((at.store.id,), 1)
    assert (coupon.level, coupon.needs_activation) == (Level.STATIC, False)


def test_a_coupon_that_is_still_to_begin_says_from_when(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    starts = {"starts_at": NOON + timedelta(days=1), "ends_at": NOON + timedelta(days=60)}
    claimed(session, at, mine, lot(session, at, campaign=starts))

    (coupon,) = held(session, at, mine)

    assert coupon.face.validity[0].zh == "2026年3月3日 13:00起可用。"


def test_a_claim_answers_with_all_that_the_phone_shows(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    of = lot(session, at, campaign={"level": Level.CHALLENGED, "offline": OfflinePolicy.ACTIVATED})

    answer = claimed(session, at, mine, of)

    assert answer == held(session, at, mine)[0]
    assert (answer.level, answer.needs_activation) == (Level.CHALLENGED, True)
    assert (answer.store_ids, answer.store_count) == ((), 0)


def test_an_activation_is_told_while_it_lasts(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon = claimed(
        session, at, mine, lot(session, at, campaign={"offline": OfflinePolicy.ACTIVATED})
    )
    asked = NewActivation(
        id=make.an_id(), coupon_id=coupon.id, customer_id=mine.customer_id, store_id=at.store.id
    )
    until = activating.activate(session, at.operator_id, asked, now=NOON).activated_until

    (active,) = held(session, at, mine)
    (over,) = held(session, at, mine, now=until)

    assert (active.activated_store_id, active.activated_until) == (at.store.id, until)
    assert (over.activated_store_id, over.activated_until) == (None, None)


def test_stores_of_several_merchants_are_no_one_merchants(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    other = another_merchants_store(session, at, "Bakery")
    both = Conditions(stores=(at.store.id, other.id))
    claimed(session, at, mine, lot(session, at, conditions=both))
    claimed(session, at, mine, lot(session, at))
    claimed(session, at, mine, lot(session, at, conditions=Conditions(stores=(other.id,))))

    coupons_of = held(session, at, mine)

    assert [coupon.merchant for coupon in coupons_of] == [None, None, "Bakery"]


# A claim link.


def test_a_claim_link_tells_what_it_would_give_and_gives_nothing(session: Session) -> None:
    at = make.shop(session)
    mine, of = phone.wallet(session, at), lot(session, at)

    told = offered(session, at, mine, of)

    assert (told.batch_id, told.refused, told.currency) == (of.id, None, "EUR")
    assert [each.en for each in told.face.validity] == ["Valid through day 30 after you get it."]
    assert held(session, at, mine) == []
    assert session.get_one(Batch, (at.operator_id, of.id)).decided == "ready"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"batch": {"size": 1}}, "batch_exhausted"),
        ({"campaign": {"max_issued": 1}}, "batch_exhausted"),
        (
            {"limits": (LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=1),)},
            "claim_limit_reached",
        ),
    ],
)
def test_a_claim_link_says_what_the_claim_would_hear(
    session: Session, change: dict[str, Any], code: str
) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    of = lot(session, at, **change)

    before = offered(session, at, mine, of).refused
    claimed(session, at, mine, of)
    after = offered(session, at, mine, of).refused

    assert (before, after) == (None, code)


def test_a_claim_link_says_that_the_batch_or_the_campaign_gives_out_nothing(
    session: Session,
) -> None:
    at = make.shop(session)
    mine, of = phone.wallet(session, at), lot(session, at)

    late = offered(session, at, mine, of, now=NOON + timedelta(days=61)).refused
    batches.decide_batch(
        session,
        at.operator_id,
        NewBatchMove(id=make.an_id(), batch_id=of.id, move=BatchMove.PAUSE, reason="enough"),
        now=NOON,
    )

    assert late == offered(session, at, mine, of).refused == "not_issuing"


def test_a_claim_link_says_that_a_contact_is_needed(session: Session) -> None:
    at = make.shop(session)
    mine, of = phone.wallet(session, at), lot(session, at, batch={"needs_contact": True})

    before = offered(session, at, mine, of)
    phone.verified(session, at, mine)

    assert (before.needs_contact, before.refused) == (True, "contact_needed")
    assert offered(session, at, mine, of).refused is None


def test_what_nobody_has_approved_is_nobodys_business(session: Session) -> None:
    at = make.shop(session)
    mine, of = phone.wallet(session, at), lot(session, at)
    row = session.get_one(Batch, (at.operator_id, of.id))
    row.approved_at = None
    session.add(row)

    with pytest.raises(Unknown):
        offered(session, at, mine, of)


# Receipts.


def test_a_receipt_tells_where_a_coupon_saved_how_much(session: Session) -> None:
    at = make.shop(session)
    mine, other = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, mine, lot(session, at))
    done = spent(session, at, coupon, order_ref="r-1")

    (receipt,) = receipts.receipts(session, at.operator_id, mine.id, after=None, most=9, now=NOON)

    assert (receipt.id, receipt.coupon_id, receipt.title) == (done.id, coupon.id, coupon.title)
    assert (receipt.store, receipt.merchant) == ("Main street", "Corner shop")
    assert (receipt.basket_minor, receipt.discount_minor, receipt.currency) == (1_000, 200, "EUR")
    assert (receipt.state, receipt.reversed_minor) == (RedemptionState.ACCEPTED, 0)
    assert (receipt.order_ref, receipt.redeemed_at) == ("r-1", NOON)
    assert receipts.receipts(session, at.operator_id, other.id, after=None, most=9, now=NOON) == []


def test_a_receipt_shows_what_was_taken_back(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    done = spent(session, at, claimed(session, at, mine, lot(session, at)))
    taken_back(session, at, done)

    (receipt,) = receipts.receipts(session, at.operator_id, mine.id, after=None, most=9, now=NOON)

    assert (receipt.state, receipt.reversed_minor) == (RedemptionState.REVERSED, 200)


def test_receipts_come_page_by_page_and_move_with_the_phone(session: Session) -> None:
    at = make.shop(session)
    old, mine = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, old)
    of = lot(session, at)
    done = [spent(session, at, claimed(session, at, mine, of)).id for _ in range(3)]

    phone.verified(session, at, mine)
    first = receipts.receipts(session, at.operator_id, mine.id, after=None, most=2, now=NOON)
    rest = receipts.receipts(session, at.operator_id, mine.id, after=first[-1].id, most=2, now=NOON)

    assert [each.id for each in (*first, *rest)] == sorted(done)
    assert len(rest) == 1


def test_what_a_coupon_did_for_whoever_had_it_before_is_not_ones_own(session: Session) -> None:
    at = make.shop(session)
    giver, friend = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claimed(session, at, giver, lot(session, at, uses=2))
    spent(session, at, coupon)
    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    row.customer_id = friend.customer_id
    session.add(row)

    own = receipts.receipts(session, at.operator_id, friend.id, after=None, most=9, now=NOON)
    document = exporting.export_own(
        session, at.operator_id, friend.id, vault=VAULT, code_secret=SECRET, now=NOON
    )

    assert own == []
    assert document.redemptions == ()


# Stores.


def test_the_stores_of_a_wallet_are_those_where_something_good_works(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    here, there, nowhere = (
        at.store.id,
        make.another_store(session, at.operator_id, at.store.merchant_id).id,
        make.another_store(session, at.operator_id, at.store.merchant_id).id,
    )
    one = claimed(session, at, mine, lot(session, at, conditions=Conditions(stores=(here,))))
    claimed(session, at, mine, lot(session, at, conditions=Conditions(stores=(there,))))

    both = of_wallet(session, at, mine)
    only = of_wallet(session, at, mine, coupon_id=one.id)
    revoke(session, at, one)
    left = of_wallet(session, at, mine)
    claimed(session, at, mine, lot(session, at))

    assert both == sorted([here, there])
    assert (only, left) == ([here], [there])
    assert of_wallet(session, at, mine) == sorted([here, there, nowhere])
    assert of_wallet(session, at, mine, most=1) == [min(here, there, nowhere)]
    assert of_wallet(session, at, phone.wallet(session, at)) == []


def test_a_store_tells_the_way_there(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon = claimed(session, at, mine, lot(session, at))
    told = NewStoreChange(
        id=make.an_id(),
        store_id=at.store.id,
        address="Main street 1, 10115 Berlin",
        latitude_microdegrees=52_520_008,
        longitude_microdegrees=13_404_954,
    )
    operators.change_store(session, at.operator_id, told, now=NOON)

    (store,) = where.stores(
        session, at.operator_id, mine.id, coupon_id=coupon.id, after=None, most=9, now=NOON
    )

    assert (store.name, store.merchant) == ("Main street", "Corner shop")
    assert store.address == "Main street 1, 10115 Berlin"
    assert (store.latitude_microdegrees, store.longitude_microdegrees) == (52_520_008, 13_404_954)


def test_the_stores_of_somebody_elses_coupon_are_not_told(session: Session) -> None:
    at = make.shop(session)
    mine, other = phone.wallet(session, at), phone.wallet(session, at)
    theirs = claimed(session, at, other, lot(session, at))

    with pytest.raises(Unknown):
        of_wallet(session, at, mine, coupon_id=theirs.id)


def test_a_wallet_that_has_ended_sees_nothing(session: Session) -> None:
    at = make.shop(session)
    mine, of = phone.wallet(session, at), lot(session, at)
    wallets.end(session, wallets.alive(session, at.operator_id, mine.id), why="lost", now=NOON)

    with pytest.raises(NotSignedIn):
        offered(session, at, mine, of)
    with pytest.raises(NotSignedIn):
        of_wallet(session, at, mine)
    with pytest.raises(NotSignedIn):
        receipts.receipts(session, at.operator_id, mine.id, after=None, most=9, now=NOON)


def revoke(session: Session, at: Shop, of: CouponView) -> None:
    asked = NewRevocation(id=make.an_id(), coupon_id=of.id, reason="a mistake")
    coupons.revoke(session, at.operator_id, asked, code_secret=SECRET, now=NOON)
