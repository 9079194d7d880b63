"""Opening a paired terminal: who it is, its key, and the folder of all that it knows and did.

    till.json       who it is, as `counterfoil pair --save till.json` has written it
    till.pem        its key
    till/           what it has been told, and its journal

For a folder the file is `terminal.json` there.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

from scanner import credentials
from scanner.identity import DeviceKey, Identity, Pins
from scanner.terminal import checking
from scanner.terminal import hub as hubs
from scanner.terminal.clock import GuardedClock
from scanner.terminal.deciding import Terminal
from scanner.terminal.holdings import Holdings
from scanner.terminal.hub import Hub, HubAsked, Terminals
from scanner.terminal.journal import Journal
from scanner.terminal.judging import Counter
from scanner.terminal.page import Standing
from scanner.terminal.seat import Seat
from scanner.terminal.server import Server
from scanner.terminal.syncing import Syncing
from schemas.offline import LONGEST_LEASE_SECONDS, Bundle

IN_FOLDER = "terminal.json"
MOST_TO_CHOOSE = 200


@dataclass(frozen=True, slots=True)
class Opened:
    """One terminal, ready to redeem and to sync."""

    identity: Identity
    key: DeviceKey
    terminal: Terminal
    server: Server
    syncing: Syncing
    wall: Callable[[], datetime]
    answering: "Answering"

    def standing(self) -> Standing:
        counter = self.terminal.counter
        bundle, journal = counter.holdings.bundle, counter.journal
        seat, seated = self.terminal.seat, self.terminal.seated
        currencies = {each.currency for each in bundle.campaigns} if bundle else set[str]()
        return Standing(
            name=self.identity.name,
            currency=currencies.pop() if len(currencies) == 1 else None,
            cashiers=seat.cashiers if seat else (),
            cashier=seated.name if seated else None,
            products=_asked_for(bundle, "products"),
            categories=_asked_for(bundle, "categories"),
            wrong=checking.told(counter.findings),
            is_online=self.terminal.is_online,
            is_hub=bool(bundle and bundle.hub_id == self.identity.terminal_id),
            lease_until=datetime.fromtimestamp(bundle.lease_until, UTC) if bundle else None,
            unsent=journal.last.seq - journal.acknowledged_seq,
            is_clock_wrong=counter.look().is_behind,
        )

    def neighbours(self) -> Terminals:
        """Return the store's other terminals, as the bundle names them now."""
        bundle = self.terminal.counter.holdings.bundle
        others = bundle.terminals if bundle else ()
        return {each.id: each.public_key for each in others if each.id != self.identity.terminal_id}

    def as_hub(self, address: tuple[str, int]) -> Hub:
        """Answer the store's other terminals from now on.

        Raises:
            OSError: The address is taken, or is none of this machine's.
        """
        hub = Hub(
            address,
            self.terminal.redeem_for,
            id=self.identity.terminal_id,
            key=self.key,
            terminals=self.neighbours,
            clock=self.wall,
        )
        self.answering.hub = hub
        return hub


@dataclass(slots=True)
class Answering:
    """The hub that this terminal runs, once it does."""

    hub: Hub | None = None

    def reached_at(self, server_url: str) -> str | None:
        return hubs.reached_at(self.hub.listens, server_url) if self.hub else None


def _asked_for(bundle: Bundle | None, name: Literal["products", "categories"]) -> tuple[str, ...]:
    """Return what the offers ask a basket for, to choose from; of very many the first."""
    conditions = [
        offer.terms.conditions
        for campaign in (bundle.campaigns if bundle else ())
        for offer in campaign.offers
    ]
    named = {each for one in conditions for each in getattr(one, name)}
    return tuple(sorted(named)[:MOST_TO_CHOOSE])


@contextmanager
def opened(
    path: Path,
    *,
    wall: Callable[[], datetime],
    steady: Callable[[], float],
    hub_url: str | None = None,
    wants_authority: bool = False,
    lease_seconds: int = LONGEST_LEASE_SECONDS,
) -> Generator[Opened]:
    """Open the terminal that was paired into this file or folder, for this process alone.

    `wall` is the machine's clock; `steady` counts seconds and cannot be set.

    Raises:
        OSError: There is none.
        KeyExposed: Others on this machine can read the file, or the key beside it.
        ValueError: It is no such file.
        JournalInUse: Another process is this terminal.
        JournalOfAnother: The journal there is another terminal's.
    """
    file = path / IN_FOLDER if path.is_dir() else path
    credentials.refuse_exposed(file)
    identity = Identity.load(file)
    key = credentials.key_beside(file)
    folder = file.with_suffix("")
    folder.mkdir(mode=0o700, exist_ok=True)
    id: UUID = identity.terminal_id
    with ExitStack() as open_ones:
        holdings = Holdings(folder, identity.server_key, terminal_id=id, store_id=identity.store_id)
        journal = open_ones.enter_context(Journal(folder / "journal.sqlite", key, id))
        counter = Counter(holdings, journal, GuardedClock(wall, steady))
        server = Server(identity.server_url, id, key, clock=wall)
        open_ones.callback(server.close)
        hub = HubAsked(hub_url, id=id, key=key, clock=wall)
        open_ones.callback(hub.close)
        answering = Answering()
        seat = Seat(folder / "seat.json", Pins(folder / "pins.json", identity.pin_key), server)
        terminal = Terminal(
            server, counter, id=id, store_id=identity.store_id, steady=steady, hub=hub, seat=seat
        )
        syncing = Syncing(
            server,
            terminal,
            server_key=identity.server_key,
            leased_file=folder / "leased",
            wants_authority=wants_authority,
            hub_url=lambda: answering.reached_at(identity.server_url),
            lease_seconds=lease_seconds,
        )
        yield Opened(identity, key, terminal, server, syncing, wall, answering)
