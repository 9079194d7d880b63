"""One connection, before anybody has asked anything, and after the last answer has left.

uvicorn's protocol with what it lacks: it waits for ever for the end of a head and for a reader of
its answers, keeps heads of any size, and answers nonsense with plain text.
"""

import asyncio
import struct
import sys
from collections.abc import Mapping
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api import edges, problems
from api.problems import Problem
from coupon_engine.errors import Busy

HEAD_SECONDS = 10.0
# A proxy that keeps its connections for a minute never meets one that we have just closed.
KEEP_ALIVE_SECONDS = 75
# Whoever takes less than this in that time has stopped reading.
READING_SECONDS = 30.0
LEAST_BYTES_READ = 30_000
STOPPING_SECONDS = 30
MOST_CONNECTIONS = 4_000
_FILES_FOR_OTHERS = 224  # the record's connections, what is read from disk, standard streams
_WANTED_FILES = MOST_CONNECTIONS + _FILES_FOR_OTHERS


class Connection(HttpToolsProtocol):
    """Bounds how long a head takes, how large it grows, and how long an answer may lie unread.

    When there are too many connections, the one that has asked nothing for the longest time makes
    room: so health is answered however many are open.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._idle = _IDLE.setdefault(self.server_state, {})
        self._is_in_head = False
        self._has_begun_now = False
        self._head_bytes = 0
        self._for_head: asyncio.TimerHandle | None = None
        self._for_reader: asyncio.TimerHandle | None = None
        has_room = len(self.connections) < most_connections() or self._make_room()
        super().connection_made(transport)
        if not has_room:
            self._refuse(problems.problem_of(Busy()))
            return
        self._idle[self] = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.pop(self, None)
        self._for_head = _cancelled(self._for_head)
        self._for_reader = _cancelled(self._for_reader)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_begun_now = False
        if self._for_head is None and self._is_quiet():
            self._expect_head()
        super().data_received(data)
        if self._is_in_head and not self._has_begun_now and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > edges.MOST_BYTES_OF_HEADERS + edges.MOST_BYTES_OF_ADDRESS:
                self._refuse(problems.at_the_door(431))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = self._has_begun_now = True
        self._head_bytes = 0
        if self._for_head is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._for_head = _cancelled(self._for_head)
        self._idle.pop(self, None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_quiet() and not self.transport.is_closing():
            self._idle[self] = None
        self._expect_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._for_reader = _cancelled(self._for_reader)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(problems.at_the_door(400, "This is no HTTP request that can be understood."))

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: anybody could fill the log with it."""

    def _is_quiet(self) -> bool:
        """Is nobody waiting for an answer here?"""
        is_answered = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        return is_answered and not self.pipeline

    def _make_room(self) -> bool:
        longest = next(iter(self._idle), None)
        if longest is None:
            return False
        del self._idle[longest]
        longest.transport.abort()
        return True

    def _expect_head(self) -> None:
        self._for_head = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._for_head = None
        if self.transport.is_closing():
            return
        if not self._is_quiet():  # reading was paused meanwhile, and the rest may lie in the socket
            self._expect_head()
        elif self._is_in_head:
            self._refuse(problems.at_the_door(408))
        else:
            self.transport.close()

    def _expect_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self._for_reader is None:
            self._for_reader = self.loop.call_later(READING_SECONDS, self._judge_reader, left)

    def _judge_reader(self, left_before: int) -> None:
        self._for_reader = None
        left = self.transport.get_write_buffer_size()
        if left and left > left_before - LEAST_BYTES_READ:
            self._drop()
        else:
            self._expect_reader()

    def _drop(self) -> None:
        """End at once; the system would keep what it has already taken for minutes more."""
        socket = self.transport.get_extra_info("socket")
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        """Answer and close. Where another answer is on its way, only close: it would be cut."""
        if self._is_quiet():
            no = problems.answer(problem, {"Connection": "close", **_HEADERS})
            lines = [b"%s: %s\r\n" % each for each in no.raw_headers]
            head = b"HTTP/1.1 %d %s\r\n" % (problem.status, problem.code.encode())
            self.transport.write(b"".join([head, *lines, b"\r\n", bytes(no.body)]))
        self.transport.close()
        self._expect_reader()


# What `uvicorn.Config` is told wherever the door is opened.
SERVING: Mapping[str, Any] = {
    "http": Connection,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "proxy_headers": False,  # which proxy is believed is a setting, see flood.py
    "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    "timeout_graceful_shutdown": STOPPING_SECONDS,
}


def allow_many_files() -> None:
    """Ask the system for as many open files as there may be connections; workers inherit it."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  (there is none on Windows)

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Return how many connections leave files enough for everything else."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource  # noqa: PLC0415

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, soft - _FILES_FOR_OTHERS))


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


# By server, the longest idle first.
_IDLE: WeakKeyDictionary[ServerState, dict[Connection, None]] = WeakKeyDictionary()
_HEADERS = edges.headers_of(edges.PROFILES["/"], is_https=False)
