"""What an owner may change about the operator's people, and who sees them."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import Session

from coupon_engine.errors import NotAllowed, NotSignedIn, RequestReused, StoresMismatch, Unknown
from coupon_engine.people import accounts, invitations, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.signing_in import Half
from coupon_engine.tables import Account
from schemas.access import Role
from schemas.people import AccountChangeView, NewAccountChange, NewInvitation
from tests import make
from tests.coupon_engine.people.apps import app_of, row_of
from tests.coupon_engine.people.test_signing_in import asked as asked_to_sign_in
from tests.coupon_engine.people.test_signing_in import comes, sends
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, Shop


def change(of: Account, **more: Any) -> NewAccountChange:
    asked: dict[str, Any] = {"id": make.an_id(), "account_id": of.id, "reason": "new work"}
    return NewAccountChange(**{**asked, **more})


def changes(session: Session, by: Account, request: NewAccountChange) -> AccountChangeView:
    return accounts.change_account(session, by.operator_id, request, str(by.id), now=NOON)


@pytest.fixture
def at(session: Session) -> Shop:
    return make.shop(session)


@pytest.fixture
def olga(session: Session, at: Shop) -> Account:
    return make.person(session, at, name="Olga")


def test_a_new_role_ends_every_sign_in_at_once(session: Session, at: Shop, olga: Account) -> None:
    ben = make.person(session, at, Role.FINANCE)
    opened = [make.signed_in(session, ben) for _ in range(2)]
    olgas = make.signed_in(session, olga)

    view = changes(session, olga, change(ben, role=Role.AUDITOR))

    assert (view.role, view.sign_ins_ended, view.is_suspended) == (Role.AUDITOR, 2, False)
    assert [row_of(session, each) for each in opened] == [None, None]
    assert row_of(session, olgas)
    (told,) = rows(session, "SELECT data FROM event WHERE kind = 'account_changed'")
    assert told.data == {
        "before": {"role": "finance", "store_ids": [], "is_suspended": False},
        "after": {"role": "auditor", "store_ids": [], "is_suspended": False},
        "reason": "new work",
    }


def test_stores_come_and_go_with_the_role(session: Session, at: Shop, olga: Account) -> None:
    ben = make.person(session, at, Role.FINANCE)
    stranger = make.shop(session)
    stores = (at.store.id,)

    with pytest.raises(StoresMismatch):
        changes(session, olga, change(ben, role=Role.CASHIER))
    with pytest.raises(StoresMismatch):
        changes(session, olga, change(ben, store_ids=stores))
    with pytest.raises(Unknown):
        changes(session, olga, change(ben, role=Role.CASHIER, store_ids=(stranger.store.id,)))

    assert changes(session, olga, change(ben, role=Role.CASHIER, store_ids=stores)).store_ids
    assert changes(session, olga, change(ben, role=Role.SHOP_MANAGER)).store_ids == stores
    assert changes(session, olga, change(ben, role=Role.APPROVER)).store_ids == ()


def test_a_suspended_person_is_out_until_an_owner_lets_them_back_in(
    session: Session, at: Shop, olga: Account
) -> None:
    ben = make.person(session, at, Role.FINANCE)
    app = app_of(session, ben)
    later = NOON + timedelta(minutes=1)
    waiting = comes(session, asked_to_sign_in(at.slug, ben.email), now=later)
    assert isinstance(waiting, Half)
    invited = NewInvitation(id=make.an_id(), email=ben.email, name="Ben", role=Role.FINANCE)
    link = invitations.invite(session, at.operator_id, invited, now=NOON)

    assert changes(session, olga, change(ben, suspended=True)).sign_ins_ended == 1

    assert row_of(session, app.opened) is None
    with pytest.raises(NotSignedIn):
        sends(session, waiting, app.code(later))
    with pytest.raises(NotSignedIn):
        comes(session, asked_to_sign_in(at.slug, ben.email), now=later)
    assert count(session, "invitation WHERE ended_at IS NULL") == 0
    assert link.secret
    changes(session, olga, change(ben, suspended=False))
    again = comes(session, asked_to_sign_in(at.slug, ben.email), now=later)
    assert isinstance(again, Half)
    assert sends(session, again, app.code(later))


@pytest.mark.parametrize("more", [{"role": Role.FINANCE}, {"suspended": True}])
def test_nobody_changes_their_own_account_so_an_owner_remains(
    session: Session, olga: Account, more: Any
) -> None:
    with pytest.raises(NotAllowed) as raised:
        changes(session, olga, change(olga, **more))

    assert raised.value.details == {"why": "nobody changes their own account"}
    session.refresh(olga)
    assert (olga.role, olga.suspended_at) == ("owner", None)


def test_whoever_is_no_owner_any_more_changes_nobody(session: Session, at: Shop) -> None:
    one, two = make.person(session, at), make.person(session, at)
    changes(session, one, change(two, role=Role.FINANCE))

    with pytest.raises(NotAllowed):
        changes(session, two, change(one, role=Role.FINANCE))
    changes(session, one, change(two, role=Role.OWNER, suspended=True))
    with pytest.raises(NotAllowed):
        changes(session, two, change(one, role=Role.FINANCE))

    session.refresh(one)
    assert one.role == "owner"


def test_a_key_and_a_strangers_owner_change_nobody(
    session: Session, at: Shop, olga: Account
) -> None:
    stranger = make.person(session, make.shop(session))
    request = change(olga, role=Role.FINANCE)

    for by in ("abcdefgh", str(stranger.id)):
        with pytest.raises(NotAllowed):
            accounts.change_account(
                session,
                at.operator_id,
                request.model_copy(update={"id": make.an_id()}),
                by,
                now=NOON,
            )
    with pytest.raises(Unknown):
        changes(session, stranger, request)


def test_a_change_told_twice_is_made_once(session: Session, at: Shop, olga: Account) -> None:
    ben = make.person(session, at, Role.FINANCE)
    request = change(ben, role=Role.AUDITOR)
    first = changes(session, olga, request)
    opened = make.signed_in(session, ben)

    assert changes(session, olga, request) == first

    assert row_of(session, opened)
    assert kinds(session, ben.id).count("account_changed") == 1
    with pytest.raises(RequestReused):
        changes(session, olga, request.model_copy(update={"role": Role.OWNER}))


def test_a_change_changes_something() -> None:
    with pytest.raises(ValidationError, match="say what should change"):
        NewAccountChange(id=make.an_id(), account_id=make.an_id(), reason="none")


def test_people_are_listed_without_their_secrets(session: Session, at: Shop, olga: Account) -> None:
    ben = make.person(session, at, Role.CASHIER)
    app_of(session, ben)
    session.expire_all()
    make.person(session, make.shop(session))

    views = accounts.account_views(session, at.operator_id, after=None, most=9)

    assert [(view.id, view.role, view.has_second_factor) for view in views] == [
        (olga.id, Role.OWNER, False),
        (ben.id, Role.CASHIER, True),
    ]
    assert not {"password_hash", "totp_secret"} & set(type(views[0]).model_fields)
    assert accounts.account_views(session, at.operator_id, after=olga.id, most=1) == views[1:]


def test_i_am_told_who_i_am(session: Session, at: Shop, olga: Account) -> None:
    half = make.signed_in(session, olga, "password")
    before = accounts.me(session, hash_of(half.secret), "a word", now=NOON)
    app = app_of(session, olga)

    me = accounts.me(session, hash_of(app.opened.secret), "a word", now=NOON)

    assert before.second_factor_missing
    assert before.recovery_codes_left == 0
    assert (me.account_id, me.email, me.operator) == (olga.id, olga.email, at.slug)
    assert (me.second_factor_missing, me.recovery_codes_left) == (False, 10)
    assert me.stepped_up_until == NOON + timedelta(minutes=10)
    assert me.csrf == "a word"
    for nobody in (None, hash_of(half.secret), b"x"):
        with pytest.raises(NotSignedIn):
            accounts.me(session, nobody, "", now=NOON)


def test_an_account_of_another_operator_is_unknown(session: Session, olga: Account) -> None:
    stranger = make.person(session, make.shop(session))

    with pytest.raises(Unknown):
        changes(session, olga, change(stranger, suspended=True))

    session.refresh(stranger)
    assert stranger.suspended_at is None


def test_whoever_is_suspended_by_hand_is_out_at_once(session: Session) -> None:
    at = make.shop(session)
    root = make.person(session, at, role=Role.PLATFORM_ADMIN)
    opened = make.signed_in(session, root)

    accounts.suspend_by_hand(session, at.operator_id, root.email, "left", now=NOON)

    assert sign_ins.found(session, opened.secret, now=NOON) is None
    with pytest.raises(NotSignedIn):
        make.signed_in(session, root)
    with pytest.raises(Unknown):
        accounts.suspend_by_hand(session, at.operator_id, "no@example.com", "left", now=NOON)
