"""How a message reaches a person: one door, and whoever carries it there."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Message:
    """A few words for one person. `id` is the same when it is sent again."""

    id: UUID
    to: str
    subject: str
    text: str
    at: datetime


class NotSent(Exception):
    """It did not leave. The text names what failed, and never to whom or what was said."""


class Channel(Protocol):
    def send(self, message: Message) -> None:
        """Hand a message on, or wait a few seconds at most.

        Raises:
            NotSent: Nobody took it; it may be tried again.
        """
        ...


def is_this_machine(host: str) -> bool:
    """Would nothing said to this host leave the machine? Only then may it be said in clear."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
