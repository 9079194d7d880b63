"""A door with every seat taken says so soon, stays healthy, and recovers by itself."""

import secrets
import time
from collections import Counter as Tally
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from sqlalchemy import Engine, text

from api.connections import SERVING
from api.door import LONGEST_WAIT_SECONDS, Door
from coupon_engine import api_keys
from tests import make
from tests.api.conftest import Counter
from tests.api.test_edges import checked_out
from tests.api.wire import serving

MANY = 60
# Until a seat is free, and then for a row or a connection; and a second for crowded machines.
LONGEST_SECONDS = LONGEST_WAIT_SECONDS + 5  # a wait has an end; how busy this machine is, not


@pytest.fixture
def door(served: FastAPI) -> Iterator[Client]:
    with serving(served, **SERVING) as url, Client(base_url=url, timeout=60) as client:
        yield client


@contextmanager
def locked(database: Engine, name: str) -> Generator[None]:
    """Nobody else reads or writes this table: every transaction that comes there waits."""
    with database.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        yield


def together(asks: Callable[[], Response], many: int = MANY) -> list[tuple[int, str, float]]:
    """Ask so many times at once; return status, code and seconds of each."""

    def timed(_: int) -> tuple[int, str, float]:
        began = time.monotonic()
        answer = asks()
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
        code = answer.json().get("code", "") if answer.status_code >= 400 else ""
        return answer.status_code, code, time.monotonic() - began

    with ThreadPoolExecutor(many) as people:
        return list(people.map(timed, range(many)))


def test_with_every_seat_waiting_for_a_row_everybody_hears_busy_soon_and_health_answers(
    counter: Counter, served: FastAPI, database: Engine
) -> None:
    opened: Door = served.state.door
    assert merchant(counter).status_code == 201

    with ThreadPoolExecutor(2) as both, locked(database, "merchant"):
        writing = both.submit(together, lambda: merchant(counter))
        looking = both.submit(together, lambda: counter.gets("/v1/merchants"), 20)
        health: list[tuple[int, float]] = []
        while not (writing.done() and looking.done()):
            began = time.monotonic()
            answer = counter.client.get("/health/ready")
            health.append((answer.status_code, time.monotonic() - began))
            time.sleep(0.1)
        answers = writing.result() + looking.result()

    assert Tally((status, code) for status, code, _ in answers) == {(503, "busy"): MANY + 20}
    assert max(seconds for _, _, seconds in answers) < LONGEST_SECONDS
    assert len(health) > 10
    assert {status for status, _ in health} == {200}
    assert max(seconds for _, seconds in health) < 2
    assert checked_out(opened) == 0
    assert {status for status, _, _ in together(lambda: merchant(counter))} == {201}


def test_with_no_connection_left_everybody_hears_busy_soon(
    counter: Counter, served: FastAPI, limited: Engine
) -> None:
    assert counter.gets("/v1/campaigns").status_code == 200
    with all_of(limited):
        answers = together(lambda: counter.gets("/v1/campaigns"))
        published = counter.client.get("/.well-known/jwks.json")
        assert counter.client.get("/health/ready").status_code == 200

    assert Tally((status, code) for status, code, _ in answers) == {(503, "busy"): MANY}
    assert max(seconds for _, _, seconds in answers) < LONGEST_SECONDS
    assert (published.status_code, published.json()["code"]) == (503, "busy")
    assert {status for status, _, _ in together(lambda: counter.gets("/v1/campaigns"))} == {200}


def test_keys_that_cannot_be_looked_up_keep_nobody_waiting(
    counter: Counter, served: FastAPI
) -> None:
    """Neither those who show them, nor those whom we know already."""
    opened: Door = served.state.door
    assert counter.gets("/v1/campaigns").status_code == 200
    with all_of(opened.asking.engine), ThreadPoolExecutor(1) as flood:
        flooding = flood.submit(together, lambda: stranger(counter))
        time.sleep(0.3)
        began = time.monotonic()
        known = counter.gets("/v1/campaigns")
        waited = time.monotonic() - began
        answers = flooding.result()

    assert {(status, code) for status, code, _ in answers} <= {(503, "busy")}
    assert max(seconds for _, _, seconds in answers) < LONGEST_SECONDS
    assert known.status_code == 200
    assert waited < LONGEST_SECONDS
    assert {status for status, _, _ in together(lambda: stranger(counter), 10)} == {401}


def test_the_published_keys_are_bounded_too(
    counter: Counter, database: Engine, limited: Engine
) -> None:
    with locked(database, "signing_key"):
        answers = together(lambda: counter.client.get("/.well-known/jwks.json"), 30)

    assert Tally((status, code) for status, code, _ in answers) == {(503, "busy"): 30}
    assert max(seconds for _, _, seconds in answers) < LONGEST_SECONDS
    assert counter.client.get("/.well-known/jwks.json").status_code == 200


@contextmanager
def all_of(engine: Engine) -> Generator[None]:
    """Take every connection of a pool, each in a transaction."""
    with ExitStack() as taken:
        for _ in range(engine.pool.size()):  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownArgumentType]
            connection = taken.enter_context(engine.connect())
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield


def merchant(counter: Counter) -> Response:
    body = {"id": str(make.an_id()), "name": "Corner shop"}
    return counter.posts("/v1/merchants", body)


def stranger(counter: Counter) -> Response:
    """Show a key that was never given out, with a checksum that fits: only the record knows."""
    key = api_keys._text(secrets.token_hex(4), secrets.token_hex(16), is_test=False)
    return counter.client.get("/v1/campaigns", headers={"Authorization": f"Bearer {key}"})
