"""One operator's first campaign, by HTTP alone."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import Client
from PIL import Image
from sqlalchemy import Engine

import scanner
from api import (
    approvals,
    batches,
    campaigns,
    coupons,
    holds,
    keys,
    offers,
    redemptions,
    reversals,
    validations,
)
from api import (
    operators as operators_room,
)
from api.clock import wall_clock
from api.manual import REQUESTS, TAKEN
from coupon_engine import api_keys, operators
from coupon_engine.database import transaction
from schemas.campaigns import NewOperator
from tests import make
from tests.api.conftest import Clock, Counter

LIFE = (
    approvals,
    batches,
    campaigns,
    coupons,
    holds,
    keys,
    offers,
    operators_room,
    redemptions,
    reversals,
    validations,
)
"""The rooms that one campaign goes through from its making to its end."""


def test_a_first_campaign_from_the_examples_of_the_documentation(
    door: Client, served: FastAPI, database: Engine, clock: Clock
) -> None:
    """Every example is sent in its order as it is printed; only what the server makes differs."""
    clock.now = wall_clock()
    with transaction(database) as session:
        new = NewOperator(id=make.an_id(), slug="acme", name="Acme")
        operator = operators.create_operator(session, new, now=clock.now)
        key = api_keys.create_api_key(session, operator.id, "first", now=clock.now)
        another = api_keys.create_api_key(session, operator.id, "second", now=clock.now)
    door.headers["Authorization"] = f"Bearer {key.api_key}"
    second_person = {"Authorization": f"Bearer {another.api_key}"}
    told: dict[str, Any] = {}

    def made_by_the_server(path: str) -> dict[str, Any]:
        match path:
            case "/v1/key-moves":
                return {"kid": told["/v1/keys"]["kid"]}
            case "/v1/approvals":
                campaign_id = told["/v1/campaigns"]["id"]
                diff = door.get(f"/v1/campaigns/{campaign_id}/diff").json()
                return {"seen": diff["fingerprint"]}
            case "/v1/validations":
                return {"codes": [told["/v1/coupons"]["short_code"]]}
            case "/v1/holds" | "/v1/redemptions":
                coupon_id = told["/v1/coupons"]["id"]
                return {"code": door.get(f"/v1/coupons/{coupon_id}/token").json()["text"]}
            case "/v1/transfers" | "/v1/holder-keys" | "/v1/revocations":
                return {"coupon_id": told["/v1/coupons"]["id"]}
            case _:
                return {}

    for path, example in REQUESTS.items():
        taken = made_by_the_server(path)
        assert bool(taken) == (path in TAKEN)
        headers = second_person if path == "/v1/approvals" else None
        answer = door.post(path, json={**example, **taken}, headers=headers)
        assert answer.status_code in (200, 201), (path, answer.text)
        told[path] = answer.json()
    story = door.get(f"/v1/coupons/{told['/v1/coupons']['id']}/story").json()
    (row,) = door.get("/v1/report").json()["campaigns"]

    assert set(REQUESTS) == {
        f"/v1{route.path}"
        for room in LIFE
        for route in room.router.routes
        if isinstance(route, APIRoute) and "POST" in (route.methods or ())
    }
    assert told["/v1/moves"]["state"] == "in_review"
    assert told["/v1/approvals"]["state"] == "running"
    assert told["/v1/issues"]["count"] == 100
    assert told["/v1/validations"]["discount_minor"] == 350
    assert told["/v1/redemptions"]["discount_minor"] == 350
    assert told["/v1/reversals"]["coupon_is_usable"]
    assert [line["kind"] for line in story["lines"]] == [
        "coupon_issued",
        "coupon_held",
        "hold_released",
        "coupon_redeemed",
        "redemption_reversed",
        "coupon_transferred",
        "holder_key_changed",
        "coupon_revoked",
    ]
    assert (row["issued"], row["redeemed"], row["reversed"]) == (102, 0, 1)


def test_a_code_drawn_by_the_door_is_read_by_the_scanner_and_redeemed(
    counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        coupon = make.coupon(session, counter.at)

    picture = counter.gets(f"/v1/coupons/{coupon.id}/qr.png")
    drawing = counter.gets(f"/v1/coupons/{coupon.id}/qr.svg")

    assert picture.headers["content-type"] == "image/png"
    assert drawing.headers["content-type"] == "image/svg+xml"
    assert drawing.text.startswith("<svg")
    (reading,) = scanner.decode(np.asarray(Image.open(BytesIO(picture.content)).convert("L")))
    assert counter.redeems(reading.text).status_code == 201


def test_a_sheet_of_a_batch_is_a_pdf(counter: Counter, database: Engine) -> None:
    with transaction(database) as session:
        batch = make.batch(session, counter.at, has_short_codes=True)
        for _ in range(3):
            make.coupon(session, counter.at, batch)

    sheet = counter.gets(f"/v1/batches/{batch.id}/sheet.pdf", most=3)
    nothing = counter.gets(f"/v1/batches/{batch.id}/sheet.pdf", after=str(make.an_id()))

    assert (sheet.status_code, sheet.headers["content-type"]) == (200, "application/pdf")
    assert sheet.content.startswith(b"%PDF-")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "unknown")


def test_a_hold_keeps_a_coupon_for_one_counter(counter: Counter, code: str) -> None:
    body = {"id": str(make.an_id()), "code": code, "store_id": str(counter.at.store.id)}
    basket = {"currency": "EUR", "total_minor": 1_000}

    held = counter.posts("/v1/holds", {**body, "basket": basket})
    elsewhere = counter.redeems(code)
    here = counter.redeems(code, hold_id=held.json()["id"])
    over = counter.posts("/v1/releases", {"id": str(make.an_id()), "hold_id": held.json()["id"]})

    assert (held.status_code, held.json()["state"]) == (201, "open")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "held")
    assert here.status_code == 201
    assert (over.status_code, over.json()["code"]) == (409, "hold_over")


def test_a_list_is_read_page_by_page(counter: Counter, database: Engine) -> None:
    with transaction(database) as session:
        batch = make.batch(session, counter.at)
        made = [str(make.coupon(session, counter.at, batch).id) for _ in range(5)]

    pages: list[list[str]] = []
    after: dict[str, str] = {}
    while page := counter.gets("/v1/coupons", batch_id=str(batch.id), most=2, **after).json():
        pages.append([each["id"] for each in page])
        after = {"after": page[-1]["id"]}

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [id for page in pages for id in page] == made


def test_anybody_may_see_the_public_keys_and_nobody_the_private_ones(
    counter: Counter, door: Client
) -> None:
    answer = door.get("/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    assert key["kid"] == counter.ring["A"].kid
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_store_that_is_up_says_so(door: Client) -> None:
    assert door.get("/health/live").json() == {"status": "live"}
    assert door.get("/health/ready").json() == {"status": "ready"}


@pytest.mark.parametrize("path", ["/health/live", "/v1/campaigns", "/docs", "/problems"])
def test_every_answer_carries_the_headers_that_guard_a_browser(door: Client, path: str) -> None:
    headers = door.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_looking_can_change_nothing(counter: Counter, code: str, database: Engine) -> None:
    body = {
        "codes": [code],
        "store_id": str(counter.at.store.id),
        "basket": {"currency": "EUR", "total_minor": 1_000},
    }

    first, second = (counter.posts("/v1/validations", body) for _ in range(2))

    assert first.status_code == 200
    assert first.json() == second.json()
    assert first.json()["verdicts"][0]["discount_minor"] == 200
