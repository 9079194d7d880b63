"""The HTTP door as production opens it: uvicorn in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from coupon_engine.settings import PREFIX, Settings

START_SECONDS = 30.0


class Door(NamedTuple):
    url: str
    pid: int


@contextmanager
def opened(settings: Settings, *, workers: int) -> Generator[Door]:
    """Open the door on a free port, and close it again."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "api.main:from_environment"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
        *("--no-access-log", "--log-level", "warning"),
    ]
    here = Path(__file__).resolve().parent.parent
    child = subprocess.Popen(command, env=_environment(settings), cwd=here)  # noqa: S603 our own
    try:
        _await(child, port)
        yield Door(f"http://127.0.0.1:{port}", child.pid)
    finally:
        child.terminate()
        child.wait(START_SECONDS)


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    assert settings.database_url
    assert settings.key_passphrase
    assert settings.short_code_secret
    return kept | {
        f"{PREFIX}DATABASE_URL": settings.database_url,
        f"{PREFIX}ISSUER_URL": settings.issuer_url,
        f"{PREFIX}KEY_PASSPHRASE": settings.key_passphrase.get_secret_value(),
        f"{PREFIX}SHORT_CODE_SECRET": settings.short_code_secret.get_secret_value(),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(child: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the door did not open; what it said stands above")
