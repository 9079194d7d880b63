"""A door that really listens, and what no HTTP library would send to it."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET, create_connection, socket
from struct import pack
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI
from httpx import URL


@contextmanager
def serving(app: FastAPI, **told: Any) -> Generator[str]:
    """Serve from a thread, and return the address.

    `told` is what uvicorn is told besides: `**SERVING`, where it must be what production tells it.
    """
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        all_told: dict[str, Any] = {"lifespan": "on", "log_config": None, **told}
        server = uvicorn.Server(uvicorn.Config(app, **all_told))
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Heard:
    """What came back on a connection until it was closed, or until an answer was whole."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    rest: bytes = b""
    seconds: float = 0.0

    @property
    def code(self) -> str:
        problem: dict[str, Any] = json.loads(self.body)
        return problem["code"]


class Line:
    """One raw connection to the door."""

    def __init__(self, url: URL | str, *, seconds: float = 20) -> None:
        url = URL(url)
        assert url.port is not None
        self.socket = create_connection((url.host, url.port), timeout=seconds)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def sends(self, data: bytes) -> None:
        self.socket.sendall(data)

    def sends_what_is_taken(self, data: bytes) -> None:
        """Send until the other side has heard enough."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def says_no_more(self) -> None:
        self.socket.shutdown(SHUT_WR)

    def breaks(self) -> None:
        """End at once, as a phone does that loses its network."""
        self.socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        self.socket.close()

    def hears(self) -> Heard:
        """Wait for one whole answer; the status is 0 where the connection ended without one."""
        began, data = time.monotonic(), b""
        while True:
            head, parted, rest = data.partition(b"\r\n\r\n")
            if parted:
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:])
                }
                length = int(headers.get("content-length", "0"))
                if len(rest) >= length:
                    return Heard(
                        int(lines[0].split()[1]),
                        headers,
                        rest[:length],
                        rest[length:],
                        time.monotonic() - began,
                    )
            more = self._more()
            if not more:
                return Heard(0, rest=data, seconds=time.monotonic() - began)
            data += more

    def hears_until_it_breaks(self) -> int:
        """Return how many bytes still came before the other side let go without a word."""
        heard = 0
        try:
            while more := self.socket.recv(2**16):
                heard += len(more)
        except ConnectionResetError:
            return heard
        raise AssertionError("the other side has said good-bye")

    def is_closed(self) -> bool:
        """Wait for the other side to close."""
        while more := self._more():
            assert not more.startswith(b"HTTP/1.1 200")
        return True

    def _more(self) -> bytes:
        try:
            return self.socket.recv(2**16)
        except ConnectionResetError:
            return b""


def head(request: str, **headers: object) -> bytes:
    """The head of a request, as bytes; `content_type` becomes Content-Type."""
    lines = [f"{request} HTTP/1.1", "Host: here"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
