"""The far side of what we send: somebody's own server, which keeps what it is posted."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Post:
    """One request: its headers, with names in small letters, and what its JSON says."""

    headers: Mapping[str, str]
    body: Any


class Listener(ThreadingHTTPServer):
    """Answers every post with the status that it is told."""

    def __init__(self, answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Hears)
        self.heard: list[Post] = []
        self.answers = answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/posts"


@contextmanager
def listening(*, answers: int) -> Generator[Listener]:
    with Listener(answers) as listener:
        thread = Thread(target=listener.serve_forever)
        thread.start()
        yield listener
        listener.shutdown()
        thread.join()


class _Hears(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.heard.append(Post(headers, body))
        self.send_response(self.server.answers)
        if self.server.answers == 302:
            self.send_header("location", f"{self.server.url}/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass
