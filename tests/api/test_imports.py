"""Lists at the door: who may bring what in, and how one follows it to its end."""

from base64 import b64encode
from typing import Any

from httpx import Client
from sqlalchemy import Engine

from coupon_engine.database import transaction
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, Counter


def a_list(*refs: str, **more: Any) -> dict[str, Any]:
    content = b64encode("\n".join(("ref", *refs)).encode()).decode()
    return {"kind": "customers", "content": content, "columns": {"ref": 0}, **more}


def an_import(*refs: str, **more: Any) -> dict[str, Any]:
    return {**a_list(*refs, **more), "id": str(make.an_id()), "name": "list.csv"}


def test_an_owner_tries_a_list_brings_it_in_and_hears_how_far_it_is(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    body = an_import("c-1", "", "c-2")

    tried = owner.posts("/v1/import-readings", a_list("c-1", "", "c-2")).json()
    begun = owner.posts("/v1/imports", body)
    again = owner.posts("/v1/imports", body)
    heard = owner.gets(f"/v1/imports/{body['id']}/progress").text

    assert tried["findings"] == [{"line": 3, "column": "ref", "code": "missing"}]
    assert begun.status_code == 201
    assert again.json() == begun.json()
    assert '"ended_at":null' not in heard.splitlines()[-2]
    seen = owner.gets(f"/v1/imports/{body['id']}").json()
    assert (seen["ended_at"] is not None, seen["done"], seen["wrong"]) == (True, 3, 1)
    errors = owner.gets(f"/v1/imports/{body['id']}/errors.csv").text
    assert errors.splitlines() == ["line,column,code", "3,ref,missing"]
    assert [each["ref"] for each in owner.gets("/v1/customers").json()] == ["c-1", "c-2"]


def test_whoever_may_not_send_a_line_may_not_bring_in_a_list_of_them(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    editor = askers.person(database, door, counter.at, Role.CAMPAIGN_EDITOR, now=clock())
    with transaction(database) as session:
        batch = make.batch(session, counter.at)

    customers = editor.posts("/v1/imports", an_import("c-1"))
    issues = editor.posts("/v1/imports", an_import("c-1", kind="issues", batch_id=str(batch.id)))

    assert (customers.status_code, customers.json()["code"]) == (403, "not_allowed")
    assert issues.status_code == 201


def test_the_progress_of_nothing_is_a_problem(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())

    answer = owner.gets(f"/v1/imports/{make.an_id()}/progress")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown")


def test_a_file_that_is_no_list_is_refused_in_words(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    content = b64encode(b"PK\x03\x04 and no workbook").decode()

    answer = owner.posts("/v1/import-readings", {"kind": "customers", "content": content})

    assert (answer.status_code, answer.json()["code"]) == (422, "sheet_unreadable")
    assert answer.json()["detail"] == "the workbook cannot be read"
