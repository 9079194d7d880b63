"""Lists are tried line by line, brought in chunk by chunk, and each line once."""

from base64 import b64encode
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
import xlsxwriter
from sqlalchemy import Engine
from sqlmodel import Session, select

from coupon_engine import acting, importing
from coupon_engine.database import looking, transaction
from coupon_engine.errors import SheetUnreadable, Unknown
from coupon_engine.tables import Coupon, Customer, Event, ImportJob
from schemas.access import Actor, ActorKind
from schemas.imports import Finding, ImportKind, ImportView, NewImport
from tests import make
from tests.make import NOON, Shop

OLGA = Actor(kind=ActorKind.PERSON, id="olga", name="Olga")


def csv(*lines: str) -> str:
    return b64encode("\n".join(lines).encode()).decode()


def workbook(*rows: tuple[object, ...]) -> str:
    out = BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        sheet.write_row(number, 0, row)
    book.close()
    return b64encode(out.getvalue()).decode()


def asked(content: str, kind: str = "customers", **more: Any) -> NewImport:
    columns = more.pop("columns", {"ref": 0})
    return NewImport.model_validate(
        {
            "id": make.an_id(),
            "kind": kind,
            "name": "list.csv",
            "content": content,
            "columns": columns,
            **more,
        }
    )


def reading(session: Session, at: Shop, content: str, **more: Any) -> Any:
    request = importing.NewImportReading.model_validate(
        {"kind": "customers", "content": content, **more}
    )
    return importing.read(session, at.operator_id, request)


def begun(database: Engine, at: Shop, request: NewImport) -> ImportView:
    with transaction(database, acting.Acting(at.operator_id, OLGA)) as session:
        return importing.begin(session, at.operator_id, request, now=NOON)


def brought_in(database: Engine, at: Shop, request: NewImport) -> tuple[ImportView, list[Finding]]:
    begun(database, at, request)
    while importing.go_on(database, code_secret=make.SECRET, now=NOON):
        pass
    with looking(database, acting.by_system(at.operator_id)) as session:
        return (
            importing.import_view(session, at.operator_id, request.id),
            importing.findings(session, at.operator_id, request.id),
        )


def falls_over(*_: object) -> None:
    """The server dies when a chunk is done and not yet committed."""
    raise RuntimeError("the server falls over")


@pytest.fixture
def at(database: Engine) -> Shop:
    with transaction(database) as session:
        return make.shop(session)


def test_a_file_is_read_in_every_usual_dialect(session: Session) -> None:
    at = make.shop(session)
    for content in (
        csv("ref,segments", "c-1,a", "c-2,"),
        csv("\ufeffref;segments", "c-1;a", "c-2;"),
        csv("ref\tsegments", "c-1\ta", "c-2\t"),
        workbook(("ref", "segments"), ("c-1", "a"), ("c-2", None)),
    ):
        seen = reading(session, at, content)
        assert seen.columns == ("ref", "segments")
        assert seen.sample == (("c-1", "a"), ("c-2", ""))
        assert seen.suggested == {"ref": 0, "segments": 1}


def test_a_number_of_a_workbook_is_the_number_that_was_typed(session: Session) -> None:
    seen = reading(session, make.shop(session), workbook(("id",), (17,)))

    assert seen.sample == (("17",),)


def test_what_cannot_be_read_is_told(session: Session) -> None:
    at = make.shop(session)
    for content in (
        b64encode(b"PK\x03\x04 and no workbook").decode(),
        b64encode("ref\nM\xfcller".encode("latin-1")).decode(),
        b64encode(b"\0\0\0").decode(),
        csv("", "c-1"),
        csv("ref", *("c" for _ in range(50_001))),
    ):
        with pytest.raises(SheetUnreadable):
            reading(session, at, content)


def test_a_trial_names_every_wrong_line_and_keeps_nothing(session: Session) -> None:
    at = make.shop(session)
    content = csv(
        "ref,seg,bought", "c-1,a|b,yes", ",a,", "c-1,a,no", f"{'x' * 101},,", "c-2,,maybe"
    )

    seen = reading(session, at, content, columns={"ref": 0, "segments": 1, "has_purchased": 2})

    assert [(each.line, each.code) for each in seen.findings] == [
        (3, "missing"),
        (4, "repeated"),
        (5, "unfit"),
        (6, "not_yes_or_no"),
    ]
    assert (seen.lines, seen.wrong) == (5, 4)
    assert session.exec(select(ImportJob)).all() == []
    assert session.exec(select(Customer)).all() == []


