"""Figures and lists at the door: who sees them, what is filtered, the files they become."""

from csv import DictReader
from io import BytesIO, StringIO
from uuid import UUID

import pytest
from httpx import Client
from python_calamine import CalamineWorkbook
from sqlalchemy import Engine

from api import exports
from coupon_engine.database import transaction
from coupon_engine.validation.short_code import short_code_of
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, Counter
from tests.coupon_engine.record import redeemed


def test_a_shop_manager_sees_the_figures_of_their_own_stores(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    with transaction(database) as session:
        other = make.another_store(session, counter.at.operator_id, counter.at.store.merchant_id)
        running = make.campaign(session, counter.at)
        batch = make.batch(session, counter.at, make.offer(session, counter.at, running))
        redeemed(session, counter.at, make.coupon(session, counter.at, batch))
        elsewhere = make.coupon(session, counter.at, batch)
        redeemed(session, counter.at, elsewhere, store_id=other.id, terminal_id=None)
    clock.passes(hours=1)
    manager = askers.person(database, door, counter.at, Role.SHOP_MANAGER, now=clock())
    path = f"/v1/campaigns/{running.id}/figures"

    own, whole = manager.gets(path).json(), counter.gets(path).json()

    assert [sum(p["redeemed"] for p in each["points"]) for each in (own, whole)] == [1, 2]
    assert {warm["store_id"] for warm in own["warmth"]} == {str(counter.at.store.id)}
    assert own["forecast"] is None
    assert sum(p["redeemed"] for p in manager.gets(path, store_id=other.id).json()["points"]) == 0


def test_too_long_a_stretch_is_refused_in_words(counter: Counter) -> None:
    stretch = {"since": "2026-01-01T00:00:00Z", "until": "2026-03-01T00:00:00Z", "step": "hour"}

    answer = counter.gets(f"/v1/campaigns/{make.an_id()}/figures", **stretch)

    assert answer.status_code == 422
    assert "at most 31 days" in answer.json()["detail"]


def test_offers_and_batches_are_listed_by_campaign(counter: Counter, database: Engine) -> None:
    with transaction(database) as session:
        one, two = make.offer(session, counter.at), make.offer(session, counter.at)
        batch = make.batch(session, counter.at, two)

    of_two = {"campaign_id": two.campaign_id}
    assert [each["id"] for each in counter.gets("/v1/offers").json()] == [str(one.id), str(two.id)]
    assert [each["id"] for each in counter.gets("/v1/offers", **of_two).json()] == [str(two.id)]
    assert [each["id"] for each in counter.gets("/v1/batches", **of_two).json()] == [str(batch.id)]
    assert counter.gets("/v1/batches", campaign_id=one.campaign_id).json() == []


def test_what_is_filtered_leaves_as_csv_and_as_a_workbook(
    counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        customer_id = make.customer(session, counter.at, ref="=cmd()")
        batch = make.batch(session, counter.at)
        mine = make.coupon(session, counter.at, batch, customer_id=customer_id)
        for _ in range(3):
            make.coupon(session, counter.at, batch)
    filtered = {"customer_id": customer_id}

    csv = counter.gets("/v1/coupons.csv", **filtered)
    xlsx = counter.gets("/v1/coupons.xlsx", **filtered)

    assert csv.headers["content-disposition"] == 'attachment; filename="coupons.csv"'
    (line,) = DictReader(StringIO(csv.content.decode("utf-8-sig")))
    assert (UUID(line["id"]), line["state"]) == (mine.id, "active")
    assert line["customer_ref"] == "'=cmd()"  # no spreadsheet takes it for a formula
    heading, row = (
        CalamineWorkbook.from_filelike(BytesIO(xlsx.content)).get_sheet_by_index(0).to_python()
    )
    sheet = dict(zip(heading, row, strict=True))
    assert (sheet["id"], sheet["customer_ref"]) == (str(mine.id), "=cmd()")
    assert len(counter.gets("/v1/coupons.csv").text.splitlines()) == 1 + 4


def test_a_file_goes_on_over_many_pages(
    counter: Counter, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_AT_ONCE", 2)
    with transaction(database) as session:
        batch = make.batch(session, counter.at)
        ids = [str(make.coupon(session, counter.at, batch).id) for _ in range(5)]

    csv = counter.gets("/v1/coupons.csv").content.decode("utf-8-sig")
    book = CalamineWorkbook.from_filelike(BytesIO(counter.gets("/v1/coupons.xlsx").content))

    assert [line["id"] for line in DictReader(StringIO(csv))] == ids
    assert [row[0] for row in book.get_sheet_by_index(0).to_python()[1:]] == ids


def test_a_short_code_is_found_and_guessing_at_one_is_counted(
    counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        coupon = make.coupon(
            session, counter.at, make.batch(session, counter.at, has_short_codes=True)
        )
    assert coupon.short_code

    (found,) = counter.gets("/v1/coupons", short_code=coupon.short_code).json()
    guesses = [
        counter.gets("/v1/coupons", short_code=short_code_of(make.an_id(), b"x")) for _ in range(31)
    ]

    assert found["id"] == str(coupon.id)
    assert guesses[0].json()["code"] == "unknown"
    assert guesses[-1].json()["code"] == "too_many_tries"
