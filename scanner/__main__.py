"""`counterfoil scan`: codes from pictures, a wedge scanner, a camera or a page, and what to do.

Without a terminal it only reads. With one it redeems: the server decides while it can be reached,
else the hub of the store, else the terminal alone.
"""

import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import ValidationError

from coupon_engine.validation.token_refused import TokenRefused
from scanner import Effort, Watcher, decode
from scanner.counter import pick
from scanner.identity import KeyExposed
from scanner.terminal.journal_file import JournalInUse, JournalOfAnother
from scanner.terminal.opening import Opened, opened
from scanner.terminal.page import Page, Standing, Typed
from scanner.terminal.seat import CashierNamed, PinRefused
from scanner.terminal.showing import Screen, Slip, line_of, plainly, slipped
from scanner.terminal.syncing import Kept
from schemas.baskets import Basket
from schemas.refusals import Why

HUB_PORT = 8790
LONGEST_LINE = 2**20  # of a program, with a whole basket
LONGEST_PIN = 64  # of a line, with whatever ends it
LOOKS_SECONDS = 0.2
AWAY_SECONDS = 2.0  # a code that was away so long is shown anew

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Wrong(Exception):
    """What was asked for cannot be done; the text says why."""


@cli.command()
def scan(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Photographs, in any usual format.")
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="A photograph; may be given again and again.")
    ] = None,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help="A code a line, as wedge scanners type; or a JSON object."),
    ] = False,
    camera: Annotated[
        str | None, typer.Option(help="A camera by its number, or a film in a file.")
    ] = None,
    window: Annotated[
        bool, typer.Option("--window", help="With a camera: show what it sees.")
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Serve the counter's page to this machine alone.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the page; 0 is any that is free.")] = 0,
    hub: Annotated[
        bool, typer.Option("--hub", help="Decide for the store while the Internet is down.")
    ] = False,
    hub_address: Annotated[
        str, typer.Option(help="Where the hub listens inside the store.")
    ] = f"0.0.0.0:{HUB_PORT}",
    hub_url: Annotated[
        str | None, typer.Option(help="Where the store's hub is, if the server does not know it.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="As if there were no network: for a drill.")
    ] = False,
    terminal: Annotated[
        Path | None,
        typer.Option(help="Redeem as this terminal: what `counterfoil pair --save` wrote."),
    ] = None,
    total: Annotated[
        int | None, typer.Option(help="What the basket costs, in minor units such as cents.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of the total, as EUR.")] = None,
    order_ref: Annotated[str | None, typer.Option(help="The receipt's number.")] = None,
    cashier: Annotated[str | None, typer.Option(help="Who sits at the terminal.")] = None,
    pin: Annotated[
        bool, typer.Option("--pin", help="Ask for the cashier's PIN, and sign them in.")
    ] = False,
    sign_out: Annotated[
        bool, typer.Option("--sign-out", help="Sign out whoever is signed in here.")
    ] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Only meet the server once, and say what came of it.")
    ] = False,
    chinese: Annotated[bool, typer.Option("--zh", help="Speak Chinese.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for tills.")
    ] = False,
) -> None:
    """Scan coupons, and with a terminal redeem them.

    Ends with 0 if every code was read (and accepted), 1 if one was not, 2 if it could not begin.
    """
    files = [*(pictures or []), *(image or [])]
    if sum(map(bool, (files, stdin, camera is not None, sync))) > 1:
        raise Wrong("Scan pictures, standard input or a camera: one of them.")
    if pin and cashier is None:
        raise Wrong("Say whose PIN it is: --cashier.")
    is_seating = pin or sign_out
    if not (files or stdin or camera is not None or sync or page or hub or is_seating):
        raise Wrong("Say what to scan: pictures, --stdin, --camera or --page.")
    if terminal is None and (page or hub or sync or hub_url or alone or is_seating):
        raise Wrong("This needs a terminal: --terminal till.json.")
    telling = Telling(language="zh" if chinese else "en", as_json=as_json)
    with _told_to_stop() as stop, ExitStack() as open_ones:
        scanning = Scanning(None, None, telling)
        if terminal is not None:
            sale = Sale(_basket(total, currency), order_ref, cashier)
            one = open_ones.enter_context(
                opened(
                    terminal,
                    wall=_wall_clock,
                    steady=time.monotonic,
                    hub_url=hub_url,
                    wants_authority=hub,
                )
            )
            scanning = Scanning(one, sale, telling)
            if alone:
                one.terminal.stay_alone()
            if sign_out:
                one.terminal.leave()
            if pin:
                assert cashier is not None
                _sign_in(one, cashier, telling)
            elif cashier is not None and not (page or sync):
                _refuse_unsigned(one, cashier)
            if sync:
                return _meet_once(one, telling)
            if not (files or stdin or camera is not None or page or hub):
                return None
            if hub:  # before the lease is asked for, which tells the others where it is
                _answer_the_store(one, hub_address, open_ones, telling)
            if not alone:
                _keep_in_touch(one, open_ones)
        shown = _serve_page(scanning, port, open_ones, telling) if page else None
        if files:
            scanning.sees_pictures(files)
        elif stdin:
            scanning.hears_lines(sys.stdin.buffer, stop)
        elif camera is not None:
            scanning.watches(camera, stop, has_window=window, shown=shown)
        else:
            stop.wait()
    if scanning.has_failed and (files or not stop.is_set):
        raise typer.Exit(1)
    return None


