"""A batch is a counted lot; closing it leaves the coupons that are out alone."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import batches, offers
from coupon_engine.batches import MOVES
from coupon_engine.errors import (
    MoveNotAllowed,
    OfferSuperseded,
    RequestReused,
    TermsMismatch,
    Unknown,
)
from schemas.campaigns import (
    BatchMove,
    BatchState,
    BatchView,
    Level,
    NewBatch,
    NewBatchMove,
    NewOffer,
)
from schemas.offers import GiftBalance
from tests import make
from tests.coupon_engine.moves import every_pair, way_to
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, Shop


def decided(session: Session, at: Shop, of: BatchView, move: BatchMove, **more: Any) -> BatchView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "reason": "told",
        "batch_id": of.id,
        "move": move,
        **more,
    }
    return batches.decide_batch(session, at.operator_id, NewBatchMove(**asked), now=NOON)


@pytest.mark.parametrize(("state", "move"), every_pair(MOVES, BatchMove))
def test_every_move_from_every_state_leads_where_the_table_says_or_nowhere(
    session: Session, state: BatchState, move: BatchMove
) -> None:
    at = make.shop(session)
    batch = make.batch(session, at)
    for step in way_to(MOVES, BatchState.READY, state):
        decided(session, at, batch, step)
    told = len(kinds(session, batch.id))

    if (target := MOVES[state].get(move)) is not None:
        assert decided(session, at, batch, move).state is target
        assert kinds(session, batch.id)[told:] == ["batch_decided"]
    else:
        with pytest.raises(MoveNotAllowed) as raised:
            decided(session, at, batch, move)
        assert raised.value.details["allowed"] == sorted(MOVES[state])
        seen = batches.batch_view(session, at.operator_id, batch.id, now=NOON)
        assert seen.state is state
        assert len(kinds(session, batch.id)) == told


def test_every_state_that_a_move_leads_to_is_in_the_table() -> None:
    led_to = {target for moves in MOVES.values() for target in moves.values()}

    assert led_to | {BatchState.READY} == set(MOVES)


def test_a_batch_is_issuing_and_exhausted_by_what_is_out(session: Session) -> None:
    at = make.shop(session)
    batch = make.batch(session, at, size=2)

    def state() -> BatchState:
        return batches.batch_view(session, at.operator_id, batch.id, now=NOON).state

    seen = [state()]
    for _ in range(2):
        make.coupon(session, at, batch)
        seen.append(state())

    assert seen == [BatchState.READY, BatchState.ISSUING, BatchState.EXHAUSTED]
    assert decided(session, at, batch, BatchMove.PAUSE).state is BatchState.PAUSED
    assert decided(session, at, batch, BatchMove.RESUME).state is BatchState.EXHAUSTED


def test_a_batch_may_be_redeemed_as_often_as_its_coupons_can(session: Session) -> None:
    at = make.shop(session)
    thrice = make.batch(session, at, make.offer(session, at, uses=3), size=4)
    limited = make.batch(session, at, size=4, max_redemptions=2, budget_minor=500)
    gift = make.batch(
        session, at, make.offer(session, at, benefit=GiftBalance(balance_minor=9)), size=4
    )

    def ceiling(batch: BatchView) -> tuple[int, int]:
        key = f"7/{batch.id}/redeem"
        (row,) = rows(session, "SELECT * FROM limit_row WHERE key = :key", key=key)
        return row.max_count, row.max_minor

    assert ceiling(thrice) == (12, 10**12)
    assert ceiling(limited) == (2, 500)
    assert ceiling(gift) == (10**9, 10**12)


def test_a_batch_is_made_of_the_newest_version_only(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    old = make.offer(session, at, running)
    asked = NewOffer(id=make.an_id(), campaign_id=running.id, terms=make.terms(), replaces=old.id)
    new = offers.create_offer(session, at.operator_id, asked, now=NOON)

    with pytest.raises(OfferSuperseded) as raised:
        make.batch(session, at, old)

    assert raised.value.details == {"offer_id": str(old.id)}
    assert make.batch(session, at, new).offer_id == new.id


def test_coupons_that_are_nothing_but_a_short_code_have_one(session: Session) -> None:
    at = make.shop(session)
    typed = make.offer(session, at, make.campaign(session, at, level=Level.SHORT_CODE))

    with pytest.raises(TermsMismatch):
        make.batch(session, at, typed)

    assert make.batch(session, at, typed, has_short_codes=True).has_short_codes
    assert count(session, "batch") == 1


def test_a_batch_made_twice_under_one_id_is_one_batch(session: Session) -> None:
    at = make.shop(session)
    asked = NewBatch(id=make.an_id(), offer_id=make.offer(session, at).id, name="First", size=5)
    first = batches.create_batch(session, at.operator_id, asked, now=NOON)

    again = batches.create_batch(session, at.operator_id, asked, now=NOON + timedelta(days=1))

    assert again == first
    larger = asked.model_copy(update={"size": 6})
    with pytest.raises(RequestReused):
        batches.create_batch(session, at.operator_id, larger, now=NOON)
    assert count(session, "limit_row WHERE key LIKE '7/%'") == 2


def test_another_operators_batch_and_offer_are_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    offer = make.offer(session, at)
    batch = make.batch(session, at, offer)

    for attempt in (
        lambda: make.batch(session, stranger, offer),
        lambda: decided(session, stranger, batch, BatchMove.CLOSE),
        lambda: batches.batch_view(session, stranger.operator_id, batch.id, now=NOON),
    ):
        with pytest.raises(Unknown):
            attempt()
