"""Requests signed by a terminal or a wallet, each heard once; how, says `signed_requests.py`."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock

from coupon_engine.errors import NotSignedIn
from coupon_engine.validation import signed_requests
from coupon_engine.validation.signed_requests import field_of

OLDEST_SECONDS = 60
AHEAD_SECONDS = 30
MOST_NONCES = 200_000


class Nonces:
    """Remembers what was signed lately, so that nothing is heard twice.

    In memory, for one process: writes are known by their ids, so this is a second fence. When it
    is full the oldest are forgotten.
    """

    def __init__(self, most: int = MOST_NONCES) -> None:
        self._most = most
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = Lock()

    def is_new(self, keyid: str, nonce: str, *, until: float, now: float) -> bool:
        """Remember this nonce of this key; False if it is remembered already."""
        with self._lock:
            self._forget(now)
            if (keyid, nonce) in self._until:
                return False
            self._until[keyid, nonce] = until
            return True

    @property
    def count(self) -> int:
        return len(self._until)

    def _forget(self, now: float) -> None:
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] >= now and len(self._until) < self._most:
                return
            del self._until[oldest]


def is_signed(headers: Mapping[str, str]) -> bool:
    """Does this request claim to be signed? Nothing is checked yet."""
    return bool(field_of(headers, "signature-input") or field_of(headers, "signature"))


def signed_by(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of: Callable[[str], bytes | None],
    nonces: Nonces,
    *,
    now: datetime,
) -> str:
    """Return the id of the key that has signed this request, just now and once.

    `target` is path and query as they came in the request line. `headers` are all of them, a
    repeated one in each of its lines. `key_of` returns the compressed public key of an id, and is
    asked once, for a well-formed id. `now` is the clock on the wall, also in a sandbox.

    Raises:
        NotSignedIn: For every reason alike.
    """
    said = signed_requests.signed_by(
        method,
        target,
        headers,
        body,
        key_of,
        oldest_seconds=OLDEST_SECONDS,
        ahead_seconds=AHEAD_SECONDS,
        now=now,
    )
    # Last: only what was really signed is worth remembering.
    until = said.created + OLDEST_SECONDS
    if not nonces.is_new(said.keyid, said.nonce, until=until, now=now.timestamp()):
        raise NotSignedIn
    return said.keyid
