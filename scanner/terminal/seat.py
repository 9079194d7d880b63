"""The seat at this terminal: which cashier has shown their PIN, and the shift that they are on.

The server checks the PIN and opens a shift, whose secret goes with every redemption. While it
cannot be reached the terminal checks the PIN itself (`Pins`), and the shift is opened as soon as
the server answers again; if the server says no then, the cashier is out. Five wrong PINs lock a
cashier, whoever heard them, with a network or without, also after a restart.

Who sits stands in a file that only its owner can read, so that a restart asks nobody for a PIN.
The PIN itself stands in no file: after a restart without a network the shift waits for the next
sign-in, and entries bear the cashier's id all the same.

A store without cashiers has no seat to take: there anybody types a name, or none.
"""

import json
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from threading import RLock
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from coupon_engine.errors import CodeWrong
from scanner import files
from scanner.identity import Locked, Pins
from scanner.terminal.server import Away, SaysNo, Server
from scanner.terminal.showing import Slip
from schemas.base import Moment, Wire
from schemas.ids import new_id
from schemas.terminals import CashierView, ShiftView

PATIENCE_SECONDS = 2.5  # a cashier waits no longer before the terminal itself looks at the PIN
LASTS = timedelta(hours=12)  # as a shift does at the server
MOST_AT_ONCE = 500  # cashiers in one answer


class CashierNamed(Wire):
    id: UUID
    name: str


class Seated(Wire):
    """A cashier at this terminal; `secret` is their shift's, once the server has opened it."""

    cashier_id: UUID
    name: str
    until: Moment
    shift_id: UUID
    secret: str | None = None


class PinRefused(Exception):
    """Nobody has taken the seat, and whoever sat there before still does. `slip` says why."""

    def __init__(self, slip: Slip) -> None:
        super().__init__(slip)
        self.slip = slip


