"""The figures of a campaign say what the record says, step by step, and promise nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import Session

from coupon_engine.figures import figures
from coupon_engine.reports import report
from schemas.campaigns import BatchView, CampaignView
from schemas.figures import Figured, FiguresView, Funnel
from tests import make
from tests.coupon_engine.record import redeemed, taken_back
from tests.make import NOON, Shop


def running(session: Session, at: Shop, **more: Any) -> tuple[CampaignView, BatchView]:
    of = make.campaign(session, at, starts_at=NOON - timedelta(days=1), **more)
    return of, make.batch(session, at, make.offer(session, at, of))


def looked(
    session: Session, at: Shop, of: CampaignView, *, now: datetime = NOON, **figured: Any
) -> FiguresView:
    return figures(session, at.operator_id, of.id, Figured(**figured), now=now)


def test_a_curve_has_every_step_and_adds_up_to_the_report(session: Session) -> None:
    at = make.shop(session)
    of, batch = running(session, at)
    one, two, three = (make.coupon(session, at, batch) for _ in range(3))
    redeemed(session, at, one, now=NOON + timedelta(hours=1))
    redeemed(session, at, two, now=NOON + timedelta(days=2))
    taken_back(session, at, redeemed(session, at, three, now=NOON))

    seen = looked(session, at, of, now=NOON + timedelta(days=3))

    (told,) = report(session, at.operator_id, now=NOON).campaigns
    assert [point.redeemed for point in seen.points] == [0, 1, 0, 1, 0]
    assert sum(point.redeemed for point in seen.points) == told.redeemed
    assert sum(point.discount_minor for point in seen.points) == told.discount_minor
    assert sum(point.reversed for point in seen.points) == told.reversed
    assert seen.funnel == Funnel(issued=3, held=3, redeemed=2, reversed=1)


def test_days_begin_at_midnight_where_the_campaign_is(session: Session) -> None:
    at = make.shop(session)
    of, batch = running(session, at, zone="Asia/Tokyo")
    redeemed(session, at, make.coupon(session, at, batch), now=NOON + timedelta(hours=3))

    seen = looked(session, at, of, now=NOON + timedelta(days=1))

    assert all(point.at.astimezone(UTC).hour == 15 for point in seen.points)
    assert [point.redeemed for point in seen.points] == [0, 0, 1]


def test_a_day_of_23_hours_is_one_step(session: Session) -> None:
    at = make.shop(session)
    start = datetime(2026, 3, 27, 12, tzinfo=UTC)
    of = make.campaign(session, at, starts_at=start, now=start)

    seen = looked(session, at, of, now=start + timedelta(days=4))

    hours = [point.at.astimezone(UTC).hour for point in seen.points]
    assert hours == [23, 23, 23, 22, 22]


def test_hours_of_the_day_are_the_stores_own(session: Session) -> None:
    at = make.shop(session, zone="Asia/Shanghai")
    of, batch = running(session, at)
    redeemed(session, at, make.coupon(session, at, batch))

    (warm,) = looked(session, at, of, now=NOON + timedelta(hours=1)).warmth

    assert (warm.store_id, warm.hour, warm.redeemed) == (at.store.id, 20, 1)


def test_whoever_is_tied_to_stores_sees_those_alone_and_no_forecast(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    of, batch = running(session, at)
    redeemed(session, at, make.coupon(session, at, batch))
    later = NOON + timedelta(days=1)

    own = figures(session, at.operator_id, of.id, Figured(), store_ids=[at.store.id], now=later)
    others = figures(session, at.operator_id, of.id, Figured(), store_ids=[other.id], now=later)
    asked_for = figures(
        session,
        at.operator_id,
        of.id,
        Figured(store_id=at.store.id),
        store_ids=[other.id],
        now=later,
    )

    assert [sum(p.redeemed for p in each.points) for each in (own, others, asked_for)] == [1, 0, 0]
    assert own.forecast is None
    assert others.warmth == ()


def test_a_forecast_goes_on_as_the_last_days_went(session: Session) -> None:
    at = make.shop(session)
    of, batch = running(session, at, budget_minor=1_000, ends_at=NOON + timedelta(days=9))
    for hours in (1, 2):
        coupon = make.coupon(session, at, batch)
        redeemed(session, at, coupon, now=NOON + timedelta(hours=hours))
    now = NOON + timedelta(days=1)

    forecast = looked(session, at, of, now=now).forecast

    # 4.00 in two days is 2.00 a day; the 6.00 that are left last three days of the eight.
    assert forecast is not None
    assert (forecast.days_looked_at, forecast.per_day_minor) == (2, 200)
    assert forecast.ends_with_minor == 1_000
    assert forecast.stops_at == now + timedelta(days=3)


def test_there_is_no_pace_before_the_first_day_is_over_nor_after_the_end(session: Session) -> None:
    at = make.shop(session)
    of, _ = running(session, at)

    assert looked(session, at, of, now=of.starts_at + timedelta(hours=23)).forecast is None
    assert looked(session, at, of, now=of.ends_at).forecast is None


def test_no_more_steps_are_asked_for_than_can_be_drawn() -> None:
    with pytest.raises(ValidationError, match="at most 31 days"):
        Figured(since=NOON, until=NOON + timedelta(days=32), step="hour")
