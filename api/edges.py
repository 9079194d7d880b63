"""What happens to every request before and after everything else.

Nobody has said yet who they are, so here everything has a bound: what a request may weigh, how
long it may take to arrive, how many of them are worked on at once. A body is read to its end
before the app sees it: while it arrives, nothing of ours is held but its bytes.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import logs, problems
from api.problems import Problem
from coupon_engine.errors import Busy

MOST_BYTES = 2**20
MOST_MEMBERS = 50_000
# Whole lists of people come here.
MOST_BYTES_OF_LISTS = 16 * 2**20
MOST_MEMBERS_OF_LISTS = 1_000_000
_LISTS = ("/v1/customers", "/v1/import-readings", "/v1/imports", "/v1/issues")
MOST_BYTES_TOGETHER = 256 * 2**20  # of all bodies that this process holds at one moment
DEEPEST = 32
MOST_BYTES_OF_ADDRESS = 8 * 2**10
MOST_HEADERS = 100
MOST_BYTES_OF_HEADERS = 32 * 2**10
BODY_SECONDS = 30.0
# More would wait for the same few connections to the record, and hear the same no later.
MOST_RUNNING = 1_000
_ALWAYS_OPEN = "/health/"

_FEATURES = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-create",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a browser may do with the answers below one path."""

    policy: str = _NO_PAGE
    permits: frozenset[str] = frozenset()
    more: Mapping[str, str] = field(default_factory=dict[str, str])


def page_policy(
    *, script: str = "'self'", style: str = "'self'", trusted_types: str | None = "'none'"
) -> str:
    """Return the policy of a page that uses what this server serves, and nothing else.

    `trusted_types` names who may make elements and scripts out of texts; where it is None,
    every script of ours may.
    """
    trusted = f"; require-trusted-types-for 'script'; trusted-types {trusted_types}"
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data:; "
        "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
        f"frame-ancestors 'none'; base-uri 'none'{trusted if trusted_types else ''}"
    )


def _app_page(*permits: str) -> "Profile":
    """Return what a web app may do: Svelte makes elements of its texts, and WASM reads codes."""
    return Profile(
        policy=page_policy(
            script="'self' 'wasm-unsafe-eval'", trusted_types="svelte-trusted-html counterfoil"
        ),
        permits=frozenset(permits),
    )


# The longest path that fits decides. An answer that brings a header of its own keeps it.
PROFILES: Mapping[str, Profile] = {
    "/": Profile(),
    # Swagger UI writes HTML as text, so its page cannot have Trusted Types. It shows our own
    # document and nothing that anybody has sent.
    "/docs": Profile(policy=page_policy(trusted_types=None)),
    "/problems": Profile(policy=page_policy()),
    "/wallet": _app_page("camera", "geolocation", "screen-wake-lock"),
    "/counter": _app_page("camera", "screen-wake-lock"),
    "/console": _app_page("publickey-credentials-create", "publickey-credentials-get"),
    # Published for the world, and about nobody: a verifier may be a page of another house.
    "/.well-known": Profile(
        more={"Cross-Origin-Resource-Policy": "cross-origin", "Access-Control-Allow-Origin": "*"}
    ),
}


def headers_of(profile: Profile, *, is_https: bool) -> dict[str, str]:
    permissions = (f"{each}=({'self' * (each in profile.permits)})" for each in _FEATURES)
    hsts = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": profile.policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(permissions),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        **(hsts if is_https else {}),
        **profile.more,
    }


