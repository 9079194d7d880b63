"""A program at the API's door: JSON over HTTP, with an operator's key."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx

from schemas.base import Ask

MOST_TRIES = 5
BUSY = 503


class NotUnderstood(Exception):
    """The API said something that this program cannot go on with."""


class Asker:
    """Asks and waits for the answer.

    Whoever is told to come back, or hears nothing, asks again by the same id: that is harmless.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str) -> Any:
        """Return what stands at this address.

        Raises:
            NotUnderstood: The answer is a no.
        """
        answer = self._ask("GET", path)
        if not answer.is_success:
            raise NotUnderstood(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    def post(self, path: str, ask: Ask) -> httpx.Response:
        """Return the answer as it came, be it yes or no."""
        json = {"Content-Type": "application/json"}
        return self._ask("POST", path, content=ask.model_dump_json(), headers=json)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                answer = self._client.request(method, path, **more)
            except httpx.TransportError:
                if not tries_left:
                    raise
            else:
                if answer.status_code != BUSY or not tries_left:
                    return answer
            time.sleep(1)
        raise AssertionError("unreachable")


@contextmanager
def asking(base_url: str, api_key: str) -> Generator[Asker]:
    headers = {"Authorization": f"Bearer {api_key}"}
    # Through no proxy: it is this very machine.
    with httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False) as client:
        yield Asker(client)
