"""How somebody becomes an account, or comes back to a lost one: by a link that works once."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.errors import (
    InvitationOver,
    MoveNotAllowed,
    PasswordRefused,
    RequestReused,
    StoresMismatch,
    Unknown,
)
from coupon_engine.people import accounts, invitations, passwords, second_factor
from coupon_engine.people.secret import hash_of
from coupon_engine.people.signing_in import Came
from coupon_engine.tables import Account
from schemas.access import AT_A_STORE, PEOPLE, Actor, ActorKind, Role
from schemas.people import (
    AcceptanceView,
    InvitationOpened,
    NewAcceptance,
    NewInvitation,
    NewWithdrawal,
)
from tests import make
from tests.coupon_engine.people.apps import app_of, row_of
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, PASSWORD, Shop

HERE = Came("192.0.2.0/24", "A browser", "192.0.2.7")
OLGA = Actor(kind=ActorKind.PERSON, id="olga", name="Olga", role=Role.OWNER)
EMAIL = "ben@example.com"


def request(**more: Any) -> NewInvitation:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "email": EMAIL,
        "name": "Ben",
        "role": Role.FINANCE,
    }
    return NewInvitation(**{**asked, **more})


def invites(
    session: Session, at: Shop, asked: NewInvitation | None = None, *, now: datetime = NOON
) -> InvitationOpened:
    acting.enter(session, at.operator_id, OLGA)
    return invitations.invite(session, at.operator_id, asked or request(), now=now)


def accepts(
    session: Session, opened: InvitationOpened, password: str = PASSWORD, *, now: datetime = NOON
) -> AcceptanceView:
    asked = NewAcceptance(secret=SecretStr(opened.secret), password=SecretStr(password))
    invitations.check_password(session, asked, now=now)
    kept = make._kept(password)
    return invitations.accept(session, asked, kept, HERE, now=now)


def account_of(session: Session, email: str = EMAIL) -> Account:
    (row,) = rows(session, "SELECT operator_id, id FROM account WHERE email = :email", email=email)
    account = session.get(Account, (row.operator_id, row.id), populate_existing=True)
    assert account is not None
    return account


def test_an_invitation_becomes_an_account_once(session: Session) -> None:
    at = make.shop(session)
    opened = invites(session, at)
    assert count(session, "account") == 0

    view = accepts(session, opened)

    assert (view.operator, view.email) == (at.slug, EMAIL)
    ben = account_of(session)
    assert (ben.name, ben.role, ben.store_ids) == ("Ben", "finance", [])
    assert passwords.is_right(PASSWORD, ben.password_hash)
    assert not second_factor.has_any(session, ben)
    assert kinds(session, ben.id) == ["account_made"]
    (told,) = rows(session, "SELECT actor FROM event WHERE kind = 'account_made'")
    assert (told.actor["id"], told.actor["address"]) == (str(ben.id), "192.0.2.0/24")
    with pytest.raises(InvitationOver):
        accepts(session, opened)
    assert count(session, "account") == 1


def test_the_secret_is_shown_once_and_kept_as_a_hash(session: Session) -> None:
    at = make.shop(session)

    opened = invites(session, at)

    assert len(opened.secret) == 43  # 256 bits
    (row,) = rows(session, "SELECT hash, invited_by, i::text AS whole FROM invitation i")
    assert (row.hash, row.invited_by) == (hash_of(opened.secret), "olga")
    assert opened.secret not in row.whole
    (listed,) = invitations.invitation_views(session, at.operator_id, after=None, most=9)
    assert listed.model_dump() == opened.model_dump(exclude={"secret"})
    assert count(session, "answer WHERE verb = 'invite'") == 0


def test_an_event_tells_who_invites_to_what_and_no_address(session: Session) -> None:
    at = make.shop(session)

    opened = invites(session, at, request(role=Role.CASHIER, store_ids=(at.store.id,)))

    (told,) = rows(session, "SELECT * FROM event WHERE kind = 'account_invited'")
    assert told.data == {
        "invitation_id": str(opened.id),
        "role": "cashier",
        "store_ids": [str(at.store.id)],
    }
    assert told.actor["name"] == "Olga"
    assert "@" not in json.dumps([told.data, told.actor])


def test_an_invitation_is_good_for_72_hours(session: Session) -> None:
    opened = invites(session, make.shop(session))
    over = NOON + timedelta(hours=72)

    with pytest.raises(InvitationOver):
        accepts(session, opened, now=over)

    assert accepts(session, opened, now=over - timedelta(microseconds=1))


@pytest.mark.parametrize("password", ["too short", "my ben@example.com", "passwordpassword"])
def test_a_password_that_others_guess_uses_nothing_up(session: Session, password: str) -> None:
    opened = invites(session, make.shop(session))

    with pytest.raises(PasswordRefused):
        accepts(session, opened, password)

    assert accepts(session, opened)


def test_a_guessed_secret_opens_nothing_and_costs_no_hash(session: Session) -> None:
    opened = invites(session, make.shop(session))
    guessed = opened.model_copy(update={"secret": opened.secret[:-1] + "~"})

    with pytest.raises(InvitationOver):
        accepts(session, guessed)


def test_asking_again_with_the_same_id_shows_a_new_secret_and_ends_the_first(
    session: Session,
) -> None:
    at = make.shop(session)
    asked = request()
    first = invites(session, at, asked)

    second = invites(session, at, asked, now=NOON + timedelta(hours=1))

    assert second.secret != first.secret
    assert second.model_dump(exclude={"secret"}) == first.model_dump(exclude={"secret"})
    with pytest.raises(InvitationOver):
        accepts(session, first)
    accepts(session, second)
    with pytest.raises(InvitationOver):
        invites(session, at, asked)


@pytest.mark.parametrize(
    "more",
    [{"email": "other@example.com"}, {"name": "Bea"}, {"role": Role.OWNER}],
)
def test_the_same_id_for_somebody_else_is_refused(session: Session, more: Any) -> None:
    at = make.shop(session)
    asked = request()
    invites(session, at, asked)

    with pytest.raises(RequestReused):
        invites(session, at, request(id=asked.id, **more))


def test_a_newer_invitation_ends_the_one_before(session: Session) -> None:
    at = make.shop(session)
    first, second = invites(session, at), invites(session, at)

    with pytest.raises(InvitationOver):
        accepts(session, first)
    assert accepts(session, second)


def test_a_withdrawn_invitation_opens_nothing(session: Session) -> None:
    at = make.shop(session)
    opened = invites(session, at)
    asked = NewWithdrawal(id=make.an_id(), invitation_id=opened.id, reason="left")

    view = invitations.withdraw(session, at.operator_id, asked, now=NOON)

    assert view.ended_at == NOON
    with pytest.raises(InvitationOver):
        accepts(session, opened)
    assert invitations.withdraw(session, at.operator_id, asked, now=NOON) == view
    again = asked.model_copy(update={"id": make.an_id()})
    with pytest.raises(InvitationOver):
        invitations.withdraw(session, at.operator_id, again, now=NOON)
    assert kinds(session, opened.id) == ["account_invited", "invitation_withdrawn"]


def test_a_stranger_withdraws_nothing(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    opened = invites(session, at)
    asked = NewWithdrawal(id=make.an_id(), invitation_id=opened.id, reason="left")

    with pytest.raises(Unknown):
        invitations.withdraw(session, stranger.operator_id, asked, now=NOON)

    assert accepts(session, opened)


def test_a_lost_password_is_mended_and_everything_else_of_the_account_ends(
    session: Session,
) -> None:
    at = make.shop(session)
    ben = make.person(session, at, Role.SHOP_MANAGER, email=EMAIL)
    app = app_of(session, ben)
    opened = invites(session, at, request(role=Role.OWNER, name="Not Ben"))

    accepts(session, opened, "seven green umbrellas")

    mended = account_of(session)
    assert mended.id == ben.id
    assert passwords.is_right("seven green umbrellas", mended.password_hash)
    assert not second_factor.has_any(session, mended)
    assert row_of(session, app.opened) is None
    # Nobody's role changes by a way round `change_account`.
    assert (mended.role, mended.name, mended.store_ids) == ("shop_manager", "Ann", [at.store.id])
    assert kinds(session, ben.id)[-2:] == ["signed_out", "access_mended"]


def test_a_suspended_account_is_not_mended(session: Session) -> None:
    at = make.shop(session)
    make.person(session, at, email=EMAIL, suspended_at=NOON)

    with pytest.raises(MoveNotAllowed):
        invites(session, at)


def test_whoever_was_suspended_meanwhile_accepts_nothing(session: Session) -> None:
    at = make.shop(session)
    ben = make.person(session, at, email=EMAIL)
    opened = invites(session, at)
    ben.suspended_at = NOON
    session.add(ben)
    session.flush()

    with pytest.raises(InvitationOver):
        accepts(session, opened)


def test_only_stores_of_the_operator_and_only_for_roles_that_have_them(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)

    with pytest.raises(Unknown):
        invites(session, at, request(role=Role.CASHIER, store_ids=(stranger.store.id,)))
    with pytest.raises(StoresMismatch):
        invitations.open_invitation(
            session,
            at.operator_id,
            id=make.an_id(),
            email=EMAIL,
            name="Ben",
            role=Role.CASHIER,
            now=NOON,
        )


def test_whoever_misspells_a_role_is_told_those_that_can_be_invited() -> None:
    with pytest.raises(ValidationError) as raised:
        request(role="boss")

    (slip,) = raised.value.errors()
    assert slip["msg"] == f"Value error, must be one of {', '.join(PEOPLE)}"


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_one_of_people_and_has_stores_or_none(role: Role) -> None:
    store_ids = (make.an_id(),) if role in AT_A_STORE else ()
    if role not in PEOPLE:
        with pytest.raises(ValidationError, match="must be one of owner"):
            request(role=role)
        return

    assert request(role=role, store_ids=store_ids).role is role
    with pytest.raises(ValidationError, match="need store_ids"):
        request(role=role, store_ids=() if store_ids else (make.an_id(),))


@pytest.mark.parametrize(
    "email", ["", "ben", "ben@", "@example.com", "b en@x.de", "b\n@x.de", "x" * 250 + "@x.de"]
)
def test_an_address_looks_like_one(email: str) -> None:
    with pytest.raises(ValidationError):
        request(email=email)


def test_the_servers_own_terminal_invites_the_first_owner(session: Session) -> None:
    at = make.shop(session)

    opened = accounts.create_first_owner(session, at.operator_id, email=EMAIL, name="Ben", now=NOON)

    accepts(session, opened)
    assert account_of(session).role == "owner"
