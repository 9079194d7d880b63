"""A thousand phones that hang up in the middle leave nothing behind."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from fastapi import FastAPI
from httpx import Client
from sqlalchemy import Engine, text

from api.connections import SERVING
from api.door import Door
from tests import make
from tests.api.conftest import Counter, redemption
from tests.api.test_edges import checked_out
from tests.api.wire import Line, head, serving

DISCONNECTS = 1_000


@pytest.fixture
def door(served: FastAPI) -> Iterator[Client]:
    with serving(served, **SERVING) as url, Client(base_url=url, timeout=30) as client:
        yield client


def test_a_thousand_disconnects_leave_no_connection_and_no_seat_taken(
    counter: Counter, served: FastAPI, code: str, database: Engine
) -> None:
    opened: Door = served.state.door
    lanes = (opened.everybody, opened.people, opened.strangers)
    free = [lane.seats._value for lane in lanes]
    asked = cycle(every_way_to_ask(counter, code))
    ways = cycle(("in its head", "in its body", "at its end", "at once", "after a while"))

    with ThreadPoolExecutor(16) as phones:
        broken = list(
            phones.map(hang_up, *zip(*work(counter, asked, ways, DISCONNECTS), strict=True))
        )

    assert len(broken) == DISCONNECTS
    assert settled(lambda: checked_out(opened) == 0)
    assert [lane.seats._value for lane in lanes] == free
    assert idle_in_transaction(database) == 0
    # As many calls as there are seats, twice over, and each of them is served.
    for _ in range(2 * sum(free)):
        assert counter.gets("/v1/campaigns").status_code == 200
        assert merchant(counter) == 201
    assert counter.client.get("/health/ready").status_code == 200
    assert counter.gets("/v1/report").status_code == 200


def test_who_hangs_up_after_asking_is_served_all_the_same(counter: Counter) -> None:
    """The repeat of a request whose answer was lost finds what the first one has done."""
    bodies = [{"id": str(make.an_id()), "name": f"Shop {number}"} for number in range(50)]
    for body in bodies:
        line = Line(counter.client.base_url)
        line.sends(whole(counter, "POST /v1/merchants", body))
        line.breaks()

    answers = [counter.posts("/v1/merchants", body) for body in bodies]

    assert [answer.status_code for answer in answers] == [201] * 50
    listed = counter.gets("/v1/merchants", most=500).json()
    assert sorted(
        each["name"] for each in listed if each["name"] in {body["name"] for body in bodies}
    ) == sorted(body["name"] for body in bodies)


def test_half_a_body_is_never_acted_on(counter: Counter) -> None:
    body = {"id": str(make.an_id()), "name": "Never"}
    asked = whole(counter, "POST /v1/merchants", body)
    for cut in (len(asked) - 1, len(asked) - 10):
        with Line(counter.client.base_url) as line:
            line.sends(asked[:cut])
            line.says_no_more()

    time.sleep(0.2)
    assert "Never" not in counter.gets("/v1/merchants", most=500).text


def every_way_to_ask(counter: Counter, code: str) -> list[bytes]:
    """Whole requests: looking, writing, redeeming, drawing, refused ones, a large answer."""
    return [
        whole(counter, "GET /v1/campaigns"),
        whole(counter, "POST /v1/merchants", {"id": str(make.an_id()), "name": "Corner shop"}),
        whole(counter, "POST /v1/redemptions", redemption(counter.at, code)),
        whole(counter, "GET /v1/report"),
        whole(counter, "POST /v1/validations", {}),
        whole(counter, "GET /.well-known/jwks.json"),
        whole(counter, "GET /docs/static/swagger-ui-bundle.js"),
        head("GET /v1/campaigns", authorization="Bearer cfk_aaaaaaaa_" + "b" * 32),
        head("GET /health/ready"),
    ]


def whole(counter: Counter, request: str, body: object = None) -> bytes:
    headers: dict[str, object] = {"authorization": f"Bearer {counter.api_key}"}
    if body is None:
        return head(request, **headers)
    sent = json.dumps(body).encode()
    return (
        head(request, **headers, content_type="application/json", content_length=len(sent)) + sent
    )


def work(
    counter: Counter, asked: Iterator[bytes], ways: Iterator[str], many: int
) -> Iterator[tuple[str, bytes, str]]:
    for _ in range(many):
        yield str(counter.client.base_url), next(asked), next(ways)


def hang_up(url: str, asked: bytes, way: str) -> str:
    """Ask, and hang up."""
    line = Line(url)
    match way:
        case "in its head":
            line.sends(asked[:40])
        case "in its body":
            line.sends(asked[:-1])
        case "at its end":
            line.sends(asked)
            line.says_no_more()
        case "at once":
            line.sends(asked)
        case _:
            line.sends(asked)
            time.sleep(0.01)
            line.socket.recv(20)
    line.breaks()
    return way


def merchant(counter: Counter) -> int:
    body = {"id": str(make.an_id()), "name": "Corner shop"}
    return counter.posts("/v1/merchants", body).status_code


def settled(is_so: Callable[[], bool], *, seconds: float = 10) -> bool:
    ends = time.monotonic() + seconds
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.02)
    return is_so()


def idle_in_transaction(database: Engine) -> int:
    with database.connect() as connection:
        return connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
            )
        ).scalar_one()
