"""The store's hub answers its own terminals, over real sockets, and nobody else."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from scanner.identity import FileKey, Signing, _jwk
from scanner.terminal import hub as hubs
from scanner.terminal.hub import ForStore, Hub, HubAsked, HubAway, Terminals
from scanner.terminal.showing import Decider, Screen, plainly
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import HolderKey
from schemas.refusals import Why
from tests import make
from tests.scanner.terminal.counters import One, a_terminal
from tests.scanner.terminal.shop import (
    STORE,
    STORE_NUMBER,
    bundle,
    campaign,
    coupon,
    presented,
    shown,
    total,
)

HUB_ID, ASKER_ID = make.an_id(), make.an_id()


def a_key() -> FileKey:
    return FileKey(ec.generate_private_key(ec.SECP256R1()))


def public(key: FileKey) -> HolderKey:
    return _jwk(key.public_key)


@dataclass
class Store:
    """A hub that says no to everything, and one other terminal."""

    hub_key: FileKey = field(default_factory=a_key)
    asker_key: FileKey = field(default_factory=a_key)
    heard: list[tuple[ForStore, UUID]] = field(default_factory=list)
    terminals: dict[UUID, HolderKey] = field(default_factory=dict)
    now: datetime = make.NOON

    def clock(self) -> datetime:
        return self.now

    def redeem(self, request: ForStore, asker: UUID) -> Screen:
        self.heard.append((request, asker))
        return plainly(Why.EXPIRED, decided_by=Decider.HUB)

    def asked(self, url: str, *, clock: Callable[[], datetime] | None = None) -> HubAsked:
        return HubAsked(url, id=ASKER_ID, key=self.asker_key, clock=clock or self.clock)


@pytest.fixture
def store() -> Store:
    made = Store()
    made.terminals[ASKER_ID] = public(made.asker_key)
    return made


@pytest.fixture
def hub(store: Store) -> Iterator[Hub]:
    made = Hub(
        ("127.0.0.1", 0),
        store.redeem,
        id=HUB_ID,
        key=store.hub_key,
        terminals=lambda: store.terminals,
        clock=store.clock,
    )
    yield made
    made.close()


def a_request(**more: object) -> ForStore:
    asked = {"id": make.an_id(), "code": "CP1", "store_id": make.an_id(), **more}
    return ForStore.model_validate(asked)


def raw(
    hub: Hub, store: Store, body: bytes, path: str = "/redeem", **headers: str
) -> httpx.Response:
    auth = Signing(ASKER_ID, store.asker_key, clock=store.clock)
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{hub.url}{path}", content=body, auth=auth, headers=headers)


def test_the_hub_answers_a_terminal_of_its_store(store: Store, hub: Hub) -> None:
    request = a_request(order_ref="4711", basket=make.basket(500, 250))

    screen = store.asked(hub.url).redeem(request, HUB_ID, public(store.hub_key))

    assert screen == plainly(Why.EXPIRED, decided_by=Decider.HUB)
    assert store.heard == [(request, ASKER_ID)]


def test_a_terminal_that_the_bundle_does_not_name_is_not_heard(store: Store, hub: Hub) -> None:
    del store.terminals[ASKER_ID]

    with pytest.raises(HubAway):
        store.asked(hub.url).redeem(a_request(), HUB_ID, public(store.hub_key))

    assert store.heard == []


def test_a_terminal_with_another_key_is_not_heard(store: Store, hub: Hub) -> None:
    store.asker_key = a_key()

    with pytest.raises(HubAway):
        store.asked(hub.url).redeem(a_request(), HUB_ID, public(store.hub_key))

    assert store.heard == []


def test_whoever_else_sits_at_the_address_is_not_the_hub(store: Store, hub: Hub) -> None:
    with pytest.raises(HubAway):
        store.asked(hub.url).redeem(a_request(), HUB_ID, public(a_key()))
    with pytest.raises(HubAway):
        store.asked(hub.url).redeem(a_request(), make.an_id(), public(store.hub_key))


def test_nobody_at_the_address_is_a_hub_away(store: Store) -> None:
    with pytest.raises(HubAway):
        store.asked("http://127.0.0.1:9").redeem(a_request(), HUB_ID, public(store.hub_key))


@pytest.mark.parametrize("minutes", [-11, 11])
def test_a_request_of_another_hour_is_not_heard(store: Store, hub: Hub, minutes: int) -> None:
    other = store.now + timedelta(minutes=minutes)

    with pytest.raises(HubAway):
        store.asked(hub.url, clock=lambda: other).redeem(a_request(), HUB_ID, public(store.hub_key))

    assert store.heard == []


@pytest.mark.parametrize(
    "changed",
    ["body", "digest and body", "path", "signature", "nonce", "created", "twice", "unsigned"],
)
def test_whatever_is_changed_on_the_way_is_not_heard(store: Store, hub: Hub, changed: str) -> None:
    body = a_request().model_dump_json().encode()
    other = a_request().model_dump_json().encode()
    request = httpx.Request("POST", f"{hub.url}/redeem", content=body)
    signed = next(Signing(ASKER_ID, store.asker_key, clock=store.clock).sync_auth_flow(request))
    headers = dict(signed.headers)
    path, sent = "/redeem", body
    given = headers["signature-input"]
    match changed:
        case "body":
            sent = other
        case "digest and body":
            sent, headers["content-digest"] = other, hubs._digest(other)
        case "path":
            path = "/redeem?"
        case "signature":
            headers["signature"] = hubs._SIGNATURE.sub(
                f"counterfoil=:{'A' * 86}==:", headers["signature"]
            )
        case "nonce":
            headers["signature-input"] = given.replace('nonce="', 'nonce="A')
        case "created":
            created = int(store.now.timestamp())
            headers["signature-input"] = given.replace(str(created), str(created + 1))
        case "twice":
            headers["signature-input"] = f"{given}, {given}"
        case _:
            headers = {"content-type": "application/json"}
    headers.pop("content-length", None)
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{hub.url}{path}", content=sent, headers=headers)
        as_it_was = client.post(f"{hub.url}/redeem", content=body, headers=dict(signed.headers))

    assert (answer.status_code, answer.content) == (401, b"")
    assert (as_it_was.status_code, len(store.heard)) == (200, 1)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b'{"id": 1}', b"\xff\xfe"])
def test_what_is_no_request_is_refused_in_a_word(store: Store, hub: Hub, body: bytes) -> None:
    answer = raw(hub, store, body)

    assert answer.status_code == 422
    assert store.heard == []


def test_a_body_that_is_too_large_is_not_even_read(store: Store, hub: Hub) -> None:
    assert raw(hub, store, b" " * (hubs.MOST_BODY + 1)).status_code == 413
    assert raw(hub, store, b"{}", path="/elsewhere").status_code == 404


class _Forges(BaseHTTPRequestHandler):
    """Answers with what the hub once said to another request."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Forger)
        self.send_response(200)
        for name, value in self.server.answer.headers.items():
            if name.lower() in ("content-digest", "signature-input", "signature", "content-length"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Forger(ThreadingHTTPServer):
    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(("127.0.0.1", 0), _Forges)
        self.answer = answer


def test_an_answer_to_one_request_fits_no_other(store: Store, hub: Hub) -> None:
    heard = raw(hub, store, a_request().model_dump_json().encode())
    assert heard.status_code == 200

    with Forger(heard) as forger:
        thread = Thread(target=forger.serve_forever, args=[0.01])
        thread.start()
        try:
            with pytest.raises(HubAway):
                store.asked(f"http://127.0.0.1:{forger.server_port}").redeem(
                    a_request(), HUB_ID, public(store.hub_key)
                )
        finally:  # else a forger that is believed keeps the tests from ending
            forger.shutdown()
            thread.join()


def test_many_may_ask_at_once(store: Store, hub: Hub) -> None:
    screens: list[Screen] = []

    def ask() -> None:
        screens.append(store.asked(hub.url).redeem(a_request(), HUB_ID, public(store.hub_key)))

    threads = [Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(screens) == 12
    assert len(store.heard) == 12


# One ledger in a store.


@contextmanager
def a_store(folder: Path, *, by_bundle: bool = False) -> Generator[tuple[One, Hub, list[One]]]:
    """A hub with authority, and two terminals that reach it and nothing else."""
    ids = [make.an_id() for _ in range(3)]
    with ExitStack() as open_ones:
        one = open_ones.enter_context(a_terminal(folder / "hub", id=ids[0]))
        others: list[One] = []

        def neighbours() -> Terminals:
            return {each.id: each.public for each in others}

        hub = Hub(
            ("127.0.0.1", 0),
            one.terminal.redeem_for,
            id=one.id,
            key=one.key,
            terminals=neighbours,
            clock=lambda: one.hands.wall,
        )
        open_ones.callback(hub.close)
        for id in ids[1:]:
            made = a_terminal(folder / str(id), hub_url=None if by_bundle else hub.url, id=id)
            others.append(open_ones.enter_context(made))
        store = tuple(each.named for each in (one, *others))
        for each in (one, *others):
            told = bundle(
                campaign(OfflinePolicy.STORE_BOUND),
                terminal_id=each.id,
                hub_id=one.id,
                hub_url=hub.url if by_bundle else None,
                is_authority=each is one,
                terminals=store,
            )
            each.learn(told)
            each.terminal.heard(is_online=False)
        yield one, hub, others


def in_this_store() -> str:
    return shown(coupon(OfflinePolicy.STORE_BOUND, sto=STORE_NUMBER))


def test_the_terminals_of_a_store_redeem_through_its_hub(tmp_path: Path) -> None:
    with a_store(tmp_path) as (one, _, (first, second)):
        code = in_this_store()

        yes = first.terminal.redeem(code, basket=total(1_000), cashier="Robin")
        again = first.terminal.redeem(code, basket=total(1_000))
        no = second.terminal.redeem(code, basket=total(1_000))

        assert (yes.code, yes.decided_by, yes.is_provisional) == ("ok_offline", Decider.HUB, False)
        assert (again.code, no.code) == (Why.ALREADY_REDEEMED, Why.ALREADY_REDEEMED)
        entry = one.entries[0]
        assert (entry["kind"], entry["mode"]) == ("redeemed", "hub")
        assert (entry["asked_by"], entry["cashier"]) == (str(first.id), "Robin")
        assert entry["id"] == str(yes.redemption_id)
        remembered = first.entries[0]
        assert (remembered["mode"], remembered["note"]) == ("hub", {"hub": str(one.id)})
        assert "asked_by" not in remembered  # so that nobody pays it twice


def test_a_terminal_that_nobody_told_finds_the_hub_by_its_bundle(tmp_path: Path) -> None:
    with a_store(tmp_path, by_bundle=True) as (_, _, (first, second)):
        code = in_this_store()

        screens = [each.terminal.redeem(code, basket=total(1_000)) for each in (first, second)]

    assert [each.code for each in screens] == ["ok_offline", Why.ALREADY_REDEEMED]
    assert {each.decided_by for each in screens} == {Decider.HUB}


def test_a_terminal_whom_nobody_tells_where_the_hub_is_waits(tmp_path: Path) -> None:
    with a_store(tmp_path) as _, a_terminal(tmp_path / "third") as third:
        third.learn(bundle(campaign(OfflinePolicy.STORE_BOUND), terminal_id=third.id))
        third.terminal.heard(is_online=False)

        screen = third.terminal.redeem(in_this_store(), basket=total(1_000))

    assert (screen.code, screen.decided_by) == (Why.ONLINE_REQUIRED, Decider.TERMINAL)


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        (("192.168.1.10", 8790), "http://192.168.1.10:8790"),
        (("10.0.0.1", 1), "http://10.0.0.1:1"),
        (("fd00::1", 8790), "http://[fd00::1]:8790"),
        (("::", 8790), "http://127.0.0.1:8790"),  # the way to a server on this machine
        (("8.8.8.8", 8790), None),
        (("a.shop.example", 8790), None),
    ],
)
def test_a_hub_knows_where_it_is_reached(listens: tuple[str, int], reached: str | None) -> None:
    assert hubs.reached_at(listens, "http://127.0.0.1:8000") == reached


