"""Many rows in one statement, exact to the last sign."""

from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from coupon_engine import bulk
from coupon_engine.tables import Event, Merchant
from tests import make
from tests.coupon_engine.record import count, counted, rows
from tests.make import NOON

WORDS = 'Ünïcode "quoted" \\back\\ 券 \t % %(name)s :name $1'


def merchant(at: make.Shop, **more: Any) -> dict[str, Any]:
    asked = {"operator_id": at.operator_id, "id": make.an_id(), "name": "Baker"}
    return {**asked, "created_at": NOON, **more}


def test_rows_are_made_changed_and_removed_in_one_statement(session: Session) -> None:
    at = make.shop(session)
    old = [merchant(at) for _ in range(3)]
    bulk.write(session, bulk.Insert(Merchant, old))
    named = [{**row, "name": f"Shop {at_}"} for at_, row in enumerate(old[:2])]
    changes = [{name: row[name] for name in ("operator_id", "id", "name")} for row in named]
    gone = [{"operator_id": at.operator_id, "id": old[2]["id"]}]

    with counted() as seen:
        written = bulk.write(
            session,
            bulk.Update(Merchant, changes),
            bulk.Delete(Merchant, gone, key=("operator_id", "id")),
            bulk.Insert(Merchant, [merchant(at, name="New"), merchant(at, name="Newer")]),
        )

    assert (len(seen), written) == (1, 2)
    found = rows(session, "SELECT name FROM merchant WHERE name <> 'Corner shop' ORDER BY name")
    assert [row.name for row in found] == ["New", "Newer", "Shop 0", "Shop 1"]


def test_a_row_that_is_there_is_left_alone_and_not_counted(session: Session) -> None:
    at = make.shop(session)
    row = merchant(at)
    bulk.write(session, bulk.Insert(Merchant, [row]))
    again = [{**row, "name": "Thief"}, merchant(at, name="New")]

    written = bulk.write(session, bulk.Insert(Merchant, again, unless_there=True))

    assert written == 1
    assert count(session, "merchant WHERE name = 'Thief'") == 0


def test_nothing_to_write_asks_the_database_nothing(session: Session) -> None:
    with counted() as seen:
        assert bulk.write(session, bulk.Insert(Merchant, []), bulk.Update(Merchant, [])) == 0

    assert seen == []


def test_words_moments_and_documents_arrive_as_they_left(session: Session) -> None:
    at = make.shop(session)
    moment = datetime(2026, 3, 2, 12, 0, 0, 123_456, tzinfo=UTC)
    row = {
        "operator_id": at.operator_id,
        "id": make.an_id(),
        "kind": WORDS,
        "subject_id": make.an_id(),
        "campaign_id": None,
        "at": moment,
        "recorded_at": moment,
        "data": {"words": WORDS, "many": 10**12, "none": None, "list": [1, {"a": []}]},
    }

    bulk.write(session, bulk.Insert(Event, [row]))

    (found,) = rows(session, "SELECT * FROM event WHERE id = :id", id=row["id"])
    assert {name: found._mapping[name] for name in row} == row
