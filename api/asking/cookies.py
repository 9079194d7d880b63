"""The cookie of a sign-in, and the proof that a write comes from our own pages.

A cookie comes along wherever a request is made from; so a write needs two things besides: the
browser must say that it was made by one of our pages, and the page must know a word that follows
from the cookie, which only `GET /v1/me` tells.

`__Host-` and `Secure` need https, or a browser that trusts its own machine: Chromium and Firefox
take the cookie from http://127.0.0.1 and http://localhost as well, Safari does not. A server on
another machine needs TLS before anybody can sign in.
"""

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from fastapi import Request, Response

from coupon_engine.errors import CrossSite
from coupon_engine.people.sign_ins import LASTS, Opened
from schemas.people import SignOutView

NAME = "__Host-counterfoil"
CSRF_HEADER = "X-CSRF-Token"


def signed_in(response: Response, opened: Opened) -> None:
    """Give the browser the secret of a sign-in."""
    response.set_cookie(
        NAME,
        opened.secret,
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def signed_out(response: Response) -> None:
    """Let the browser forget the secret."""
    response.delete_cookie(NAME, path="/", secure=True, httponly=True, samesite="lax")


def signed_out_if(response: Response, view: SignOutView) -> None:
    """Let the browser forget the secret of a sign-in that has just ended itself."""
    if view.is_this_ended:
        signed_out(response)


def secret_of(request: Request) -> str | None:
    """Return the secret that the browser has sent."""
    return request.cookies.get(NAME)


def csrf_of(secret: str) -> str:
    """Return the word by which our pages prove that they could ask who is signed in."""
    return hmac.digest(secret.encode(), b"counterfoil csrf", sha256).hex()


def check_csrf(request: Request, secret: str) -> None:
    """Let pass a write by one of our own pages.

    Raises:
        CrossSite: It was made elsewhere, or does not say so, or without the word.
    """
    check_origin(request, is_required=True)
    said = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(said.encode(), csrf_of(secret).encode()):
        raise CrossSite


async def from_own_pages(request: Request) -> None:
    """For endpoints at which nobody is signed in: let no other site sign its visitors in as others.

    Raises:
        CrossSite: It was made elsewhere.
    """
    check_origin(request)


def check_origin(request: Request, *, is_required: bool = False) -> None:
    """Let pass what was not sent by a page of another site.

    A program, and a very old browser, tells neither; `is_required` is for requests with a cookie.

    Raises:
        CrossSite: It was made elsewhere, or does not say although it must.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        # The browser has compared, and no proxy that renames us can mislead it.
        is_ours = site == "same-origin"
    elif origin is not None:
        is_ours = urlsplit(origin).netloc == request.headers.get("host")
    else:
        is_ours = not is_required
    if not is_ours:
        raise CrossSite
