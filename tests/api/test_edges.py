"""What every request meets first, sent as no decent program would send it."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from socket import SO_RCVBUF, SOL_SOCKET
from threading import Thread

import pytest
from fastapi import FastAPI
from httpx import Client
from sqlalchemy import Engine, QueuePool

from api import connections, edges
from api.connections import SERVING
from api.door import Door
from api.edges import DEEPEST, MOST_BYTES, MOST_BYTES_OF_ADDRESS, MOST_HEADERS, MOST_MEMBERS
from coupon_engine.settings import Settings
from tests.api.conftest import Counter
from tests.api.wire import Line, head, serving

JSON = "application/json"
MERCHANT = {"id": "0195a5c0-0000-7000-8000-000000000001", "name": "Corner shop"}


@pytest.fixture
def door(served: FastAPI) -> Iterator[Client]:
    with serving(served, **SERVING) as url, Client(base_url=url, timeout=30) as client:
        yield client


# What leaves.


def test_every_answer_tells_a_browser_to_do_nothing_with_it(counter: Counter) -> None:
    answers = [
        counter.gets("/v1/campaigns"),
        counter.posts("/v1/merchants", {}),
        counter.client.get("/v1/nowhere"),
        counter.client.get("/health/live"),
        counter.client.post("/v1/merchants", content=b" " * (MOST_BYTES + 1)),
    ]

    for answer in answers:
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "max-age=63072000" in answer.headers["strict-transport-security"]
        permissions = answer.headers["permissions-policy"].split(", ")
        assert {"camera=()", "geolocation=()", "microphone=()"} <= set(permissions)
        assert all(each.endswith("=()") for each in permissions)
        assert "server" not in answer.headers
        names = [name for name, _ in answer.headers.multi_items()]
        assert len(names) == len(set(names))


def test_pages_may_run_what_this_server_serves_and_nothing_that_stands_in_a_text(
    door: Client,
) -> None:
    for path in ("/docs", "/problems", "/problems/already_redeemed"):
        policy = door.get(path).headers["content-security-policy"]

        assert "unsafe" not in policy, path
        assert "http" not in policy, path
        assert "*" not in policy, path
        assert policy.startswith("default-src 'none';"), path
        # What draws the documentation writes HTML as text, so it has no Trusted Types.
        assert ("require-trusted-types-for 'script'; trusted-types 'none'" in policy) is (
            path != "/docs"
        )


def test_only_the_published_keys_may_be_read_by_other_houses(door: Client) -> None:
    keys = door.get("/.well-known/jwks.json", headers={"Origin": "https://verifier.test"})
    health = door.get("/health/live", headers={"Origin": "https://verifier.test"})

    assert keys.headers["cross-origin-resource-policy"] == "cross-origin"
    assert keys.headers["access-control-allow-origin"] == "*"
    assert health.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in health.headers


def test_a_server_that_is_not_reached_by_https_does_not_ask_for_it(
    settings: Settings, database: Engine
) -> None:
    found = edges.headers_of(edges.PROFILES["/"], is_https=False)

    assert "Strict-Transport-Security" not in found


def test_a_counters_page_will_get_the_camera_and_no_other_page() -> None:
    camera = edges.Profile(policy=edges.page_policy(), permits=frozenset({"camera"}))

    permissions = edges.headers_of(camera, is_https=True)["Permissions-Policy"]

    assert "camera=(self)" in permissions
    assert "microphone=()" in permissions


# What comes in: weight and shape.


def nested(deep: int) -> bytes:
    return b"[" * deep + b"]" * deep


def test_nesting_ends_at_thirty_two(counter: Counter) -> None:
    deepest = posted(counter, nested(DEEPEST))
    deeper = posted(counter, nested(DEEPEST + 1))

    assert deepest == (422, "invalid_request")
    assert deeper == (400, "unreadable_body")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"]" * 1_000_000,
        b"[]" * 500_000,
        b'"' * 1_000_000,
        b"\\" * 1_000_000,
        b'"' + b"[" * 1_000_000,
        b"[{" * 40_000,
        b"-" * 1_000_000,
        b"1" * 1_000_000,
    ],
    ids=["lists", "objects", "ends", "pairs", "quotes", "escapes", "text", "both", "-", "digits"],
)
def test_a_body_made_to_take_long_is_refused_at_once(counter: Counter, body: bytes) -> None:
    began = time.monotonic()

    status, code = posted(counter, body)

    assert (status, code) in {
        (400, "unreadable_body"),
        (413, "body_too_large"),
        (422, "invalid_request"),
    }
    assert time.monotonic() - began < 2


def test_brackets_in_a_text_are_no_nesting(counter: Counter) -> None:
    name = '[{"\\' * 30 + "\\"

    answer = counter.posts("/v1/merchants", {**MERCHANT, "name": name})

    assert (answer.status_code, answer.json()["name"]) == (201, name)


def test_members_are_counted_before_any_of_them_is_looked_at(counter: Counter) -> None:
    few = b"[" + b",".join([b"0"] * MOST_MEMBERS) + b"]"
    many = b"[" + b",".join([b"0"] * (MOST_MEMBERS + 1)) + b"]"

    assert posted(counter, few) == (422, "invalid_request")
    assert posted(counter, many) == (413, "body_too_large")


def test_a_list_of_a_million_zeros_is_no_list_of_customers_and_told_soon(
    counter: Counter,
) -> None:
    zeros = b",".join([b"0"] * 100_000)
    body = b'{"id":"0195a5c0-0000-7000-8000-000000000001","customers":[%s]}' % zeros
    began = time.monotonic()

    assert posted(counter, body, path="/v1/customers") == (422, "invalid_request")
    assert posted(counter, b"[" + b",".join([b"0"] * 8_000_000) + b"]", path="/v1/customers") == (
        413,
        "body_too_large",
    )
    assert time.monotonic() - began < 3


def test_other_alphabets_of_json_are_refused(counter: Counter) -> None:
    text = json.dumps(MERCHANT)

    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-32-be"):
        assert posted(counter, text.encode(encoding)) == (400, "unreadable_body"), encoding


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"])
def test_a_packed_body_is_not_unpacked(counter: Counter, encoding: str) -> None:
    body = gzip.compress(b" " * 1_000_000)

    assert posted(counter, body, content_encoding=encoding) == (415, "not_json")
    whole = json.dumps(MERCHANT).encode()
    assert posted(counter, whole, content_encoding="identity")[0] == 201


def posted(
    counter: Counter, body: bytes, *, path: str = "/v1/merchants", **headers: str
) -> tuple[int, str | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = counter.client.post(
        path,
        content=body,
        headers={"Authorization": f"Bearer {counter.api_key}", "Content-Type": JSON, **named},
    )
    return answer.status_code, answer.json().get("code")


def test_all_bodies_together_are_bounded(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "MOST_BYTES_TOGETHER", 100_000)
    half = head("POST /v1/merchants", content_type=JSON, content_length=80_000) + b" " * 79_999
    with Line(counter.client.base_url) as first, Line(counter.client.base_url) as second:
        first.sends(half)
        time.sleep(0.2)
        second.sends(half)
        heard = second.hears()

        assert (heard.status, heard.code, heard.headers["retry-after"]) == (503, "busy", "1")
        first.sends(b" ")
        assert first.hears().status != 503
    assert counter.posts("/v1/merchants", MERCHANT).status_code == 201


# What comes in: the head.


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (head("GET /" + "a" * (MOST_BYTES_OF_ADDRESS - 1)), 404, "no_such_page"),
        (head("GET /" + "a" * MOST_BYTES_OF_ADDRESS), 414, "address_too_long"),
        (head("GET /?" + "a" * MOST_BYTES_OF_ADDRESS), 414, "address_too_long"),
        (head("GET /health/live", x="a" * 30_000), 200, None),
        (head("GET /health/live", x="a" * 33_000), 431, "headers_too_large"),
        (head("GET /health/live", **{f"x{i}": 1 for i in range(MOST_HEADERS - 1)}), 200, None),
        (
            head("GET /health/live", **{f"x{i}": 1 for i in range(MOST_HEADERS)}),
            431,
            "headers_too_large",
        ),
        (head("GET /health/live", **{f"x{i}": 1 for i in range(9_999)}), 431, "headers_too_large"),
        (head("GET /" + "a" * 1_000_000), 431, "headers_too_large"),
        (head("GET /health/live", x="a" * 10_000_000), 431, "headers_too_large"),
        (b"GET /health/live HTTP/1.1\r\n" + b"x: y\r\n" * 2_000_000, 431, "headers_too_large"),
    ],
    ids=range(11),
)
def test_a_head_has_a_bound(door: Client, sent: bytes, status: int, code: str | None) -> None:
    with Line(door.base_url) as line:
        sender = Thread(target=line.sends_what_is_taken, args=(sent,))
        sender.start()
        heard = line.hears()
        sender.join()

    # Of what is far too long the rest is not read, so the connection may break before the answer.
    if heard.status == 0:
        assert len(sent) > 200_000
    else:
        assert heard.status == status
        assert code is None or heard.code == code
    assert heard.seconds < 2
    assert door.get("/health/live").status_code == 200


NOT_HTTP = {
    "two lengths": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\n12345",
    "two lengths alike": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Content-Length: 5\r\n\r\n12345",
    "a length and chunks": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: h\r\n\r\n",
    "chunks and a length": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n",
    "chunks, but not last": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks misspelt": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk's length in words": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk's length too long": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    "a space before the colon": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\n"
    b"Content-Length : 5\r\n\r\n12345",
    "a negative length": b"POST /v1/merchants HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "a length with a sign": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n12345",
    "a huge length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "a folded header": b"GET /health/live HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "a bare LF in a header": b"GET /health/live HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "a NUL in a header": b"GET /health/live HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    "a NUL in a path": b"GET /health/\0live HTTP/1.1\r\nHost: h\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: h\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a letter that is no ASCII": "GET /höhe HTTP/1.1\r\nHost: h\r\n\r\n".encode(),
    "another version": b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "noise": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_could_be_read_in_two_ways_is_not_read(door: Client, sent: bytes) -> None:
    with Line(door.base_url) as line:
        line.sends(sent)
        heard = line.hears()

        # One no, and the end: nothing that came behind it is taken for a request.
        assert heard.status in (0, 400, 404, 405, 413), heard
        assert heard.rest == b""
        if heard.status == 400:
            assert heard.code == "unreadable_body"
            assert heard.headers["x-content-type-options"] == "nosniff"
            assert line.is_closed()
    assert door.get("/health/live").status_code == 200


def test_no_other_protocol_is_spoken(door: Client) -> None:
    for protocol in ("websocket", "h2c"):
        with Line(door.base_url) as line:
            line.sends(
                head(
                    "GET /health/live",
                    connection="Upgrade",
                    upgrade=protocol,
                    sec_websocket_version=13,
                    sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
                )
            )
            assert line.hears().status == 200  # an answer, and no other protocol


# Time.


def test_a_head_must_come_soon(door: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with Line(door.base_url) as silent, Line(door.base_url) as slow, Line(door.base_url) as blank:
        began = time.monotonic()
        slow.sends(b"GET /health/live HTTP/1.1\r\nHost: h\r\n")
        dripping = Thread(target=drip, args=(slow, b"x: y\r\n"))
        blanks = Thread(target=drip, args=(blank, b"\r\n"))
        dripping.start()
        blanks.start()

        heard = slow.hears()
        assert (heard.status, heard.code) == (408, "too_slow")
        assert slow.is_closed()
        assert silent.is_closed()
        assert blank.is_closed()
        assert time.monotonic() - began < 3
        dripping.join()
        blanks.join()


def test_a_second_head_must_come_soon_too(door: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with Line(door.base_url) as line:
        for _ in range(3):
            line.sends(head("GET /health/live"))
            assert line.hears().status == 200
        time.sleep(1)  # a connection may be idle for longer: it was no stranger's
        line.sends(head("GET /health/live")[:-2])

        assert line.hears().status == 408


def test_a_body_must_come_soon_and_holds_nothing_meanwhile(
    counter: Counter, served: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "BODY_SECONDS", 1.0)
    opened: Door = served.state.door
    free = opened.everybody.seats._value
    asked = head(
        "POST /v1/merchants",
        authorization=f"Bearer {counter.api_key}",
        content_type=JSON,
        content_length=1_000,
    )
    with ExitStack() as lines:
        slow = [lines.enter_context(Line(counter.client.base_url)) for _ in range(50)]
        for line in slow:
            line.sends(asked + b"{")
        time.sleep(0.3)

        assert opened.everybody.seats._value == free
        assert checked_out(opened) == 0
        assert counter.posts("/v1/merchants", MERCHANT).status_code == 201

        for line in slow:
            line.sends(b" ")
            heard = line.hears()
            assert (heard.status, heard.code) == (408, "too_slow")
            assert line.is_closed()


def test_an_answer_that_nobody_reads_is_dropped(
    served: FastAPI, door: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READING_SECONDS", 0.3)
    script = "/docs/static/swagger-ui-bundle.js"
    weight = len(door.get(script).content)
    with Line(door.base_url) as line:
        line.socket.setsockopt(SOL_SOCKET, SO_RCVBUF, 65_536)
        for _ in range(20):
            line.sends(head(f"GET {script}"))
        time.sleep(1.5)
        heard = line.hears_until_it_breaks()

    assert weight > 1_000_000
    assert heard < weight
    assert door.get("/health/live").status_code == 200


def drip(line: Line, drop: bytes) -> None:
    for _ in range(40):
        try:
            line.sends(drop)
        except OSError:
            return
        time.sleep(0.05)


def checked_out(opened: Door) -> int:
    """How many connections to the record are in use."""
    pools = [
        engine.pool
        for engine in (
            opened.everybody.engine,
            opened.people.engine,
            opened.strangers.engine,
            opened.counters,
            opened.asking.engine,
        )
    ]
    assert all(isinstance(pool, QueuePool) for pool in pools)
    return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))


# How many.


def test_a_door_that_is_full_says_so_and_stays_healthy(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "MOST_RUNNING", 3)
    asked = head("POST /v1/merchants", content_type=JSON, content_length=10)
    with ExitStack() as lines:
        waiting = [lines.enter_context(Line(counter.client.base_url)) for _ in range(3)]
        for line in waiting:
            line.sends(asked)
        time.sleep(0.2)

        full = counter.client.get("/v1/campaigns")
        assert (full.status_code, full.json()["code"]) == (503, "busy")
        assert full.headers["retry-after"] == "1"
        assert counter.client.get("/health/ready").status_code == 200

    time.sleep(0.2)
    assert counter.gets("/v1/campaigns").status_code == 200


def test_the_connection_that_was_silent_longest_makes_room(
    door: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    with ExitStack() as lines:
        silent = [lines.enter_context(Line(door.base_url)) for _ in range(60)]
        time.sleep(0.2)

        assert door.get("/health/live").status_code == 200
        assert silent[0].is_closed()
        silent[-1].sends(head("GET /health/live"))
        assert silent[-1].hears().status == 200


def test_a_door_whose_connections_are_all_busy_says_so(
    door: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 5)
    asked = head("POST /v1/merchants", content_type=JSON, content_length=10)
    with ExitStack() as lines:
        for _ in range(5):
            lines.enter_context(Line(door.base_url)).sends(asked)
        time.sleep(0.2)
        with Line(door.base_url) as late:
            heard = late.hears()

    assert (heard.status, heard.code, heard.headers["retry-after"]) == (503, "busy", "1")
    time.sleep(0.3)
    assert door.get("/health/live").status_code == 200


def test_a_door_that_closes_waits_for_nobody_who_has_asked_nothing(
    settings: Settings, served: FastAPI
) -> None:
    with serving(served, **SERVING) as url:
        silent, slow = Line(url), Line(url)
        slow.sends(b"GET /health/live HTTP/1.1\r\n")
        time.sleep(0.1)
        began = time.monotonic()

    assert time.monotonic() - began < 5
    silent.socket.close()
    slow.socket.close()
