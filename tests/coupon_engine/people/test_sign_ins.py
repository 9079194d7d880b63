"""Who is signed in, for how long, and what ends it."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.errors import NotSignedIn, Unknown
from coupon_engine.people import sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened, is_whole
from coupon_engine.tables import SignIn
from schemas.access import Role
from schemas.people import NewSignOut
from tests import make
from tests.coupon_engine.people.apps import row_of
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON

A_MOMENT = timedelta(microseconds=1)


def ids(session: Session, opened: Opened, now: datetime = NOON) -> list[UUID]:
    listed = sign_ins.sign_in_views(session, hash_of(opened.secret), now=now)
    return [view.id for view in listed]


def test_a_sign_in_is_found_by_its_secret_and_the_secret_is_nowhere(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at, Role.CASHIER)

    opened = make.signed_in(session, ann)

    row = row_of(session, opened)
    assert row is not None
    assert (row.account_id, row.role, row.name) == (ann.id, "cashier", "Ann")
    assert row.store_ids == [at.store.id]
    assert len(opened.secret) == 43  # 256 bits
    (kept,) = rows(session, "SELECT sign_in::text AS whole FROM sign_in")
    assert opened.secret not in kept.whole
    assert hash_of(opened.secret).hex() in kept.whole
    assert row_of(session, Opened(opened.secret + "x", opened.view)) is None
    (told,) = rows(session, "SELECT * FROM event WHERE kind = 'signed_in'")
    assert told.actor["name"] == "Ann"
    assert told.actor["address"] == "192.0.2.0/24"
    assert told.subject_id == ann.id
    assert opened.secret not in str(told)


def test_half_an_hour_without_a_request_ends_it(session: Session) -> None:
    opened = make.signed_in(session, make.person(session, make.shop(session)))

    assert row_of(session, opened, now=NOON + timedelta(minutes=30) - A_MOMENT)
    assert row_of(session, opened, now=NOON + timedelta(minutes=30)) is None


def test_twelve_hours_end_it_however_busy_it_is(session: Session) -> None:
    at = make.shop(session)
    opened = make.signed_in(session, make.person(session, at))
    own = hash_of(opened.secret)
    now = NOON
    while now < NOON + timedelta(hours=12) - timedelta(minutes=29):
        now += timedelta(minutes=29)
        assert sign_ins.seen(session, at.operator_id, own, now=now)
    session.expire_all()

    assert row_of(session, opened, now=NOON + timedelta(hours=12) - A_MOMENT)
    assert row_of(session, opened, now=NOON + timedelta(hours=12)) is None


def test_being_seen_is_written_once_a_minute(session: Session) -> None:
    at = make.shop(session)
    opened = make.signed_in(session, make.person(session, at))
    own = hash_of(opened.secret)

    def seen(seconds: float) -> bool:
        return sign_ins.seen(session, at.operator_id, own, now=NOON + timedelta(seconds=seconds))

    assert [seen(at) for at in (0, 59.9, 60, 61, 119, 120)] == [False, False, True] + [
        False
    ] * 2 + [True]
    session.expire_all()
    row = row_of(session, opened)
    assert row is not None
    assert row.seen_at == NOON + timedelta(minutes=2)
    assert sign_ins.is_seen_lately(row, NOON + timedelta(seconds=179))
    assert not sign_ins.is_seen_lately(row, NOON + timedelta(seconds=180))


def test_being_seen_brings_nothing_back_that_has_ended(session: Session) -> None:
    at = make.shop(session)
    opened = make.signed_in(session, make.person(session, at))
    own = hash_of(opened.secret)
    sign_ins.sign_out(session, own, NewSignOut(), now=NOON)

    assert not sign_ins.seen(session, at.operator_id, own, now=NOON + timedelta(minutes=2))


def test_confirming_changes_the_secret_and_nothing_else_of_the_sign_in(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    first = make.signed_in(session, ann, "passkey")
    later = NOON + timedelta(minutes=5)

    second = sign_ins.step_up(session, hash_of(first.secret), method="totp", now=later)

    assert second.secret != first.secret
    assert row_of(session, first, now=later) is None
    row = row_of(session, second, now=later)
    assert row is not None
    assert (row.id, row.created_at, row.expires_at) == (
        first.view.id,
        first.view.created_at,
        first.view.expires_at,
    )
    assert row.methods == ["passkey", "totp"]
    assert second.view.is_this
    assert ids(session, second, later) == [first.view.id]
    with pytest.raises(NotSignedIn):
        sign_ins.step_up(session, hash_of(first.secret), method="totp", now=later)
    assert kinds(session, ann.id) == ["signed_in", "stepped_up"]


def test_a_confirmation_is_good_for_ten_minutes(session: Session) -> None:
    person = make.person(session, make.shop(session))
    opened = make.signed_in(session, person, now=NOON - timedelta(minutes=10))
    row = row_of(session, opened)
    assert row is not None
    assert not sign_ins.is_stepped_up(row, NOON)

    again = sign_ins.step_up(session, hash_of(opened.secret), method="totp", now=NOON)

    row = row_of(session, again)
    assert row is not None
    assert sign_ins.is_stepped_up(row, NOON + timedelta(minutes=10) - A_MOMENT)
    assert not sign_ins.is_stepped_up(row, NOON + timedelta(minutes=10))
    assert again.view.stepped_up_until == NOON + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("methods", "is_sure"),
    [
        (("password", "totp"), True),
        (("password", "recovery"), True),
        (("passkey",), True),
        (("oidc",), False),
        (("password",), False),
    ],
)
def test_whoever_has_just_proved_who_they_are_need_not_at_once_again(
    session: Session, methods: tuple[str, ...], is_sure: bool
) -> None:
    opened = make.signed_in(session, make.person(session, make.shop(session)), *methods)

    row = row_of(session, opened)

    assert row is not None
    assert sign_ins.is_stepped_up(row, NOON) == is_sure
    assert not sign_ins.is_stepped_up(row, NOON + timedelta(minutes=10))


def test_signing_out_ends_this_one_at_once_and_no_other(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    here, there = make.signed_in(session, ann), make.signed_in(session, ann)

    view = sign_ins.sign_out(session, hash_of(here.secret), NewSignOut(), now=NOON)

    assert (view.ended, view.is_this_ended) == (1, True)
    assert row_of(session, here) is None
    assert row_of(session, there)
    with pytest.raises(NotSignedIn):
        sign_ins.sign_out(session, hash_of(here.secret), NewSignOut(), now=NOON)


def test_another_of_ones_own_can_be_ended_by_its_name(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    here, there = make.signed_in(session, ann), make.signed_in(session, ann)
    asked = NewSignOut(sign_in_id=there.view.id)

    view = sign_ins.sign_out(session, hash_of(here.secret), asked, now=NOON)

    assert (view.ended, view.is_this_ended) == (1, False)
    assert row_of(session, there) is None
    assert ids(session, here) == [here.view.id]


def test_all_others_end_and_this_one_stays(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    here, there, elsewhere = (make.signed_in(session, ann) for _ in range(3))
    bens = make.signed_in(session, ben)
    assert ids(session, here) == [elsewhere.view.id, there.view.id, here.view.id]

    view = sign_ins.sign_out(session, hash_of(here.secret), NewSignOut(all_others=True), now=NOON)

    assert (view.ended, view.is_this_ended) == (2, False)
    assert ids(session, here) == [here.view.id]
    assert row_of(session, bens)


def test_nobody_ends_or_sees_anybody_elses(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    mine, his = make.signed_in(session, ann), make.signed_in(session, ben)
    asked = NewSignOut(sign_in_id=his.view.id)

    with pytest.raises(Unknown):
        sign_ins.sign_out(session, hash_of(mine.secret), asked, now=NOON)

    assert row_of(session, his)
    assert ids(session, mine) == [mine.view.id]


def test_a_suspended_account_gets_no_sign_in(session: Session) -> None:
    ann = make.person(session, make.shop(session), suspended_at=NOON)

    with pytest.raises(NotSignedIn):
        make.signed_in(session, ann)

    assert count(session, "sign_in") == 0


def test_a_row_is_found_by_what_was_shown_before_its_operator_is_known(session: Session) -> None:
    """The rights are the application's: no operator, one presented hash, one row."""
    ann = make.person(session, make.shop(session))
    mine, other = make.signed_in(session, ann), make.signed_in(session, ann)
    session.flush()
    session.expunge_all()
    session.connection().exec_driver_sql("SET LOCAL ROLE counterfoil_app")
    session.info[acting.OPTION] = acting.NOBODY

    acting.show(session, hash_of(mine.secret).hex())

    assert row_of(session, mine)
    assert row_of(session, other) is None
    assert count(session, "sign_in") == 1
    session.connection().exec_driver_sql("RESET ROLE")


@given(st.sets(st.sampled_from(["password", "totp", "recovery", "passkey", "oidc"])))
def test_a_password_alone_is_half_a_sign_in(methods: set[str]) -> None:
    assert is_whole(methods) == bool(methods - {"password"})


@given(st.integers(0, 13 * 60), st.integers(0, 13 * 60), st.booleans())
def test_a_sign_in_is_open_only_within_both_of_its_bounds(
    seen_minutes: int, more_minutes: int, has_ended: bool
) -> None:
    seen = NOON + timedelta(minutes=seen_minutes)
    now = seen + timedelta(minutes=more_minutes)
    row = SignIn(
        operator_id=make.an_id(),
        hash=b"",
        id=make.an_id(),
        account_id=make.an_id(),
        name="Ann",
        role="owner",
        created_at=NOON,
        seen_at=seen,
        expires_at=NOON + sign_ins.LASTS,
        ended_at=seen if has_ended else None,
    )

    is_open = sign_ins._is_open(row, now)

    assert is_open == (
        not has_ended and more_minutes < 30 and seen_minutes + more_minutes < 12 * 60
    )