def test_customers_come_in_and_wrong_lines_stay_out(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        known = make.customer(session, at, ref="c-2", segments=["old"])
    content = csv("ref,seg", "c-1,a|b", ",x", "c-2,new", "c-1,again")

    view, findings = brought_in(database, at, asked(content, columns={"ref": 0, "segments": 1}))

    assert (view.ended_at, view.lines, view.done, view.wrong) == (NOON, 4, 4, 2)
    assert [(each.line, each.code) for each in findings] == [(3, "missing"), (5, "repeated")]
    with transaction(database) as session:
        rows = {row.ref: row for row in session.exec(select(Customer)).all()}
        assert {ref: row.segments for ref, row in rows.items()} == {
            "c-1": ["a", "b"],
            "c-2": ["new"],
        }
        assert rows["c-2"].id == known


def test_it_goes_on_behind_what_was_done_and_does_no_line_twice(
    database: Engine, at: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)
    with transaction(database) as session:
        batch = make.batch(session, at)
        for number in range(5):
            make.customer(session, at, ref=f"c-{number}")
    request = asked(csv("ref", *(f"c-{n}" for n in range(5))), "issues", batch_id=batch.id)
    begun(database, at, request)
    done = [importing.go_on(database, code_secret=make.SECRET, now=NOON) for _ in range(2)]
    with monkeypatch.context() as falling:
        falling.setattr(importing, "_move_on", falls_over)
        with pytest.raises(RuntimeError, match="falls over"):
            importing.go_on(database, code_secret=make.SECRET, now=NOON)

    begun(database, at, request)
    done.append(importing.go_on(database, code_secret=make.SECRET, now=NOON))

    assert done == [2, 2, 1]
    with transaction(database) as session:
        assert len(session.exec(select(Coupon)).all()) == 5
        names = {
            event.actor["name"] for event in session.exec(select(Event)) if "import" in event.kind
        }
        issued = [e for e in session.exec(select(Event)) if e.kind == "coupons_issued"]
    assert names == {"Olga"}
    assert {event.actor["name"] for event in issued} == {"Olga"}


def test_one_line_that_cannot_be_brought_in_spoils_no_other(database: Engine, at: Shop) -> None:
    with transaction(database) as session:
        batch = make.batch(session, at, size=2)
        for number in range(3):
            make.customer(session, at, ref=f"c-{number}")
    content = csv("ref", "c-0", "nobody", "c-1", "c-2")

    view, findings = brought_in(database, at, asked(content, "issues", batch_id=batch.id))

    assert (view.done, view.wrong) == (4, 2)
    assert [(each.line, each.code) for each in findings] == [
        (3, "unknown_customer"),
        (5, "batch_exhausted"),
    ]
    with transaction(database) as session:
        assert len(session.exec(select(Coupon)).all()) == 2


def test_nothing_of_a_list_lies_about_when_it_has_ended(database: Engine, at: Shop) -> None:
    request = asked(csv("ref,phone", "c-1,+49 30 1234567"))
    begun(database, at, request)
    with transaction(database) as session:
        (job,) = session.exec(select(ImportJob)).all()
        assert job.lines == [{"ref": "c-1"}]

    importing.go_on(database, code_secret=make.SECRET, now=NOON)

    with transaction(database) as session:
        (job,) = session.exec(select(ImportJob)).all()
        assert job.lines is None


def test_a_strangers_import_is_unknown(database: Engine, at: Shop) -> None:
    request = asked(csv("ref", "c-1"))
    begun(database, at, request)
    with transaction(database) as session:
        other = make.shop(session)

    with looking(database, acting.by_system(other.operator_id)) as session:
        for look in (importing.import_view, importing.findings):
            with pytest.raises(Unknown):
                look(session, other.operator_id, request.id)


def test_issues_need_a_batch_and_customers_have_none() -> None:
    with pytest.raises(ValueError, match="issues come out of a batch"):
        asked(csv("ref"), "issues")
    with pytest.raises(ValueError, match="issues come out of a batch"):
        asked(csv("ref"), ImportKind.CUSTOMERS, batch_id=UUID(int=1))


def test_a_ref_that_stood_in_an_earlier_chunk_is_repeated_too(
    database: Engine, at: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)

    view, findings = brought_in(database, at, asked(csv("ref", "c-1", "c-2", "c-3", "c-1")))

    assert (view.done, view.wrong) == (4, 1)
    assert [(each.line, each.code) for each in findings] == [(5, "repeated")]
