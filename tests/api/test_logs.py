"""What the door writes down, and what it never does."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api import logs
from coupon_engine.settings import Settings
from tests import make
from tests.api.conftest import Counter


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        issuer_url=make.ISSUER,
        key_passphrase=SecretStr(make.PASSPHRASE.decode()),
        short_code_secret=SecretStr(make.SECRET.decode()),
        log_level="debug",
        log_format="json",
    )


@pytest.fixture
def written(settings: Settings) -> Iterator[StringIO]:
    """What the process writes down from now on."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    logs.start(settings, stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_fault_is_noted_by_its_place_and_without_a_word_of_the_request(
    written: StringIO, counter: Counter, code: str, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE customer ADD CHECK (ref <> 'c-secret-ref')"))
        connection.execute(text("ALTER TABLE redemption ADD CHECK (cashier <> 'Secret Kim')"))

    people = [{"id": str(make.an_id()), "ref": "c-secret-ref"}]
    first = counter.posts("/v1/customers", {"id": str(make.an_id()), "customers": people})
    second = counter.redeems(code, cashier="Secret Kim")

    assert (first.status_code, first.json()["code"]) == (500, "internal")
    assert (second.status_code, second.json()["code"]) == (500, "internal")
    assert "secret" not in (first.text + second.text).lower()
    for secret in (counter.api_key, counter.api_key[-32:], code, "c-secret-ref", "Secret Kim"):
        assert secret not in written.getvalue()
    failures = [line for line in notes(written) if line["event"] == "request failed"]
    assert [line["path"] for line in failures] == ["/v1/customers", "/v1/redemptions"]
    assert {line["sqlstate"] for line in failures} == {"23514"}
    assert all(line["at"] for line in failures)


def test_a_day_without_faults_leaves_no_secret_behind(
    written: StringIO, counter: Counter, code: str
) -> None:
    counter.redeems(code)
    counter.redeems(code)
    counter.redeems("not a coupon", colour="red")
    counter.gets("/v1/customers")

    assert [line for line in notes(written) if line["level"] in ("warning", "error")] == []
    for secret in (counter.api_key, counter.api_key[-32:], code, code[4:60]):
        assert secret not in written.getvalue()


def notes(written: StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
