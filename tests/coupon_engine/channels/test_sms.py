"""Short messages: to whoever sends them for us, or to the console."""

import io
from collections.abc import Iterator

import pytest

from coupon_engine.channels import Channel, Message, NotSent, is_this_machine
from coupon_engine.channels.console import Console
from coupon_engine.channels.http_sms import HttpSms
from tests import make
from tests.listening import Listener, listening
from tests.make import NOON


@pytest.fixture
def gateway() -> Iterator[Listener]:
    """Somebody who sends short messages for us."""
    with listening(answers=202) as server:
        yield server


def test_a_message_is_one_post(gateway: Listener) -> None:
    message = a_message()

    HttpSms(gateway.url, "a token of the gateway").send(message)

    (post,) = gateway.heard
    assert post.body == {"to": message.to, "text": message.text}
    assert post.headers["authorization"] == "Bearer a token of the gateway"
    assert post.headers["idempotency-key"] == str(message.id)


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_whatever_is_no_yes_was_not_sent(gateway: Listener, status: int) -> None:
    gateway.answers = status

    with pytest.raises(NotSent, match=f"^status {status}$"):
        HttpSms(gateway.url, None).send(a_message())

    assert len(gateway.heard) == 1  # nor is it carried elsewhere


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
