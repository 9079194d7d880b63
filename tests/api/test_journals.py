"""Journals at the real door: by the terminal itself, and by whoever brings a revoked one's."""

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from pydantic_core import from_json
from sqlalchemy import Engine

from coupon_engine.acting import by_system
from coupon_engine.database import transaction
from coupon_engine.terminals import terminals
from scanner.identity import FileKey, Signing
from schemas.access import Role
from schemas.journals import MOST_ENTRIES
from schemas.terminals import NewTerminalRevocation
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, refuse_undocumented
from tests.coupon_engine.offline.device import HOUR, MINUTE, Device, device, world
from tests.coupon_engine.record import count
from tests.make import NOON


@pytest.fixture
def till(database: Engine) -> Device:
    """A terminal under a lease that has redeemed one coupon; another is awaited."""
    with transaction(database) as session:
        of = world(session)
        one, other = device(session, of), device(session, of)
        one.leases(session)
        other.leases(session)
    one.redeems(at=NOON + MINUTE)
    return one


@pytest.fixture
def signing(till: Device, door: Client, clock: Clock) -> Asker:
    clock.now = NOON + HOUR
    auth = Signing(till.id, FileKey(till.key), clock=clock)
    return Asker("terminal", Role.TERMINAL, door, till.of.at, auth=auth)


def body(till: Device, **more: Any) -> dict[str, Any]:
    return {"id": str(make.an_id()), "entries": till.journal, **more}


def claims_of(jwt: str) -> dict[str, Any]:
    payload = jwt.split(".")[1]
    return from_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def problem(served: FastAPI, answer: Response) -> tuple[int, str]:
    refuse_undocumented(served.openapi(), "POST", "/v1/journals", answer)
    return answer.status_code, answer.json()["code"]


def test_a_terminal_sends_its_journal_and_hears_what_becomes_of_it(
    till: Device, signing: Asker, database: Engine
) -> None:
    answer = signing.posts("/v1/journals", body(till))

    assert answer.status_code == 201, answer.text
    with transaction(database, by_system(till.of.at.operator_id)) as session:
        told = till.read(session, answer.json()["acknowledgement"])
    assert (told.seq, told.hash, answer.json()["unread"]) == (2, till.prev, [])
    assert [each.answer for each in told.answers] == ["noted", "provisional"]


def test_it_asks_later_what_was_decided(till: Device, signing: Asker) -> None:
    signing.posts("/v1/journals", body(till))

    answer = signing.gets("/v1/journals/acknowledgement", after=0)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwt")
    told = claims_of(answer.text)
    assert (told["seq"], told["answers"]) == (2, [{"seq": 1, "answer": "noted"}])
    assert signing.gets("/v1/journals/acknowledgement", after=-1).status_code == 422


def test_a_revoked_terminal_is_heard_no_more_and_its_manager_brings_the_journal(
    till: Device,
    signing: Asker,
    served: FastAPI,
    door: Client,
    database: Engine,
    clock: Clock,
) -> None:
    at = till.of.at
    with transaction(database, by_system(at.operator_id)) as session:
        lost = NewTerminalRevocation(id=make.an_id(), terminal_id=till.id, reason="stolen")
        terminals.revoke(session, at.operator_id, lost, store_ids=None, now=clock())
    assert problem(served, signing.posts("/v1/journals", body(till))) == (401, "not_signed_in")

    manager = askers.person(database, door, at, Role.SHOP_MANAGER, now=clock())
    assert problem(served, manager.posts("/v1/journals", body(till))) == (403, "not_allowed")
    answer = manager.posts("/v1/journals", body(till, terminal_id=str(till.id)))

    told = claims_of(answer.json()["acknowledgement"])["answers"]
    assert told[1] == {
        "seq": 2,
        "answer": "rejected",
        "reason": "after_revocation",
        "liable": "merchant",
    }
    with transaction(database) as session:
        assert count(session, "journal_entry") == 2
        assert count(session, "redemption") == 0


def test_nobody_brings_the_journal_of_another_store_or_terminal(
    till: Device, signing: Asker, served: FastAPI, door: Client, database: Engine, clock: Clock
) -> None:
    at = till.of.at
    with transaction(database) as session:
        elsewhere = make.another_store(session, at.operator_id, at.store.merchant_id)
        other = device(session, till.of, store=elsewhere)
        stranger = make.shop(session)
    other.writes("refused")
    manager = askers.person(database, door, at, Role.SHOP_MANAGER, now=clock())
    foreign = askers.person(database, door, stranger, Role.OWNER, now=clock())

    unknown = (404, "unknown")
    foreign_body = body(other, terminal_id=str(other.id))
    assert problem(served, manager.posts("/v1/journals", foreign_body)) == unknown
    assert problem(served, signing.posts("/v1/journals", foreign_body)) == unknown
    assert problem(served, foreign.posts("/v1/journals", foreign_body)) == unknown


def test_an_upload_has_a_size(till: Device, signing: Asker) -> None:
    assert signing.posts("/v1/journals", body(till, entries=[])).status_code == 422
    many = ["x"] * (MOST_ENTRIES + 1)
    assert signing.posts("/v1/journals", body(till, entries=many)).status_code == 422


def test_what_is_provisional_is_not_reversed(
    till: Device, signing: Asker, database: Engine
) -> None:
    signing.posts("/v1/journals", body(till))
    with transaction(database) as session:
        id = session.connection().exec_driver_sql("SELECT id FROM redemption").scalar_one()

    seen = signing.gets(f"/v1/redemptions/{id}").json()
    asked = {"id": str(make.an_id()), "redemption_id": str(id), "reason": "by mistake"}
    answer = signing.posts("/v1/reversals", asked)

    assert seen["state"] == "provisional"
    assert (answer.status_code, answer.json()["code"]) == (409, "still_provisional")
