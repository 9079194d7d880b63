"""Ceilings on count and money: of everybody, each store and each customer, for ever or a while."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import offers
from schemas.campaigns import NewOffer
from schemas.coupons import CouponView
from schemas.offers import GiftBalance, LimitOf, LimitPer, LimitRule, Period
from schemas.refusals import Refusal, Why
from tests import make
from tests.coupon_engine.record import redeemed, refused, used
from tests.make import NOON, Shop


def coupons(
    session: Session,
    at: Shop,
    many: int,
    *,
    campaign: dict[str, Any] | None = None,
    batch: dict[str, Any] | None = None,
    limits: tuple[LimitRule, ...] = (),
    **more: Any,
) -> list[CouponView]:
    """Coupons of two euros each, from one batch."""
    running = make.campaign(session, at, **(campaign or {}))
    offer = make.offer(session, at, running, limits=limits)
    of = make.batch(session, at, offer, **(batch or {}))
    return [make.coupon(session, at, of, **more) for _ in range(many)]


def told(refusal: Refusal) -> tuple[Why, str, dict[str, Any]]:
    reason = refusal.reasons[0]
    return reason.code, reason.rule, reason.needs


def test_a_campaign_gives_out_its_budget_and_not_a_cent_more(session: Session) -> None:
    at = make.shop(session)
    one, two, three = coupons(session, at, 3, campaign={"budget_minor": 599})
    redeemed(session, at, one)
    redeemed(session, at, two)

    refusal = refused(session, at, three)

    assert told(refusal) == (Why.BUDGET_SPENT, "campaign.max_minor", {"left_minor": 199})
    assert redeemed(session, at, three, basket=make.basket(199)).discount_minor == 199
    assert used(session, "9/") == [(3, 599)]


def test_a_campaign_has_as_many_redemptions_as_it_may(session: Session) -> None:
    at = make.shop(session)
    one, two, three = coupons(session, at, 3, campaign={"max_redemptions": 2})
    redeemed(session, at, one)
    redeemed(session, at, two)

    refusal = refused(session, at, three)

    assert told(refusal) == (Why.LIMIT_REACHED, "campaign.max_count", {"max_count": 2})


def test_a_batch_has_its_own_count_and_budget(session: Session) -> None:
    at = make.shop(session)
    counted = coupons(session, at, 2, batch={"max_redemptions": 1})
    other = make.shop(session)
    paid = coupons(session, other, 2, batch={"budget_minor": 300})
    redeemed(session, at, counted[0])
    redeemed(session, other, paid[0])

    by_count = refused(session, at, counted[1])
    by_money = refused(session, other, paid[1])

    assert told(by_count) == (Why.LIMIT_REACHED, "batch.max_count", {"max_count": 1})
    assert told(by_money) == (Why.BUDGET_SPENT, "batch.max_minor", {"left_minor": 100})


@pytest.mark.parametrize("place", ["campaign", "offer"])
@pytest.mark.parametrize(
    ("per", "why"),
    [
        (LimitPer.ALL, Why.LIMIT_REACHED),
        (LimitPer.STORE, Why.LIMIT_REACHED),
        (LimitPer.CUSTOMER, Why.CUSTOMER_LIMIT_REACHED),
    ],
)
def test_a_rule_of_campaign_or_offer_counts_redemptions(
    session: Session, place: str, per: LimitPer, why: Why
) -> None:
    at = make.shop(session)
    rules = (LimitRule(per=per, max_count=1),)
    customer_id = make.customer(session, at)
    one, two = (
        coupons(session, at, 2, limits=rules, customer_id=customer_id)
        if place == "offer"
        else coupons(session, at, 2, campaign={"limits": rules}, customer_id=customer_id)
    )
    redeemed(session, at, one)

    refusal = refused(session, at, two)

    assert told(refusal) == (why, f"{place}.limits[0].max_count", {"max_count": 1})


@pytest.mark.parametrize(
    ("per", "why"),
    [
        (LimitPer.ALL, Why.BUDGET_SPENT),
        (LimitPer.STORE, Why.BUDGET_SPENT),
        (LimitPer.CUSTOMER, Why.CUSTOMER_LIMIT_REACHED),
    ],
)
def test_a_rule_counts_money_as_well(session: Session, per: LimitPer, why: Why) -> None:
    at = make.shop(session)
    rules = (LimitRule(per=per, max_count=9, max_minor=350),)
    one, two = coupons(session, at, 2, limits=rules, customer_id=make.customer(session, at))
    redeemed(session, at, one)

    refusal = refused(session, at, two)

    assert told(refusal) == (why, "offer.limits[0].max_minor", {"left_minor": 150})


def test_each_store_has_its_own_ceiling(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    rules = (LimitRule(per=LimitPer.STORE, max_count=1),)
    one, two, three = coupons(session, at, 3, limits=rules)
    redeemed(session, at, one)

    refusal = refused(session, at, two)

    assert refusal.code is Why.LIMIT_REACHED
    assert redeemed(session, at, two, store_id=other.id, terminal_id=None).store_id == other.id
    assert refused(session, at, three, store_id=other.id, terminal_id=None).code is refusal.code


def test_each_customer_has_their_own_ceiling_and_nobody_has_none(session: Session) -> None:
    at = make.shop(session)
    rules = (LimitRule(per=LimitPer.CUSTOMER, max_count=1),)
    running = make.campaign(session, at)
    batch = make.batch(session, at, make.offer(session, at, running, limits=rules))
    ann, bob = make.customer(session, at), make.customer(session, at)

    def coupon_of(customer_id: Any) -> CouponView:
        return make.coupon(session, at, batch, customer_id=customer_id)

    redeemed(session, at, coupon_of(ann))
    redeemed(session, at, coupon_of(bob))
    for _ in range(2):
        redeemed(session, at, coupon_of(None))

    assert refused(session, at, coupon_of(ann)).code is Why.CUSTOMER_LIMIT_REACHED
    assert used(session, "1/") == [(1, 200), (1, 200)]


# NOON is Monday 2 March 2026, 13:00 in Berlin; there the clock goes forward on 29 March.
@pytest.mark.parametrize(
    ("period", "last", "next_one"),
    [
        (
            Period.DAY,
            datetime(2026, 3, 2, 22, 59, tzinfo=UTC),
            datetime(2026, 3, 2, 23, tzinfo=UTC),
        ),
        (
            Period.WEEK,
            datetime(2026, 3, 8, 22, 59, tzinfo=UTC),
            datetime(2026, 3, 8, 23, tzinfo=UTC),
        ),
        (
            Period.MONTH,
            datetime(2026, 3, 31, 21, 59, tzinfo=UTC),
            datetime(2026, 3, 31, 22, tzinfo=UTC),
        ),
    ],
)
def test_a_period_ends_when_the_campaigns_own_clock_says_so(
    session: Session, period: Period, last: datetime, next_one: datetime
) -> None:
    at = make.shop(session, zone="America/New_York")
    rules = (LimitRule(per=LimitPer.ALL, period=period, max_count=1),)
    one, two = coupons(session, at, 2, limits=rules, campaign={"zone": "Europe/Berlin"})
    redeemed(session, at, one)

    refusal = refused(session, at, two, now=last)

    assert refusal.code is Why.LIMIT_REACHED
    assert redeemed(session, at, two, now=next_one).discount_minor == 200


def test_every_broken_ceiling_is_told(session: Session) -> None:
    at = make.shop(session)
    rules = (LimitRule(per=LimitPer.STORE, max_count=1),)
    one, two = coupons(
        session, at, 2, campaign={"budget_minor": 300, "limits": rules}, batch={"budget_minor": 250}
    )
    redeemed(session, at, one)

    refusal = refused(session, at, two)

    assert {reason.rule for reason in refusal.reasons} == {
        "campaign.max_minor",
        "batch.max_minor",
        "campaign.limits[0].max_count",
    }


def test_versions_of_an_offer_share_their_count_and_each_goes_by_its_own_ceiling(
    session: Session,
) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    customer = make.customer(session, at)

    def rule(most: int) -> dict[str, Any]:
        return {"limits": (LimitRule(per=LimitPer.CUSTOMER, max_count=most),)}

    old = make.offer(session, at, running, **rule(1))
    old_batch = make.batch(session, at, old)
    of_old = [make.coupon(session, at, old_batch, customer_id=customer) for _ in range(2)]
    new = offers.create_offer(
        session,
        at.operator_id,
        NewOffer(
            id=make.an_id(), campaign_id=running.id, terms=make.terms(**rule(3)), replaces=old.id
        ),
        now=NOON,
    )
    new_batch = make.batch(session, at, new)
    of_new = [make.coupon(session, at, new_batch, customer_id=customer) for _ in range(3)]
    redeemed(session, at, of_old[0])

    for coupon in of_new[:2]:
        redeemed(session, at, coupon)

    assert refused(session, at, of_new[2]).reasons[0].needs == {"max_count": 3}
    assert refused(session, at, of_old[1]).reasons[0].needs == {"max_count": 1}
    assert used(session, "1/") == [(3, 600)]


def test_a_rule_about_issuing_asks_nothing_at_the_counter(session: Session) -> None:
    at = make.shop(session)
    rules = (LimitRule(of=LimitOf.ISSUE, per=LimitPer.ALL, max_count=1),)
    (coupon,) = coupons(session, at, 1, limits=rules)

    assert redeemed(session, at, coupon).discount_minor == 200
    assert used(session, "5/") == []


def test_a_gift_may_be_spent_in_more_parts_than_its_batch_has_coupons(session: Session) -> None:
    at = make.shop(session)
    gift = make.offer(session, at, benefit=GiftBalance(balance_minor=1_000))
    coupon = make.coupon(session, at, make.batch(session, at, gift, size=1))

    parts = [redeemed(session, at, coupon, basket=make.basket(100)) for _ in range(5)]

    assert parts[-1].balance_minor == 500
