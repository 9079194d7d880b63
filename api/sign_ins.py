"""Signing in and out, and confirming who one is. People go by the real clock, in a sandbox too."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from api.asking import cookies
from api.asking.who import Asking, network_of
from api.deps import HashingOf, Looking, OpenNow, OpenSteps, OwnSteps, Transaction, VaultOf
from api.door import door_of
from api.problems import can_fail_with
from coupon_engine import acting
from coupon_engine.errors import (
    CodeWrong,
    NotAllowed,
    NotSignedIn,
    StepUpNeeded,
    TooManyTries,
    Unknown,
)
from coupon_engine.people import passwords, second_factor, sign_ins, signing_in
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened
from coupon_engine.people.signing_in import Came, Half
from schemas.people import (
    NewSecondFactor,
    NewSignIn,
    NewSignOut,
    NewStepUp,
    NewTotp,
    RecoveryCodes,
    SignInAnswer,
    SignInView,
    SignOutView,
    TotpBegun,
)

router = APIRouter(tags=["People"])

MOST_OF_AGENT = 200


async def came_from(request: Request) -> Came:
    """Return what a request tells of where it comes from, for lists and for the record."""
    agent = request.headers.get("user-agent", "")
    seen = "".join(letter for letter in agent if letter.isprintable())[:MOST_OF_AGENT]
    exact = door_of(request).flood.address_of(request)
    return Came(network_of(request), seen or None, exact)


CameFrom = Annotated[Came, Depends(came_from)]
OwnPages = Depends(cookies.from_own_pages)


@router.post(
    "/sign-ins",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, TooManyTries),
    dependencies=[OwnPages],
)
async def sign_in(
    request: NewSignIn,
    response: Response,
    steps: OpenSteps,
    hashing: HashingOf,
    came: CameFrom,
    now: OpenNow,
) -> SignInAnswer:
    """Come in by password. Whoever has a second factor is asked for it next."""
    # No transaction is open while the password is hashed.
    async with hashing.place():
        sought = await steps(
            acting.NOBODY, lambda session: signing_in.look_for(session, request, came, now=now)
        )
        is_right, new_hash = await hashing.run(
            passwords.judged, request.password.get_secret_value(), sought.password_hash
        )
        outcome = await steps(
            acting.NOBODY,
            lambda session: signing_in.sign_in(
                session, sought, came, is_right=is_right, new_hash=new_hash, now=now
            ),
        )
    return _answer(response, outcome)


@router.post(
    "/sign-ins/second-factor",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, CodeWrong, TooManyTries),
    dependencies=[OwnPages],
)
async def complete(
    request: NewSecondFactor,
    response: Response,
    steps: OpenSteps,
    vault: VaultOf,
    came: CameFrom,
    now: OpenNow,
) -> SignInAnswer:
    """Send the code that a sign-in by password still wants: of the app, or a recovery code."""
    shown = acting.on_showing(hash_of(request.ceremony.get_secret_value()).hex())
    opened = await steps(
        shown, lambda session: signing_in.complete(session, request, vault, came, now=now)
    )
    return _answer(response, opened)


@router.get("/sign-ins", responses=can_fail_with(NotSignedIn))
def own_sign_ins(caller: Asking, session: Looking, now: OpenNow) -> list[SignInView]:
    """Where one is signed in, the latest first."""
    return sign_ins.sign_in_views(session, caller.sign_in, now=now)


@router.post(
    "/sign-outs",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, Unknown),
)
def sign_out(
    request: NewSignOut, response: Response, caller: Asking, session: Transaction, now: OpenNow
) -> SignOutView:
    """End this sign-in, another one of one's own, or all others. It works at once."""
    view = sign_ins.sign_out(session, caller.sign_in, request, now=now)
    cookies.signed_out_if(response, view)
    return view


@router.post(
    "/step-ups",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, NotAllowed, CodeWrong, TooManyTries),
)
async def step_up(
    request: NewStepUp,
    response: Response,
    caller: Asking,
    steps: OwnSteps,
    hashing: HashingOf,
    vault: VaultOf,
    now: OpenNow,
) -> SignInView:
    """Confirm that it is you: good for ten minutes. The cookie changes."""
    if request.code is not None:
        typed = request.code.get_secret_value()
        opened = await steps(
            caller.acting,
            lambda session: signing_in.step_up_by_code(
                session, caller.sign_in, typed, vault, now=now
            ),
        )
    else:
        assert request.password is not None
        async with hashing.place():
            sought = await steps(
                caller.acting,
                lambda session: signing_in.look_for_own(session, caller.sign_in, now=now),
            )
            is_right = await hashing.run(
                passwords.is_right, request.password.get_secret_value(), sought.password_hash
            )
            opened = await steps(
                caller.acting,
                lambda session: signing_in.step_up_by_password(
                    session, caller.sign_in, sought, is_right=is_right, now=now
                ),
            )
    cookies.signed_in(response, opened)
    return opened.view


@router.post(
    "/totp-secrets",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, StepUpNeeded),
)
def begin_totp(caller: Asking, session: Transaction, vault: VaultOf, now: OpenNow) -> TotpBegun:
    """Make a secret for an authenticator app. It counts once a code of it has come back."""
    return second_factor.begin_totp(session, caller.sign_in, vault, now=now)


@router.post(
    "/totp-confirmations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, StepUpNeeded, CodeWrong, TooManyTries),
)
def confirm_totp(
    request: NewTotp,
    response: Response,
    caller: Asking,
    session: Transaction,
    vault: VaultOf,
    now: OpenNow,
) -> RecoveryCodes:
    """Send the app's first code. Recovery codes come back, the cookie changes, others end."""
    codes, opened = second_factor.confirm_totp(session, caller.sign_in, request, vault, now=now)
    cookies.signed_in(response, opened)
    return codes


@router.post(
    "/recovery-codes",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, NotAllowed, StepUpNeeded),
)
def renew_recovery_codes(
    caller: Asking, session: Transaction, vault: VaultOf, now: OpenNow
) -> RecoveryCodes:
    """Make new recovery codes; the old ones end. They are shown once."""
    return second_factor.renew_recovery_codes(session, caller.sign_in, vault, now=now)


def _answer(response: Response, outcome: Opened | Half) -> SignInAnswer:
    """Word where a sign-in has come to, and give the browser its secret once it is there."""
    if isinstance(outcome, Half):
        return SignInAnswer(
            is_signed_in=False,
            second_factor_needed=True,
            second_factor_missing=False,
            ceremony=outcome.ceremony,
            ways=outcome.ways,
        )
    cookies.signed_in(response, outcome)
    return SignInAnswer(
        is_signed_in=True,
        second_factor_needed=False,
        second_factor_missing=not sign_ins.is_whole(outcome.view.methods),
        ceremony=None,
        ways=(),
    )
