"""A program at the API's door: JSON over HTTP, with an operator's key."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

from schemas.base import Wire

MOST_TRIES = 5
BUSY = 503


class NotUnderstood(Exception):
    """The API said something that no program could go on with."""


class Asker:
    """Asks and waits for the answer. Whoever is told to come back asks again, by the same id."""

    def __init__(self, base_url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        """Return what stands at this address.

        Raises:
            NotUnderstood: Anything but an answer.
        """
        return _understood(self._ask("GET", path, params=params))

    def create(self, path: str, ask: Wire) -> Any:
        """Make one thing and return the answer.

        Raises:
            NotUnderstood: It was not made.
        """
        return _understood(self.post(path, ask))

    def post(self, path: str, ask: Wire) -> httpx.Response:
        """Return the answer as it came, be it yes or no."""
        body = ask.model_dump_json()
        return self._ask("POST", path, content=body, headers=_JSON)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        for tries_left in reversed(range(MOST_TRIES)):
            answer = self._client.request(method, path, **more)
            if answer.status_code != BUSY or not tries_left:
                return answer
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        raise AssertionError("unreachable")


def _understood(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise NotUnderstood(f"{answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer.json()


_JSON: Mapping[str, str] = {"Content-Type": "application/json"}
