"""A campaign that gives out five times what was planned pauses by itself, at once."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import acting, approving, breaker, campaigns, issuing
from coupon_engine.errors import ApprovalNeeded, NotIssuing, SecondPersonNeeded
from schemas.access import Actor, ActorKind, Role
from schemas.approvals import NewApproval
from schemas.campaigns import BatchView, CampaignState, Move, NewMove, StoppedBy, Stops
from schemas.coupons import NewClaim, NewCoupons
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, refused, rows
from tests.make import NOON, Shop

MINUTE = timedelta(minutes=1)


def batch_of(session: Session, at: Shop, **more: Any) -> BatchView:
    campaign = make.campaign(session, at, **more)
    return make.batch(session, at, make.offer(session, at, campaign))


def stands(session: Session, at: Shop, batch: BatchView) -> tuple[Any, ...]:
    seen = campaigns.campaign_view(session, at.operator_id, batch.campaign_id, now=NOON)
    return seen.state, seen.stops, seen.stopped_by


def resumed(session: Session, at: Shop, batch: BatchView) -> Any:
    asked = NewMove(
        id=make.an_id(), campaign_id=batch.campaign_id, move=Move.RESUME, reason="looked"
    )
    return campaigns.decide(session, at.operator_id, asked, now=NOON)


def test_the_coupon_that_fills_the_minute_is_the_last_one(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=2)
    for _ in range(9):
        make.coupon(session, at, batch)
    assert stands(session, at, batch) == (CampaignState.RUNNING, None, None)

    make.coupon(session, at, batch)

    tripped = (CampaignState.PAUSED, Stops.ISSUING, StoppedBy.BREAKER)
    assert stands(session, at, batch) == tripped
    assert kinds(session, batch.campaign_id)[-1] == "breaker_tripped"
    with pytest.raises(NotIssuing) as raised:
        make.coupon(session, at, batch)
    assert raised.value.details == {"campaign_state": "paused"}
    assert count(session, "coupon") == 10


def test_claims_trip_it_as_single_issues_do(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)

    for _ in range(5):
        claim = NewClaim(id=make.an_id(), batch_id=batch.id, customer_id=make.customer(session, at))
        issuing.claim(session, at.operator_id, claim, code_secret=make.SECRET, now=NOON)

    assert stands(session, at, batch)[2] is StoppedBy.BREAKER


def test_a_busy_minute_within_the_plan_begins_anew_with_the_next(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)

    for minute in range(3):
        for _ in range(4):
            make.coupon(session, at, batch, now=NOON + minute * MINUTE)

    assert stands(session, at, batch) == (CampaignState.RUNNING, None, None)


def test_a_lot_of_thousands_says_nothing_about_how_many_come(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)

    lot = NewCoupons(id=make.an_id(), batch_id=batch.id, unclaimed=3_000)
    issuing.issue_many(session, at.operator_id, lot, code_secret=make.SECRET, now=NOON)

    assert stands(session, at, batch) == (CampaignState.RUNNING, None, None)
    assert make.coupon(session, at, batch).batch_id == batch.id


def test_lots_of_one_are_counted_like_single_coupons(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=2)
    for _ in range(10):
        asked = NewCoupons(id=make.an_id(), batch_id=batch.id, unclaimed=1)
        issuing.issue_many(session, at.operator_id, asked, code_secret=make.SECRET, now=NOON)

    assert stands(session, at, batch)[0] is CampaignState.PAUSED


def test_coupons_that_are_out_are_honoured_while_issuing_is_stopped(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)
    coupons = [make.coupon(session, at, batch) for _ in range(5)]

    assert redeemed(session, at, coupons[0]).discount_minor == 200


def test_money_that_goes_five_times_as_fast_as_planned_stops_everything(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_minor_per_minute=100)
    one, two, three, four = (make.coupon(session, at, batch) for _ in range(4))
    redeemed(session, at, one)
    redeemed(session, at, two)
    assert stands(session, at, batch) == (CampaignState.RUNNING, None, None)

    redeemed(session, at, three)

    stopped = (CampaignState.PAUSED, Stops.ISSUING_AND_REDEEMING, StoppedBy.BREAKER)
    assert stands(session, at, batch) == stopped
    assert refused(session, at, four).code is Why.CAMPAIGN_PAUSED
    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'breaker_tripped'")
    assert (event.data["minute_minor"], event.data["most_minor_in_a_minute"]) == (600, 500)


def test_what_has_tripped_does_not_trip_again(session: Session) -> None:
    """The second had seen the minute full before it heard of the first."""
    at = make.shop(session)
    batch = batch_of(session, at)
    for stops in (Stops.ISSUING, Stops.ISSUING_AND_REDEEMING):
        breaker.trip(session, at.operator_id, batch.campaign_id, stops, {"minute": 9}, now=NOON)

    tripped = (CampaignState.PAUSED, Stops.ISSUING, StoppedBy.BREAKER)
    assert stands(session, at, batch) == tripped
    assert kinds(session, batch.campaign_id).count("breaker_tripped") == 1


def test_what_a_person_has_paused_is_not_the_breakers(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at)
    asked = NewMove(
        id=make.an_id(),
        campaign_id=batch.campaign_id,
        move=Move.PAUSE,
        reason="looks odd",
        stops=Stops.ISSUING,
    )
    campaigns.decide(session, at.operator_id, asked, now=NOON)

    stops = Stops.ISSUING_AND_REDEEMING
    breaker.trip(session, at.operator_id, batch.campaign_id, stops, {"minute": 9}, now=NOON)

    assert stands(session, at, batch) == (CampaignState.PAUSED, Stops.ISSUING, None)


def test_going_on_takes_a_person_who_has_looked(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)
    for _ in range(5):
        make.coupon(session, at, batch)
    with pytest.raises(ApprovalNeeded):
        resumed(session, at, batch)

    program = Actor(kind=ActorKind.API_KEY, id="k", name="k", role=Role.INTEGRATOR)
    with pytest.raises(SecondPersonNeeded):
        make.approved(session, at, batch.campaign_id, by=program)
    acting.enter(session, at.operator_id, acting.SYSTEM)
    diff = approving.diff(session, at.operator_id, batch.campaign_id, now=NOON)
    assert [(each.path, each.after) for each in diff.changes] == [
        ("campaign.stopped_by", "breaker")
    ]
    make.approved(session, at, batch.campaign_id)

    assert stands(session, at, batch) == (CampaignState.PAUSED, Stops.ISSUING, None)
    assert resumed(session, at, batch).state is CampaignState.RUNNING
    again = approving.diff(session, at.operator_id, batch.campaign_id, now=NOON)
    assert again.changes == ()


def test_what_was_seen_before_it_tripped_is_no_yes_to_going_on(session: Session) -> None:
    at = make.shop(session)
    batch = batch_of(session, at, planned_per_minute=1)
    seen = approving.diff(session, at.operator_id, batch.campaign_id, now=NOON).fingerprint
    for _ in range(5):
        make.coupon(session, at, batch)
    acting.enter(session, at.operator_id, make.SECOND_PERSON)
    asked = NewApproval(
        id=make.an_id(), campaign_id=batch.campaign_id, seen=seen, reason="as always"
    )

    with pytest.raises(Exception, match="look again"):
        approving.approve(session, at.operator_id, asked, now=NOON)


# The leak alarm.


def test_a_spent_coupon_that_is_shown_ten_times_in_an_hour_has_leaked(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    redeemed(session, at, coupon)
    for _ in range(9):
        assert refused(session, at, coupon).code is Why.ALREADY_REDEEMED
    assert count(session, "event WHERE kind = 'code_leaked'") == 0

    for _ in range(11):
        refused(session, at, coupon)

    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'code_leaked'")
    assert (event.subject_id, event.data["attempts"]) == (coupon.id, 10)
    assert count(session, "outbox WHERE kind = 'code_leaked'") == 1


def test_the_alarm_sounds_again_in_the_next_hour_if_it_goes_on(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    redeemed(session, at, coupon)
    for hour in range(2):
        for _ in range(10):
            refused(session, at, coupon, now=NOON + hour * timedelta(hours=1))

    assert count(session, "event WHERE kind = 'code_leaked'") == 2


def test_other_refusals_are_no_leak(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at)
    late = NOON + timedelta(days=40)
    for _ in range(12):
        assert refused(session, at, coupon, now=late).code is Why.EXPIRED

    assert count(session, "event WHERE kind = 'code_leaked'") == 0
    assert count(session, "tries") == 0
