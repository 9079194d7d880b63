"""A pause reaches every terminal that listens, and the counters, within seconds."""

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from queue import Empty, Queue
from socket import SHUT_RDWR
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response, StreamError, TransportError
from sqlalchemy import Engine, text

from api import pauses
from api.main import app
from api.pauses import differences
from coupon_engine import acting, batches, campaigns
from coupon_engine.database import looking, transaction
from schemas.approvals import PauseView
from schemas.campaigns import CampaignState, Move, NewMove, Stops
from schemas.coupons import CouponView
from tests import make
from tests.api.conftest import Clock, Codes, Counter
from tests.api.wire import serving

SECONDS = 5.0
"""What is promised between a pause and the last redemption that is accepted."""


class Stream:
    """One terminal's stream, read in a thread as a terminal would."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        self._events: Queue[tuple[str, Any]] = Queue()
        self.is_over = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        name = ""
        try:
            for line in self.answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self._events.put((name, json.loads(line.removeprefix("data: "))))
                elif line.startswith(":"):
                    self._events.put(("comment", line))
        except (TransportError, StreamError):
            pass  # we have hung up
        finally:
            self.is_over.set()

    def hears(self, *, within: float = SECONDS) -> tuple[str, Any]:
        return self._events.get(timeout=within)

    def hears_nothing(self, *, within: float) -> bool:
        try:
            self._events.get(timeout=within)
        except Empty:
            return True
        return False


@contextmanager
def listening(counter: Counter, url: str | None = None) -> Generator[Stream]:
    headers = {"Authorization": f"Bearer {counter.api_key}"}
    base = url or str(counter.client.base_url)
    with (
        Client(base_url=base, timeout=30) as client,
        client.stream("GET", "/v1/pauses", headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        try:
            yield Stream(answer)
        finally:  # closing alone waits for the thread that reads
            with suppress(OSError):
                stream = answer.extensions["network_stream"]
                stream.get_extra_info("socket").shutdown(SHUT_RDWR)


def moves(counter: Counter, campaign_id: Any, move: str, **more: Any) -> None:
    body = {"id": str(make.an_id()), "campaign_id": str(campaign_id), "reason": "told"}
    answer = counter.posts("/v1/moves", {**body, "move": move, **more})
    assert answer.status_code == 201, answer.text


def test_a_pause_is_heard_and_holds_at_every_counter_within_five_seconds(
    counter: Counter, coupon: CouponView, code_of: Codes, database: Engine
) -> None:
    with transaction(database) as session:
        lot = batches.batch_view(session, counter.at.operator_id, coupon.batch_id, now=make.NOON)
        another = make.coupon(session, counter.at, lot)
    first, second = code_of(coupon), code_of(another)
    with listening(counter) as stream:
        assert stream.hears() == ("stopped", [])
        assert counter.redeems(first).status_code == 201

        started = time.monotonic()
        moves(counter, coupon.campaign_id, "pause", stops="issuing_and_redeeming")
        heard = stream.hears()
        refused = counter.redeems(second)
        seconds = time.monotonic() - started

        moves(counter, coupon.campaign_id, "resume")
        went_on = stream.hears()

    assert heard == (
        "pause",
        {
            "campaign_id": str(coupon.campaign_id),
            "state": "paused",
            "stops": "issuing_and_redeeming",
        },
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "campaign_paused")
    assert seconds < SECONDS
    assert went_on[1] == {"campaign_id": str(coupon.campaign_id), "state": "running", "stops": None}
    assert counter.redeems(second).status_code == 201


def test_a_pause_at_one_server_is_heard_at_another(
    counter: Counter, coupon: CouponView, served: FastAPI, other_server: str
) -> None:
    with listening(counter, other_server) as stream:
        assert stream.hears() == ("stopped", [])

        moves(counter, coupon.campaign_id, "pause")

        name, told = stream.hears(within=1.5)
    assert (name, told["state"], told["stops"]) == ("pause", "paused", "issuing")


def test_what_was_stopped_before_is_told_first(
    counter: Counter, coupon: CouponView, database: Engine
) -> None:
    with transaction(database) as session:
        over, quiet = (make.campaign(session, counter.at) for _ in range(2))
    moves(counter, coupon.campaign_id, "pause")
    moves(counter, over.id, "end", stops="issuing_and_redeeming")
    moves(counter, quiet.id, "end")  # its coupons go on

    with listening(counter) as stream:
        name, told = stream.hears()

    assert name == "stopped"
    assert {each["campaign_id"]: each["state"] for each in told} == {
        str(coupon.campaign_id): "paused",
        str(over.id): "ended",
    }


def test_another_operators_pauses_are_not_told(
    counter: Counter, stranger: Counter, coupon: CouponView
) -> None:
    with listening(stranger) as stream:
        assert stream.hears() == ("stopped", [])

        moves(counter, coupon.campaign_id, "pause")

        assert stream.hears_nothing(within=2.5)


def test_a_lost_notification_is_made_up_for_within_seconds(
    counter: Counter, coupon: CouponView, database: Engine
) -> None:
    with listening(counter) as stream:
        assert stream.hears() == ("stopped", [])

        with database.begin() as connection:  # past the engine, so that nobody rings
            connection.execute(text("UPDATE campaign SET decided = 'paused', stops = 'issuing'"))

        assert stream.hears()[1]["state"] == "paused"


def test_a_listening_connection_that_broke_is_made_again(
    counter: Counter, coupon: CouponView, database: Engine
) -> None:
    with listening(counter) as stream:
        assert stream.hears() == ("stopped", [])
        with database.begin() as connection:
            killed = connection.execute(
                text("""
                    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'
                """)
            ).scalar_one()

        moves(counter, coupon.campaign_id, "pause")

        assert killed >= 1
        assert stream.hears()[1]["state"] == "paused"


def test_streams_hold_no_connection(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than there are connections, and everybody is still served."""
    with contexts([lambda: listening(counter)] * 30) as streams:
        for stream in streams:
            assert stream.hears() == ("stopped", [])

        assert counter.gets("/v1/campaigns").status_code == 200


