"""What others show at the same door harms nobody whom it knows."""

from contextlib import nullcontext

from cryptography.hazmat.primitives.asymmetric import ec
from httpx import Client
from sqlalchemy import Engine, text

from api.main import app
from coupon_engine.settings import Settings
from scanner.identity import FileKey, Signing
from schemas.access import Role
from tests.api import askers
from tests.api.conftest import Clock, Counter, a_counter
from tests.api.wire import serving


def test_a_bad_neighbour_does_not_close_the_door_to_those_who_came_in_before(
    settings: Settings, limited: Engine, database: Engine, clock: Clock
) -> None:
    strict = settings.model_copy(update={"flood_factor": 1.0})
    served = app(strict, clock=clock, opening=lambda _: nullcontext(limited))
    with serving(served) as url, Client(base_url=url, timeout=30) as door:
        at = a_counter(served, door, database)
        owner = askers.person(database, door, at.at, Role.OWNER, now=clock.now)
        till = askers.terminal(database, door, at.at, clock=clock)
        newcomer = askers.person(database, door, at.at, Role.AUDITOR, now=clock.now)
        known = (at.gets("/v1/stores"), owner.gets("/v1/stores"), till.gets("/v1/cashiers"))
        assert [answer.status_code for answer in known] == [200, 200, 200]

        wrong = [
            door.get("/v1/stores", headers={"Authorization": f"Bearer x{number}"}).status_code
            for number in range(80)
        ]

        assert wrong == [401] * 60 + [429] * 20
        known = (at.gets("/v1/stores"), owner.gets("/v1/stores"), till.gets("/v1/cashiers"))
        assert [answer.status_code for answer in known] == [200, 200, 200]
        assert newcomer.gets("/v1/stores").status_code == 429


def test_a_signature_that_is_wrong_makes_no_terminal_seen(
    counter: Counter, door: Client, database: Engine, clock: Clock
) -> None:
    real = askers.terminal(database, door, counter.at, clock=clock)
    forged = Signing(
        counter.at.terminal.id, FileKey(ec.generate_private_key(ec.SECP256R1())), clock=clock
    )

    assert door.get("/v1/cashiers", auth=forged).status_code == 401
    before = seen_at(database)
    assert real.gets("/v1/cashiers").status_code == 200

    assert (before, seen_at(database)) == (None, clock.now)


def seen_at(database: Engine) -> object:
    with database.connect() as connection:
        return connection.execute(text("SELECT seen_at FROM terminal")).scalar_one()
