"""The server, as a terminal reaches it: signed requests, little patience, and what counts as away.

A no of the server is a no, and never a reason to decide alone. Away is who does not answer, or is
somebody else at the server's place: a proxy without its server, a portal that wants a sign-in.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from threading import Lock
from typing import Any, cast
from uuid import UUID

import httpx

from scanner.identity import DeviceKey, Signing

PATIENCE_SECONDS = 30.0
CONNECT_SECONDS = 3.0
GONE = frozenset((502, 503, 504))  # somebody answers in the server's place, or it is not ready
# The server hears no request whose time is further off than half a minute.
MOST_OFF = timedelta(seconds=20)


class Away(Exception):
    """Nobody answers there. What was asked may have been heard all the same."""


class SaysNo(Exception):
    """The server itself has answered, and it is no."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.problem = _problem(answer)
        self.code = str(self.problem.get("code", ""))
        super().__init__(f"{self.status} {self.code}")


class Server:
    """Asks as this terminal. To be used by many threads at once."""

    def __init__(
        self,
        url: str,
        id: UUID,
        key: DeviceKey,
        *,
        clock: Callable[[], datetime],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.heard = 0  # answers, so far, that were the server's own
        self._wall = clock
        self._off = timedelta()
        self._lock = Lock()
        self._auth = Signing(id, key, clock=lambda: self._wall() + self._off)
        self._client = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(PATIENCE_SECONDS, connect=CONNECT_SECONDS),
            trust_env=httpx.URL(url).host not in ("127.0.0.1", "localhost", "::1"),
            transport=transport,
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        shift: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> httpx.Response:
        """Return the answer, if it is a yes; 304 is one. With a `shift` its cashier asks.

        A terminal whose own clock is wrong signs by the server's: that a request is heard does not
        hang on a battery. What has expired is another question, and another clock (`clock.py`).

        Raises:
            Away: No answer, or not the server's.
            SaysNo: The server's own no.
        """
        more: dict[str, Any] = {"headers": dict(headers or {}), "auth": self._auth}
        if shift is not None:
            more["auth"] = self._auth.at_shift(shift)
        if body is not None:
            more["content"] = body
            more["headers"]["Content-Type"] = "application/json"
        more["timeout"] = httpx.Timeout(
            patience_seconds, connect=min(CONNECT_SECONDS, patience_seconds)
        )
        answer = self._sent(method, path, more)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._set_by(answer):
            answer = self._sent(method, path, more)
        if answer.status_code in GONE:
            raise Away(f"{answer.status_code} from whoever stands before the server")
        if answer.is_redirect and answer.status_code != HTTPStatus.NOT_MODIFIED:
            raise Away("somebody else answers in the server's place")
        if answer.is_error:
            if not _problem(answer):
                raise Away(f"{answer.status_code}, and not in the server's words")
            self.heard += 1
            raise SaysNo(answer)
        self.heard += 1
        return answer

    def listen(self, path: str) -> Any:
        """Return a stream that stays open; a context, as `httpx.Client.stream` gives it."""
        patience = httpx.Timeout(PATIENCE_SECONDS, connect=CONNECT_SECONDS)
        return self._client.stream("GET", path, auth=self._auth, timeout=patience)

    def close(self) -> None:
        self._client.close()

    def _sent(self, method: str, path: str, more: Mapping[str, Any]) -> httpx.Response:
        try:
            return self._client.request(method, path, **more)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Away(str(error) or type(error).__name__) from None

    def _set_by(self, answer: httpx.Response) -> bool:
        """Sign by the server's clock from now on; False if that is what we did already."""
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return False
        with self._lock:
            if theirs.tzinfo is None or abs(theirs - self._wall() - self._off) <= MOST_OFF:
                return False
            self._off = theirs - self._wall()
            return True


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the problem that our server's every no is; nothing if it is none (RFC 9457)."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        told: Any = answer.json()
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", told) if isinstance(told, dict) and "code" in told else {}