def test_an_operator_has_only_so_many_streams_and_a_closed_one_makes_room(
    counter: Counter, stranger: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "MOST_OF_AN_OPERATOR", 2)
    with listening(counter) as one:
        one.hears()
        with listening(counter):
            refused = counter.gets("/v1/pauses")
            with listening(stranger) as theirs:
                assert theirs.hears()[0] == "stopped"
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_listeners")

        assert until(lambda: has_room(counter))


def test_a_server_has_only_so_many_streams(
    counter: Counter, stranger: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "MOST_IN_ALL", 1)
    with listening(counter) as one:
        one.hears()

        refused = stranger.gets("/v1/pauses")

    assert (refused.status_code, refused.json()["code"]) == (503, "busy")


def test_a_stream_ends_after_a_while_so_that_its_owner_is_asked_again(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "LONGEST_SECONDS", 0.5)

    with listening(counter) as stream:
        stream.hears()
        assert stream.is_over.wait(SECONDS)


def test_streams_end_when_the_server_does(counter: Counter, served: FastAPI) -> None:
    with listening(counter) as stream:
        stream.hears()

        served.state.pauses.end()

        assert stream.is_over.wait(SECONDS)
    assert counter.gets("/v1/pauses").status_code == 503


def test_a_stranger_hears_nothing(counter: Counter) -> None:
    assert counter.client.get("/v1/pauses").status_code == 401


def test_only_what_changed_is_told() -> None:
    one, two = (
        PauseView(campaign_id=make.an_id(), state=CampaignState.PAUSED, stops=stops)
        for stops in (Stops.ISSUING, Stops.ISSUING_AND_REDEEMING)
    )
    harder = one.model_copy(update={"stops": Stops.ISSUING_AND_REDEEMING})
    before = {one.campaign_id: one, two.campaign_id: two}

    assert differences(before, before) == []
    assert differences(before, {**before, one.campaign_id: harder}) == [harder]
    (gone,) = differences(before, {one.campaign_id: one})
    assert (gone.campaign_id, gone.state) == (two.campaign_id, CampaignState.RUNNING)


def test_a_pause_that_is_rolled_back_is_never_heard(
    counter: Counter, coupon: CouponView, database: Engine
) -> None:
    asked = NewMove(id=make.an_id(), campaign_id=coupon.campaign_id, move=Move.PAUSE, reason="no")
    with listening(counter) as stream:
        stream.hears()
        with looking(database, acting.by_system(counter.at.operator_id)) as session:
            campaigns.decide(session, counter.at.operator_id, asked, now=make.NOON)

        assert stream.hears_nothing(within=2.5)


@pytest.fixture
def other_server(settings: Any, limited: Engine, clock: Clock) -> Iterator[str]:
    with serving(app(settings, clock=clock, opening=lambda _: nullcontext(limited))) as url:
        yield url


def has_room(counter: Counter) -> bool:
    try:
        with listening(counter):
            return True
    except AssertionError:
        return False


def until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def contexts(makers: list[Callable[[], Any]]) -> Generator[list[Stream]]:
    with ExitStack() as opened:
        yield [opened.enter_context(make_one()) for make_one in makers]
