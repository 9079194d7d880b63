"""Mail through a server of the operator's: plain text, no picture, no link that watches."""

import asyncio
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from coupon_engine.channels import Message, NotSent, is_this_machine

LONGEST_ANSWER_SECONDS = 10.0
_PORTS = {"smtp": 587, "smtps": 465}


class Mail:
    """Hands mail to one server: `smtps://name:password@host`, or `smtp://` with STARTTLS.

    Only to a server on this very machine is anything said in clear.
    """

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname, "settings have checked it"
        self._host = parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._name = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._is_smtps = parts.scheme == "smtps"
        self._sender = sender

    def send(self, message: Message) -> None:
        try:
            asyncio.run(self._send(_mail(message, self._sender)))
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise NotSent(type(error).__name__) from None

    async def _send(self, mail: EmailMessage) -> None:
        await aiosmtplib.send(
            mail,
            hostname=self._host,
            port=self._port,
            username=self._name,
            password=self._password,
            use_tls=self._is_smtps,
            start_tls=not (self._is_smtps or is_this_machine(self._host)),
            timeout=LONGEST_ANSWER_SECONDS,
        )


def _mail(message: Message, sender: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"  # no answering machine need reply
    mail.set_content(message.text, charset="utf-8")
    return mail
