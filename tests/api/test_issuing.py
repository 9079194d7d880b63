"""Issuing through the door, by everybody at once."""

import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from httpx import Client, Limits, Response
from sqlalchemy import Engine, text

from coupon_engine.database import transaction
from tests import make
from tests.api.conftest import Counter

CROWD = 60


@pytest.mark.parametrize("path", ["/v1/coupons", "/v1/claims"])
def test_sixty_who_want_a_coupon_of_one_batch_all_get_one(
    counter: Counter, database: Engine, path: str
) -> None:
    bodies = wanted(counter, database, path)

    with a_crowd(counter) as ask:
        answers = ask(path, bodies)

    assert [answer.status_code for answer in answers] == [201] * CROWD, told(answers)


def test_a_batch_that_is_locked_makes_the_server_look_no_worse_than_it_is(
    counter: Counter, door: Client, database: Engine
) -> None:
    bodies = wanted(counter, database, "/v1/coupons")
    door.get("/health/ready")
    with a_crowd(counter) as ask, ThreadPoolExecutor(1) as aside, transaction(database) as session:
        session.connection().execute(text("SELECT 1 FROM limit_row FOR UPDATE"))
        answering = aside.submit(ask, "/v1/coupons", bodies)
        time.sleep(0.5)  # everybody waits by now

        began = time.monotonic()
        ready = door.get("/health/ready")
        seconds = time.monotonic() - began
        is_over = answering.done()
        session.rollback()
        answers = answering.result()

    assert ready.status_code == 200
    assert not is_over
    assert seconds < 0.5
    assert {answer.status_code for answer in answers} == {201}, told(answers)


def wanted(counter: Counter, database: Engine, path: str) -> list[dict[str, Any]]:
    """Return so many different requests for a coupon of one batch."""
    with transaction(database) as session:
        batch = make.batch(session, counter.at)
        asked = [{"id": str(make.an_id()), "batch_id": str(batch.id)} for _ in range(CROWD)]
        if path == "/v1/claims":
            for each in asked:
                each["customer_id"] = str(make.customer(session, counter.at))
    return asked


@contextmanager
def a_crowd(counter: Counter) -> Generator[Any]:
    together = Barrier(CROWD)
    limits = Limits(max_connections=CROWD)
    with (
        Client(base_url=counter.client.base_url, timeout=30, limits=limits) as client,
        ThreadPoolExecutor(CROWD) as crowd,
    ):

        def ask(path: str, bodies: list[dict[str, Any]]) -> list[Response]:
            def one(body: dict[str, Any]) -> Response:
                together.wait()
                return client.post(
                    path, json=body, headers={"Authorization": f"Bearer {counter.api_key}"}
                )

            return list(crowd.map(one, bodies))

        yield ask


def told(answers: list[Response]) -> set[str]:
    return {answer.text for answer in answers if answer.is_error}
