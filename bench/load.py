"""Counters that never pause: each sends its next request as soon as it has heard the last answer.

Bare sockets with keep-alive, one thread, no HTTP library, so that little of what is measured is
the measuring: `python -m bench.redeem` prints the share of it as `load`.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass
class Heard:
    """What came back."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of our own
    statuses: Counter[int] = field(default_factory=Counter[int])
    latencies_ms: list[float] = field(default_factory=list[float])
    unlike: list[bytes] = field(default_factory=list[bytes])  # some answers that were not 201


def post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as it goes over the wire, made before anything is measured."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def send(url: str, requests: deque[bytes], *, clients: int, seconds: float) -> Heard:
    """Take requests and send them, each once, until the time is over or none is left."""
    return asyncio.run(_send(url, requests, clients, seconds))


def all_made(heard: Heard) -> int:
    """Return how many were answered, provided that every answer was 201.

    Raises:
        RuntimeError: Some were not, so that the figure would be of something else.
    """
    if heard.statuses[201] < heard.statuses.total():
        raise RuntimeError(f"the door said {heard.statuses}: {heard.unlike}")
    return heard.statuses[201]


async def _send(url: str, requests: deque[bytes], clients: int, seconds: float) -> Heard:
    loop = asyncio.get_running_loop()
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    heard = Heard()
    started, computed = time.perf_counter(), time.process_time()
    done: list[asyncio.Future[None]] = []
    for _ in range(clients):
        over: asyncio.Future[None] = loop.create_future()
        done.append(over)
        await loop.create_connection(
            lambda over=over: _Counter(requests, heard, over, started + seconds),
            where.hostname,
            where.port,
        )
    await asyncio.gather(*done)
    heard.seconds = time.perf_counter() - started
    heard.cpu_seconds = time.process_time() - computed
    return heard


class _Counter(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(
        self, requests: deque[bytes], heard: Heard, over: asyncio.Future[None], until: float
    ) -> None:
        self._requests = requests
        self._heard = heard
        self._over = over
        self._until = until
        self._answer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(_END_OF_HEAD)
        if not end or len(body) < _announced(head):
            return
        status = int(head[9:12])
        self._heard.statuses[status] += 1
        self._heard.latencies_ms.append((time.perf_counter() - self._sent_at) * 1000)
        if status != 201 and len(self._heard.unlike) < 3:
            self._heard.unlike.append(body)
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(exc or ConnectionError("the server hung up"))

    def _next(self) -> None:
        self._sent_at = time.perf_counter()
        if self._requests and self._sent_at < self._until:
            self._transport.write(self._requests.popleft())
        else:
            self._over.set_result(None)
            self._transport.close()


def _announced(head: bytes) -> int:
    at = head.lower().index(_LENGTH) + len(_LENGTH)
    return int(head[at:].split(b"\r\n", 1)[0])
