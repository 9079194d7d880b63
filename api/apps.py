"""The web apps: files that were built beforehand, and the few headers that make them safe.

Which screen is open is the page's business, so every path below an app without a file of its own
gets the app's one page.
"""

from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path, PurePosixPath

from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from redemption_app.build import APPS, DIST

# The build names these by what is in them, so whoever has one has the right one.
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_PACKED = (("br", ".br"), ("gzip", ".gz"))
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_SHELL = "index.html"
_NOT_BUILT = "The web apps are not built. Build them with: python -m redemption_app.build\n"


def install(app: FastAPI) -> None:
    """Let the app serve each of the web apps below its own name."""
    for name in APPS:
        app.add_route(f"/{name}", _to_its_own_folder)
        app.mount(f"/{name}", _App(DIST / name), name=name)


async def _to_its_own_folder(request: Request) -> Response:
    return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/")


class _App(StaticFiles):
    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET", HTTPStatus.METHOD_NOT_ALLOWED)
        if not (self._folder / _SHELL).is_file():
            return PlainTextResponse(_NOT_BUILT, HTTPStatus.SERVICE_UNAVAILABLE)
        found, _ = self.lookup_path(path)
        is_file = bool(found) and Path(found).is_file()
        if not is_file and PurePosixPath(path).suffix:
            return PlainTextResponse("There is no such file.\n", HTTPStatus.NOT_FOUND)
        return await self._file(path if is_file else _SHELL, scope)

    async def _file(self, path: str, scope: Scope) -> Response:
        """Answer with a file, packed if the asker can unpack it and the build has packed it."""
        accepted = Headers(scope=scope).get("accept-encoding", "")
        packed = next(
            (each for each in _PACKED if each[0] in accepted and self._has(path + each[1])),
            ("", ""),
        )
        response = await super().get_response(path + packed[1], scope)
        response.headers["Content-Type"] = _type_of(path)
        if packed[0]:
            response.headers["Content-Encoding"] = packed[0]
        response.headers["Vary"] = "Accept-Encoding"
        is_named_by_content = path.startswith("assets/")
        response.headers["Cache-Control"] = _FOR_EVER if is_named_by_content else _ASK_AGAIN
        return response

    def _has(self, path: str) -> bool:
        found, _ = self.lookup_path(path)
        return bool(found)


def _type_of(path: str) -> str:
    # What a machine's own tables say of scripts differs; a browser runs none of another type.
    return _TYPES.get(PurePosixPath(path).suffix) or guess_type(path)[0] or "text/plain"
