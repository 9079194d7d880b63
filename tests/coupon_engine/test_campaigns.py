"""What a person may decide about a campaign, and ceilings that move only when both agree."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import batches, campaigns, issuing
from coupon_engine.campaigns import MOVES
from coupon_engine.errors import (
    CeilingBelowUse,
    CeilingMoved,
    MoveNotAllowed,
    NotIssuing,
    RequestReused,
    Unknown,
)
from schemas.campaigns import (
    BatchMove,
    CampaignState,
    CampaignView,
    Ceiling,
    Move,
    NewBatch,
    NewBatchMove,
    NewCampaign,
    NewMove,
    Stops,
)
from schemas.coupons import NewCoupons
from tests import make
from tests.coupon_engine.moves import every_pair, way_to
from tests.coupon_engine.record import count, kinds, redeemed, refused, rows
from tests.make import NOON, Shop

START = NOON - timedelta(days=1)
END = NOON + timedelta(days=60)


def drafted(session: Session, at: Shop, **more: Any) -> CampaignView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": START,
        "ends_at": END,
        "budget_minor": 1_000,
        "max_redemptions": 5,
        "max_issued": 7,
    }
    return campaigns.create_campaign(
        session, at.operator_id, NewCampaign(**{**asked, **more}), now=NOON
    )


def decided(
    session: Session, at: Shop, of: CampaignView, move: Move, *, now: Any = NOON, **more: Any
) -> CampaignView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "reason": "told",
        "campaign_id": of.id,
        "move": move,
        **more,
    }
    if move is Move.APPROVE:
        return make.approved(session, at, of.id, now=now)
    return campaigns.decide(session, at.operator_id, NewMove(**asked), now=now)


def test_a_campaign_begins_as_a_draft_with_all_of_its_ceilings(session: Session) -> None:
    at = make.shop(session)

    made = drafted(session, at)

    assert made.state is CampaignState.DRAFT
    assert (made.budget_minor, made.max_redemptions, made.max_issued) == (1_000, 5, 7)
    assert (made.spent_minor, made.held_minor, made.redeemed_count, made.issued_count) == (0,) * 4
    assert kinds(session, made.id) == ["campaign_created"]
    assert (made.number, drafted(session, at).number) == (1, 2)
    assert drafted(session, make.shop(session)).number == 1


@pytest.mark.parametrize(("state", "move"), every_pair(MOVES, Move))
def test_every_move_from_every_state_leads_where_the_table_says_or_nowhere(
    session: Session, state: CampaignState, move: Move
) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    for step in way_to(MOVES, CampaignState.DRAFT, state):
        decided(session, at, campaign, step)
    told = len(kinds(session, campaign.id))

    if (target := MOVES[state].get(move)) is not None:
        decided(session, at, campaign, move)
        assert stands(session) == target
        kind = "campaign_approved" if move is Move.APPROVE else "campaign_decided"
        assert kinds(session, campaign.id)[told:] == [kind]
    else:
        with pytest.raises(MoveNotAllowed) as raised:
            decided(session, at, campaign, move)
        assert raised.value.details["allowed"] == sorted(MOVES[state])
        assert stands(session) == state
        assert len(kinds(session, campaign.id)) == told


def stands(session: Session) -> str:
    (row,) = rows(session, "SELECT decided FROM campaign")
    return row.decided


def test_every_state_that_a_move_leads_to_is_in_the_table() -> None:
    led_to = {target for moves in MOVES.values() for target in moves.values()}

    assert led_to | {CampaignState.DRAFT} == set(MOVES)


def test_the_dates_make_an_approved_campaign_scheduled_running_and_over(session: Session) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    decided(session, at, campaign, Move.APPROVE)

    def state(now: Any) -> CampaignState:
        return campaigns.campaign_view(session, at.operator_id, campaign.id, now=now).state

    a_moment = timedelta(microseconds=1)
    assert state(START - a_moment) is CampaignState.SCHEDULED
    assert state(START) is CampaignState.RUNNING
    assert state(END - a_moment) is CampaignState.RUNNING
    assert state(END) is CampaignState.ENDED
    decided(session, at, campaign, Move.PAUSE)
    assert state(START - a_moment) is CampaignState.PAUSED
    assert state(END) is CampaignState.ENDED


def test_a_pause_says_what_it_stops_and_resuming_forgets_it(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)

    paused = decided(session, at, campaign, Move.PAUSE, stops=Stops.ISSUING_AND_REDEEMING)
    resumed = decided(session, at, campaign, Move.RESUME)

    assert (paused.state, paused.stops) == (CampaignState.PAUSED, Stops.ISSUING_AND_REDEEMING)
    assert (resumed.state, resumed.stops) == (CampaignState.RUNNING, None)
    told = rows(session, "SELECT data FROM event WHERE kind = 'campaign_decided' ORDER BY id")
    assert told[0].data == {
        "move": "pause",
        "reason": "told",
        "stops": "issuing_and_redeeming",
        "from": "approved",
        "to": "paused",
        "before": {"state": "approved", "stops": None},
        "after": {"state": "paused", "stops": "issuing_and_redeeming"},
    }


def test_a_decision_told_twice_is_taken_once(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    id = make.an_id()
    first = decided(session, at, campaign, Move.PAUSE, id=id)

    again = decided(session, at, campaign, Move.PAUSE, id=id, now=NOON + timedelta(days=1))

    assert again == first
    with pytest.raises(RequestReused):
        decided(session, at, campaign, Move.END, id=id)


@pytest.mark.parametrize("ceiling", list(Ceiling))
def test_a_ceiling_moves_from_where_its_mover_believes_it_stands(
    session: Session, ceiling: Ceiling
) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    stood = getattr(campaign, ceiling.value)

    answer = make.moved(session, at, campaign, ceiling, stood, 50)

    assert (answer.previous, answer.target) == (stood, 50)
    seen = campaigns.campaign_view(session, at.operator_id, campaign.id, now=NOON)
    expected = {**campaign.model_dump(), ceiling.value: 50}
    assert seen.model_dump() == expected
    with pytest.raises(CeilingMoved) as raised:
        make.moved(session, at, campaign, ceiling, stood, 60)
    assert raised.value.details == {"current": 50}
    assert kinds(session, campaign.id) == ["campaign_created", "ceiling_moved"]


def test_no_ceiling_sinks_below_what_was_given_out(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at, budget_minor=1_000, max_redemptions=5, max_issued=7)
    batch = make.batch(session, at, make.offer(session, at, campaign))
    coupons = [make.coupon(session, at, batch) for _ in range(3)]
    for coupon in coupons[:2]:
        redeemed(session, at, coupon)

    for ceiling, stood, in_use in (
        (Ceiling.BUDGET_MINOR, 1_000, 400),
        (Ceiling.MAX_REDEMPTIONS, 5, 2),
        (Ceiling.MAX_ISSUED, 7, 3),
    ):
        with pytest.raises(CeilingBelowUse) as raised:
            make.moved(session, at, campaign, ceiling, stood, in_use - 1)
        assert raised.value.details == {"in_use": in_use}
        assert make.moved(session, at, campaign, ceiling, stood, in_use).target == in_use

    assert refused(session, at, coupons[2]).code == "limit_reached"


def test_a_raised_budget_lets_the_next_coupon_through(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at, budget_minor=200)
    batch = make.batch(session, at, make.offer(session, at, campaign))
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    redeemed(session, at, one)
    assert refused(session, at, two).code == "budget_spent"

    raised = make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 200, 400)

    assert raised.pending
    assert refused(session, at, two).code == "budget_spent"
    make.approved(session, at, campaign.id)
    assert redeemed(session, at, two).discount_minor == 200


def test_another_operators_campaign_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    campaign = make.campaign(session, at)

    for attempt in (
        lambda: decided(session, stranger, campaign, Move.END),
        lambda: make.moved(session, stranger, campaign, Ceiling.BUDGET_MINOR, 1_000_000, 1),
        lambda: campaigns.campaign_view(session, stranger.operator_id, campaign.id, now=NOON),
    ):
        with pytest.raises(Unknown):
            attempt()

    listed = campaigns.campaign_views(session, stranger.operator_id, after=None, most=9, now=NOON)
    assert listed == []
    assert count(session, "event WHERE kind = 'ceiling_moved'") == 0


def test_campaigns_are_listed_page_by_page(session: Session) -> None:
    at = make.shop(session)
    made = sorted(drafted(session, at).id for _ in range(3))

    def page(after: Any) -> list[Any]:
        views = campaigns.campaign_views(session, at.operator_id, after=after, most=2, now=NOON)
        return [view.id for view in views]

    assert page(None) == made[:2]
    assert page(made[1]) == made[2:]


# No coupon lives in a campaign that nobody has approved, or that is over.


@pytest.mark.parametrize("way", [(), (Move.SUBMIT,), (Move.ARCHIVE,)])
def test_a_campaign_that_nobody_approved_has_no_live_coupons(
    session: Session, way: tuple[Move, ...]
) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    offer = make.offer(session, at, campaign)
    asked = NewBatch(id=make.an_id(), offer_id=offer.id, name="x", size=5, has_short_codes=True)
    batch = batches.create_batch(session, at.operator_id, asked, now=NOON)
    for move in way:
        decided(session, at, campaign, move)

    with pytest.raises(NotIssuing):
        make.coupon(session, at, batch)
    lot = NewCoupons(id=make.an_id(), batch_id=batch.id, unclaimed=2)
    with pytest.raises(NotIssuing):
        issuing.issue_many(session, at.operator_id, lot, code_secret=make.SECRET, now=NOON)

    assert count(session, "coupon") == 0


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (CampaignState.DRAFT, "campaign_not_running"),
        (CampaignState.IN_REVIEW, "campaign_not_running"),
        (CampaignState.PAUSED, "campaign_paused"),
        (CampaignState.ENDED, "campaign_ended"),
        (CampaignState.ARCHIVED, "campaign_ended"),
    ],
)
def test_no_coupon_is_redeemed_in_a_state_that_is_not_live(
    session: Session, state: CampaignState, code: str
) -> None:
    """Even if one had come to be there: the judge looks at the campaign, not at how it came."""
    at = make.shop(session)
    coupon = make.coupon(session, at)
    rows_changed = "UPDATE campaign SET decided = :state, stops = 'issuing_and_redeeming'"
    session.connection().execute(text(rows_changed), {"state": state})

    assert refused(session, at, coupon).code == code


@pytest.mark.parametrize("move", [BatchMove.CLOSE, BatchMove.REVOKE])
def test_a_closed_lot_gives_out_nothing_for_ever(session: Session, move: BatchMove) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    batch = make.batch(session, at, make.offer(session, at, campaign))
    asked = NewBatchMove(id=make.an_id(), batch_id=batch.id, move=move, reason="over")
    batches.decide_batch(session, at.operator_id, asked, now=NOON)
    make.approved(session, at, campaign.id)

    with pytest.raises(NotIssuing):
        make.coupon(session, at, batch)
    again = NewBatchMove(id=make.an_id(), batch_id=batch.id, move=BatchMove.RESUME, reason="x")
    with pytest.raises(MoveNotAllowed):
        batches.decide_batch(session, at.operator_id, again, now=NOON)


def test_a_campaign_whose_dates_are_over_gives_out_nothing(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)

    with pytest.raises(NotIssuing) as raised:
        make.coupon(session, at, batch, now=END)

    assert raised.value.details == {"campaign_state": "ended"}
