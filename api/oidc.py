"""Signing in by an operator's own identity provider.

The two addresses that a browser walks through are `async`: between their short transactions they
wait for another machine, and hold neither a thread nor a connection meanwhile.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from api.asking import cookies
from api.deps import Looking, OpenNow, OpenSteps, OperatorId, Transaction, VaultOf
from api.door import door_of
from api.problems import can_fail_with
from api.sign_ins import CameFrom
from coupon_engine import acting
from coupon_engine.errors import NotSignedIn, Unknown
from coupon_engine.people import oidc
from schemas.base import Slug
from schemas.oidc import NewOidcSettings, OidcSettingsView, OwnPath, ProvidersAnswer

router = APIRouter(tags=["Signing in"])
flow = APIRouter(prefix="/oidc", tags=["Signing in"])

COOKIE = "__Host-counterfoil-oidc"


@router.post("/oidc-settings", status_code=status.HTTP_201_CREATED, responses=can_fail_with())
def set_settings(
    request: NewOidcSettings,
    whole: Request,
    session: Transaction,
    operator_id: OperatorId,
    vault: VaultOf,
    now: OpenNow,
) -> OidcSettingsView:
    """Say where your people sign in. Who is invited here may then come in from there."""
    issuer_url = door_of(whole).issuer_url
    return oidc.set_settings(
        session, operator_id, request, vault=vault, issuer_url=issuer_url, now=now
    )


@router.get("/oidc-settings", responses=can_fail_with(Unknown))
def settings(whole: Request, session: Looking, operator_id: OperatorId) -> OidcSettingsView:
    """Show what is set. The client's secret is shown to nobody."""
    return oidc.settings(session, operator_id, issuer_url=door_of(whole).issuer_url)


@flow.get(
    "/{slug}/start",
    status_code=status.HTTP_303_SEE_OTHER,
    response_class=RedirectResponse,
    responses=can_fail_with(NotSignedIn),
)
async def start(
    request: Request,
    slug: Slug,
    steps: OpenSteps,
    now: OpenNow,
    next: Annotated[OwnPath, Query(description="Where to go then, on this server.")] = "/",  # noqa: A002
    confirm: Annotated[
        bool, Query(description="You are signed in, and confirm that it is you.")
    ] = False,
) -> Response:
    """Go to the operator's identity provider. A cookie ties what comes back to this browser."""
    door = door_of(request)
    provider = await steps(
        acting.NOBODY, lambda session: oidc.provider_of(session, slug, vault=door.vault)
    )
    document = await door.providers.document(provider)
    sign_in = await _own_sign_in(request) if confirm else None
    state, begun = await steps(
        acting.NOBODY,
        lambda session: oidc.begin(session, provider, next=next, sign_in=sign_in, now=now),
    )
    back = oidc.redirect_uri(door.issuer_url, slug)
    address = oidc.authorization_url(provider, document, begun, state=state, redirect_uri=back)
    answer = RedirectResponse(address, status.HTTP_303_SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        begun.browser,
        max_age=int(oidc.LASTS.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return answer


@flow.get(
    "/{slug}/callback",
    status_code=status.HTTP_303_SEE_OTHER,
    response_class=RedirectResponse,
    responses=can_fail_with(NotSignedIn),
)
async def callback(
    request: Request,
    slug: Slug,
    answer: Annotated[ProvidersAnswer, Query()],
    steps: OpenSteps,
    came: CameFrom,
    now: OpenNow,
) -> Response:
    """Come back from the provider, once, in the same browser. Any other way leads nowhere."""
    door = door_of(request)
    browser = request.cookies.get(COOKIE, "")
    returned = await steps(
        acting.NOBODY,
        lambda session: oidc.finish(session, slug, answer, browser, vault=door.vault, now=now),
    )
    if returned.sign_in is not None and returned.sign_in != await _own_sign_in(request):
        raise NotSignedIn
    identity = await door.providers.identity(
        returned.provider,
        returned.flow,
        code=answer.code or "",
        back=oidc.redirect_uri(door.issuer_url, slug),
        now=now,
    )
    opened = await steps(
        acting.NOBODY, lambda session: oidc.let_in(session, returned, identity, came, now=now)
    )
    welcome = RedirectResponse(returned.next, status.HTTP_303_SEE_OTHER)
    cookies.signed_in(welcome, opened)
    welcome.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return welcome


async def _own_sign_in(request: Request) -> bytes:
    """Return the hash of the sign-in that this browser has.

    Raises:
        NotSignedIn: It has none.
    """
    secret = cookies.secret_of(request)
    caller = await run_in_threadpool(door_of(request).find_person, secret) if secret else None
    if caller is None or caller.sign_in is None:
        raise NotSignedIn
    return caller.sign_in
