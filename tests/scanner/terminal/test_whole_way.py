"""The whole way, with a real server and real processes: pair, lease, no network, and back."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import Engine

from api.main import app
from coupon_engine.database import transaction
from coupon_engine.settings import Settings
from scanner.credentials import key_path
from scanner.identity import FileKey, Identity, NotPaired, Pairing
from scanner.terminal.opening import opened
from scanner.terminal.seat import PinRefused
from schemas.access import Role
from schemas.baskets import Basket
from schemas.campaigns import OfflinePolicy
from schemas.journals import EntryAnswer
from tests import make
from tests.api import askers
from tests.coupon_engine.record import rows

HOUSE = Path(__file__).parents[3]
A = EntryAnswer
SALE = ["--total", "1000", "--currency", "EUR"]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """An operator with a campaign for counters without a network, and a server to be killed."""

    at: make.Shop
    codes: list[str]  # of a campaign that any terminal may decide about, within its allowance
    here: str  # of a coupon for this store alone
    port: int
    application: Callable[[], Any]
    database: Engine

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def network(self) -> Generator[None]:
        """The server is there, at the same address each time."""
        with socket() as listening:
            listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self.port))
            config = uvicorn.Config(self.application(), log_config=None, lifespan="on")
            server = uvicorn.Server(config)
            thread = Thread(target=server.run, args=([listening],))
            thread.start()
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            assert server.started
            try:
                yield
            finally:
                server.should_exit = True
                thread.join()

    def pairs(self, name: str, file: Path) -> None:
        """Show a picture as the owner, answer it as the device, and compare the digits."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            owner = askers.person(
                self.database, client, self.at, Role.OWNER, now=now(), is_stepped_up=True
            )
            asked = {"id": str(make.an_id(now())), "store_id": str(self.at.store.id), "name": name}
            shown = owner.posts("/v1/pairings", asked).json()
            file.parent.mkdir()
            pairing = Pairing.of_picture(shown["text"], FileKey.kept_in(key_path(file)))
            here = Pairing(pairing.secret, self.url, pairing.key)
            with pytest.raises(NotPaired):
                here.ask(client)
            said = {"pairing_id": shown["id"], "digits": here.digits}
            said["id"] = str(make.an_id(now()))
            confirmed = owner.posts("/v1/pairing-confirmations", said)
            assert confirmed.status_code == 201, confirmed.text
            here.ask(client).save(file)

    def employs(self, name: str, pin: str) -> UUID:
        """Make a cashier known, as the owner."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            owner = askers.person(
                self.database, client, self.at, Role.OWNER, now=now(), is_stepped_up=True
            )
            asked = {"id": str(make.an_id(now())), "store_id": str(self.at.store.id)}
            made = owner.posts("/v1/cashiers", {**asked, "name": name, "pin": pin})
            assert made.status_code == 201, made.text
            return UUID(made.json()["id"])


@pytest.fixture
def world(database: Engine, limited: Engine, database_url: str) -> World:
    settings = Settings(
        database_url=database_url,
        issuer_url=make.ISSUER,
        key_passphrase=SecretStr(make.PASSPHRASE.decode()),
        short_code_secret=SecretStr(make.SECRET.decode()),
        flood_factor=1_000,
    )

    def application() -> Any:
        return app(settings, clock=now, opening=lambda _: nullcontext(limited))

    at_noon = now()
    with transaction(database) as session:
        at = make.shop(session, now=at_noon)
        ring = make.signing_key(session, at, now=at_noon)
        campaign = make.campaign(
            session, at, now=at_noon, offline=OfflinePolicy.DEVICE_QUOTA, offline_minor=10_000
        )
        batch = make.batch(session, at, make.offer(session, at, campaign, now=at_noon), now=at_noon)
        issued = [make.coupon(session, at, batch, now=at_noon) for _ in range(3)]
        codes = [make.code(session, at, each, ring) for each in issued]
        bound = make.campaign(session, at, now=at_noon, offline=OfflinePolicy.STORE_BOUND)
        batch = make.batch(session, at, make.offer(session, at, bound, now=at_noon), now=at_noon)
        of_store = make.coupon(session, at, batch, now=at_noon, store_id=at.store.id)
        here = make.code(session, at, of_store, ring)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return World(at, codes, here, port, application, database)


def scan(file: Path, *words: str, typed: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Run the command in a process of its own, and return what it told."""
    done = subprocess.run(
        [sys.executable, "-m", "scanner", "--terminal", str(file), "--json", *words],
        cwd=HOUSE,
        input=typed,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def redeem(file: Path, *codes: str) -> list[str]:
    typed = "".join(f"{code}\n" for code in codes)
    _, told = scan(file, "--stdin", *SALE, typed=typed)
    return [each["code"] for each in told]


def syncs(*files: Path) -> None:
    for file in files:
        with opened(file, wall=now, steady=time.monotonic) as one:
            outcome = one.syncing.round()
            assert (outcome.failed, one.standing().unsent) == ({}, 0)


@pytest.mark.timeout(240)  # a dozen processes, on crowded machines
def test_two_terminals_alone_and_what_became_of_it(world: World, tmp_path: Path) -> None:
    first, second = (tmp_path / name / "terminal.json" for name in ("one", "two"))
    online, shared, other = world.codes
    with world.network():
        world.pairs("Till 1", first)
        world.pairs("Till 2", second)
        status, (told,) = scan(first.parent, "--sync")
        assert (status, told["failed"]) == (0, {}), told
        assert told["standing"]["lease_until"] is not None
        syncs(second)
        assert redeem(first, online) == ["ok"]

    assert redeem(first, shared) == ["ok_offline"]
    assert redeem(first, shared, other, online) == [  # another process, that has it on disk
        "already_redeemed",
        "ok_offline",
        "already_redeemed",
    ]
    assert redeem(second, shared, "not a coupon") == ["ok_offline", "not_a_coupon"]
    status, (told,) = scan(second, "--sync")
    assert (status, told["standing"]["unsent"]) == (1, 1)

    with world.network():
        syncs(second, first, second, first)
        assert redeem(second, shared) == ["already_redeemed"]

    assert standing(world, first) == [("accepted", "accepted"), ("accepted", "accepted")]
    assert standing(world, second) == [("disputed", "disputed")]
    assert answers(first) == [A.DUPLICATE_OF_SELF, A.ACCEPTED, A.ACCEPTED]  # one the server knew
    assert answers(second) == [A.DISPUTED]


def standing(world: World, file: Path) -> list[tuple[str, str]]:
    """What the record says of all that a terminal redeemed alone: its entry, and the row."""
    query = (
        "SELECT e.terminal_id, e.answer, r.decided FROM journal_entry e JOIN redemption r"
        " ON (r.operator_id, r.id) = (e.operator_id, e.redemption_id) WHERE e.mode = 'offline'"
    )
    id = Identity.load(file).terminal_id
    with transaction(world.database) as session:
        all_of_them = rows(session, query)
        return [(row.answer, row.decided) for row in all_of_them if row.terminal_id == id]


def answers(file: Path) -> list[EntryAnswer]:
    """What the terminal itself has heard of them."""
    with opened(file, wall=now, steady=time.monotonic) as one:
        journal = one.terminal.counter.journal
        heard = [journal.answer_to(seq) for seq in range(1, journal.last.seq + 1)]
    return [each.answer for each in heard if each and each.answer is not EntryAnswer.NOTED]


def test_a_cashier_signs_in_with_a_network_and_without(world: World, tmp_path: Path) -> None:
    file = tmp_path / "one" / "terminal.json"
    basket = Basket(currency="EUR", total_minor=1_000)
    online, alone, late = world.codes
    with world.network():
        world.pairs("Till 1", file)
        ann, bob = world.employs("Ann", "2580"), world.employs("Bob", "1357")

    with opened(file, wall=now, steady=time.monotonic) as one:
        with world.network():
            assert one.syncing.round().is_whole
            assert [each.name for each in one.standing().cashiers] == ["Ann", "Bob"]
            assert one.terminal.redeem(online, basket=basket).code == "nobody_sits"
            with pytest.raises(PinRefused):
                one.terminal.sit(ann, "0000")
            assert one.terminal.sit(ann, "2580").secret is not None
            assert one.terminal.redeem(online, basket=basket).code == "ok"
        one.terminal.leave()
        one.terminal.sit(bob, "1357")  # by the terminal alone
        assert one.terminal.redeem(alone, basket=basket).code == "ok_offline"

        with world.network():
            assert one.syncing.round().is_whole
            seated = one.terminal.seated
            assert seated is not None
            assert seated.secret is not None  # the shift was opened as soon as that was possible
            one.terminal.heard(is_online=True)
            assert one.terminal.redeem(late, basket=basket).code == "ok"

    with transaction(world.database) as session:
        query = (
            "SELECT kind, actor ->> 'cashier' AS by, data ->> 'cashier' AS named FROM event"
            " WHERE kind IN ('coupon_redeemed', 'redeemed_offline') ORDER BY recorded_at"
        )
        told = [(row.kind, row.by, row.named) for row in rows(session, query)]
    assert told == [
        ("coupon_redeemed", "Ann", "Ann"),
        ("redeemed_offline", "Bob", "Bob"),
        ("coupon_redeemed", "Bob", "Bob"),
    ]


def test_a_store_goes_on_through_its_hub(world: World, tmp_path: Path) -> None:
    first, second = (tmp_path / name / "terminal.json" for name in ("one", "two"))
    basket = Basket(currency="EUR", total_minor=1_000)
    with ExitStack() as open_ones:
        with world.network():
            world.pairs("Till 1", first)
            world.pairs("Till 2", second)
            hub = open_ones.enter_context(
                opened(first, wall=now, steady=time.monotonic, wants_authority=True)
            )
            answering = hub.as_hub(("127.0.0.1", 0))
            open_ones.callback(answering.close)
            assert hub.syncing.round().is_whole
            # Nobody tells it where the hub is but the server, which has it from the hub.
            other = open_ones.enter_context(opened(second, wall=now, steady=time.monotonic))
            assert other.syncing.round().is_whole
            assert hub.syncing.round().is_whole  # which tells it of the other terminal
            assert hub.standing().is_hub

        by_hub = other.terminal.redeem(world.here, basket=basket)
        again = hub.terminal.redeem(world.here, basket=basket)

        with world.network():
            for each in (other, hub, other, hub):
                outcome = each.syncing.round()
                assert (outcome.failed, each.standing().unsent) == ({}, 0)

    assert (by_hub.code, by_hub.decided_by, by_hub.is_provisional) == ("ok_offline", "hub", False)
    assert again.code == "already_redeemed"
    with transaction(world.database) as session:
        (row,) = rows(session, "SELECT id, terminal_id, decided FROM redemption")
        assert (row.id, row.decided) == (by_hub.redemption_id, "accepted")
    assert A.ACCEPTED in answers(first)
    assert not {A.DISPUTED, A.REJECTED, A.UNPROVEN} & {*answers(first), *answers(second)}
