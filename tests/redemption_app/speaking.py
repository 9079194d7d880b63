"""The apps' own code, in a process of its own that a test speaks with, a line of JSON at a time."""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from redemption_app import build


class Spoken:
    """A script of `redemption_app/tests` that answers each line with one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def says(self, line: Any) -> Any:
        """Say this, and return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._process.stderr and self._process.stderr.read()
        return json.loads(answer)


@contextmanager
def spoken(script: str) -> Generator[Spoken]:
    """Start this script, and end it in the end."""
    build.fetch()
    command = [str(build.node()), str(build.HERE / "tests" / script)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8"
    ) as process:
        try:
            yield Spoken(process)
        finally:
            process.kill()
