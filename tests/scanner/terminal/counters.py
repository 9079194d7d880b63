"""Whole terminals of one store, and the server as a test lets it answer."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from coupon_engine.validation.wording import refusal
from scanner.identity import FileKey, Pins, _jwk
from scanner.terminal.clock import GuardedClock
from scanner.terminal.deciding import Terminal
from scanner.terminal.holdings import Holdings
from scanner.terminal.hub import HubAsked
from scanner.terminal.journal import Journal, _said_in
from scanner.terminal.judging import Counter
from scanner.terminal.seat import Seat
from scanner.terminal.server import Server
from schemas.coupons import HolderKey
from schemas.offline import Bundle, BundleTerminal
from schemas.redemptions import RedemptionView
from schemas.refusals import Reason, Why
from tests import make
from tests.scanner.terminal.shop import SERVER, STORE, Hands, bundle_jwt, jwk, list_jwt
from tests.scanner.terminal.shop import bundle as a_bundle

Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class FarSide:
    """The other end of the network; it keeps what it is asked, and answers in turn."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answers.pop(0)(request)

    @property
    def paths(self) -> list[str]:
        return [f"{each.method} {each.url.raw_path.decode()}" for each in self.asked]


@dataclass
class One:
    """A terminal with its own files and keys."""

    id: UUID
    key: FileKey
    hands: Hands
    far: FarSide
    holdings: Holdings
    journal: Journal
    terminal: Terminal
    server: Server

    @property
    def named(self) -> BundleTerminal:
        return BundleTerminal(id=self.id, name="Till", public_key=self.public)

    @property
    def public(self) -> HolderKey:
        return _jwk(self.key.public_key)

    def learn(self, told: Bundle | None = None, **changes: Any) -> None:
        now = self.terminal.counter.look().now
        told = told or a_bundle(**{"terminal_id": self.id, **changes})
        self.holdings.learn_bundle(bundle_jwt(told), now)
        self.holdings.learn_list(list_jwt(), now)

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [dict(_said_in(each)) for each in self.journal.unsent(100)]


@contextmanager
def a_terminal(
    folder: Path, *, hub_url: str | None = None, hands: Hands | None = None, id: UUID | None = None
) -> Generator[One]:
    id, hands, far = id or make.an_id(), hands or Hands(), FarSide()
    key = FileKey.kept_in(folder / "key.pem")
    with ExitStack() as open_ones:
        holdings = Holdings(folder / "held", jwk(SERVER), terminal_id=id, store_id=STORE)
        journal = open_ones.enter_context(Journal(folder / "journal.db", key, id))
        clock = GuardedClock(lambda: hands.wall, lambda: hands.steady)
        counter = Counter(holdings, journal, clock)
        server = Server(
            "https://coupons.test",
            id,
            key,
            clock=lambda: hands.wall,
            transport=httpx.MockTransport(far),
        )
        open_ones.callback(server.close)
        hub = HubAsked(hub_url, id=id, key=key, clock=lambda: hands.wall)
        open_ones.callback(hub.close)
        seat = Seat(folder / "seat.json", Pins(folder / "pins.json", "AAAA"), server)
        terminal = Terminal(
            server, counter, id=id, store_id=STORE, steady=lambda: hands.steady, hub=hub, seat=seat
        )
        yield One(id, key, hands, far, holdings, journal, terminal, server)


# What the far side may say.


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no network", request=request)


def too_slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def says(status: int, code: str = "", **more: Any) -> Answer:
    """A no in the server's own words."""
    headers = {"Content-Type": "application/problem+json", **more.pop("headers", {})}
    problem = {"type": "x", "title": "x", "status": status, "code": code, "detail": "x", **more}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=problem, headers=headers)

    return answer


def refuses(why: Why, **needs: Any) -> Answer:
    reason = Reason(code=why, rule="x", needs=needs)
    told = refusal([reason], currency="EUR", zone="Europe/Berlin")
    return says(409, why, refusal=told.model_dump(mode="json"))


def accepts(coupon_id: UUID, **more: Any) -> Answer:
    """A yes to whatever is asked; by the id of the request, where it has one."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = httpx.Response(200, content=request.content).json() if request.content else {}
        view = RedemptionView.model_validate(
            {
                "id": asked.get("id") or request.url.path.rpartition("/")[2],
                "coupon_id": coupon_id,
                "campaign_id": make.an_id(),
                "offer_id": make.an_id(),
                "customer_id": None,
                "store_id": STORE,
                "terminal_id": None,
                "cashier": None,
                "order_ref": None,
                "redeemed_at": make.NOON,
                "undo_until": make.NOON,
                "state": "accepted",
                "currency": "EUR",
                "basket_minor": 1_000,
                "discount_minor": 350,
                "reversed_minor": 0,
                "lines": (),
                "use_no": 1,
                "uses_left": 0,
                "balance_minor": None,
                **more,
            }
        )
        return httpx.Response(201, json=view.model_dump(mode="json"))

    return answer


def token(text: str, **headers: str) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=text, headers=headers)

    return answer