class Refused(Exception):
    """This request goes no further, and neither does its connection."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class _HungUp(Exception):
    """There is nobody left to answer."""


class Edge:
    """Bounds requests, adds headers, and turns a bug into a problem that tells nothing about it."""

    def __init__(self, app: ASGIApp, *, is_https: bool = False) -> None:
        self._app = app
        self._profiles = [
            (path, _raw(headers_of(PROFILES[path], is_https=is_https)))
            for path in sorted(PROFILES, key=len, reverse=True)
        ]
        self._running = 0
        self._bytes_held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._headers_below(scope["path"])
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(each for each in added if each[0] not in there),
                ]
            await send(message)

        try:
            async with AsyncExitStack() as seat:
                self._take_seat(scope, seat)
                _assert_small(scope)
                heard = await self._heard(scope, receive, seat)
                await self._app(scope, heard, _leaving(seat, send_with_headers))
        except _HungUp:
            return
        except Refused as refused:
            # The connection goes too: what is still coming would be read to the end otherwise.
            no = problems.answer(refused.problem, {"Connection": "close"})
            await no(scope, receive, send_with_headers)
        except Exception as error:
            logs.failed(Request(scope), error)
            if is_started:
                raise
            broken = problems.answer(problems.at_the_door(500))
            await broken(scope, receive, send_with_headers)

    def _headers_below(self, path: str) -> list[tuple[bytes, bytes]]:
        for prefix, headers in self._profiles:
            if path.startswith(prefix):
                return headers
        return self._profiles[-1][1]

    def _take_seat(self, scope: Scope, seat: AsyncExitStack) -> None:
        if scope["path"].startswith(_ALWAYS_OPEN):
            return
        if self._running >= MOST_RUNNING:
            raise Refused(problems.problem_of(Busy()))
        self._running += 1
        seat.callback(self._get_up)

    def _get_up(self) -> None:
        self._running -= 1

    async def _heard(self, scope: Scope, receive: Receive, seat: AsyncExitStack) -> Receive:
        """Read the body, and return what the app receives.

        The time-out ends here, before any transaction has begun.
        """
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in headers:
            return receive
        is_list = scope["path"] in _LISTS
        most = MOST_BYTES_OF_LISTS if is_list else MOST_BYTES
        if not length.isdecimal() or len(length) > len(str(most)) or int(length) > most:
            raise _refused(413)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _refused(415, "Send the body as it is, without a 'Content-Encoding'.")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._whole_body(receive, most, seat)
        except TimeoutError:
            raise _refused(408) from None
        if "json" in headers.get("content-type", "").lower():
            _assert_flat(body, MOST_MEMBERS_OF_LISTS if is_list else MOST_MEMBERS)
        return _once(body, receive)

    async def _whole_body(self, receive: Receive, most: int, seat: AsyncExitStack) -> bytes:
        body = bytearray()
        is_coming = True
        while is_coming:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HungUp
            chunk = message.get("body", b"")
            is_coming = message.get("more_body", False)
            if len(body) + len(chunk) > most:
                raise _refused(413)
            self._hold(len(chunk), seat)
            body += chunk
        return bytes(body)

    def _hold(self, size: int, seat: AsyncExitStack) -> None:
        if self._bytes_held + size > MOST_BYTES_TOGETHER:
            raise Refused(problems.problem_of(Busy()))
        self._bytes_held += size
        seat.callback(self._let_go, size)

    def _let_go(self, size: int) -> None:
        self._bytes_held -= size


def _leaving(seat: AsyncExitStack, send: Send) -> Send:
    """Give the seat to the next one when the answer begins: a stream may go on for hours."""

    async def leaving_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            await seat.aclose()
        await send(message)

    return leaving_send


def _once(body: bytes, receive: Receive) -> Receive:
    is_told = False

    async def told_or_received() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return told_or_received


def _assert_small(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_BYTES_OF_ADDRESS:
        raise _refused(414)
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    weight = sum(len(name) + len(value) for name, value in headers)
    if len(scope["headers"]) > MOST_HEADERS or weight > MOST_BYTES_OF_HEADERS:
        raise _refused(431)


def _assert_flat(body: bytes, most_members: int) -> None:
    """Refuse JSON that is small on the wire and large in memory.

    Where a list of a million zeros is sent for a list of customers, pydantic tells all million
    places: 16 MB became 11 GB and 48 seconds.
    """
    if b"\0" in body:  # UTF-16 and UTF-32: JSON is UTF-8
        raise _refused(400)
    commas, opened = body.count(b","), body.count(b"[") + body.count(b"{")
    if commas >= most_members:
        raise _refused(413, f"The body has more than {most_members} members.")
    if opened > DEEPEST and (opened > most_members or _is_deep(body, 4 * (commas + opened + 1))):
        raise _refused(400, f"The body is nested more than {DEEPEST} deep, or is no JSON.")


def _is_deep(body: bytes, most_quotes: int) -> bool:
    """Peel one layer after the other: what is left was deeper, or is no JSON.

    In a few passes over all bytes, for nothing that is slower may run in the event loop.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if unescaped.count(b'"') > most_quotes:  # a name and a text for each member
        return True
    left = b"".join(unescaped.split(b'"')[::2]).translate(None, _ALL_BUT_BRACKETS)
    for _ in range(DEEPEST):
        before, left = left, left.replace(b"[]", b"").replace(b"{}", b"")
        if left == before:
            break
    return bool(left)


_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _refused(status: int, detail: str | None = None) -> Refused:
    return Refused(problems.at_the_door(status, detail))


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
