"""At the door: what a claim link gives, gifts between friends, receipts, stores and passes."""

import io
import json
import zipfile
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import Engine

from coupon_engine.database import transaction
from coupon_engine.settings import Settings
from coupon_engine.validation.token import presentation_text
from schemas.campaigns import BatchView, Level
from tests import make
from tests.api.conftest import Clock, Counter
from tests.api.test_wallets import Holder, holder
from tests.coupon_engine.passes import paperwork

PLACE = {
    "address": "Main street 1, 10115 Berlin",
    "latitude_microdegrees": 52_520_008,
    "longitude_microdegrees": 13_404_954,
}


@pytest.fixture
def a_phone(counter: Counter, clock: Clock) -> Callable[[], Holder]:
    return lambda: holder(counter, clock)


@pytest.fixture
def batch(counter: Counter, database: Engine) -> BatchView:
    return a_batch(counter, database, Level.STATIC)


def a_batch(counter: Counter, database: Engine, level: Level) -> BatchView:
    with transaction(database) as session:
        campaign = make.campaign(session, counter.at, level=level)
        return make.batch(session, counter.at, make.offer(session, counter.at, campaign))


def shows(mine: Holder, coupon: str) -> str:
    """What the phone draws, with its proof of this moment."""
    token = mine.gets(f"/v1/wallet/coupons/{coupon}/token").json()
    return presentation_text(
        token["jwt"],
        urlsafe_b64decode(token["head"] + "=="),
        token["letter"],
        mine.phone.key,
        at=make.NOON,
        audience=token["audience"],
    )


def id() -> str:
    return str(make.an_id())


def test_a_claim_link_is_read_before_it_is_claimed(
    a_phone: Callable[[], Holder], batch: BatchView, database: Engine
) -> None:
    mine = a_phone()

    told = mine.gets(f"/v1/wallet/batches/{batch.id}")
    unknown = mine.gets(f"/v1/wallet/batches/{id()}")

    assert told.status_code == 200
    assert (told.json()["refused"], told.json()["operator"]) == (None, "Acme")
    assert told.json()["face"]["benefit"] == [{"en": "€2.00 off.", "zh": "立减€2.00。"}]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown")


def test_a_gift_goes_from_phone_to_phone(
    a_phone: Callable[[], Holder], counter: Counter, batch: BatchView
) -> None:
    giver, friend = a_phone(), a_phone()
    coupon = giver.claims(batch).json()["id"]
    held = shows(giver, coupon)

    gift = giver.posts("/v1/wallet/gifts", id=id(), coupon_id=coupon)
    meanwhile = counter.redeems(held)
    taken = friend.posts("/v1/wallet/gift-acceptances", id=id(), secret=gift.json()["secret"])
    late = giver.posts("/v1/wallet/gift-withdrawals", id=id(), coupon_id=coupon)
    old, new = counter.redeems(held), counter.redeems(shows(friend, coupon))

    assert (gift.status_code, taken.status_code) == (201, 201)
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "given")
    assert (late.status_code, late.json()["code"]) == (404, "unknown")
    assert (old.status_code, old.json()["code"]) == (409, "superseded")
    assert new.status_code == 201


def test_a_gift_is_taken_back(a_phone: Callable[[], Holder], batch: BatchView) -> None:
    giver, friend = a_phone(), a_phone()
    coupon = giver.claims(batch).json()["id"]
    gift = giver.posts("/v1/wallet/gifts", id=id(), coupon_id=coupon).json()

    (given,) = giver.gets("/v1/wallet").json()["coupons"]
    back = giver.posts("/v1/wallet/gift-withdrawals", id=id(), coupon_id=coupon)
    late = friend.posts("/v1/wallet/gift-acceptances", id=id(), secret=gift["secret"])

    assert (given["state"], given["given_until"]) == ("given", gift["given_until"])
    assert (back.status_code, back.json()["state"]) == (201, "active")
    assert (late.status_code, late.json()["code"]) == (404, "gift_over")


