"""A phone whose coupons are spent twice again and again is suspended until a person has looked."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from jwt import PyJWK
from sqlmodel import Session, col, select

from coupon_engine import coupons, holders
from coupon_engine.errors import CouponRefused, HolderSuspended, MoveNotAllowed, Unknown
from coupon_engine.offline import server_keys, status_lists
from coupon_engine.redemption import redeem
from coupon_engine.tables import Coupon, DisputedHolder
from coupon_engine.validation import status_lists as codec
from coupon_engine.validation.token import Typ, compressed, verify_typed
from schemas.coupons import NewHolderKey, NewTransfer, TokenView
from schemas.disputes import DisputedHolderView, NewLift
from schemas.offline import StatusListClaims
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.offline.device import HOUR, MINUTE, Device, Phone, device, world
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, PASSPHRASE

LATE = NOON + 3 * HOUR
SECOND = timedelta(seconds=1)


@pytest.fixture
def phone(session: Session) -> Phone:
    return Phone(session, "L3", many=8)


def twice(phone: Phone, one: Device, other: Device, *numbers: int) -> None:
    """Show these coupons at one terminal, and two minutes later at the other."""
    start = max(one.ts, other.ts)
    for till, after in ((one, MINUTE), (other, 3 * MINUTE)):
        for number in numbers:
            at = start + after + number * 5 * SECOND
            till.redeems(number, at=at, shown=phone.shows(number, at=at))


def dispute(session: Session, phone: Phone, *numbers: int, now: datetime = LATE) -> None:
    """Let all of this come in."""
    one, other = phone.till(session), phone.till(session)
    twice(phone, one, other, *numbers)
    for till in (one, other):
        till.leases(session, now=NOON + HOUR)
        till.uploads(session, now=now)


def held_against(session: Session) -> list[tuple[int, datetime | None]]:
    found = rows(session, "SELECT disputed_count, suspended_at FROM disputed_holder")
    return [(row.disputed_count, row.suspended_at) for row in found]


def lifted(session: Session, phone: Phone, *, now: datetime = LATE) -> DisputedHolderView:
    (holder,) = seen(session, phone)
    asked = NewLift(id=make.an_id(), holder_id=holder.id, reason="two phones, one family")
    return holders.lift(session, phone.of.at.operator_id, asked, now=now)


def seen(session: Session, phone: Phone) -> list[DisputedHolderView]:
    session.expire_all()
    own = phone.of.at.operator_id
    return holders.views(session, own, coupon_id=phone.of.coupons[0].id, after=None, most=10)


def test_the_third_dispute_suspends_a_phone_and_not_the_second(
    session: Session, phone: Phone
) -> None:
    dispute(session, phone, 0, 1)
    assert held_against(session) == [(2, None)]

    dispute(session, phone, 2, now=LATE + HOUR)

    assert held_against(session) == [(3, LATE + HOUR)]
    (holder,) = rows(session, "SELECT * FROM disputed_holder")
    assert bytes(holder.holder_key) == compressed(phone.holder_key)
    assert kinds(session, holder.id) == ["holder_suspended"]


def test_its_coupons_are_refused_as_suspended(session: Session, phone: Phone) -> None:
    dispute(session, phone, 0, 1)
    before = redeemed_online(session, phone, 3)
    dispute(session, phone, 2)

    with pytest.raises(CouponRefused) as raised:
        redeemed_online(session, phone, 4)

    assert before == 200
    refusal = raised.value.refusal
    assert [(each.code, each.rule) for each in refusal.reasons] == [
        (Why.SUSPENDED, "coupon.holder_key")
    ]
    assert "another store" not in refusal.cashier.en


def redeemed_online(session: Session, phone: Phone, number: int) -> int:
    asked = make.request(phone.of.at, phone.of.coupons[number])
    shown = make.read(phone.shows(number, at=LATE), phone.of.ring, now=LATE)
    presented = replace(asked, shown=shown)
    return redeem(session, phone.of.at.operator_id, presented, now=LATE).discount_minor


def test_another_phones_coupons_work_on(session: Session, phone: Phone) -> None:
    dispute(session, phone, 0, 1, 2)
    another = Phone(session, "L3")

    assert redeemed_online(session, another, 0) == 200
    assert len(seen(session, phone)) == 1
    assert seen(session, another) == []


def test_any_order_of_journals_holds_the_same_against_it(session: Session, phone: Phone) -> None:
    """Of three terminals, in every order, each journal in two pieces."""
    tills = [phone.till(session) for _ in range(3)]
    twice(phone, tills[0], tills[1], 0, 1)
    twice(phone, tills[1], tills[2], 2)
    for till in tills:
        till.leases(session, now=NOON + HOUR)
    ends: set[tuple[int, bool]] = set()

    for order in permutations(tills):
        point = session.begin_nested()
        for piece in (slice(0, 2), slice(2, None)):
            for till in order:
                till.uploads(session, till.journal[piece], now=LATE)
        ends |= {(many, at is not None) for many, at in held_against(session)}
        point.rollback()
        session.expunge_all()

    assert ends == {(3, True)}


def test_a_suspended_phone_gets_no_code_and_its_coupons_do_not_move_away(
    session: Session, phone: Phone
) -> None:
    """Else whoever is suspended goes on with another phone."""
    dispute(session, phone, 0, 1, 2)
    own, ann = phone.of.at.operator_id, make.customer(session, phone.of.at)
    coupon = phone.gets(session, phone.of, customer_id=ann)
    another = Phone(session, "L3", many=0).holder_key
    rebind = NewHolderKey(id=make.an_id(), coupon_id=coupon.id, customer_id=ann, holder_key=another)
    transfer = NewTransfer(
        id=make.an_id(),
        coupon_id=coupon.id,
        from_customer_id=ann,
        to_customer_id=make.customer(session, phone.of.at),
        holder_key=another,
    )

    with pytest.raises(HolderSuspended):
        token(session, phone, 4)
    with pytest.raises(HolderSuspended):
        coupons.rebind(session, own, rebind, code_secret=make.SECRET, now=LATE)
    with pytest.raises(HolderSuspended):
        coupons.transfer(session, own, transfer, code_secret=make.SECRET, now=LATE)

    row = session.get_one(Coupon, (own, coupon.id), populate_existing=True)
    assert row.holder_key == compressed(phone.holder_key)


def token(session: Session, phone: Phone, number: int) -> TokenView:
    return coupons.token(
        session,
        phone.of.at.operator_id,
        phone.of.coupons[number].id,
        phone.of.ring,
        code_secret=make.SECRET,
        now=LATE,
    )


def test_terminals_learn_of_it_and_of_its_end_with_their_next_list(
    session: Session, phone: Phone
) -> None:
    before = the_list(session, phone, now=NOON)
    dispute(session, phone, 0, 1, 2)
    place = place_of(session, phone, 4)

    suspended = the_list(session, phone, now=LATE, since=before.ver)
    whole = the_list(session, phone, now=LATE)
    lifted(session, phone, now=LATE + HOUR)
    again = the_list(session, phone, now=LATE + HOUR, since=suspended.ver)

    assert suspended.changed is not None
    assert place in codec.gaps_decoded(suspended.changed.set)
    assert whole.status_list is not None
    assert codec.is_set(codec.unpack(str(whole.status_list["lst"])), place)
    assert again.changed is not None
    assert place in codec.gaps_decoded(again.changed.cleared)


def the_list(
    session: Session, phone: Phone, *, now: datetime, since: int | None = None
) -> StatusListClaims:
    own = phone.of.at.operator_id
    key = server_keys.in_use(session, own, passphrase=PASSPHRASE, now=NOON)
    args: dict[str, Any] = {"key": key, "issuer": "https://x", "until": now + HOUR, "now": now}
    number = phone.of.campaign.number
    if since is None:
        jwt = status_lists.full(session, own, number, 0, **args)
    else:
        jwt = status_lists.delta(session, own, number, 0, since=since, **args)
    claims = verify_typed(jwt, PyJWK(key.public_jwk, "ES256"), Typ.STATUS_LIST)
    return StatusListClaims.model_validate(claims)


def place_of(session: Session, phone: Phone, number: int) -> int:
    query = select(Coupon.position).where(col(Coupon.id) == phone.of.coupons[number].id)
    return codec.shard_of(session.exec(query).one())[1]


def test_a_person_lifts_it_and_says_why(session: Session, phone: Phone) -> None:
    dispute(session, phone, 0, 1, 2)

    view = lifted(session, phone)

    assert (view.disputed, view.forgiven, view.suspended_at) == (3, 3, None)
    assert redeemed_online(session, phone, 4) == 200
    assert token(session, phone, 5).coupon_id == phone.of.coupons[5].id
    assert kinds(session, view.id) == ["holder_suspended", "holder_lifted"]
    (told,) = rows(session, "SELECT data FROM event WHERE kind = 'holder_lifted'")
    assert told.data["reason"] == "two phones, one family"


def test_what_was_forgiven_counts_no_more_and_what_comes_does(
    session: Session, phone: Phone
) -> None:
    dispute(session, phone, 0, 1, 2)
    lifted(session, phone)
    dispute(session, phone, 3, 4, now=LATE + HOUR)
    assert held_against(session) == [(5, None)]

    dispute(session, phone, 5, now=LATE + 2 * HOUR)

    assert held_against(session) == [(6, LATE + 2 * HOUR)]
    assert count(session, "event WHERE kind = 'holder_suspended'") == 2


def test_what_is_not_suspended_cannot_be_lifted(session: Session, phone: Phone) -> None:
    dispute(session, phone, 0)

    with pytest.raises(MoveNotAllowed):
        lifted(session, phone)
    stranger = NewLift(id=make.an_id(), holder_id=make.an_id(), reason="whoever")
    with pytest.raises(Unknown):
        holders.lift(session, phone.of.at.operator_id, stranger, now=LATE)

    assert count(session, "event WHERE kind = 'holder_lifted'") == 0


def test_static_coupons_are_held_against_nobody(session: Session) -> None:
    of = world(session, many=3)
    one, other = device(session, of), device(session, of)
    for till, after in ((one, MINUTE), (other, 3 * MINUTE)):
        till.leases(session)
        for number in range(3):
            till.redeems(number, at=NOON + after + number * 5 * SECOND)
        till.leases(session, now=NOON + HOUR)
    for till in (one, other):
        till.uploads(session, now=LATE)

    assert count(session, "redemption WHERE decided = 'disputed'") == 3
    assert session.exec(select(DisputedHolder)).all() == []
