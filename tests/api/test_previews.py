"""Drafts at the door: read and tried by whoever writes campaigns, and by nobody else."""

from typing import Any

from httpx import Client
from sqlalchemy import Engine

from api.manual import REQUESTS
from schemas.access import Role
from tests.api import askers
from tests.api.conftest import Clock, Counter

DRAFT: dict[str, Any] = {
    "terms": REQUESTS["/v1/offers"]["terms"],
    "currency": "EUR",
    "zone": "Europe/Berlin",
}
BASKET = {"currency": "EUR", "total_minor": 100_000}


def test_an_editor_reads_a_draft_and_tries_it(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    editor = askers.person(database, door, counter.at, Role.CAMPAIGN_EDITOR, now=clock())

    read = editor.posts("/v1/previews", DRAFT)
    tried = editor.posts("/v1/trials", {**DRAFT, "basket": BASKET})

    assert read.status_code == tried.status_code == 200
    assert read.json()["face"]["title"] == DRAFT["terms"]["title"]
    assert read.json()["face"]["benefit"][0].keys() == {"en", "zh"}
    assert tried.json()["kind"] in ("accepted", "refused")


def test_a_basket_in_another_currency_is_refused_by_the_judge(counter: Counter) -> None:
    basket = {**BASKET, "currency": "JPY"}

    tried = counter.posts("/v1/trials", {**DRAFT, "basket": basket}).json()

    assert (tried["kind"], tried["refusal"]["code"]) == ("refused", "wrong_currency")