def test_a_receipt_and_the_way_to_the_store(
    a_phone: Callable[[], Holder], counter: Counter, batch: BatchView
) -> None:
    mine = a_phone()
    coupon = mine.claims(batch).json()["id"]
    told = counter.posts(
        "/v1/store-changes", {"id": id(), "store_id": str(counter.at.store.id), **PLACE}
    )

    (store,) = mine.gets(f"/v1/wallet/stores?coupon_id={coupon}").json()
    counter.redeems(shows(mine, coupon))
    (receipt,) = mine.gets("/v1/wallet/receipts").json()

    assert told.status_code == 201
    assert {**PLACE, "merchant": "Corner shop"}.items() <= store.items()
    assert (receipt["discount_minor"], receipt["store"]) == (200, "Main street")
    assert mine.gets("/v1/wallet/stores").json() == []  # nothing good is left


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ({"latitude_microdegrees": 90_000_001, "longitude_microdegrees": 0}, "latitude"),
        ({"latitude_microdegrees": 0, "longitude_microdegrees": -180_000_001}, "longitude"),
        ({"latitude_microdegrees": 0}, "body"),
        ({"latitude_microdegrees": 52.5, "longitude_microdegrees": 13.4}, "latitude"),
    ],
)
def test_a_place_is_on_this_earth_and_whole(
    counter: Counter, wrong: dict[str, Any], at: str
) -> None:
    merchant = counter.posts("/v1/merchants", {"id": id(), "name": "Bakery"}).json()["id"]
    store = {"id": id(), "merchant_id": merchant, "name": "Hall", "zone": "Europe/Berlin"}

    refused = counter.posts("/v1/stores", {**store, **wrong})
    made = counter.posts("/v1/stores", {**store, **PLACE})

    assert refused.status_code == 422
    assert at in refused.json()["places"][0]["at"]
    assert (made.status_code, made.json()["address"]) == (201, PLACE["address"])


def test_without_certificates_no_passes_are_made(
    a_phone: Callable[[], Holder], batch: BatchView
) -> None:
    mine = a_phone()
    coupon = mine.claims(batch).json()["id"]

    answers = [mine.gets(f"/v1/wallet/coupons/{coupon}/{each}") for each in PASSES]

    assert [(no.status_code, no.json()["code"]) for no in answers] == [
        (404, "passes_not_set_up"),
        (404, "passes_not_set_up"),
    ]
    assert [no.json()["details"]["app"] for no in answers] == ["apple", "google"]


PASSES = ("pass.pkpass", "google-pass")


class TestWithCertificates:
    @pytest.fixture
    def settings(self, settings: Settings, tmp_path: Path) -> Settings:
        files = paperwork.apple_files(tmp_path)
        return settings.model_copy(
            update={
                "apple_pass_certificate": files.certificate,
                "apple_pass_key": files.key,
                "apple_pass_authority": files.authority,
                "google_wallet_account": paperwork.google_file(tmp_path),
                "google_wallet_issuer": paperwork.ISSUER,
            }
        )

    def test_a_coupon_that_was_let_go_from_its_phone_becomes_a_pass(
        self, a_phone: Callable[[], Holder], batch: BatchView, counter: Counter
    ) -> None:
        mine = a_phone()
        coupon = mine.claims(batch).json()["id"]
        before = answers(mine, coupon)

        loose = mine.posts("/v1/wallet/unbindings", id=id(), coupon_id=coupon)
        apple, google = answers(mine, coupon)

        assert [no.json()["code"] for no in before] == ["live_code_required"] * 2
        assert (loose.status_code, loose.json()["is_holder_bound"]) == (201, False)
        assert apple.headers["content-type"] == "application/vnd.apple.pkpass"
        assert google.json()["save_url"].startswith("https://pay.google.com/gp/v/save/ey")
        with zipfile.ZipFile(io.BytesIO(apple.content)) as archive:
            (code,) = json.loads(archive.read("pass.json"))["barcodes"]
        assert counter.redeems(code["message"]).status_code == 201

    def test_a_coupon_that_its_phone_must_sign_for_becomes_none(
        self, a_phone: Callable[[], Holder], counter: Counter, database: Engine
    ) -> None:
        mine = a_phone()
        bound = mine.claims(a_batch(counter, database, Level.HOLDER_SIGNED)).json()["id"]

        assert [no.json()["code"] for no in answers(mine, bound)] == ["live_code_required"] * 2

    def test_nobody_makes_a_pass_of_a_strangers_coupon(
        self, a_phone: Callable[[], Holder], batch: BatchView
    ) -> None:
        mine, theirs = a_phone(), a_phone()
        coupon = theirs.claims(batch).json()["id"]

        assert [no.status_code for no in answers(mine, coupon)] == [404, 404]
        assert [no.json()["code"] for no in answers(mine, id())] == ["unknown", "unknown"]


def answers(mine: Holder, coupon: str) -> list[Response]:
    return [mine.gets(f"/v1/wallet/coupons/{coupon}/{each}") for each in PASSES]
