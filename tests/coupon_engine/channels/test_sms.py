"""Short messages: to whoever sends them for us, or to the console."""

import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from coupon_engine.channels import Channel, Message, NotSent, is_this_machine
from coupon_engine.channels.console import Console
from coupon_engine.channels.http_sms import HttpSms
from tests import make
from tests.make import NOON


class Gateway(ThreadingHTTPServer):
    """The far side: somebody who sends short messages for us."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Takes)
        self.taken: list[tuple[dict[str, str], Any]] = []
        self.answers = 202

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/messages"


class _Takes(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Gateway)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.taken.append((headers, body))
        self.send_response(self.server.answers)
        if self.server.answers == 302:
            self.send_header("location", f"{self.server.url}/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_message_is_one_post(gateway: Gateway) -> None:
    message = a_message()

    HttpSms(gateway.url, "a token of the gateway").send(message)

    ((headers, body),) = gateway.taken
    assert body == {"to": message.to, "text": message.text}
    assert headers["authorization"] == "Bearer a token of the gateway"
    assert headers["idempotency-key"] == str(message.id)


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_whatever_is_no_yes_was_not_sent(gateway: Gateway, status: int) -> None:
    gateway.answers = status

    with pytest.raises(NotSent, match=f"^status {status}$"):
        HttpSms(gateway.url, None).send(a_message())

    assert len(gateway.taken) == 1  # nor is it carried elsewhere


def test_a_gateway_that_is_away_is_told_as_such() -> None:
    with pytest.raises(NotSent, match=r"^ConnectError$"):
        HttpSms("http://127.0.0.1:9/messages", None).send(a_message())


def test_the_console_shows_what_a_customer_would_get() -> None:
    shown = io.StringIO()
    channel: Channel = Console(shown)

    channel.send(a_message())

    assert "+4915123456789" in shown.getvalue()
    assert "123456 is your code" in shown.getvalue()


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_this_machine_is_this_machine(host: str, is_ours: bool) -> None:
    assert is_this_machine(host) is is_ours


def a_message() -> Message:
    return Message(
        id=make.an_id(),
        to="+4915123456789",
        subject="Code",
        text="123456 is your code for Acme. 请勿告诉他人。",
        at=NOON,
    )
