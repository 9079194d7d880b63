"""Invitations: a link by which one person becomes an account, or comes back to a lost one. Once.

Its secret is shown to the owner who invites and kept as a hash; no mail is sent from here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import acting, tries
from coupon_engine.answers import answered
from coupon_engine.errors import InvitationOver, MoveNotAllowed, RequestReused, StoresMismatch
from coupon_engine.events import happened
from coupon_engine.events import note as note_event
from coupon_engine.operators import in_turn
from coupon_engine.people import passwords, second_factor, sign_ins, signing_in
from coupon_engine.people.secret import hash_of, new_secret
from coupon_engine.people.signing_in import Came
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Account, Invitation, Operator, Store
from schemas.access import AT_A_STORE, Role
from schemas.base import Json
from schemas.ids import new_id
from schemas.people import (
    AcceptanceView,
    InvitationOpened,
    InvitationView,
    NewAcceptance,
    NewInvitation,
    NewWithdrawal,
)

LASTS = timedelta(hours=72)


def invite(
    session: Session, operator_id: UUID, request: NewInvitation, *, now: datetime
) -> InvitationOpened:
    """Invite somebody. The secret is shown in this answer and never again.

    No answer is kept, for it holds the secret: a repeat gets a new one, and the one before it opens
    nothing any more; neither does any earlier invitation of this address. Where it has an account,
    accepting changes its password and nothing of its role.

    Raises:
        Unknown: No such store.
        StoresMismatch: The role needs stores and has none, or has some and needs none.
        RequestReused: This id was used before, for another request.
        InvitationOver: The invitation with this id was accepted or withdrawn, or is too old.
        MoveNotAllowed: The account of this address is suspended.
    """
    return open_invitation(
        session,
        operator_id,
        id=request.id,
        email=request.email,
        name=request.name,
        role=request.role,
        store_ids=request.store_ids,
        now=now,
    )


def open_invitation(
    session: Session,
    operator_id: UUID,
    *,
    id: UUID,
    email: str,
    name: str,
    role: Role,
    store_ids: Sequence[UUID] = (),
    now: datetime,
) -> InvitationOpened:
    """Do what `invite` does, for any role and for callers who have checked what they ask."""
    in_turn(session, operator_id)
    check_stores(session, operator_id, role, store_ids)
    account = _account_of(session, operator_id, email)
    if account is not None and account.suspended_at is not None:
        raise MoveNotAllowed(state="suspended", move="invite", allowed=["account-changes"])
    asked: Json = {"email": email, "name": name, "role": role, "store_ids": list(store_ids)}
    secret = new_secret()
    row = session.get(Invitation, (operator_id, id), populate_existing=True)
    if row is None:
        end_for(session, operator_id, email, now=now)
        row = Invitation(
            **asked,
            operator_id=operator_id,
            id=id,
            hash=hash_of(secret),
            invited_by=acting.actor_of(session).id,
            created_at=now,
            expires_at=now + LASTS,
        )
        told = {"role": role, "store_ids": [str(store_id) for store_id in store_ids]}
        _tell(session, "account_invited", row, account, now, told)
    elif any(getattr(row, field) != value for field, value in asked.items()):
        raise RequestReused
    elif not _is_open(row, now):
        raise InvitationOver
    row.hash = hash_of(secret)
    session.add(row)
    session.flush()
    return InvitationOpened(**_view(row).model_dump(), secret=secret)


def check_password(session: Session, request: NewAcceptance, *, now: datetime) -> None:
    """Let pass what is worth the slow hash: a good password of somebody who was invited.

    For a transaction that began with `acting.on_showing` of the secret's hash.

    Raises:
        InvitationOver: Unknown, used, withdrawn or too old.
        PasswordRefused: It says why.
    """
    row = _shown(session, request, now)
    passwords.check(request.password.get_secret_value(), email=row.email)


def accept(
    session: Session, request: NewAcceptance, password_hash: str, came: Came, *, now: datetime
) -> AcceptanceView:
    """Make the account; or give the one that there is its new password.

    In the second case the second factor goes too, every sign-in ends, and the tries of whoever was
    locked out are forgotten. Of many who accept at once, one is heard; asking twice is a no.

    Raises:
        InvitationOver: Unknown, used, withdrawn or too old.
    """
    row = _shown(session, request, now)
    acting.enter(session, row.operator_id)
    in_turn(session, row.operator_id)
    session.expire(row)
    row = _shown(session, request, now)  # as it is now that nobody else can change it
    account = _account_of(session, row.operator_id, row.email)
    if account is not None and account.suspended_at is not None:
        raise InvitationOver
    kind = "access_mended"
    if account is None:
        account = _account_from(row, now)
        kind = "account_made"
    acting.enter(session, row.operator_id, sign_ins.person(account, came.address))
    account.password_hash = password_hash
    account.let_in_by, account.let_in_at = row.invited_by, now
    session.add(account)
    session.flush()
    second_factor.take_away(session, account)
    sign_ins.end_all(session, account.operator_id, account.id, now=now)
    end_for(session, row.operator_id, row.email, now=now)
    operator = session.get_one(Operator, row.operator_id)
    budget = signing_in.budget_of(operator.slug, account.email)
    tries.forget(session, row.operator_id, budget)
    sign_ins.note(session, kind, account, now, {"invitation_id": str(row.id)})
    return AcceptanceView(operator=operator.slug, email=account.email)


@answered(InvitationView)
def withdraw(
    session: Session, operator_id: UUID, request: NewWithdrawal, *, now: datetime
) -> InvitationView:
    """End an invitation that nobody has accepted yet.

    Raises:
        Unknown: No such invitation.
        InvitationOver: It was accepted or withdrawn before.
    """
    in_turn(session, operator_id)
    row = locked(session, Invitation, operator_id, request.invitation_id)
    if row.ended_at is not None:
        raise InvitationOver
    row.ended_at = now
    session.add(row)
    account = _account_of(session, operator_id, row.email)
    _tell(session, "invitation_withdrawn", row, account, now, {"reason": request.reason})
    return _view(row)


def end_for(session: Session, operator_id: UUID, email: str, *, now: datetime) -> None:
    """End every invitation of this address."""
    rows = session.exec(
        select(Invitation).where(
            Invitation.operator_id == operator_id,
            Invitation.email == email,
            col(Invitation.ended_at).is_(None),
        )
    ).all()
    for row in rows:
        row.ended_at = now
        session.add(row)
    session.flush()


def invitation_views(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[InvitationView]:
    return [_view(row) for row in some(session, Invitation, operator_id, after=after, most=most)]


def check_stores(
    session: Session, operator_id: UUID, role: Role, store_ids: Sequence[UUID]
) -> None:
    """Let pass stores of this operator, for a role that is tied to stores.

    Raises:
        Unknown: No such store.
        StoresMismatch: The role needs stores and has none, or has some and needs none.
    """
    if (role in AT_A_STORE) != bool(store_ids):
        raise StoresMismatch
    for store_id in store_ids:
        found(session, Store, operator_id, store_id)


def _shown(session: Session, request: NewAcceptance, now: datetime) -> Invitation:
    row = session.exec(
        select(Invitation).where(Invitation.hash == hash_of(request.secret.get_secret_value()))
    ).one_or_none()
    if row is None or not _is_open(row, now):
        raise InvitationOver
    return row


def _is_open(row: Invitation, now: datetime) -> bool:
    return row.ended_at is None and now < row.expires_at


def _account_of(session: Session, operator_id: UUID, email: str) -> Account | None:
    return session.exec(
        select(Account)
        .where(Account.operator_id == operator_id, Account.email == email)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def _account_from(row: Invitation, now: datetime) -> Account:
    return Account(
        operator_id=row.operator_id,
        id=new_id(now),
        email=row.email,
        name=row.name,
        role=row.role,
        store_ids=row.store_ids,
        created_at=now,
    )


def _tell(
    session: Session,
    kind: str,
    row: Invitation,
    account: Account | None,
    now: datetime,
    data: Json,
) -> None:
    """Write down what happened, about the account, or as long as there is none the invitation."""
    note_event(
        session,
        happened(
            kind,
            account.id if account else row.id,
            operator_id=row.operator_id,
            campaign_id=None,
            at=now,
            data={"invitation_id": str(row.id), **data},
        ),
    )


def _view(row: Invitation) -> InvitationView:
    return InvitationView(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        store_ids=tuple(row.store_ids),
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )
