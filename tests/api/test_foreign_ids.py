"""Another operator's things: as unknown as things that never were, whoever asks and wherever.

Each endpoint that takes an id gets, in turn, an id of the other operator and one that never was,
from everybody who may ask there. Everything else in the request is the asker's own and valid, so
that nothing but the id can be refused.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args
from uuid import UUID

import pytest
from fastapi.routing import APIRoute
from httpx import Client, Response
from pydantic import BaseModel
from sqlalchemy import Engine, text
from sqlmodel import Session

from api.asking.access import ROWS
from api.main import VERSION_1
from api.manual import REQUESTS
from coupon_engine import acting, holding, redemption
from coupon_engine.database import transaction
from coupon_engine.people import accounts, sign_ins
from coupon_engine.tables import (
    Account,
    Cashier,
    DisputedHolder,
    ImportJob,
    Pairing,
    Passcode,
    Shift,
    Wallet,
)
from coupon_engine.validation.short_code import short_code_of
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter
from tests.api.test_access import may

KEY = bytes.fromhex("026b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
World = Mapping[str, Any]


@pytest.fixture
def theirs(counter: Counter, database: Engine) -> World:
    return a_world(database, counter)


@pytest.fixture
def ours(stranger: Counter, database: Engine) -> World:
    return a_world(database, stranger)


def a_world(database: Engine, counter: Counter) -> World:
    """One of everything that an id can name, by the names that requests call it."""
    at = counter.at
    with transaction(database) as session:
        customer_id = make.customer(session, at)
        campaign = make.campaign(session, at)
        offer = make.offer(session, at, campaign)
        batch = make.batch(session, at, offer, has_short_codes=True)
        coupon = make.coupon(session, at, batch, customer_id=customer_id)
        held = make.coupon(session, at, batch)
        spent = make.coupon(session, at, batch)
        hold_request = make.hold_request(at, held)
        hold = holding.hold(
            session, at.operator_id, hold_request, make.of_coupon(held), now=make.NOON
        )
        redeemed = redemption.redeem(
            session, at.operator_id, make.request(at, spent), now=make.NOON
        )
        acting.enter(session, at.operator_id)
        invitation = accounts.create_first_owner(
            session, at.operator_id, email="new@example.com", name="New", now=make.NOON
        )
        account = Account(
            operator_id=at.operator_id,
            id=make.an_id(),
            email="kim@example.com",
            name="Kim",
            role=Role.FINANCE,
            created_at=make.NOON,
        )
        session.add(account)
        session.flush()
        opened = sign_ins.open_sign_in(
            session, account, methods=["totp"], address=None, agent=None, now=make.NOON
        )
        rows = rows_of(session, at, customer_id)
        merchant_id = session.connection().execute(
            text("SELECT merchant_id FROM store WHERE id = :id"), {"id": at.store.id}
        )
        return {
            "store_id": at.store.id,
            "terminal_id": at.terminal.id,
            "merchant_id": merchant_id.scalar_one(),
            "customer_id": customer_id,
            "to_customer_id": make.customer(session, at),
            "from_customer_id": customer_id,
            "campaign_id": campaign.id,
            "offer_id": offer.id,
            "replaces": offer.id,
            "batch_id": batch.id,
            "coupon_id": coupon.id,
            "hold_id": hold.id,
            "redemption_id": redeemed.id,
            "account_id": account.id,
            "invitation_id": invitation.id,
            "sign_in_id": opened.view.id,
            "kid": counter.ring["A"].kid,
            "key_id": counter.api_key.split("_")[2],
            "code": short_code_of(coupon.id, make.SECRET),
            **rows,
        }


def rows_of(session: Session, at: make.Shop, customer_id: UUID) -> World:
    now = make.NOON
    own: dict[str, Any] = {"operator_id": at.operator_id}
    cashier = Cashier(
        **own,
        id=make.an_id(),
        store_id=at.store.id,
        name="Ann",
        pin_hash="none",
        created_at=now,
        **_required(Cashier, {"operator_id", "id", "store_id", "name", "pin_hash", "created_at"}),
    )
    wallet = Wallet(**own, id=make.an_id(), customer_id=customer_id, public_key=KEY, created_at=now)
    pairing = Pairing(
        **own,
        id=make.an_id(),
        hash=make.an_id().bytes,
        store_id=at.store.id,
        terminal_id=at.terminal.id,
        name="Till 1",
        created_at=now,
        expires_at=now.replace(hour=13),
    )
    session.add_all([cashier, wallet, pairing])
    session.flush()
    shift = Shift(
        **own,
        id=make.an_id(),
        hash=make.an_id().bytes,
        terminal_id=at.terminal.id,
        cashier_id=cashier.id,
        name="Ann",
        started_at=now,
        expires_at=now.replace(hour=20),
    )
    passcode = Passcode(
        **own,
        id=make.an_id(),
        hash=b"x" * 32,
        kind="email",
        lookup=b"x" * 32,
        sealed=b"x",
        wallet_id=wallet.id,
        created_at=now,
        expires_at=now.replace(minute=5),
        **_required(
            Passcode,
            {
                "operator_id",
                "id",
                "hash",
                "kind",
                "lookup",
                "sealed",
                "wallet_id",
                "created_at",
                "expires_at",
            },
        ),
    )
    job = ImportJob(
        **own,
        id=make.an_id(),
        kind="customers",
        name="list.csv",
        actor={},
        lines_count=0,
        created_at=now,
        ended_at=now,
    )
    holder = DisputedHolder(
        operator_id=wallet.operator_id,
        id=make.an_id(),
        holder_key=wallet.public_key,
        suspended_at=now,
    )
    session.add_all([shift, passcode, job, holder])
    session.flush()
    return {
        "cashier_id": cashier.id,
        "holder_id": holder.id,
        "import_id": job.id,
        "pairing_id": pairing.id,
        "shift_id": shift.id,
        "passcode_id": passcode.id,
    }


SOMETHING: Mapping[Any, Any] = {bytes: b"x", str: "x", int: 1}


def _required(table: type[BaseModel], given: set[str]) -> dict[str, Any]:
    """Fill what else a row needs with something of its kind."""
    filled: dict[str, Any] = {}
    for name, column in table.model_fields.items():
        if column.is_required() and name not in given:
            filled[name] = SOMETHING[column.annotation]
    return filled


# What requests hold besides ids. An endpoint that wants something else says so by failing here.
SAMPLES: World = {
    "amount_minor": 100,
    "basket": {"currency": "EUR", "total_minor": 1_000},
    "ceiling": "budget_minor",
    "currency": "EUR",
    "current": 1_000_000,
    "target": 900_000,
    "digits": "123456",
    "holder_key": REQUESTS["/v1/holder-keys"]["holder_key"],
    "email": "somebody@example.com",
    "role": "shop_manager",
    "kind": "name",
    "value": "Kim",
    "lasts_seconds": 300,
    "move": "pause",
    "name": "Something",
    "pin": "4711",
    "reason": "To see what happens",
    "seen": "0" * 64,
    "size": 10,
    "terms": REQUESTS["/v1/offers"]["terms"],
    "zone": "Europe/Berlin",
}
# What one endpoint wants besides, or otherwise.
MORE: Mapping[str, World] = {
    "/account-changes": {"role": "shop_manager"},
    "/import-readings": {"kind": "issues", "content": "cmVmCmMtMQo=", "columns": {"ref": 0}},
    "/imports": {"kind": "issues", "content": "cmVmCmMtMQo=", "columns": {"ref": 0}},
    "/issues": {"unclaimed": 1},
    "/journals": {"entries": ["nothing"]},
    "/key-moves": {"move": "use"},
    "/passcode-answers": {"code": "123456"},
}
# What is counted within an operator: another's number is one's own, or nobody's.
NUMBERS = ("cmp", "shard")
# Ids that are kept in words.
NAMES = ("kid", "key_id")
# Whose answer is the same for every id, foreign or own: a wrong code is a wrong code.
ALIKE = {"code_wrong", "too_many_tries", "not_signed_in", "coupon_taken", "passcode_over"}


# A hold that is not the coupon's own opens nothing and harms nothing, whoever's it is.
HINTS = {("/redemptions", "hold_id")}


def test_another_operators_ids_are_as_unknown_as_ids_that_never_were(
    ours: World,
    theirs: World,
    stranger: Counter,
    door: Client,
    database: Engine,
    clock: Clock,
) -> None:
    people = askers.everybody(database, door, stranger.at, clock=clock)
    people = [each for each in people if each.role is not Role.PLATFORM_ADMIN]
    asked, told = 0, list[object]()
    before = everything_of(database, theirs)
    for route, method in routes():
        row = ROWS[f"{method} {route.path}"]
        for asker in people:
            if row.is_open or not may(asker, row):
                continue
            for place in places(route):
                foreign = ask(asker, route, method, place, ours, one_of(theirs, place))
                unknown = ask(asker, route, method, place, ours, never_was(place))
                asked += 1
                if seen(foreign, one_of(theirs, place)) != seen(unknown, never_was(place)):
                    told.append((asker.name, method, route.path, place, foreign.text, unknown.text))
                elif foreign.status_code < 400 or foreign.status_code >= 500:
                    told.append((asker.name, method, route.path, place, foreign.status_code))
                elif foreign.status_code != 404 and foreign.json()["code"] not in ALIKE:
                    told.append((asker.name, method, route.path, place, foreign.text))

    assert told == [], "\n".join(map(str, told))
    assert asked > 150
    assert everything_of(database, theirs) == before


def routes() -> Iterator[tuple[APIRoute, str]]:
    for module in VERSION_1:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                yield route, method


def places(route: APIRoute) -> Iterator[str]:
    """Yield the names of the ids that this endpoint takes, in its address and its body."""
    yield from (name for name in re.findall(r"\{(\w+)\}", route.path) if name not in NUMBERS)
    for name, field in body_of(route).items():
        if (
            (route.path, name) not in HINTS
            and name != "id"
            and (name in NAMES or _is_id(field.annotation))
        ):
            yield name


def body_of(route: APIRoute) -> Mapping[str, Any]:
    if route.body_field is None:
        return {}
    model = route.body_field.field_info.annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model.model_fields


def _is_id(annotation: Any) -> bool:
    return annotation is UUID or any(_is_id(each) for each in get_args(annotation))


def ask(
    asker: Asker, route: APIRoute, method: str, place: str, ours: World, value: Any
) -> Response:
    """Ask with our own things in every place but this one."""
    own = {**ours, place: value}
    address = re.sub(r"\{(\w+)\}", lambda found: str(own[found[1]]), f"/v1{route.path}")
    if method != "POST":
        return asker.asks(method, address)
    more = MORE.get(route.path, {})
    samples = {**SAMPLES, **own, "codes": [ours["code"]], **more}
    body: dict[str, Any] = {**more}
    for name, field in body_of(route).items():
        if name == "id":
            body[name] = str(make.an_id())
        elif name == place or field.is_required():
            body[name] = [str(samples[name])] if name.endswith("_ids") else _plain(samples[name])
    return asker.posts(address, body)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def one_of(world: World, place: str) -> Any:
    return world[place.removesuffix("s")] if place.endswith("_ids") else world[place]


def never_was(place: str) -> Any:
    if place == "kid":
        return "never-was"
    if place == "key_id":
        return "NeverWas"
    return UUID("0195a5c0-7fff-7fff-bfff-ffffffffffff")


def seen(answer: Response, named: Any) -> tuple[int, str]:
    """Return what the asker learns, except the id that they named themselves."""
    return answer.status_code, answer.text.replace(str(named), "ID")


def everything_of(database: Engine, world: World) -> dict[str, int]:
    with database.connect() as connection:
        operator_id = connection.execute(
            text("SELECT operator_id FROM store WHERE id = :id"), {"id": world["store_id"]}
        ).scalar_one()
        tables = connection.execute(
            text("""
                SELECT table_name FROM information_schema.columns
                WHERE column_name = 'operator_id' AND table_schema = 'public'
            """)
        ).scalars()
        return {
            table: connection.execute(
                text(f"SELECT count(*) FROM {table} WHERE operator_id = :id"),  # noqa: S608
                {"id": operator_id},
            ).scalar_one()
            for table in sorted(tables)
            if table != "outbox"  # which empties itself
        }
