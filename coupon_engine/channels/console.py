"""For trying things out: whoever runs the server reads what a customer would get."""

import sys
from typing import TextIO

from coupon_engine.channels import Message


class Console:
    """Writes messages where the server was started. It is no log: it says everything."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, message: Message) -> None:
        stream = self._stream or sys.stderr
        stream.write(f"--- to {message.to}: {message.subject}\n{message.text}\n---\n")
        stream.flush()
