"""A phone at the door: it signs, and what it signs with says whose coupons are meant."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from httpx import Client, Response
from sqlalchemy import Engine
from sqlmodel import col, select

from api.beside.sending import channels_of
from coupon_engine.channels.console import Console
from coupon_engine.channels.http_sms import HttpSms
from coupon_engine.channels.mail import Mail
from coupon_engine.customers import passcodes, wallets
from coupon_engine.database import transaction
from coupon_engine.settings import Settings
from coupon_engine.tables import Contact, Coupon, Event, Passcode, Tries, Wallet
from scanner.identity import FileKey, Signing
from schemas.access import Role
from schemas.campaigns import BatchView, Level
from schemas.wallets import ContactKind
from tests import make
from tests.api import askers
from tests.api.conftest import Clock, Counter, refuse_undocumented
from tests.coupon_engine.customers.phone import MAIL, MOBILE, Phone, another

POSTS = (
    "/v1/wallet/claims",
    "/v1/wallet/rebinds",
    "/v1/passcodes",
    "/v1/passcode-answers",
    "/v1/wallet/erasures",
)
GETS = ("/v1/wallet", "/v1/wallet/export")


@dataclass
class Holder:
    """A customer with a phone at the door."""

    counter: Counter
    phone: Phone
    id: UUID
    customer_id: UUID
    auth: httpx.Auth

    def asks(self, method: str, path: str, **more: Any) -> Response:
        answer = self.counter.client.request(method, path, auth=self.auth, **more)
        refuse_undocumented(self.counter.document, method, path.partition("?")[0], answer)
        return answer

    def posts(self, path: str, **body: Any) -> Response:
        return self.asks("POST", path, json=body)

    def gets(self, path: str) -> Response:
        return self.asks("GET", path)

    def claims(self, of: BatchView) -> Response:
        return self.posts("/v1/wallet/claims", id=str(make.an_id()), batch_id=str(of.id))


CODE = "402716"


@pytest.fixture(autouse=True)
def every_code_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands nowhere in clear, so no test could read it."""
    monkeypatch.setattr(passcodes, "_six_digits", lambda: CODE)


@pytest.fixture
def a_phone(counter: Counter, clock: Clock) -> Callable[[], Holder]:
    def new() -> Holder:
        return holder(counter, clock)

    return new


def holder(counter: Counter, clock: Clock) -> Holder:
    phone = Phone()
    made = registers(counter, phone, clock).json()
    id = UUID(made["id"])
    auth = Signing(id, FileKey(phone.key), clock=clock)
    return Holder(counter, phone, id, UUID(made["customer_id"]), auth)


def registers(counter: Counter, phone: Phone, clock: Clock, **more: Any) -> Response:
    asked = phone.asks(counter.at.slug, at=clock()).model_dump(mode="json")
    answer = counter.client.post("/v1/wallets", json={**asked, **more})
    refuse_undocumented(counter.document, "POST", "/v1/wallets", answer)
    return answer


@pytest.fixture
def batch(counter: Counter, database: Engine) -> BatchView:
    with transaction(database) as session:
        campaign = make.campaign(session, counter.at, level=Level.HOLDER_SIGNED)
        return make.batch(session, counter.at, make.offer(session, counter.at, campaign))


def test_a_phone_claims_sees_and_shows_a_coupon_without_a_name(
    a_phone: Callable[[], Holder], batch: BatchView
) -> None:
    mine = a_phone()

    claimed = mine.claims(batch)
    seen = mine.gets("/v1/wallet?most=10").json()
    token = mine.gets(f"/v1/wallet/coupons/{claimed.json()['id']}/token")

    assert claimed.status_code == 201
    assert seen["wallet"]["id"] == str(mine.id)
    assert [coupon["id"] for coupon in seen["coupons"]] == [claimed.json()["id"]]
    assert seen["contacts"] == []
    assert (token.status_code, token.json()["text"]) == (200, None)
    assert token.json()["head"]


def test_a_wallet_moves_to_another_phone_by_a_code(
    a_phone: Callable[[], Holder], batch: BatchView
) -> None:
    old, new = a_phone(), a_phone()
    types_the_code(old)
    claimed = old.claims(batch).json()
    mine = new.claims(batch).json()

    answered = types_the_code(new, end_others=True)
    rebound = new.posts("/v1/wallet/rebinds", id=str(make.an_id()), coupon_id=claimed["id"])
    seen = new.gets("/v1/wallet").json()

    assert answered.status_code == 201
    told = answered.json()
    assert (told["has_moved"], told["moved_coupons"], told["ended_wallets"]) == (True, 1, 1)
    assert rebound.status_code == 201
    assert {coupon["id"] for coupon in seen["coupons"]} == {claimed["id"], mine["id"]}
    assert [contact["masked"] for contact in seen["contacts"]] == ["+49 *** *** 89"]
    assert (old.gets("/v1/wallet").status_code) == 401


