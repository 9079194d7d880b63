"""Passkeys: one's own, signing in by one, and confirming by one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from api.asking import cookies
from api.asking.who import Asking
from api.deps import Looking, OpenNow, OpenTransaction, OperatorId, Transaction
from api.door import door_of
from api.problems import can_fail_with
from api.sign_ins import CameFrom, OwnPages
from coupon_engine.errors import (
    LastSecondFactor,
    NotSignedIn,
    PasskeyRefused,
    RequestReused,
    StepUpNeeded,
    Unknown,
)
from coupon_engine.people import passkeys
from coupon_engine.people.passkeys import Site
from schemas.passkeys import (
    NewPasskey,
    NewPasskeyRemoval,
    NewPasskeySignIn,
    NewPasskeySignInOptions,
    NewPasskeyStepUp,
    PasskeyOptionsView,
    PasskeyView,
)
from schemas.people import SignInView

router = APIRouter(tags=["Signing in"])


async def site_of(request: Request) -> Site:
    return Site.at(door_of(request).issuer_url)


SiteOf = Annotated[Site, Depends(site_of)]


@router.post(
    "/passkeys/options",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, StepUpNeeded),
)
def begin_adding(
    session: Transaction, caller: Asking, site: SiteOf, now: OpenNow
) -> PasskeyOptionsView:
    """Ask for what `navigator.credentials.create()` needs. Good for five minutes, once."""
    return passkeys.begin_adding(session, caller.sign_in, site=site, now=now)


@router.post(
    "/passkeys",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, StepUpNeeded, PasskeyRefused),
)
def add(
    request: NewPasskey,
    response: Response,
    session: Transaction,
    caller: Asking,
    site: SiteOf,
    now: OpenNow,
) -> PasskeyView:
    """Keep a passkey that the browser has made. The cookie changes: you have confirmed by it."""
    view, opened = passkeys.add(session, caller.sign_in, request, site=site, now=now)
    cookies.signed_in(response, opened)
    return view


@router.get("/passkeys", responses=can_fail_with(NotSignedIn))
def own_passkeys(session: Looking, caller: Asking, now: OpenNow) -> list[PasskeyView]:
    return passkeys.passkeys(session, caller.sign_in, now=now)


@router.post(
    "/passkey-removals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, NotSignedIn, StepUpNeeded, Unknown, LastSecondFactor),
)
def remove(
    request: NewPasskeyRemoval,
    session: Transaction,
    operator_id: OperatorId,
    caller: Asking,
    now: OpenNow,
) -> PasskeyView:
    """Forget one of your passkeys. The last second factor stays."""
    return passkeys.remove(session, operator_id, request, caller.sign_in, now=now)


@router.post(
    "/sign-ins/passkey-options",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(),
    dependencies=[OwnPages],
)
def begin_sign_in(
    request: NewPasskeySignInOptions,
    session: OpenTransaction,
    site: SiteOf,
    now: OpenNow,
) -> PasskeyOptionsView:
    """Ask for what `navigator.credentials.get()` needs. It looks the same for any operator."""
    return passkeys.begin_sign_in(session, request, site=site, now=now)


@router.post(
    "/sign-ins/passkey",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn),
    dependencies=[OwnPages],
)
def sign_in(
    request: NewPasskeySignIn,
    response: Response,
    session: OpenTransaction,
    came: CameFrom,
    site: SiteOf,
    now: OpenNow,
) -> SignInView:
    """Come in by a passkey. It needs no password and no code besides."""
    opened = passkeys.sign_in(session, request, came, site=site, now=now)
    cookies.signed_in(response, opened)
    return opened.view


@router.post(
    "/step-ups/passkey-options",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn),
)
def begin_step_up(
    session: Transaction, caller: Asking, site: SiteOf, now: OpenNow
) -> PasskeyOptionsView:
    """Ask for what `navigator.credentials.get()` needs to confirm that it is you."""
    return passkeys.begin_step_up(session, caller.sign_in, site=site, now=now)


@router.post(
    "/step-ups/passkey",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn),
)
def step_up(
    request: NewPasskeyStepUp,
    response: Response,
    session: Transaction,
    caller: Asking,
    site: SiteOf,
    now: OpenNow,
) -> SignInView:
    """Confirm by a passkey that it is you. The cookie changes."""
    opened = passkeys.step_up(session, caller.sign_in, request, site=site, now=now)
    cookies.signed_in(response, opened)
    return opened.view
