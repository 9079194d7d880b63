"""Accounts of an operator's people: what they are, and what an owner may change about them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine.answers import answered
from coupon_engine.errors import NotAllowed, Unknown
from coupon_engine.operators import in_turn
from coupon_engine.people import ceremonies, invitations, second_factor, sign_ins
from coupon_engine.people.invitations import check_stores
from coupon_engine.rows import locked, some
from coupon_engine.tables import Account, Operator, Passkey
from schemas.access import AT_A_STORE, Role
from schemas.base import Json
from schemas.ids import new_id
from schemas.people import (
    AccountChangeView,
    AccountView,
    InvitationOpened,
    MeView,
    NewAccountChange,
)


def create_first_owner(
    session: Session,
    operator_id: UUID,
    *,
    email: str,
    name: str,
    now: datetime,
    role: Role = Role.OWNER,
) -> InvitationOpened:
    """Invite an owner from the server's own terminal, where nobody is signed in.

    Also the way back in for an operator whose only owner has lost everything: the same address
    chooses a new password. `role` is for the platform's own people.
    """
    return invitations.open_invitation(
        session, operator_id, id=new_id(now), email=email, name=name, role=role, now=now
    )


def suspend_by_hand(
    session: Session, operator_id: UUID, email: str, reason: str, *, now: datetime
) -> None:
    """Suspend somebody from the server's own terminal: a platform admin, or an only owner.

    What they have open here ends at once. An owner may let them in again; nobody else can.

    Raises:
        Unknown: Nobody has this address here.
    """
    account = session.exec(
        select(Account).where(Account.operator_id == operator_id, Account.email == email)
    ).one_or_none()
    if account is None:
        raise Unknown("account", email)
    account = locked(session, Account, operator_id, account.id)
    account.suspended_at = account.suspended_at or now
    session.add(account)
    sign_ins.end_all(session, operator_id, account.id, now=now)
    sign_ins.note(session, "account_suspended", account, now, {"reason": reason})


@answered(AccountChangeView)
def change_account(
    session: Session, operator_id: UUID, request: NewAccountChange, by: str, *, now: datetime
) -> AccountChangeView:
    """Give somebody another role or other stores, suspend them, or let them back in.

    Their sign-ins end at once. `by` is the id of the owner who asks. Nobody changes their own
    account, so that owner remains one, and there is always somebody.

    Raises:
        Unknown: No such account, or no such store.
        NotAllowed: It is one's own; or whoever asks is no owner (any more).
        StoresMismatch: The role needs stores and has none, or has some and needs none.
    """
    in_turn(session, operator_id)  # of two owners who demote each other, the second is too late
    _check_owner(session, operator_id, by)
    account = locked(session, Account, operator_id, request.account_id)
    if str(account.id) == by:
        raise NotAllowed(why="nobody changes their own account")
    before = _standing(account)
    role = Role(request.role or account.role)
    store_ids = _stores_for(role, request, account)
    is_suspended = before["is_suspended"] if request.suspended is None else request.suspended
    check_stores(session, operator_id, role, store_ids)
    account.role, account.store_ids = role, list(store_ids)
    account.suspended_at = (account.suspended_at or now) if is_suspended else None
    session.add(account)
    ended = sign_ins.end_all(session, operator_id, account.id, now=now)
    if is_suspended:
        ceremonies.forget(session, operator_id, account.id)
        invitations.end_for(session, operator_id, account.email, now=now)
    data = {"before": before, "after": _standing(account), "reason": request.reason}
    sign_ins.note(session, "account_changed", account, now, data)
    return AccountChangeView(
        id=request.id,
        account_id=account.id,
        role=role,
        store_ids=tuple(store_ids),
        is_suspended=is_suspended,
        sign_ins_ended=ended,
        at=now,
    )


def me(session: Session, sign_in_hash: bytes | None, csrf: str, *, now: datetime) -> MeView:
    """Return who is signed in here.

    Raises:
        NotSignedIn: The sign-in has ended; or whoever asks is no person.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    operator = session.get_one(Operator, row.operator_id)
    # A platform admin who looks in here has the account at the platform.
    account = session.get(Account, (row.operator_id, row.account_id))
    left = second_factor.recovery_codes_left(session, account) if account else 0
    return MeView.model_validate(
        {
            "account_id": row.account_id,
            "name": row.name,
            "email": account.email if account else None,
            "role": row.role,
            "store_ids": row.store_ids,
            "operator_id": operator.id,
            "operator": operator.slug,
            "operator_name": operator.name,
            "sign_in_id": row.id,
            "methods": row.methods,
            "second_factor_missing": not sign_ins.is_whole(row.methods),
            "stepped_up_until": sign_ins.stepped_up_until(row),
            "recovery_codes_left": left,
            "expires_at": row.expires_at,
            "csrf": csrf,
        }
    )


def account_views(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[AccountView]:
    rows = some(session, Account, operator_id, after=after, most=most)
    with_passkey = set(
        session.exec(
            select(Passkey.account_id).where(
                Passkey.operator_id == operator_id,
                col(Passkey.account_id).in_([row.id for row in rows]),
            )
        )
    )
    return [_view(row, has_passkey=row.id in with_passkey) for row in rows]


def _check_owner(session: Session, operator_id: UUID, by: str) -> None:
    owners = session.exec(
        select(Account.id).where(
            Account.operator_id == operator_id,
            Account.role == Role.OWNER,
            col(Account.suspended_at).is_(None),
        )
    )
    if by not in map(str, owners):
        raise NotAllowed(why="only an owner changes accounts")


def _stores_for(role: Role, request: NewAccountChange, account: Account) -> Sequence[UUID]:
    """Return the stores that were asked for, or those that the role keeps."""
    if request.store_ids is not None:
        return request.store_ids
    return account.store_ids if role in AT_A_STORE else ()


def _standing(account: Account) -> Json:
    return {
        "role": account.role,
        "store_ids": [str(store_id) for store_id in account.store_ids],
        "is_suspended": account.suspended_at is not None,
    }


def _view(row: Account, *, has_passkey: bool) -> AccountView:
    return AccountView(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        store_ids=tuple(row.store_ids),
        has_second_factor=row.totp_secret is not None or has_passkey,
        suspended_at=row.suspended_at,
        created_at=row.created_at,
    )