def test_one_coupon_at_every_counter_at_once_is_green_at_one(tmp_path: Path) -> None:
    with a_store(tmp_path) as (one, _, (first, second)):
        for _ in range(5):
            code = in_this_store()
            screens: list[Screen] = []
            barrier = Barrier(3)

            def redeem(at: One, code: str = code, barrier: Barrier = barrier) -> None:
                barrier.wait()
                screens.append(at.terminal.redeem(code, basket=total(1_000)))  # noqa: B023

            threads = [Thread(target=redeem, args=[at]) for at in (one, first, second)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            assert sorted(each.code for each in screens) == [
                Why.ALREADY_REDEEMED,
                Why.ALREADY_REDEEMED,
                "ok_offline",
            ]


def test_without_the_hub_each_terminal_would_have_said_yes(tmp_path: Path) -> None:
    """Else the test above proves nothing."""
    with a_store(tmp_path) as (one, _, (first, second)):
        code = in_this_store()
        for each in (first, second):
            told = bundle(
                campaign(OfflinePolicy.STORE_BOUND),
                terminal_id=each.id,
                is_authority=True,
                ver=11,
            )
            each.learn(told)

        screens = [each.terminal.redeem(code, basket=total(1_000)) for each in (one, first, second)]

        assert [each.code for each in screens] == ["ok_offline"] * 3


def test_an_answer_that_was_lost_comes_again(tmp_path: Path) -> None:
    with a_store(tmp_path) as (one, hub, (first, _)):
        request = a_request(code=in_this_store(), store_id=STORE, basket=total(1_000))
        asked = HubAsked(hub.url, id=first.id, key=first.key, clock=lambda: one.hands.wall)

        screens = [asked.redeem(request, one.id, one.public) for _ in range(3)]

        assert screens[0].is_accepted
        assert screens[0] == screens[1] == screens[2]
        assert len(one.entries) == 1


def test_without_a_hub_a_terminal_without_authority_waits_for_the_network(tmp_path: Path) -> None:
    with a_store(tmp_path) as (_, hub, (first, _)):
        hub.close()

        screen = first.terminal.redeem(in_this_store(), basket=total(1_000))

        assert (screen.code, screen.decided_by) == (Why.ONLINE_REQUIRED, Decider.TERMINAL)


def test_the_hub_asks_phones_for_digits_of_its_own(tmp_path: Path) -> None:
    with a_store(tmp_path) as (_, _, (first, _)):
        fields = coupon(OfflinePolicy.STORE_BOUND, level=Level.CHALLENGED, sto=STORE_NUMBER)

        screen = first.terminal.redeem(presented(fields), basket=total(1_000))
        answered = first.terminal.redeem(
            presented(fields, nonce=screen.challenge), basket=total(1_000)
        )

        assert (screen.code, answered.code) == (Why.CHALLENGE_REQUIRED, "ok_offline")
