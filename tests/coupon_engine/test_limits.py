"""Ceilings on count and money: of everybody, each store and each customer, for ever or a while."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from coupon_engine import holding, offers
from schemas.campaigns import NewBatch, NewCampaign, NewCeiling, NewOffer
from schemas.coupons import CouponView
from schemas.offers import GiftBalance, LimitOf, LimitPer, LimitRule, Period, Terms
from schemas.refusals import Refusal, Why
from tests import make
from tests.coupon_engine.record import redeemed, refused, rows, taken_back, used
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


# The campaign's own rate, and its own ceiling for each customer.


def test_a_minute_has_as_many_redemptions_as_it_may_and_the_next_begins_anew(
    session: Session,
) -> None:
    at = make.shop(session)
    one, two, three, four = coupons(session, at, 4, campaign={"max_per_minute": 2})
    redeemed(session, at, one, now=NOON + timedelta(seconds=1))
    redeemed(session, at, two, now=NOON + timedelta(seconds=59))

    refusal = refused(session, at, three, now=NOON + timedelta(seconds=59))

    again = {"max_per_minute": 2, "from": "2026-03-02T12:01:00+00:00"}
    assert told(refusal) == (Why.LIMIT_REACHED, "campaign.max_per_minute", again)
    assert refusal.cashier.en == "Too many at once: try again today 13:01."
    assert refusal.customer.zh == "使用人数过多，今天 13:01起可再试。"
    for coupon in (three, four):
        redeemed(session, at, coupon, now=NOON + timedelta(minutes=1))


def test_a_spent_budget_is_told_before_a_busy_minute(session: Session) -> None:
    at = make.shop(session)
    one, two = coupons(session, at, 2, campaign={"max_per_minute": 1, "budget_minor": 200})
    redeemed(session, at, one)

    refusal = refused(session, at, two)

    assert [reason.rule for reason in refusal.reasons] == [
        "campaign.max_minor",
        "campaign.max_per_minute",
    ]
    assert refusal.code is Why.BUDGET_SPENT


def test_a_hold_has_its_place_in_the_minute_in_which_it_was_promised(session: Session) -> None:
    at = make.shop(session)
    one, two, three = coupons(session, at, 3, campaign={"max_per_minute": 1})
    promise = make.hold_request(at, one)
    holding.hold(session, at.operator_id, promise, make.of_coupon(one), now=NOON)
    assert refused(session, at, two).reasons[0].rule == "campaign.max_per_minute"
    later = NOON + timedelta(minutes=1)
    redeemed(session, at, two, now=later)

    kept = redeemed(session, at, one, hold_id=promise.id, now=later)

    assert kept.discount_minor == 200
    assert refused(session, at, three, now=later).reasons[0].rule == "campaign.max_per_minute"


def test_a_reversal_makes_no_room_in_its_minute(session: Session) -> None:
    at = make.shop(session)
    one, two = coupons(session, at, 2, campaign={"max_per_minute": 1})
    taken_back(session, at, redeemed(session, at, one))

    assert refused(session, at, two).reasons[0].rule == "campaign.max_per_minute"


def test_a_customer_redeems_as_often_as_the_campaign_lets_anyone(session: Session) -> None:
    at = make.shop(session)
    ann = make.customer(session, at)
    one, two, three = coupons(session, at, 3, campaign={"max_per_customer": 2}, customer_id=ann)
    redeemed(session, at, one)
    redeemed(session, at, two)

    refusal = refused(session, at, three)

    why = (Why.CUSTOMER_LIMIT_REACHED, "campaign.max_per_customer.max_count", {"max_count": 2})
    assert told(refusal) == why


def test_a_coupon_that_nobody_is_known_to_hold_has_no_customers_ceiling(session: Session) -> None:
    at = make.shop(session)

    for coupon in coupons(session, at, 3, campaign={"max_per_customer": 1}):
        redeemed(session, at, coupon)


# Every number has a bound.

BOUNDED = ("campaign", "batch", "coupon", "limit_row", "offer", "hold_claim")
# A count of versions, which a person makes one by one, each naming the one before.
COUNTED_BY_HAND = {("offer", "version")}
# What may be absent, and what holds then instead.
NULL_BY_DESIGN = {
    ("coupon", "activated_position"),  # none unless it is activated
    ("batch", "max_redemptions"),  # the batch's limit row has one all the same
    ("batch", "budget_minor"),
    ("coupon", "balance_minor"),  # no gift
}
# Bounded by the limit row under whose lock alone they are written.
BEHIND_A_LIMIT = {("hold_claim", "minor")}


def test_no_number_of_a_campaign_is_null_or_endless(session: Session) -> None:
    columns = rows(
        session,
        """
        SELECT table_name, column_name, is_nullable = 'YES' AS is_nullable
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name = ANY(:tables)
          AND data_type IN ('bigint', 'integer', 'smallint', 'numeric', 'double precision', 'real')
        """,
        tables=list(BOUNDED),
    )
    checks = rows(
        session,
        """
        SELECT conrelid::regclass::text AS table_name, pg_get_constraintdef(oid) AS rule
        FROM pg_constraint WHERE contype = 'c'
        """,
    )
    numbers = {(column.table_name, column.column_name) for column in columns}
    endless = {
        (table, name)
        for table, name in numbers
        if not any(
            check.table_name == table and re.search(rf'\b{name}"? <= ', check.rule)
            for check in checks
        )
    }

    assert len(numbers) > 25
    assert endless == COUNTED_BY_HAND | BEHIND_A_LIMIT
    assert {
        (column.table_name, column.column_name) for column in columns if column.is_nullable
    } == NULL_BY_DESIGN
    assert [column for column in columns if column.column_name.endswith("float")] == []


@pytest.mark.parametrize("asked", [NewCampaign, NewBatch, NewCeiling, Terms])
def test_every_number_that_is_asked_for_has_a_bound(asked: type[BaseModel]) -> None:
    numbers = dict(numbers_of(asked.model_json_schema()))

    assert numbers
    assert [path for path, part in numbers.items() if "maximum" not in part] == []
    assert [path for path, part in numbers.items() if part["type"] == "number"] == []


def test_an_endless_number_would_be_seen() -> None:
    class Endless(BaseModel):
        count: int
        rate: float = Field(le=1)

    found = dict(numbers_of(Endless.model_json_schema()))

    assert found["properties.count"].get("maximum") is None
    assert found["properties.rate"]["type"] == "number"


def numbers_of(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every number of a JSON schema, however deep."""
    if isinstance(part, dict):
        if part.get("type") in ("integer", "number"):
            yield path, part
        for name, each in part.items():
            yield from numbers_of(each, f"{path}.{name}".strip("."))
    if isinstance(part, list):
        for at, each in enumerate(part):
            yield from numbers_of(each, f"{path}[{at}]")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE campaign SET max_per_minute = NULL",
        "UPDATE campaign SET max_per_customer = 1000000001",
        "UPDATE campaign SET planned_per_minute = 0",
        "UPDATE limit_row SET max_count = 1000000001",
        "UPDATE limit_row SET max_minor = NULL",
        "UPDATE limit_row SET max_per_minute = NULL",
        "UPDATE limit_row SET minute_count = max_per_minute + 1",
        "UPDATE coupon SET uses = NULL",
        "UPDATE coupon SET uses = 1001",
        "UPDATE batch SET size = 1000000001",
    ],
)
def test_the_database_itself_refuses_what_is_endless(session: Session, change: str) -> None:
    make.coupon(session, make.shop(session))

    with pytest.raises(IntegrityError):
        rows(session, change)
