"""Asking an operator's identity provider: another machine, which may be slow, huge or hostile.

`async`, because whoever waits here must hold no thread and no connection: a provider that does not
answer keeps only those waiting who want to sign in by it. Every answer is bounded in time and in
size, no redirect is followed, and what a provider tells about itself is kept for a while.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar, cast

import httpx
import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from coupon_engine.errors import Busy, NotSignedIn
from coupon_engine.people import oidc
from coupon_engine.people.oidc import Flow, Identity, NotBelieved, Provider, UnknownSigner
from schemas.oidc import ProvidersDocument, ProvidersKeys

PATIENCE_SECONDS = 5.0
MOST_BYTES = 256 * 1024
DOCUMENT_SECONDS = 3_600.0
KEYS_SECONDS = 600.0
# However many ask, and whatever key a token names, a provider is not asked more often than this.
SOONEST_SECONDS = 1.0
MOST_PROVIDERS = 1_000
MOST_AT_ONCE = 32

Keys = tuple[dict[str, Any], ...]
Value = TypeVar("Value")

_log = structlog.get_logger()


class Providers:
    """What providers have told about themselves, and the way to ask them."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._documents: _Kept[ProvidersDocument] = _Kept(tick)
        self._keys: _Kept[Keys] = _Kept(tick)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def document(self, provider: Provider) -> ProvidersDocument:
        """Return what the provider tells about itself.

        Raises:
            NotSignedIn: It cannot be asked, or tells nothing usable. The log says why.
            Busy: Too many are asking.
        """
        try:
            return await self._document(provider.issuer)
        except NotBelieved as error:
            raise _no(provider, error) from error

    async def identity(
        self, provider: Provider, flow: Flow, *, code: str, back: str, now: datetime
    ) -> Identity:
        """Return whom the provider has recognised.

        Raises:
            NotSignedIn: It does not say, or is not believed. The log says why.
            Busy: Too many are asking.
        """
        try:
            document = await self._document(provider.issuer)
            id_token = await self._bought(provider, document, flow, code, back)
            return await self._verified(id_token, provider, document, flow, now)
        except NotBelieved as error:
            raise _no(provider, error) from error

    async def _document(self, issuer: str) -> ProvidersDocument:
        async def read() -> ProvidersDocument:
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                document = ProvidersDocument.model_validate(await self._ask("GET", url))
            except ValidationError as error:
                raise NotBelieved("document") from error
            if document.issuer != issuer:
                raise NotBelieved("document of another issuer")
            return document

        return await self._documents.get(issuer, read, seconds=DOCUMENT_SECONDS)

    async def _bought(
        self, provider: Provider, document: ProvidersDocument, flow: Flow, code: str, back: str
    ) -> str:
        headers, body = oidc.token_request(provider, document, flow, code=code, redirect_uri=back)
        answer = await self._ask("POST", document.token_endpoint, headers=headers, body=body)
        if not isinstance(answer.get("id_token"), str):
            raise NotBelieved("no ID token")
        return answer["id_token"]

    async def _verified(
        self,
        id_token: str,
        provider: Provider,
        document: ProvidersDocument,
        flow: Flow,
        now: datetime,
    ) -> Identity:
        """Read the token. A key that is not at hand may be newer than those that are."""
        keys = await self._keys_at(document.jwks_uri, seconds=KEYS_SECONDS)
        try:
            return oidc.verified(id_token, keys, provider, flow, now=now)
        except UnknownSigner:
            keys = await self._keys_at(document.jwks_uri, seconds=SOONEST_SECONDS)
            return oidc.verified(id_token, keys, provider, flow, now=now)

    async def _keys_at(self, url: str, *, seconds: float) -> Keys:
        async def read() -> Keys:
            try:
                return ProvidersKeys.model_validate(await self._ask("GET", url)).keys
            except ValidationError as error:
                raise NotBelieved("keys") from error

        return await self._keys.get(url, read, seconds=seconds)

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> dict[str, Any]:
        if self._places.locked():
            raise Busy
        async with self._places:
            try:
                answer: object = from_json(await _bytes_of(method, url, headers or {}, body))
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                raise NotBelieved(type(error).__name__) from error
        if not isinstance(answer, dict):
            raise NotBelieved("no JSON object")
        return cast("dict[str, Any]", answer)


async def _bytes_of(method: str, url: str, headers: Mapping[str, str], body: str) -> bytes:
    # Asked uncompressed, and taken as it comes: a small answer cannot unfold into a huge one.
    wanted = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        httpx.AsyncClient(
            verify=_tls(), timeout=PATIENCE_SECONDS, follow_redirects=False
        ) as client,
        client.stream(method, url, headers=wanted, content=body) as answer,
    ):
        if answer.status_code != 200:
            raise NotBelieved(f"status {answer.status_code}")
        found = bytearray()
        async for piece in answer.aiter_raw():
            found += piece
            if len(found) > MOST_BYTES:
                raise NotBelieved("too long")
        return bytes(found)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@dataclass
class _Entry(Generic[Value]):
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    value: Value | None = None
    no: NotBelieved | None = None


class _Kept(Generic[Value]):
    """Values by address, read by one at a time; a no is kept too, for a moment."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._entries: dict[str, _Entry[Value]] = {}

    async def get(self, key: str, read: Callable[[], Awaitable[Value]], *, seconds: float) -> Value:
        entry = self._entry(key)
        async with entry.turn:
            age = self._tick() - entry.at
            if entry.no is not None and age < SOONEST_SECONDS:
                raise NotBelieved(str(entry.no))
            if entry.value is not None and entry.no is None and age < seconds:
                return entry.value
            try:
                value = await read()
            except NotBelieved as error:
                entry.no, entry.at = error, self._tick()
                raise
            entry.value, entry.no, entry.at = value, None, self._tick()
            return value

    def _entry(self, key: str) -> _Entry[Value]:
        if key not in self._entries and len(self._entries) >= MOST_PROVIDERS:
            self._entries.pop(next(iter(self._entries)))
        return self._entries.setdefault(key, _Entry())


def _no(provider: Provider, error: NotBelieved) -> NotSignedIn:
    _log.warning("provider_not_believed", operator_id=str(provider.operator_id), why=str(error))
    return NotSignedIn()