def test_a_wrong_code_stays_counted_through_the_door(a_phone: Callable[[], Holder]) -> None:
    mine = a_phone()
    id = asks_for_a_code(mine)

    answers = [
        mine.posts("/v1/passcode-answers", passcode_id=id, code=another(CODE)) for _ in range(5)
    ]
    last = mine.posts("/v1/passcode-answers", passcode_id=id, code=CODE)

    assert [answer.json()["details"]["tries_left"] for answer in answers] == [4, 3, 2, 1, 0]
    assert (last.status_code, last.json()["code"]) == (409, "passcode_over")


def test_the_answer_is_the_same_whoever_an_address_belongs_to(
    a_phone: Callable[[], Holder],
) -> None:
    old, new = a_phone(), a_phone()
    types_the_code(old)

    known = new.posts("/v1/passcodes", id=str(make.an_id()), kind="phone", to=MOBILE)
    unknown = new.posts("/v1/passcodes", id=str(make.an_id()), kind="phone", to="+491701234567")

    assert (known.status_code, unknown.status_code) == (201, 201)
    assert known.json().keys() == unknown.json().keys() == {"id", "expires_at"}
    assert known.json()["expires_at"] == unknown.json()["expires_at"]


@pytest.mark.parametrize("field", ["customer_id", "operator_id", "wallet_id", "holder_key"])
def test_whose_coupons_are_meant_is_never_read_from_a_request(
    a_phone: Callable[[], Holder], field: str
) -> None:
    mine, theirs = a_phone(), a_phone()

    for path in POSTS:
        answer = mine.posts(path, **{"id": str(make.an_id()), field: str(theirs.customer_id)})
        places = [place["at"] for place in answer.json()["places"]]
        assert (answer.status_code, f"body.{field}" in places) == (422, True), path
    for path in GETS:
        answer = mine.gets(f"{path}?{field}={theirs.customer_id}")
        assert answer.status_code in (200, 422)
        assert str(theirs.customer_id) not in answer.text


def test_no_one_sees_or_touches_a_strangers_coupon(
    a_phone: Callable[[], Holder], batch: BatchView
) -> None:
    mine, theirs = a_phone(), a_phone()
    coupon = theirs.claims(batch).json()["id"]
    never = str(make.an_id())

    def looks(id: str) -> tuple[int, Any]:
        answer = mine.gets(f"/v1/wallet/coupons/{id}/token")
        return answer.status_code, answer.json()["title"]

    def binds(id: str) -> tuple[int, Any]:
        answer = mine.posts("/v1/wallet/rebinds", id=str(make.an_id()), coupon_id=id)
        return answer.status_code, answer.json()["title"]

    assert looks(coupon) == looks(never) == binds(coupon) == binds(never)
    assert looks(coupon)[0] == 404


def test_a_key_that_signs_for_another_wallet_opens_nothing(
    counter: Counter, clock: Clock, a_phone: Callable[[], Holder]
) -> None:
    mine, theirs = a_phone(), a_phone()
    forged = Signing(theirs.id, FileKey(mine.phone.key), clock=clock)

    answer = counter.client.get("/v1/wallet", auth=forged)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_the_thirty_first_wallet_of_an_hour_waits(counter: Counter, clock: Clock) -> None:
    made = [registers(counter, Phone(), clock) for _ in range(wallets.WALLETS_PER_NETWORK)]

    refused = registers(counter, Phone(), clock)
    clock.passes(hours=1)
    later = registers(counter, Phone(), clock)

    assert {answer.status_code for answer in made} == {201}
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_tries")
    assert later.status_code == 201


def test_a_proof_that_does_not_fit_is_counted(
    counter: Counter, clock: Clock, database: Engine
) -> None:
    refused = registers(counter, Phone(), clock, holder_key=Phone().holder_key)

    assert (refused.status_code, refused.json()["code"]) == (422, "proof_invalid")
    with transaction(database) as session:
        counts = [row.count for row in session.exec(select(Tries)) if row.key.startswith("wallets")]
        assert counts == [1, 1]
        assert session.exec(select(Wallet)).all() == []


def test_an_operator_that_is_not_there_makes_no_wallet(counter: Counter, clock: Clock) -> None:
    asked = Phone().asks("nobody-at-all", at=clock()).model_dump(mode="json")

    answer = counter.client.post("/v1/wallets", json=asked)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown")


def test_a_persons_own_export_and_erasure(
    a_phone: Callable[[], Holder], batch: BatchView, database: Engine
) -> None:
    mine = a_phone()
    types_the_code(mine)
    mine.claims(batch)

    document = mine.gets("/v1/wallet/export").json()
    erased = mine.posts("/v1/wallet/erasures", id=str(make.an_id()))
    after = mine.gets("/v1/wallet")

    assert document["customer"]["id"] == str(mine.customer_id)
    assert [contact["value"] for contact in document["contacts"]] == [MOBILE]
    assert len(document["coupons"]) == 1
    assert (erased.status_code, erased.json()["contacts"]) == (201, 1)
    assert (after.status_code, after.json()["code"]) == (401, "not_signed_in")
    with transaction(database) as session:
        assert session.exec(select(Contact)).all() == []
        assert len(session.exec(select(Coupon)).all()) == 1


