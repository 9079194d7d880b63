"""Mail through a real server, of which only the address differs from an operator's own."""

import email
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from socket import socket
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from coupon_engine.channels import Message, NotSent
from coupon_engine.channels.mail import Mail
from tests import make
from tests.make import NOON

SENDER = "coupons@shop.example"
PASSWORD = "p@ss:word/1"


class Box:
    """The far side: keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.answer = "250 OK"
        self.names: list[str] = []

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 (its name there)
        parsed = email.message_from_bytes(cast("bytes", envelope.content), policy=default)
        if self.answer.startswith("250"):
            self.taken.append((envelope.rcpt_tos, parsed))
        return self.answer

    def lets_in(self, *asked: Any) -> AuthResult:
        name = cast("LoginPassword", asked[-1])
        self.names.append(name.login.decode())
        is_right = name.password == PASSWORD.encode()
        return AuthResult(success=is_right, handled=is_right)


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def server(box: Box) -> Iterator[Controller]:
    with socket() as looking:
        looking.bind(("127.0.0.1", 0))
        port: int = looking.getsockname()[1]
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=box.lets_in,
        auth_require_tls=False,
    )
    controller.start()
    yield controller
    controller.stop()


def test_a_mail_arrives_as_plain_text_and_nothing_else(server: Controller, box: Box) -> None:
    message = a_message(subject="123456 ist Ihr Code", text="您的验证码：\n\n    123456\n")

    Mail(f"smtp://127.0.0.1:{server.port}", SENDER).send(message)

    ((to, mail),) = box.taken
    assert (to, mail["From"], mail["To"]) == ([message.to], SENDER, message.to)
    assert mail["Subject"] == "123456 ist Ihr Code"
    assert mail.get_content_type() == "text/plain"
    assert not mail.is_multipart()
    assert mail.get_content().splitlines() == message.text.splitlines()
    assert mail["Message-ID"] == f"<{message.id}@shop.example>"
    assert mail["Date"].datetime == NOON
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_server_is_told_the_name_and_password_of_its_address(
    server: Controller, box: Box
) -> None:
    at = f"mary%40shop:{PASSWORD.replace('@', '%40').replace(':', '%3A').replace('/', '%2F')}"

    Mail(f"smtp://{at}@127.0.0.1:{server.port}", SENDER).send(a_message())

    assert box.names == ["mary@shop"]
    assert len(box.taken) == 1


def test_a_wrong_password_sends_nothing(server: Controller, box: Box) -> None:
    with pytest.raises(NotSent):
        Mail(f"smtp://mary:wrong@127.0.0.1:{server.port}", SENDER).send(a_message())

    assert box.taken == []


def test_what_a_server_refuses_is_not_sent_and_the_reason_names_nobody(
    server: Controller, box: Box
) -> None:
    box.answer = "554 no mail for mary@example.com with code 123456"

    with pytest.raises(NotSent) as refused:
        Mail(f"smtp://127.0.0.1:{server.port}", SENDER).send(a_message())

    assert "mary" not in str(refused.value)
    assert "123456" not in str(refused.value)


def test_a_server_that_is_away_is_told_as_such() -> None:
    with pytest.raises(NotSent):
        Mail("smtp://127.0.0.1:9", SENDER).send(a_message())


def test_to_another_machine_nothing_is_said_in_clear(
    server: Controller, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without TLS gets no mail, once it is not this very machine."""
    monkeypatch.setattr("coupon_engine.channels.mail.is_this_machine", never)

    with pytest.raises(NotSent):
        Mail(f"smtp://127.0.0.1:{server.port}", SENDER).send(a_message())

    assert box.taken == []


def never(_: str) -> bool:
    return False


def a_message(**more: Any) -> Message:
    said: dict[str, Any] = {
        "id": make.an_id(),
        "to": "mary@example.com",
        "subject": "123456 is your code",
        "text": "123456\n",
        "at": NOON,
    }
    return Message(**{**said, **more})
