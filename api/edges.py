"""What happens to every request before and after everything else."""

from collections.abc import Mapping

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import logs, problems

MOST_BYTES = 2**20
# Whole lists of people come here.
MOST_BYTES_OF_LISTS = 16 * 2**20
_LISTS = ("/v1/customers", "/v1/issues")

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Edge:
    """Bounds bodies, adds headers, and turns a bug into a problem that tells nothing about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        most = MOST_BYTES_OF_LISTS if scope["path"] in _LISTS else MOST_BYTES
        is_started = False
        size = 0

        async def bounded_receive() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413)
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if _announced(scope) > most:
            # The connection goes too: what is still coming would be read to the end otherwise.
            large = problems.answer(problems.at_the_door(413), {"Connection": "close"})
            await large(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, bounded_receive, send_with_headers)
        except Exception as error:
            logs.failed(Request(scope), error)
            if is_started:
                raise
            broken = problems.answer(problems.at_the_door(500))
            await broken(scope, receive, send_with_headers)


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0
