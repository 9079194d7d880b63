"""Coupons come into the world: one, many, or when a customer asks; never more than may."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from coupon_engine import batches, campaigns, issuing
from coupon_engine.coupons import coupon_views
from coupon_engine.database import busy_or, transaction
from coupon_engine.errors import (
    BatchExhausted,
    Busy,
    ClaimLimitReached,
    CouponNotUsable,
    CouponTaken,
    HolderKeyRequired,
    NotIssuing,
    RequestReused,
    TermsMismatch,
    Unknown,
)
from coupon_engine.validation.short_code import short_code_of
from schemas.campaigns import (
    BatchMove,
    BatchState,
    BatchView,
    Decidable,
    Level,
    Move,
    NewBatchMove,
    NewMove,
)
from schemas.coupons import (
    CouponState,
    CouponView,
    IssuedView,
    NewClaim,
    NewCoupon,
    NewCoupons,
)
from schemas.offers import GiftBalance, LimitOf, LimitPer, LimitRule, Period, Validity
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, rows
from tests.make import NOON, Shop

LATER = NOON + timedelta(days=1)
ONE_EACH = (LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=1),)


def issued_many(
    session: Session,
    at: Shop,
    batch: BatchView,
    customers: tuple[UUID, ...] = (),
    unclaimed: int = 0,
    *,
    now: Any = NOON,
    **more: Any,
) -> IssuedView:
    asked = {"id": make.an_id(), "batch_id": batch.id, **more}
    return issuing.issue_many(
        session,
        at.operator_id,
        NewCoupons(customer_ids=customers, unclaimed=unclaimed, **asked),
        code_secret=make.SECRET,
        now=now,
    )


def claimed(
    session: Session, at: Shop, customer_id: UUID, *, now: Any = NOON, **more: Any
) -> CouponView:
    asked: dict[str, Any] = {"id": make.an_id(), "customer_id": customer_id, **more}
    return issuing.claim(
        session, at.operator_id, NewClaim(**asked), code_secret=make.SECRET, now=now
    )


def of_batch(session: Session, at: Shop, batch: BatchView) -> list[CouponView]:
    return coupon_views(
        session,
        at.operator_id,
        batch_id=batch.id,
        customer_id=None,
        after=None,
        most=1_000,
        code_secret=make.SECRET,
        now=NOON,
    )


def nothing_issued(session: Session) -> bool:
    moved = count(session, "limit_row WHERE used_count > 0")
    told = count(session, "event WHERE kind IN ('coupon_issued', 'coupons_issued')")
    return (count(session, "coupon"), moved, told) == (0, 0, 0)


def test_an_issued_coupon_is_what_its_offer_promised(session: Session) -> None:
    at = make.shop(session)
    customer = make.customer(session, at)
    offer = make.offer(session, at, uses=3, validity=Validity(wait_days=1, days_after_issue=2))
    batch = make.batch(session, at, offer, has_short_codes=True)

    coupon = make.coupon(session, at, batch, customer_id=customer, store_id=at.store.id)

    assert (coupon.customer_id, coupon.store_id) == (customer, at.store.id)
    assert (coupon.uses, coupon.uses_left, coupon.balance_minor) == (3, 3, None)
    assert coupon.state is CouponState.PENDING
    assert coupon.valid_from == NOON.replace(hour=23)  # midnight in Berlin
    assert coupon.valid_until == NOON.replace(hour=23) + timedelta(days=2)
    assert coupon.short_code is not None
    assert kinds(session, coupon.id) == ["coupon_issued"]
    assert batches.batch_view(session, at.operator_id, batch.id, now=NOON).issued_count == 1


def test_issuing_again_under_one_id_gives_the_same_coupon(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    request = NewCoupon(id=make.an_id(), batch_id=batch.id)
    first = issuing.issue(session, at.operator_id, request, code_secret=make.SECRET, now=NOON)

    again = issuing.issue(session, at.operator_id, request, code_secret=make.SECRET, now=LATER)

    assert again == first
    assert count(session, "coupon") == 1
    other = request.model_copy(update={"store_id": at.store.id})
    with pytest.raises(RequestReused):
        issuing.issue(session, at.operator_id, other, code_secret=make.SECRET, now=NOON)


def test_a_batch_gives_out_its_size_and_no_more(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, size=2)
    make.coupon(session, at, batch)
    make.coupon(session, at, batch)

    with pytest.raises(BatchExhausted) as raised:
        make.coupon(session, at, batch)

    assert raised.value.details == {"rule": "batch.issue", "left": 0}
    assert count(session, "coupon") == 2
    seen = batches.batch_view(session, at.operator_id, batch.id, now=NOON)
    assert (seen.state, seen.issued_count) == (BatchState.EXHAUSTED, 2)


def test_a_campaign_gives_out_as_many_as_it_may_from_all_its_batches(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at, make.campaign(session, at, max_issued=3))
    one, two = (make.batch(session, at, offer) for _ in range(2))
    issued_many(session, at, one, unclaimed=2)

    with pytest.raises(BatchExhausted) as raised:
        issued_many(session, at, two, unclaimed=2)

    assert raised.value.details == {"rule": "campaign.issue", "left": 1}
    assert issued_many(session, at, two, unclaimed=1).first_position == 2


def test_a_rule_may_ration_what_is_issued_each_day(session: Session) -> None:
    at = make.shop(session)
    daily = LimitRule(of=LimitOf.ISSUE, per=LimitPer.ALL, period=Period.DAY, max_count=2)
    offer = make.offer(session, at, make.campaign(session, at, limits=(daily,)))
    batch = make.batch(session, at, offer)
    issued_many(session, at, batch, unclaimed=2)

    with pytest.raises(BatchExhausted) as raised:
        make.coupon(session, at, batch)

    assert raised.value.details == {"rule": "campaign.limits[0]", "left": 0}
    assert make.coupon(session, at, batch, now=LATER).issued_at == LATER


# Many at once.


def test_many_coupons_are_issued_as_one_each_and_told_one_by_one(session: Session) -> None:
    at = make.shop(session)
    customers = tuple(make.customer(session, at) for _ in range(3))
    offer = make.offer(session, at, benefit=GiftBalance(balance_minor=900))
    batch = make.batch(session, at, offer, has_short_codes=True)

    issued = issued_many(session, at, batch, customers, unclaimed=2)

    coupons = of_batch(session, at, batch)
    assert (issued.count, len(coupons)) == (5, 5)
    assert [each.customer_id for each in coupons] == [*customers, None, None]
    assert {each.balance_minor for each in coupons} == {900}
    assert len({each.short_code for each in coupons}) == 5
    assert all(kinds(session, each.id) == ["coupon_issued"] for each in coupons)
    assert kinds(session, batch.id) == ["batch_created", "coupons_issued"]
    single = make.coupon(session, at, batch, customer_id=customers[0])
    alike = {"id", "short_code", "customer_id"}
    assert single.model_dump(exclude=alike) == coupons[0].model_dump(exclude=alike)


def test_a_coupon_of_many_is_redeemed_like_any_other(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, has_short_codes=True)
    issued_many(session, at, batch, unclaimed=3)

    answers = [redeemed(session, at, coupon) for coupon in of_batch(session, at, batch)]

    assert [answer.discount_minor for answer in answers] == [200, 200, 200]


def test_two_lots_of_one_moment_are_each_told_once(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)

    for _ in range(3):
        issued_many(session, at, batch, unclaimed=50)

    assert count(session, "coupon") == 150
    assert count(session, "event WHERE kind = 'coupon_issued'") == 150
    places = rows(session, "SELECT DISTINCT position FROM coupon WHERE position < 1048576")
    assert len(places) == 150


def test_nobody_gets_one_when_one_of_the_customers_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    batch = make.batch(session, at)
    foreign = make.customer(session, stranger)

    with pytest.raises(Unknown) as raised:
        issued_many(session, at, batch, (make.customer(session, at), foreign))

    assert raised.value.details == {"kind": "customer", "id": str(foreign)}
    assert nothing_issued(session)


def test_nobody_gets_one_when_there_are_not_enough_for_all(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, size=4)

    with pytest.raises(BatchExhausted) as raised:
        issued_many(session, at, batch, unclaimed=5)

    assert raised.value.details == {"rule": "batch.issue", "left": 4}
    assert nothing_issued(session)


def test_nobody_gets_one_when_a_customer_has_had_theirs(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, make.offer(session, at, limits=ONE_EACH))
    ann, bob = make.customer(session, at), make.customer(session, at)
    issued_many(session, at, batch, (ann,))

    with pytest.raises(ClaimLimitReached) as raised:
        issued_many(session, at, batch, (ann, bob))

    assert raised.value.details == {"rule": "offer.limits[0]", "max_count": 1}
    assert count(session, "coupon") == 1
    assert issued_many(session, at, batch, (bob,)).count == 1


def test_issuing_many_again_under_one_id_issues_nothing_more(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    id = make.an_id()
    first = issued_many(session, at, batch, unclaimed=3, id=id)

    again = issued_many(session, at, batch, unclaimed=3, id=id, now=LATER)

    assert again == first
    assert count(session, "coupon") == 3
    with pytest.raises(RequestReused):
        issued_many(session, at, batch, unclaimed=4, id=id)


def test_issuing_to_nobody_is_a_mistake(session: Session) -> None:
    at = make.shop(session)

    with pytest.raises(TermsMismatch):
        issued_many(session, at, make.batch(session, at))

    assert nothing_issued(session)


# When nothing is given out.


@pytest.mark.parametrize(
    ("moves", "details"),
    [
        ([Move.PAUSE], {"campaign_state": "paused"}),
        ([Move.END], {"campaign_state": "ended"}),
        ([Move.PAUSE, Move.RESUME], None),
    ],
)
def test_a_campaign_that_rests_issues_nothing(
    session: Session, moves: list[Decidable], details: dict[str, str] | None
) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    batch = make.batch(session, at, make.offer(session, at, running))
    for move in moves:
        asked = NewMove(id=make.an_id(), campaign_id=running.id, move=move, reason="told")
        campaigns.decide(session, at.operator_id, asked, now=NOON)

    if details is None:
        assert make.coupon(session, at, batch).state is CouponState.ACTIVE
        return
    for attempt in (
        lambda: make.coupon(session, at, batch),
        lambda: issued_many(session, at, batch, unclaimed=1),
        lambda: claimed(session, at, make.customer(session, at), batch_id=batch.id),
    ):
        with pytest.raises(NotIssuing) as raised:
            attempt()
        assert raised.value.details == details
    assert nothing_issued(session)


@pytest.mark.parametrize(
    ("moves", "state"),
    [
        ([BatchMove.PAUSE], "paused"),
        ([BatchMove.CLOSE], "closed"),
        ([BatchMove.REVOKE], "revoked"),
    ],
)
def test_a_batch_that_rests_issues_nothing(
    session: Session, moves: list[BatchMove], state: str
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    for move in moves:
        asked = NewBatchMove(id=make.an_id(), batch_id=batch.id, move=move, reason="told")
        batches.decide_batch(session, at.operator_id, asked, now=NOON)

    with pytest.raises(NotIssuing) as raised:
        make.coupon(session, at, batch)

    assert raised.value.details == {"batch_state": state}
    assert nothing_issued(session)


def test_a_coupon_that_would_be_over_before_it_begins_is_not_issued(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at, validity=Validity(ends_at=LATER))
    batch = make.batch(session, at, offer)

    with pytest.raises(NotIssuing):
        make.coupon(session, at, batch, now=LATER)

    assert nothing_issued(session)
    assert make.coupon(session, at, batch).valid_until == LATER


def test_a_coupon_for_a_phone_is_issued_to_a_phone(session: Session) -> None:
    at = make.shop(session)
    bound = make.campaign(session, at, level=Level.HOLDER_SIGNED)
    batch = make.batch(session, at, make.offer(session, at, bound))

    with pytest.raises(HolderKeyRequired):
        make.coupon(session, at, batch)

    assert nothing_issued(session)


def test_another_operators_batch_customer_and_store_are_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    batch, theirs = make.batch(session, at), make.batch(session, stranger)

    foreign: list[tuple[str, dict[str, Any]]] = [
        ("customer", {"customer_id": make.customer(session, stranger)}),
        ("store", {"store_id": stranger.store.id}),
    ]
    for kind, more in foreign:
        with pytest.raises(Unknown) as raised:
            make.coupon(session, at, batch, **more)
        assert raised.value.details["kind"] == kind
    with pytest.raises(Unknown) as raised:
        make.coupon(session, at, theirs)

    assert raised.value.details == {"kind": "batch", "id": str(theirs.id)}
    assert nothing_issued(session)


# Claims.


def test_a_customer_claims_a_fresh_coupon_as_often_as_they_may(session: Session) -> None:
    at = make.shop(session)
    twice = (LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=2),)
    batch = make.batch(session, at, make.offer(session, at, limits=twice), needs_claim=True)
    ann, bob = make.customer(session, at), make.customer(session, at)
    coupons = [claimed(session, at, ann, batch_id=batch.id) for _ in range(2)]

    with pytest.raises(ClaimLimitReached):
        claimed(session, at, ann, batch_id=batch.id)

    assert {coupon.customer_id for coupon in coupons} == {ann}
    assert coupons[0].state is CouponState.ACTIVE
    assert claimed(session, at, bob, batch_id=batch.id).customer_id == bob
    assert count(session, "coupon") == 3


def test_an_unclaimed_coupon_is_claimed_by_its_short_code_however_it_is_typed(
    session: Session,
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, has_short_codes=True, needs_claim=True)
    coupon = make.coupon(session, at, batch)
    assert coupon.state is CouponState.MINTED
    assert coupon.short_code is not None
    ann, bob = make.customer(session, at), make.customer(session, at)

    mine = claimed(session, at, ann, short_code=coupon.short_code.lower().replace("-", " "))

    assert (mine.id, mine.customer_id, mine.state) == (coupon.id, ann, CouponState.ACTIVE)
    assert claimed(session, at, ann, short_code=coupon.short_code).id == coupon.id
    with pytest.raises(CouponTaken):
        claimed(session, at, bob, short_code=coupon.short_code)
    assert kinds(session, coupon.id) == ["coupon_issued", "coupon_claimed"]
    assert batches.batch_view(session, at.operator_id, batch.id, now=NOON).issued_count == 1


def test_claiming_by_code_counts_against_the_customers_limit(session: Session) -> None:
    at = make.shop(session)
    offer = make.offer(session, at, limits=ONE_EACH)
    batch = make.batch(session, at, offer, has_short_codes=True, needs_claim=True)
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    ann = make.customer(session, at)
    claimed(session, at, ann, short_code=one.short_code)

    with pytest.raises(ClaimLimitReached):
        claimed(session, at, ann, short_code=two.short_code)

    assert count(session, "coupon WHERE customer_id IS NOT NULL") == 1


def test_a_coupon_that_is_used_up_or_over_is_not_claimed(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, has_short_codes=True)
    spent, over = (make.coupon(session, at, batch) for _ in range(2))
    redeemed(session, at, spent)
    ann = make.customer(session, at)

    with pytest.raises(CouponNotUsable):
        claimed(session, at, ann, short_code=spent.short_code)
    with pytest.raises(CouponNotUsable):
        claimed(session, at, ann, short_code=over.short_code, now=over.valid_until)

    assert count(session, "coupon WHERE customer_id IS NOT NULL") == 0


def test_a_claim_names_a_batch_or_a_code_and_not_both(session: Session) -> None:
    at = make.shop(session)
    ann = make.customer(session, at)
    batch = make.batch(session, at)

    for more in ({}, {"batch_id": batch.id, "short_code": "0000-0000-0000"}):
        with pytest.raises(TermsMismatch):
            claimed(session, at, ann, **more)

    assert nothing_issued(session)


def test_another_operators_short_code_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    coupon = make.coupon(session, at, make.batch(session, at, has_short_codes=True))

    with pytest.raises(Unknown):
        claimed(session, stranger, make.customer(session, stranger), short_code=coupon.short_code)


def test_two_coupons_that_meet_in_one_short_code_are_asked_for_again(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        batch = make.batch(session, at, has_short_codes=True)
        make.coupon(session, at, batch)
        first = make.coupon(session, at, batch).short_code

    def unlucky(*_: object) -> str | None:
        return first

    monkeypatch.setattr(issuing.short_code, "short_code_of", unlucky)

    with pytest.raises(IntegrityError) as met, transaction(database) as session:
        make.coupon(session, at, batch)

    assert isinstance(busy_or(met.value), Busy)
    with transaction(database) as session:
        assert count(session, "coupon") == 2


def test_the_answer_that_is_kept_tells_no_short_code_and_a_repeat_does(
    session: Session,
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, has_short_codes=True)
    asked = NewCoupon(id=make.an_id(), batch_id=batch.id)

    def issues() -> CouponView:
        return issuing.issue(session, at.operator_id, asked, code_secret=make.SECRET, now=NOON)

    first, again = issues(), issues()

    assert first.short_code == short_code_of(first.id, make.SECRET)
    assert again == first
    bodies = session.connection().execute(text("SELECT body FROM answer")).scalars().all()
    assert any(str(first.id) in body for body in bodies)
    assert not any(first.short_code in body for body in bodies)