@dataclass(frozen=True, slots=True)
class Sale:
    """What is being paid for, where that is known before the scan."""

    basket: Basket | None
    order_ref: str | None
    cashier: str | None


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells what a scan came to: to a person, or to a program, a line each."""

    language: str
    as_json: bool

    def tell(self, screen: Screen, **more: Any) -> None:
        if self.as_json:
            typer.echo(json.dumps({**more, **screen.model_dump(mode="json")}, ensure_ascii=False))
        else:
            source = f"{more['picture']}: " if "picture" in more else ""
            line = line_of(screen, "zh" if self.language == "zh" else "en")
            typer.echo(f"{source}{line}", err=not screen.is_accepted)
        sys.stdout.flush()

    def say(self, text: str) -> None:
        typer.echo(text, err=True)


class Scanning:
    """Codes in, screens out; without a terminal, codes in and codes out."""

    def __init__(self, one: Opened | None, sale: Sale | None, telling: Telling) -> None:
        self._one = one
        self._sale = sale
        self._telling = telling
        self.has_failed = False

    def sees_pictures(self, files: Iterable[Path]) -> None:
        for file in files:
            code, why = _read(file)
            self._scanned(code, why, picture=str(file))

    def hears_lines(self, lines: BinaryIO, stop: "Stop") -> None:
        while line := stop.wakes(lambda: lines.readline(LONGEST_LINE)):
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("{") and self._one is not None:
                self._hears_a_program(text)
            elif text:
                self._scanned(*_picked([text]))

    def watches(self, camera: str, stop: "Stop", *, has_window: bool, shown: Page | None) -> None:
        """Redeem what comes before the camera, each code once while it is there."""
        with _frames(camera) as frames, _preview(has_window) as preview:
            newest: Screen | None = None
            for texts, frame in _watched(frames):
                if texts:
                    newest = self._scanned(*_picked(texts))
                    if shown is not None and newest is not None:
                        shown.show(newest)
                if stop.is_set or not preview(frame, newest):
                    return

    def _hears_a_program(self, text: str) -> None:
        """Redeem what comes with its own basket, as a JSON object; no code of ours is one."""
        try:
            screen = self.redeem(Typed.model_validate_json(text))
        except ValidationError:
            screen = slipped(Slip.NOT_UNDERSTOOD)
            self._telling.tell(screen)
        self.has_failed |= not screen.is_accepted

    def redeem(self, typed: Typed) -> Screen:
        """Redeem what was typed into the page; it may say what is being paid for."""
        sale = Sale(typed.paid_for, typed.order_ref, typed.cashier)
        code, why = _picked([typed.code])
        screen = self._redeemed(code, sale) if code is not None else _screen_of(why)
        self._telling.tell(screen)
        return screen

    def sit(self, cashier_id: UUID, pin: str) -> Screen | None:
        """Sign a cashier in who has typed their PIN into the page; return why not."""
        assert self._one is not None
        try:
            self._one.terminal.sit(cashier_id, pin)
        except PinRefused as refused:
            return slipped(refused.slip)
        return None

    def leave(self) -> None:
        assert self._one is not None
        self._one.terminal.leave()

    def standing(self) -> Standing:
        assert self._one is not None
        return self._one.standing()

    def _scanned(self, code: str | None, why: str | None, **more: Any) -> Screen | None:
        if self._one is None:
            self.has_failed |= code is None
            self._tell_code(code, why, **more)
            return None
        assert self._sale is not None
        screen = self._redeemed(code, self._sale) if code is not None else _screen_of(why)
        self.has_failed |= not screen.is_accepted
        self._telling.tell(screen, **more)
        return screen

    def _redeemed(self, code: str, sale: Sale) -> Screen:
        assert self._one is not None
        return self._one.terminal.redeem(
            code, basket=sale.basket, order_ref=sale.order_ref, cashier=sale.cashier
        )

    def _tell_code(self, code: str | None, why: str | None, **more: Any) -> None:
        if self._telling.as_json:
            typer.echo(json.dumps({**more, "code": code, "refused": why}))
        else:
            source = f"{more['picture']}: " if "picture" in more else ""
            typer.echo(code or f"{source}{why}", err=code is None)
        sys.stdout.flush()


def _screen_of(why: str | None) -> Screen:
    return slipped(Slip(why)) if why in set(Slip) else plainly(Why(why))


def _basket(total: int | None, currency: str | None) -> Basket | None:
    if total is None and currency is None:
        return None
    try:
        return Basket.model_validate({"currency": currency, "total_minor": total})
    except ValidationError:
        raise Wrong(
            "Give --total in minor units and --currency, as --total 1250 --currency EUR."
        ) from None


# Pictures and cameras.

Picture = NDArray[np.uint8]


def _read(picture: Path) -> tuple[str | None, str | None]:
    """Return the code in a picture, or why there is none: one bad picture stops no other."""
    try:
        contents = np.fromfile(picture, np.uint8)
    except OSError:
        return None, Slip.NO_SUCH_FILE
    try:
        image = cv2.imdecode(contents, cv2.IMREAD_COLOR) if contents.size else None
    except cv2.error:  # larger than the decoder will ever take, or a lie about its size
        image = None
    if image is None:
        return None, Slip.NOT_A_PICTURE
    readings = decode(np.asarray(image, np.uint8), effort=Effort.THOROUGH)
    if not readings:
        return None, Slip.UNREADABLE
    return _picked(reading.text for reading in readings)


def _picked(texts: Iterable[str]) -> tuple[str | None, str | None]:
    try:
        return pick(texts), None
    except TokenRefused as refused:
        return None, refused.code


@contextmanager
def _frames(camera: str) -> Generator[Iterable[tuple[float, Picture]]]:
    """Open a camera by its number, or a film; its frames come with their seconds.

    Raises:
        Wrong: There is no such camera, or the file is no film.
    """
    capture = cv2.VideoCapture(int(camera) if camera.isdigit() else camera)
    try:
        if not capture.isOpened():
            raise Wrong(f"There is no camera {camera}.")
        yield _each_frame(capture)
    finally:
        capture.release()


def _each_frame(capture: cv2.VideoCapture) -> Generator[tuple[float, Picture]]:
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        yield time.monotonic(), np.asarray(frame, np.uint8)


def _watched(
    frames: Iterable[tuple[float, Picture]],
) -> Generator[tuple[list[str], Picture]]:
    """Yield every frame with the texts that are new in it."""
    watcher = Watcher(away_seconds=AWAY_SECONDS)
    for at, frame in frames:
        yield [reading.text for reading in watcher.see(frame, at=at)], frame


Preview = Callable[[Picture, Screen | None], bool]
"""Show a frame and the newest screen; False when somebody has closed the window."""

WINDOW = "Counterfoil"
INKS: Mapping[str, tuple[int, int, int]] = {  # blue, green, red
    "green": (50, 107, 11),
    "amber": (0, 179, 255),
    "red": (28, 20, 168),
    "grey": (96, 85, 74),
}


@contextmanager
def _preview(has_window: bool) -> Generator[Preview]:
    if not has_window:
        yield lambda _frame, _screen: True
        return
    try:
        cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
    except cv2.error:
        raise Wrong("This OpenCV cannot open windows. Use --page, or no preview.") from None
    try:
        yield _show
    finally:
        cv2.destroyWindow(WINDOW)


def _show(frame: Picture, screen: Screen | None) -> bool:
    """Draw the newest screen across the frame's foot. OpenCV's letters are Latin ones."""
    if screen is not None:
        height, width = frame.shape[:2]
        ink = INKS[screen.colour]
        cv2.rectangle(frame, (0, height - 64), (width, height), ink, cv2.FILLED)
        cv2.putText(
            frame,
            screen.word.en,
            (16, height - 20),
            cv2.FONT_HERSHEY_SIMPLEX,
            1.2,
            (255, 255, 255),
            3,
        )
    cv2.imshow(WINDOW, frame)
    is_closed = cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) < 1
    return cv2.waitKey(1) != ESCAPE and not is_closed


ESCAPE = 27


# Who sits at the terminal.


def _sign_in(one: Opened, name: str, telling: Telling) -> None:
    """Ask for the PIN and sign this cashier in; who is known only to the server is asked for first.

    Raises:
        Wrong: There is no such cashier here, or it is not their PIN.
    """
    cashier = _cashier(one, name)
    if cashier is None and one.terminal.is_online:
        one.syncing.round()
        cashier = _cashier(one, name)
    if cashier is None:
        raise Wrong(f"There is no cashier {name} at this store, or there are several.")
    try:
        one.terminal.sit(cashier.id, _asked_for_pin(name))
    except PinRefused as refused:
        no = slipped(refused.slip)
        said = (no.cashier.zh, no.action.zh) if telling.language == "zh" else None
        raise Wrong(" ".join(said or (no.cashier.en, no.action.en))) from None


def _cashier(one: Opened, name: str) -> CashierNamed | None:
    known = one.terminal.seat.cashiers if one.terminal.seat else ()
    named = [each for each in known if name in (each.name, str(each.id))]
    return named[0] if len(named) == 1 else None


def _asked_for_pin(name: str) -> str:
    """Return what is typed unseen; or the first line, where a program types."""
    if sys.stdin.isatty():
        return getpass(f"PIN of {name}: ").strip()
    return sys.stdin.buffer.readline(LONGEST_PIN).decode("ascii", "replace").strip()


def _refuse_unsigned(one: Opened, name: str) -> None:
    """Let pass a name that its cashier has signed in with, or any where there are no cashiers.

    Raises:
        Wrong: Somebody has to type a PIN first.
    """
    seated = one.terminal.seated
    if one.terminal.has_cashiers and (seated is None or seated.name != name):
        raise Wrong(f"Sign in first: --cashier {shlex.quote(name)} --pin.")


# The terminal's other doors.


def _meet_once(one: Opened, telling: Telling) -> None:
    """Meet the server once, and say what came of it.

    Raises:
        Exit: Not everything could be done.
    """
    outcome = one.syncing.round()
    standing = one.standing()
    if telling.as_json:
        told = {"done": sorted(outcome.done), "failed": outcome.failed}
        typer.echo(json.dumps({**told, "standing": standing.model_dump(mode="json")}))
    else:
        until = standing.lease_until
        works = f"works alone until {until:%Y-%m-%d %H:%M} UTC" if until else "cannot work alone"
        typer.echo(f"{standing.name}: {works}, {standing.unsent} entries not sent.")
        if standing.wrong is not None:
            zh = telling.language == "zh"
            typer.echo(standing.wrong.zh if zh else standing.wrong.en, err=True)
        for step, why in outcome.failed.items():
            typer.echo(f"{step}: {why}", err=True)
    if not outcome.is_whole or standing.wrong is not None:
        raise typer.Exit(1)


def _keep_in_touch(one: Opened, open_ones: ExitStack) -> None:
    kept = Kept(one.syncing, one.server)
    open_ones.callback(kept.stop)


def _answer_the_store(one: Opened, address: str, open_ones: ExitStack, telling: Telling) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Wrong("Give --hub-address as 0.0.0.0:8790.")
    hub = one.as_hub((host.strip("[]"), int(port)))
    open_ones.callback(hub.close)
    url = one.answering.reached_at(one.identity.server_url) or hub.url
    telling.say(f"The store's other terminals reach this hub at {url}.")


def _serve_page(scanning: "Scanning", port: int, open_ones: ExitStack, telling: Telling) -> Page:
    page = Page(
        scanning.redeem, scanning.standing, sit=scanning.sit, leave=scanning.leave, port=port
    )
    open_ones.callback(page.close)
    telling.say(f"The counter's page: {page.url}")
    return page


@contextmanager
def _told_to_stop() -> Generator["Stop"]:
    """Hear Ctrl-C and SIGTERM, where this is the thread that hears signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """Set by Ctrl-C and by SIGTERM. What has begun is finished; who waits for input is woken."""

    def __init__(self) -> None:
        self._is_set = Event()
        self._is_waiting = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self._is_set.set()
        if self._is_waiting:
            raise Stopped

    @property
    def is_set(self) -> bool:
        return self._is_set.is_set()

    def wakes(self, waits: Callable[[], bytes]) -> bytes:
        """Return what is waited for; nothing if it is time to stop."""
        try:
            self._is_waiting = True
            return b"" if self.is_set else waits()
        except Stopped:
            return b""
        finally:
            self._is_waiting = False

    def wait(self) -> None:
        while not self._is_set.wait(LOOKS_SECONDS):
            pass


class Stopped(BaseException):
    """A signal came while we waited."""


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    """Run the command, and word what keeps it from beginning for a person.

    Raises:
        SystemExit: Always, with the command's status.
    """
    try:
        cli(prog_name="counterfoil scan")
    except (Wrong, KeyExposed, JournalInUse, JournalOfAnother) as wrong:
        typer.echo(wrong, err=True)
    except ValidationError:
        typer.echo("This is no file that `counterfoil pair` has written.", err=True)
    except (OSError, ValueError) as error:
        typer.echo(error, err=True)
    except Stopped:  # in the very moment when a line had come
        raise SystemExit(0) from None
    raise SystemExit(2)


if __name__ == "__main__":
    main()
