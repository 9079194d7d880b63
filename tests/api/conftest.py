"""The real door on a real database, with a clock that a test can set."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from ssl import create_default_context
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from pydantic import SecretStr
from sqlalchemy import Engine

from api.main import app
from coupon_engine import api_keys
from coupon_engine.database import transaction
from coupon_engine.settings import Settings
from coupon_engine.validation.issuer_keys import KeyRing
from schemas.coupons import CouponView
from tests import make
from tests.api.wire import serving

Codes = Callable[[CouponView], str]
"""What the phone that holds a coupon shows."""

# Every client would read the certificates of the whole world anew, to ask a door without TLS.
TRUSTED = create_default_context()


@dataclass
class Clock:
    now: datetime = make.NOON

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **more: int) -> None:
        self.now += timedelta(**more)


@dataclass
class Counter:
    """A program with a key, at the door of a shop. Every no that it hears must be documented."""

    client: Client
    at: make.Shop
    ring: KeyRing
    api_key: str
    document: dict[str, Any]

    def asks(self, method: str, path: str, **more: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.api_key}", **more.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **more)
        refuse_undocumented(self.document, method, path, answer)
        return answer

    def posts(self, path: str, body: Any) -> Response:
        return self.asks("POST", path, json=body)

    def gets(self, path: str, **params: Any) -> Response:
        return self.asks("GET", path, params=params)

    def redeems(self, code: str, **more: Any) -> Response:
        return self.posts("/v1/redemptions", redemption(self.at, code, **more))


def redemption(at: make.Shop, code: str, **more: Any) -> dict[str, Any]:
    """The body of a request to redeem this code on a basket of ten euros."""
    return {
        "id": str(make.an_id()),
        "code": code,
        "store_id": str(at.store.id),
        "basket": {"currency": "EUR", "total_minor": 1_000},
        **more,
    }


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        issuer_url=make.ISSUER,
        key_passphrase=SecretStr(make.PASSPHRASE.decode()),
        short_code_secret=SecretStr(make.SECRET.decode()),
        flood_factor=1_000,  # a test asks more in a second than anybody else in a minute
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def served(settings: Settings, limited: Engine, clock: Clock) -> FastAPI:
    # Opened for us already: the server of the tests is not durable, and the door would refuse it.
    # It has the rights of the application; `database` has all of them, to set things up and look.
    made = app(settings, clock=clock, opening=lambda _: nullcontext(limited))
    made.openapi_schema = document()
    return made


@cache
def document() -> dict[str, Any]:
    """What every door documents, whatever its settings: to write it takes a second of a core."""
    return app(Settings()).openapi()


@pytest.fixture
def door(served: FastAPI) -> Iterator[Client]:
    with serving(served) as url, Client(base_url=url, timeout=30, verify=TRUSTED) as client:
        yield client


@pytest.fixture
def counter(served: FastAPI, door: Client, database: Engine) -> Counter:
    return a_counter(served, door, database)


@pytest.fixture
def stranger(served: FastAPI, door: Client, database: Engine) -> Counter:
    """Another operator at the same door."""
    return a_counter(served, door, database)


def a_counter(served: FastAPI, door: Client, database: Engine) -> Counter:
    """One more operator, with a store, a key in use and a way in."""
    with transaction(database) as session:
        at = make.shop(session)
        ring = make.signing_key(session, at)
        made = api_keys.create_api_key(session, at.operator_id, "tests", now=make.NOON)
    return Counter(door, at, ring, made.api_key, served.openapi())


@pytest.fixture
def coupon(counter: Counter, database: Engine) -> CouponView:
    with transaction(database) as session:
        return make.coupon(session, counter.at)


@pytest.fixture
def code_of(counter: Counter, database: Engine) -> Codes:
    def code(of: CouponView) -> str:
        with transaction(database) as session:
            return make.code(session, counter.at, of, counter.ring)

    return code


@pytest.fixture
def code(coupon: CouponView, code_of: Codes) -> str:
    return code_of(coupon)


def refuse_undocumented(document: Any, method: str, path: str, answer: Response) -> None:
    """Every no must stand in the OpenAPI document, at its endpoint and under its status."""
    if answer.status_code < 400 or answer.status_code in (405, 500):
        return
    for template, operations in document["paths"].items():
        if fits(template, path) and method.lower() in operations:
            documented = operations[method.lower()]["responses"]
            described = documented[str(answer.status_code)]["content"]
            codes = described["application/problem+json"]["examples"]
            assert answer.json()["code"] in codes, (path, answer.json())


def fits(template: str, path: str) -> bool:
    parts, wanted = path.split("/"), template.split("/")
    return len(parts) == len(wanted) and all(
        want == part or want.startswith("{") for want, part in zip(wanted, parts, strict=True)
    )