class Seat:
    """One terminal's seat. From many threads at once; nobody waits for the network to look."""

    def __init__(self, file: Path, pins: Pins, server: Server) -> None:
        self._file = file
        self._pins = pins
        self._server = server
        self._lock = RLock()
        self._seated = self._read()
        self._pin: str | None = None  # until the server has opened the shift; never on disk

    @property
    def cashiers(self) -> tuple[CashierNamed, ...]:
        """Return who may sit here, by name; none where the operator has made none."""
        known = [CashierNamed(id=each.id, name=each.name) for each in self._pins.cashiers]
        return tuple(sorted(known, key=lambda each: (each.name.casefold(), each.id)))

    def seated(self, now: datetime) -> Seated | None:
        seated = self._seated
        return seated if seated is not None and now < seated.until else None

    def sit(self, cashier_id: UUID, pin: str, *, now: datetime, is_alone: bool = False) -> Seated:
        """Let a cashier sit down; whoever sat there before has left.

        With `is_alone` the server is not asked.

        Raises:
            PinRefused: Not this cashier's PIN, or wrong too often.
        """
        shift_id = new_id(now)
        view = None
        if not is_alone:
            with suppress(Away):
                view = self._opened(shift_id, cashier_id, pin)
        with self._lock:
            if view is not None:
                self._pins.unlock(cashier_id)
                seated = _seated_by(view)
                self._take(seated, pin=None)
                return seated
            cashier = self._checked(cashier_id, pin)
            seated = Seated(
                cashier_id=cashier.id, name=cashier.name, until=now + LASTS, shift_id=shift_id
            )
            self._take(seated, pin=pin)
            return seated

    def leave(self, *, now: datetime, is_alone: bool = False) -> None:
        """Get up. That the server hears of it is worth one try: the shift ends by itself."""
        with self._lock:
            before = self._seated
            self._take(None, pin=None)
        if before is None or before.secret is None or is_alone:
            return
        said = json.dumps({"id": str(new_id(now)), "shift_id": str(before.shift_id)})
        with suppress(Away, SaysNo):
            self._server.ask("POST", "/v1/shift-ends", body=said, patience_seconds=PATIENCE_SECONDS)

    def is_over(self, secret: str) -> None:
        """Know that the server takes this shift for ended: its cashier has to sign in again."""
        with self._lock:
            if self._seated is not None and self._seated.secret == secret:
                self._take(None, pin=None)

    def learn(self, now: datetime) -> None:
        """Hear from the server who may sit here, and open the shift that waits for it.

        Raises:
            Away: It cannot be reached.
            SaysNo: It tells this terminal nothing.
            ValidationError: It speaks another version.
        """
        cashiers: list[CashierView] = []
        while len(told := self._told(after=cashiers[-1].id if cashiers else None)) > 0:
            cashiers += told
            if len(told) < MOST_AT_ONCE:
                break
        with self._lock:
            self._pins.learn(cashiers)
            seated = self.seated(now)
            if seated and seated.cashier_id not in {each.id for each in cashiers}:
                self._take(None, pin=None)  # may sign in no more
        self._open_late(now)

    def _told(self, after: UUID | None) -> list[CashierView]:
        path = f"/v1/cashiers?most={MOST_AT_ONCE}{f'&after={after}' if after else ''}"
        return _CASHIERS.validate_json(self._server.ask("GET", path).content)

    def _open_late(self, now: datetime) -> None:
        """Open the shift of a cashier who has sat down without the server."""
        with self._lock:
            seated, pin = self.seated(now), self._pin
        if seated is None or seated.secret is not None or pin is None:
            return
        try:
            view = self._opened(seated.shift_id, seated.cashier_id, pin)
        except PinRefused as refused:
            if refused.slip is Slip.WRONG_PIN:  # it was changed meanwhile
                with self._lock:
                    if self._seated == seated:
                        self._take(None, pin=None)
            return
        with self._lock:
            if self._seated == seated:
                self._take(_seated_by(view), pin=None)

    def _opened(self, shift_id: UUID, cashier_id: UUID, pin: str) -> ShiftView:
        """Ask the server for a shift. The same id again gets the same one.

        Raises:
            Away: It cannot be reached.
            PinRefused: It says no.
        """
        asked = {"id": str(shift_id), "cashier_id": str(cashier_id), "pin": pin}
        try:
            answer = self._server.ask(
                "POST", "/v1/shifts", body=json.dumps(asked), patience_seconds=PATIENCE_SECONDS
            )
            return ShiftView.model_validate_json(answer.content)
        except ValidationError:
            raise Away("an answer that is not the server's") from None
        except SaysNo as no:
            if no.code == CodeWrong.code:
                with self._lock:
                    self._pins.count_wrong(cashier_id)
                raise PinRefused(Slip.WRONG_PIN) from None
            if no.status == HTTPStatus.UNAUTHORIZED:
                raise PinRefused(Slip.NOT_PAIRED) from None
            raise PinRefused(Slip.LOCKED_OUT) from None

    def _checked(self, cashier_id: UUID, pin: str) -> CashierView:
        try:
            return self._pins.check(cashier_id, pin)
        except CodeWrong:
            raise PinRefused(Slip.WRONG_PIN) from None
        except Locked:
            raise PinRefused(Slip.LOCKED_OUT) from None

    def _take(self, seated: Seated | None, *, pin: str | None) -> None:
        self._seated, self._pin = seated, pin
        if seated is None:
            self._file.unlink(missing_ok=True)
        else:
            files.write(self._file, seated.model_dump_json().encode())

    def _read(self) -> Seated | None:
        try:
            return Seated.model_validate_json(self._file.read_bytes())
        except (OSError, ValueError):  # nobody, or nothing that can be believed
            return None


def _seated_by(view: ShiftView) -> Seated:
    return Seated(
        cashier_id=view.cashier_id,
        name=view.name,
        until=view.expires_at,
        shift_id=view.id,
        secret=view.secret,
    )


_CASHIERS = TypeAdapter(list[CashierView])
