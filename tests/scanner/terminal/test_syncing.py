"""Rounds with the server: each step alone may fail, and nothing is lost or doubled by it."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import httpx
import pytest

from coupon_engine.validation.token import Typ, sign_typed
from scanner.terminal import syncing
from scanner.terminal.journal import _said_in, hash_of
from scanner.terminal.syncing import Kept, Round, Step, Syncing, wait_seconds
from schemas.journals import Acknowledgement, AnswerView, EntryAnswer
from schemas.offline import ListNamed
from schemas.refusals import Why
from tests.scanner.terminal.counters import Answer, One, a_terminal, away, says
from tests.scanner.terminal.shop import (
    NUMBER,
    SECOND,
    SERVER,
    Hands,
    bundle,
    bundle_jwt,
    campaign,
    coupon,
    jwk,
    list_jwt,
    shown,
    total,
)

EVERY = frozenset(Step)
PAUSED = campaign(is_paused=True)


@dataclass
class AServer:
    """The server as a terminal meets it; `wrong` says which path answers otherwise."""

    id: UUID
    hands: Hands
    wrong: dict[str, Answer] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)
    uploads: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    leases: list[dict[str, Any]] = field(default_factory=list)
    answers: list[AnswerView] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    until: int = 0
    has_authority: bool = False
    ver: int = 10
    list_ver: int = 1_000
    campaigns: tuple[Any, ...] = ()
    cashiers: list[Any] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.paths.append(request.url.raw_path.decode())
        for start, answer in self.wrong.items():
            if path.startswith(start):
                return answer(request)
        if path == "/v1/leases":
            self.leases.append(json.loads(request.content))
            self.until = int(self.hands.wall.timestamp()) + self.leases[-1]["lasts_seconds"]
            self.ver += 1
            return httpx.Response(201, json={})
        if path == "/v1/bundle":
            return self._bundle(request)
        if path.startswith("/v1/status-lists/"):
            return self._list(request)
        if path == "/v1/journals":
            return self._upload(request)
        if path == "/v1/cashiers":
            return httpx.Response(200, json=self.cashiers)
        assert path == "/v1/journals/acknowledgement"
        return httpx.Response(200, text=self._acknowledgement())

    def _bundle(self, request: httpx.Request) -> httpx.Response:
        mark = f'"{self.ver}"'
        if request.headers.get("if-none-match") == mark:
            return httpx.Response(304, headers={"ETag": mark})
        told = bundle(
            *self.campaigns,
            ver=self.ver,
            terminal_id=self.id,
            lease_id=UUID(int=100 + len(self.leases)),
            lease_number=len(self.leases),
            is_authority=self.has_authority,
            hub_url=self.leases[-1].get("hub_url") if self.leases else None,
            lease_until=self.until,
            exp=self.until,
            lists=(ListNamed(cmp=NUMBER, shard=0, ver=self.list_ver),),
        )
        return httpx.Response(200, text=bundle_jwt(told), headers={"ETag": mark})

    def _list(self, request: httpx.Request) -> httpx.Response:
        since = request.url.params.get("since")
        text = list_jwt(
            self.used,
            ver=self.list_ver,
            since=int(since) if since else None,
            exp=self.until,
        )
        return httpx.Response(200, text=text)

    def _upload(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)["entries"]
        self.uploads.append(len(sent))
        self.entries += [each for each in sent if each not in self.entries]
        body = {"id": str(UUID(int=9)), "acknowledgement": self._acknowledgement(), "unread": []}
        return httpx.Response(201, json=body)

    def _acknowledgement(self) -> str:
        known = self.entries
        told = Acknowledgement(
            dev=self.id,
            seq=len(known),
            hash=hash_of(known[-1]) if known else "0" * 64,
            iat=SECOND + len(self.paths),
            gaps=(),
            answers=tuple(self.answers),
        )
        return sign_typed(told.model_dump(mode="json"), SERVER, Typ.ACKNOWLEDGEMENT)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [dict(_said_in(each)) for each in self.entries]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[One]:
    with a_terminal(tmp_path) as made:
        yield made


@pytest.fixture
def server(one: One) -> AServer:
    made = AServer(one.id, one.hands)
    one.server._client = httpx.Client(
        base_url="https://coupons.test", transport=httpx.MockTransport(made)
    )
    return made


@pytest.fixture
def keeps(one: One, server: AServer, tmp_path: Path) -> Callable[..., Syncing]:
    def keeps(**more: Any) -> Syncing:
        leased = tmp_path / "leased"
        return Syncing(one.server, one.terminal, server_key=jwk(SERVER), leased_file=leased, **more)

    return keeps


Keeps = Callable[..., Syncing]


def redeems_alone(one: One, many: int = 1) -> None:
    one.terminal.heard(is_online=False)
    for _ in range(many):
        screen = one.terminal.redeem(shown(coupon()), basket=total(1_000))
        assert screen.code == "ok_offline", screen


def test_the_first_round_makes_a_terminal_that_can_work_alone(
    one: One, server: AServer, keeps: Keeps
) -> None:
    outcome = keeps().round()

    assert (outcome.is_whole, outcome.done) == (True, EVERY)
    redeems_alone(one)
    assert [each["kind"] for each in server.told] == ["leased"]
    assert [each["wants_authority"] for each in server.leases] == [False]


def test_what_was_done_alone_goes_up_in_order_and_portions(
    one: One, server: AServer, keeps: Keeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "MOST_ENTRIES", 3)
    going = keeps()
    going.round()
    redeems_alone(one, 7)

    outcome = going.round()

    assert outcome.is_whole
    assert [each["seq"] for each in server.told] == list(range(1, 9))
    assert server.uploads == [1, 3, 3, 1]
    assert one.journal.unsent(100) == []


def test_a_portion_weighs_no_more_than_it_may(
    one: One, server: AServer, keeps: Keeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one, 4)
    monkeypatch.setattr(syncing, "MOST_BYTES", 2 * len(one.journal.unsent(1)[0]))

    going.round()

    assert len(server.entries) == 5
    assert max(server.uploads) == 2


def test_an_upload_that_is_too_large_is_halved_until_it_passes(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one, 8)

    def most_three(request: httpx.Request) -> httpx.Response:
        if len(json.loads(request.content)["entries"]) > 3:
            return says(413, "body_too_large")(request)
        return server._upload(request)

    server.wrong["/v1/journals"] = most_three
    going._upload()

    assert len(server.entries) == 9
    assert one.journal.unsent(100) == []


@pytest.mark.parametrize("path", ["/v1/journals", "/v1/leases", "/v1/bundle", "/v1/status-lists/"])
@pytest.mark.parametrize(
    "answer", [says(409, "no"), says(422, "invalid_request"), says(500, "internal")]
)
def test_a_step_that_is_refused_stops_no_other_and_loses_nothing(
    one: One, server: AServer, keeps: Keeps, path: str, answer: Answer
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one, 2)
    before = one.journal.unsent(100)
    one.hands.pass_by(hours=13)  # time for another lease
    server.used = {100}
    server.list_ver += 1
    server.wrong[path] = answer

    outcome = going.round()
    kept = one.journal.unsent(100)
    server.wrong.clear()
    after = going.round()

    assert not outcome.is_whole
    assert outcome.is_reached
    if path == "/v1/journals":
        assert kept[:2] == before
    assert after.is_whole
    assert one.journal.unsent(100) == []
    assert [each["kind"] for each in server.told if each["seq"] in (2, 3)] == ["redeemed"] * 2
    assert len({each["lease"] for each in server.told if each["kind"] == "leased"}) == 2
    assert one.holdings.list_ver(NUMBER, 0) == server.list_ver


def test_a_round_without_a_network_ends_at_the_first_door(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    server.wrong["/"] = away

    outcome = going.round()

    assert (outcome.is_reached, set(outcome.failed)) == (False, {Step.LEASE})
    assert len(server.paths) == 1
    assert not one.terminal.is_online


def test_an_upload_that_was_heard_and_not_answered_is_sent_again(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one, 2)

    def heard_and_lost(request: httpx.Request) -> httpx.Response:
        server._upload(request)
        return away(request)

    server.wrong["/v1/journals"] = heard_and_lost
    going.round()
    assert len(one.journal.unsent(100)) == 2
    server.wrong.clear()
    going.round()

    assert one.journal.unsent(100) == []
    assert [each["seq"] for each in server.told] == [1, 2, 3]


@pytest.mark.parametrize("key", ["ours", "another"])
def test_entries_leave_only_for_a_word_that_the_server_has_signed(
    one: One, server: AServer, keeps: Keeps, key: str
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one)
    told = Acknowledgement(
        dev=one.id,
        seq=2 if key == "another" else 9,
        hash=one.journal.last.hash,
        iat=SECOND,
        gaps=(),
        answers=(),
    )
    private = SERVER if key == "ours" else one.key._private_key
    forged = sign_typed(told.model_dump(mode="json"), private, Typ.ACKNOWLEDGEMENT)
    body = {"id": str(UUID(int=9)), "acknowledgement": forged, "unread": []}
    server.wrong["/v1/journals"] = lambda _: httpx.Response(201, json=body)

    outcome = going.round()

    assert Step.UP in outcome.failed
    assert len(one.journal.unsent(100)) == 1


def test_a_server_that_knows_more_than_the_file_ends_judging_alone(
    one: One, server: AServer, keeps: Keeps
) -> None:
    """An older copy of the journal was put back: it does not know what was spent."""
    going = keeps()
    going.round()
    server.entries += ["an entry that is not in this file"] * 3

    outcome = going.round()
    one.terminal.heard(is_online=False)
    screen = one.terminal.redeem(shown(coupon()), basket=total(1_000))

    assert Step.TOLD in outcome.failed
    assert screen.code == Why.ONLINE_REQUIRED


@pytest.mark.parametrize("code", ["not_signed_in", "terminal_frozen"])
def test_a_terminal_that_is_disowned_stops_and_comes_back_when_it_is_known_again(
    one: One, server: AServer, keeps: Keeps, code: str
) -> None:
    going = keeps()
    going.round()
    server.wrong["/v1/bundle"] = says(401, code)

    going.round()
    one.terminal.heard(is_online=False)
    stopped = one.terminal.redeem(shown(coupon()), basket=total(1_000))
    server.wrong.clear()
    going.round()

    assert stopped.code == "not_paired"
    redeems_alone(one)


# The lease.


def test_a_lease_is_renewed_when_half_of_it_is_over(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps(lease_seconds=12 * 3_600)
    going.round()
    one.hands.pass_by(hours=5, minutes=59)
    going.round()
    assert len(server.leases) == 1

    one.hands.pass_by(minutes=2)
    redeems_alone(one)
    going.round()
    redeems_alone(one)
    going.round()

    told = [(each["kind"], each["lease"]) for each in server.told]
    first, second = str(UUID(int=101)), str(UUID(int=102))
    assert told == [
        ("leased", first),
        ("redeemed", first),
        ("leased", second),
        ("redeemed", second),
    ]


def test_whoever_becomes_the_hub_asks_for_the_authority_at_once_and_then_now_and_then(
    one: One, server: AServer, keeps: Keeps
) -> None:
    keeps().round()
    going = keeps(wants_authority=True)  # the same terminal, started as the hub

    going.round()
    asked_at_once = len(server.leases)
    going.round()
    asked_again = len(server.leases)
    one.hands.pass_by(minutes=15)
    going.round()

    assert (asked_at_once, asked_again, len(server.leases)) == (2, 2, 3)
    assert [each["wants_authority"] for each in server.leases] == [False, True, True]


def test_the_hub_says_where_it_is_and_says_so_again_when_it_has_moved(
    one: One, server: AServer, keeps: Keeps
) -> None:
    server.has_authority = True
    here, there = "http://192.168.1.10:8790", "http://192.168.1.11:8790"
    at: list[str | None] = [here]
    going = keeps(wants_authority=True, hub_url=lambda: at[0])
    going.round()
    one.hands.pass_by(minutes=15)
    going.round()
    at[0] = None  # the network's cable is out, which is no news
    one.hands.pass_by(minutes=15)
    going.round()
    at[0] = there
    going.round()

    assert [each["hub_url"] for each in server.leases] == [here, there]


def test_whoever_is_not_the_hub_tells_no_address(one: One, server: AServer, keeps: Keeps) -> None:
    keeps(hub_url=lambda: "http://192.168.1.10:8790").round()

    assert ["hub_url" in each for each in server.leases] == [False]


def test_the_authority_that_one_has_is_not_asked_for_again(
    one: One, server: AServer, keeps: Keeps
) -> None:
    server.has_authority = True
    going = keeps(wants_authority=True)
    going.round()
    one.hands.pass_by(hours=1)

    going.round()

    assert len(server.leases) == 1


def test_old_entries_go_when_they_are_answered_for_good(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    redeems_alone(one, 2)
    going.round()
    server.answers = [
        AnswerView(seq=1, answer=EntryAnswer.NOTED),
        AnswerView(seq=2, answer=EntryAnswer.ACCEPTED),
        AnswerView(seq=3, answer=EntryAnswer.PROVISIONAL),
    ]
    going.round()
    one.hands.pass_by(days=36)

    going.round()

    assert one.journal.answer_to(2) is None
    assert one.journal.answer_to(3) is not None
    assert one.journal.check() == []


def test_a_lease_whose_answer_was_lost_is_asked_for_under_the_same_id(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    heard: list[str] = []

    def lost(request: httpx.Request) -> httpx.Response:
        heard.append(json.loads(request.content)["id"])
        return away(request)

    server.wrong["/v1/leases"] = lost
    going.round()
    server.wrong.clear()
    going.round()

    assert [heard[0]] == [each["id"] for each in server.leases]


def test_a_process_that_dies_between_bundle_and_entry_begins_its_lease_when_it_comes_back(
    one: One, server: AServer, keeps: Keeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: object, **__: object) -> None:
        raise Killed

    going = keeps()
    with monkeypatch.context() as patched:
        patched.setattr(Syncing, "_begin_lease", dies)
        with pytest.raises(Killed):
            going.round()
    assert one.entries == []

    again = keeps()

    assert [each["kind"] for each in one.entries] == ["leased"]
    again.round()
    redeems_alone(one)
    again.round()
    assert [each["kind"] for each in server.told] == ["leased", "redeemed"]


def test_a_restart_writes_no_lease_twice(one: One, server: AServer, keeps: Keeps) -> None:
    keeps().round()

    keeps().round()

    assert [each["kind"] for each in server.told] == ["leased"]


# What comes down.


def test_what_has_not_changed_is_not_sent_again(one: One, server: AServer, keeps: Keeps) -> None:
    going = keeps()
    going.round()
    server.paths.clear()

    going.round()

    assert server.paths == [
        "/v1/bundle",
        f"/v1/status-lists/{NUMBER}/0?since=1000",
        "/v1/cashiers?most=500",
        f"/v1/journals/acknowledgement?after={SECOND + 6}",
    ]


def test_a_coupon_that_was_used_elsewhere_is_known_after_the_next_round(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    server.used, server.list_ver = {100}, 1_001

    going.round()
    one.terminal.heard(is_online=False)

    assert one.terminal.redeem(shown(coupon(idx=100)), basket=total(1_000)).code == (
        Why.ALREADY_REDEEMED
    )
    assert one.terminal.redeem(shown(coupon(idx=101)), basket=total(1_000)).is_accepted


def test_a_change_that_does_not_fit_brings_the_whole_list(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    server.used, server.list_ver = {100}, 1_001
    as_usual = server._list

    def from_a_later_one(request: httpx.Request) -> httpx.Response:
        if "since" in request.url.params:
            return httpx.Response(200, text=list_jwt({100}, ver=1_001, since=1_000_000))
        return as_usual(request)

    server.wrong["/v1/status-lists/"] = from_a_later_one

    assert going.round().is_whole
    assert one.holdings.list_ver(NUMBER, 0) == 1_001


def test_an_older_bundle_is_refused_and_the_newer_one_stays(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    server.ver -= 5

    outcome = going.round()

    assert "older" in outcome.failed[Step.BUNDLE]
    redeems_alone(one)


def test_a_pause_stops_the_terminal_with_the_next_round(
    one: One, server: AServer, keeps: Keeps
) -> None:
    going = keeps()
    going.round()
    server.campaigns, server.ver = (PAUSED,), server.ver + 1

    going.round()
    one.terminal.heard(is_online=False)

    assert one.terminal.redeem(shown(coupon()), basket=total(1_000)).code == Why.CAMPAIGN_PAUSED


def test_answers_that_were_open_are_learnt_later(one: One, server: AServer, keeps: Keeps) -> None:
    going = keeps()
    going.round()
    redeems_alone(one)
    server.answers = [AnswerView(seq=2, answer=EntryAnswer.PROVISIONAL)]
    going.round()
    assert (answer := one.journal.answer_to(2)) is not None
    assert answer.answer is EntryAnswer.PROVISIONAL

    server.answers = [AnswerView(seq=2, answer=EntryAnswer.DISPUTED, winner_id=UUID(int=7))]
    going.round()

    assert (answer := one.journal.answer_to(2)) is not None
    assert (answer.answer, answer.winner_id) == (EntryAnswer.DISPUTED, UUID(int=7))


# By itself.


def test_the_longer_nobody_answers_the_longer_the_wait_and_never_all_at_once() -> None:
    waits = [wait_seconds(failures, 1.0) for failures in range(1, 12)]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2.0, 60.0)
    assert wait_seconds(40, 0.0) == 0.5
    assert [wait_seconds(0, chance) for chance in (0.0, 0.5, 1.0)] == [48.0, 60.0, 72.0]


def test_rounds_go_on_by_themselves_and_a_pause_brings_the_next_at_once(
    one: One, server: AServer, keeps: Keeps
) -> None:
    rounds: list[Round] = []
    is_paused = Event()

    def stream() -> Iterator[bytes]:
        yield b"event: stopped\ndata: []\n\n"
        is_paused.wait(30)
        yield b"event: pause\ndata: {}\n\n"

    def streams_once(_: httpx.Request) -> httpx.Response:
        server.wrong["/v1/pauses"] = away
        return httpx.Response(200, content=stream())

    server.wrong["/v1/pauses"] = streams_once
    going = keeps()
    kept = Kept(going, one.server, told=rounds.append)
    until(lambda: len(rounds) == 1)
    server.campaigns, server.ver = (PAUSED,), server.ver + 1
    is_paused.set()
    until(lambda: len(rounds) == 2)
    kept.stop()

    assert all(each.is_whole for each in rounds)
    one.terminal.heard(is_online=False)
    assert one.terminal.redeem(shown(coupon()), basket=total(1_000)).code == Why.CAMPAIGN_PAUSED


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")