def test_support_sees_a_contact_masked_and_only_an_owner_in_clear(
    counter: Counter, door: Client, database: Engine, clock: Clock, a_phone: Callable[[], Holder]
) -> None:
    mine = a_phone()
    told = counter.posts(
        "/v1/contacts", {"customer_id": str(mine.customer_id), "kind": "email", "value": MAIL}
    )
    owner = askers.person(database, door, counter.at, Role.OWNER, now=clock())
    clock.passes(minutes=11)  # since they have confirmed who they are
    support = askers.person(
        database, door, counter.at, Role.SUPPORT, now=clock(), is_stepped_up=True
    )
    sure = askers.person(database, door, counter.at, Role.OWNER, now=clock(), is_stepped_up=True)
    export = f"/v1/customers/{mine.customer_id}/export"

    masked = support.gets(f"/v1/customers/{mine.customer_id}/contacts")
    answers = [asker.gets(export) for asker in (support, owner, sure)]

    assert (told.status_code, told.json()["masked"]) == (201, "m***@e***.com")
    assert [contact["masked"] for contact in masked.json()] == ["m***@e***.com"]
    assert MAIL not in masked.text
    assert [answer.status_code for answer in answers] == [403, 403, 200]
    assert answers[1].json()["code"] == "step_up_needed"
    assert [contact["value"] for contact in answers[2].json()["contacts"]] == [MAIL]
    with transaction(database) as session:
        events = session.exec(select(Event).where(col(Event.kind) == "customer_exported")).all()
        assert [event.actor["role"] for event in events] == ["owner"]


def test_an_owner_forgets_a_person(
    counter: Counter, door: Client, database: Engine, clock: Clock, a_phone: Callable[[], Holder]
) -> None:
    mine = a_phone()
    sure = askers.person(database, door, counter.at, Role.OWNER, now=clock(), is_stepped_up=True)

    erased = sure.posts(
        "/v1/erasures", {"id": str(make.an_id()), "customer_id": str(mine.customer_id)}
    )

    assert (erased.status_code, erased.json()["wallets"]) == (201, 1)
    assert mine.gets("/v1/wallet").status_code == 401


def test_another_operators_person_is_unknown(
    counter: Counter,
    stranger: Counter,
    door: Client,
    database: Engine,
    clock: Clock,
    a_phone: Callable[[], Holder],
) -> None:
    mine = a_phone()
    owner = askers.person(database, door, stranger.at, Role.OWNER, now=clock(), is_stepped_up=True)

    def answers(id: UUID) -> list[tuple[int, str]]:
        said = {"id": str(make.an_id()), "customer_id": str(id)}
        heard = (
            owner.gets(f"/v1/customers/{id}/contacts"),
            owner.gets(f"/v1/customers/{id}/export"),
            owner.posts("/v1/erasures", said),
        )
        return [(answer.status_code, answer.json()["code"]) for answer in heard]

    assert answers(mine.customer_id) == answers(make.an_id()) == [(404, "unknown")] * 3
    assert mine.gets("/v1/wallet").status_code == 200


def test_a_server_sends_what_waits(
    a_phone: Callable[[], Holder],
    database: Engine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = a_phone()
    mine.posts("/v1/passcodes", id=str(make.an_id()), kind="phone", to=MOBILE)

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with transaction(database) as session:
            if session.exec(select(Passcode)).one().due_at is None:
                break
        time.sleep(0.05)

    assert f"--- to {MOBILE}" in capsys.readouterr().err


def test_who_carries_a_message_is_what_the_settings_say(settings: Settings) -> None:
    plain = channels_of(settings)
    set_up = channels_of(
        settings.model_copy(
            update={
                "smtp_url": "smtps://mail.example",
                "mail_from": "coupons@shop.example",
                "sms_url": "https://sms.example/messages",
            }
        )
    )

    assert {type(channel) for channel in plain.values()} == {Console}
    assert type(set_up[ContactKind.EMAIL]) is Mail
    assert type(set_up[ContactKind.PHONE]) is HttpSms


def asks_for_a_code(mine: Holder) -> str:
    id = str(make.an_id())
    asked = mine.posts("/v1/passcodes", id=id, kind="phone", to=MOBILE)
    assert asked.status_code == 201
    return id


def types_the_code(mine: Holder, **more: Any) -> Response:
    id = asks_for_a_code(mine)
    return mine.posts("/v1/passcode-answers", passcode_id=id, code=CODE, **more)


def test_the_record_never_tells_from_where_a_customer_came(
    a_phone: Callable[[], Holder], batch: BatchView, database: Engine
) -> None:
    mine = a_phone()

    assert mine.claims(batch).status_code == 201

    with transaction(database) as session:
        told = session.exec(select(Event).where(col(Event.kind) == "coupon_issued")).one()
    assert told.actor["id"] == str(mine.id)
    assert "address" not in told.actor
