"""The operator's people, and how new ones come in."""

from fastapi import APIRouter, Request, status

from api.asking import cookies
from api.asking.who import Asking
from api.deps import HashingOf, Looking, OpenNow, OpenSteps, OperatorId, Paging, Transaction
from api.problems import can_fail_with
from api.sign_ins import CameFrom, OwnPages
from coupon_engine import acting
from coupon_engine.errors import (
    InvitationOver,
    MoveNotAllowed,
    NotAllowed,
    NotSignedIn,
    PasswordRefused,
    RequestReused,
    StoresMismatch,
    Unknown,
)
from coupon_engine.people import accounts, invitations, passwords
from coupon_engine.people.secret import hash_of
from schemas.people import (
    AcceptanceView,
    AccountChangeView,
    AccountView,
    InvitationOpened,
    InvitationView,
    MeView,
    NewAcceptance,
    NewAccountChange,
    NewInvitation,
    NewWithdrawal,
)

router = APIRouter(tags=["People"])


@router.get("/me", responses=can_fail_with(NotSignedIn))
def me(http: Request, caller: Asking, session: Looking, now: OpenNow) -> MeView:
    """Who is signed in, and the word that every write must repeat as `X-CSRF-Token`."""
    csrf = cookies.csrf_of(cookies.secret_of(http) or "")
    return accounts.me(session, caller.sign_in, csrf, now=now)


@router.get("/accounts", responses=can_fail_with())
def all_accounts(page: Paging, session: Looking, operator_id: OperatorId) -> list[AccountView]:
    return accounts.account_views(session, operator_id, after=page.after, most=page.most)


@router.post(
    "/account-changes",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, NotAllowed, StoresMismatch),
)
def change_account(
    request: NewAccountChange, caller: Asking, session: Transaction, now: OpenNow
) -> AccountChangeView:
    """Give somebody another role or other stores, or suspend them. Their sign-ins end at once."""
    return accounts.change_account(session, caller.operator_id, request, caller.id, now=now)


@router.post(
    "/invitations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, StoresMismatch, RequestReused, InvitationOver, MoveNotAllowed),
)
def invite(
    request: NewInvitation, session: Transaction, operator_id: OperatorId, now: OpenNow
) -> InvitationOpened:
    """Invite somebody. The secret is shown once; where the account is there, it mends a loss."""
    return invitations.invite(session, operator_id, request, now=now)


@router.get("/invitations", responses=can_fail_with())
def all_invitations(
    page: Paging, session: Looking, operator_id: OperatorId
) -> list[InvitationView]:
    return invitations.invitation_views(session, operator_id, after=page.after, most=page.most)


@router.post(
    "/invitations/acceptances",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(InvitationOver, PasswordRefused),
    dependencies=[OwnPages],
)
async def accept(
    request: NewAcceptance, steps: OpenSteps, hashing: HashingOf, came: CameFrom, now: OpenNow
) -> AcceptanceView:
    """Choose a password, with the secret of an invitation. Then sign in."""
    shown = acting.on_showing(hash_of(request.secret.get_secret_value()).hex())
    # No transaction is open while the password is hashed, and nothing is hashed for a stranger.
    async with hashing.place():
        await steps(shown, lambda session: invitations.check_password(session, request, now=now))
        kept = await hashing.run(passwords.hash_of, request.password.get_secret_value())
        return await steps(
            shown, lambda session: invitations.accept(session, request, kept, came, now=now)
        )


@router.post(
    "/invitation-withdrawals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, InvitationOver),
)
def withdraw(
    request: NewWithdrawal, session: Transaction, operator_id: OperatorId, now: OpenNow
) -> InvitationView:
    """End an invitation that nobody has accepted yet."""
    return invitations.withdraw(session, operator_id, request, now=now)
