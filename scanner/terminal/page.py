"""The counter's web page, served to this machine alone, so that it opens with no network.

    GET  /<token>/          the page; its script and style lie beside it
    POST /<token>/scans     what a person typed or a wedge scanner did; the `Shown` that it came to
    POST /<token>/seat      a cashier and their PIN; a `Shown` with a screen only if it is no
    POST /<token>/seat-ends the cashier signs out
    GET  /<token>/shown     what is new since `?after=`, as soon as there is something; else how
                            the terminal stands

The address holds a random token: other programs of this machine, and pages of other sites that
guess the port, do not get in. `Host` must be ours (or a name could be bound to this machine from
outside), `Origin` as well where something is written, and the page may load nothing from elsewhere.
"""

import hmac
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from pydantic import BaseModel, StringConstraints, ValidationError

from scanner.terminal.seat import CashierNamed
from scanner.terminal.showing import Screen, Slip, slipped
from schemas.base import Minor, Moment, Name, Ref, Wire
from schemas.baskets import Basket
from schemas.money import Currency
from schemas.redemptions import Code
from schemas.refusals import Sentences

MOST_BODY = 65_536
WAIT_SECONDS = 15.0
_LOOKS_SECONDS = 0.05  # whether it shall close
PATIENCE_SECONDS = 30
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Typed(Wire):
    """One scan: what stands in the fields of the page, or what a program at the counter sends."""

    code: Code
    basket: Basket | None = None
    total_minor: Minor | None = None  # where there is no whole basket
    currency: Currency | None = None
    order_ref: Ref | None = None
    cashier: Name | None = None

    @property
    def paid_for(self) -> Basket | None:
        if self.basket is not None:
            return self.basket
        if self.total_minor is None or self.currency is None:
            return None
        return Basket(currency=self.currency, total_minor=self.total_minor)


class SitsDown(Wire):
    """Who signs in. What can be no PIN is not even tried: a wedge scanner types anywhere."""

    cashier_id: UUID
    pin: Annotated[str, StringConstraints(pattern=r"^[0-9]{4,8}$")]


class Standing(Wire):
    """How the terminal stands, for the line at the page's top."""

    name: str
    currency: Currency | None
    cashiers: tuple[CashierNamed, ...] = ()  # none: anybody types a name
    cashier: str | None = None  # who has signed in
    products: tuple[str, ...] = ()  # that offers ask for, to choose from
    categories: tuple[str, ...] = ()
    wrong: Sentences | None = None  # with the journal, and what to do
    is_online: bool
    is_hub: bool
    lease_until: Moment | None
    unsent: int
    is_clock_wrong: bool


class Shown(Wire):
    """A screen, and which one it is."""

    number: int
    screen: Screen | None
    standing: Standing


Sit = Callable[[UUID, str], Screen | None]
"""Let a cashier sign in; the screen to show if it is no."""


class Page:
    """Serves the page from threads of its own, until it is closed."""

    def __init__(
        self,
        scan: Callable[[Typed], Screen],
        standing: Callable[[], Standing],
        *,
        sit: Sit,
        leave: Callable[[], None],
        port: int = 0,
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self._scan = scan
        self._standing = standing
        self._sit = sit
        self._leave = leave
        self._news = threading.Condition()
        self._number = 0
        self._newest: Screen | None = None
        self._is_closed = False
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_LOOKS_SECONDS], name="page", daemon=True
        )
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/{self.token}/"

    def scan(self, typed: Typed) -> Shown:
        return self.show(self._scan(typed))

    def sit(self, who: SitsDown) -> Shown:
        """Let a cashier sign in; what is no is told to this page alone, and is no scan."""
        return self.stands(self._sit(who.cashier_id, who.pin))

    def leave(self) -> Shown:
        self._leave()
        return self.stands()

    def show(self, screen: Screen) -> Shown:
        """Put on the page what was scanned elsewhere, as by a camera."""
        with self._news:
            self._number += 1
            self._newest = screen
            self._news.notify_all()
            return Shown(number=self._number, screen=screen, standing=self._standing())

    def news(self, after: int, *, within: float = WAIT_SECONDS) -> Shown:
        """Return the newest screen; wait a little if it is known already."""
        with self._news:
            self._news.wait_for(lambda: self._is_closed or self._number > after, within)
            screen = self._newest if self._number > after else None
            return Shown(number=self._number, screen=screen, standing=self._standing())

    def stands(self, screen: Screen | None = None) -> Shown:
        """Return how the terminal stands, for a page that has just been opened."""
        with self._news:
            return Shown(number=self._number, screen=screen, standing=self._standing())

    def close(self) -> None:
        with self._news:
            self._is_closed = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: Page) -> None:
        super().__init__(address, _Answers)
        self.page = page

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a page that was closed in the middle has hung up."""


class _Answers(BaseHTTPRequestHandler):
    timeout = PATIENCE_SECONDS
    server_version = "counterfoil"
    sys_version = ""

    def do_GET(self) -> None:
        name, asked = self._name(), parse_qs(urlsplit(self.path).query)
        if name is None:
            return self._no(404)
        if name == "shown":
            after = asked.get("after", [""])[0]
            return self._json(self._page.news(_number(after)) if after else self._page.stands())
        if name not in FILES:
            return self._no(404)
        file, kind = FILES[name]
        return self._send(200, kind, (_FOLDER / file).read_bytes())

    def do_POST(self) -> None:
        name = self._name()
        if name not in ("scans", "seat", "seat-ends"):
            return self._no(404)
        if self.headers.get_all("origin") != [f"http://{self._page.host}"]:
            return self._no(403)
        if self.headers.get_content_type() != "application/json":
            return self._no(415)
        length = _number(self.headers.get("content-length", "0"))
        if length > MOST_BODY:
            return self._no(413)
        body = self.rfile.read(length)
        match name:
            case "seat":
                return self._json(self._sits_down(body))
            case "seat-ends":
                return self._json(self._page.leave())
            case _:
                return self._json(self._scans(body))

    def _scans(self, body: bytes) -> Shown:
        try:
            typed = Typed.model_validate_json(body)
        except ValidationError:
            return self._page.show(slipped(Slip.NOT_UNDERSTOOD))
        return self._page.scan(typed)

    def _sits_down(self, body: bytes) -> Shown:
        try:
            who = SitsDown.model_validate_json(body)
        except ValidationError:
            return self._page.stands(slipped(Slip.WRONG_PIN))
        return self._page.sit(who)

    @property
    def _page(self) -> Page:
        assert isinstance(self.server, _Server)
        return self.server.page

    def _name(self) -> str | None:
        """Return what is asked for by somebody who knows the address."""
        if self.headers.get_all("host") != [self._page.host]:
            return None
        token, slash, name = urlsplit(self.path).path.removeprefix("/").partition("/")
        is_known = hmac.compare_digest(token.encode(), self._page.token.encode())
        return name if slash and is_known else None

    def _json(self, body: BaseModel) -> None:
        self._send(200, "application/json", body.model_dump_json().encode())

    def _no(self, status: int) -> None:
        self.close_connection = True
        self._send(status, "text/plain", b"")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        with suppress(ConnectionError):
            self.send_response(status)
            for name, value in GUARDS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Write nothing down: the address is a secret, and what is shown is nobody's to keep."""


_FOLDER = Path(__file__).parent / "counter_page"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
