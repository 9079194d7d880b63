"""What a sign-in has asked: used once, by whoever has the secret, within its time."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlmodel import Session

from coupon_engine.errors import NotSignedIn
from coupon_engine.people import ceremonies
from coupon_engine.people.secret import hash_of
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import NOON, Shop

LASTS = timedelta(minutes=5)


def begun(session: Session, at: Shop, account_id: UUID | None = None) -> str:
    return ceremonies.begin(
        session,
        at.operator_id,
        "passkey",
        {"asked": 7},
        account_id=account_id,
        lasts=LASTS,
        now=NOON,
    )


def test_a_ceremony_is_finished_once(session: Session) -> None:
    at = make.shop(session)
    secret = begun(session, at)

    row = ceremonies.finish(session, at.operator_id, "passkey", secret, now=NOON)

    assert (row.data, row.account_id, row.operator_id) == ({"asked": 7}, None, at.operator_id)
    assert count(session, "ceremony") == 0
    with pytest.raises(NotSignedIn):
        ceremonies.finish(session, at.operator_id, "passkey", secret, now=NOON)


def test_the_secret_itself_is_nowhere(session: Session) -> None:
    secret = begun(session, make.shop(session))

    (row,) = rows(session, "SELECT hash, ceremony::text AS whole FROM ceremony")
    assert row.hash == hash_of(secret)
    assert secret not in row.whole
    assert len(secret) == 43  # 256 bits


@pytest.mark.parametrize("way", ["found", "finish"])
def test_another_kind_time_operator_or_secret_finds_nothing(session: Session, way: str) -> None:
    at, stranger = make.shop(session), make.shop(session)
    secret = begun(session, at)
    look = getattr(ceremonies, way)

    for operator_id, kind, shown, now in (
        (at.operator_id, "oidc", secret, NOON),
        (at.operator_id, "passkey", secret, NOON + LASTS),
        (stranger.operator_id, "passkey", secret, NOON),
        (at.operator_id, "passkey", secret + "x", NOON),
    ):
        with pytest.raises(NotSignedIn):
            look(session, operator_id, kind, shown, now=now)

    last_moment = NOON + LASTS - timedelta(microseconds=1)
    assert look(session, at.operator_id, "passkey", secret, now=last_moment).data == {"asked": 7}


def test_a_ceremony_whose_time_is_over_goes_with_the_next_one(session: Session) -> None:
    at = make.shop(session)
    begun(session, at)

    ceremonies.begin(
        session, at.operator_id, "oidc", {}, account_id=None, lasts=LASTS, now=NOON + LASTS
    )

    assert [row.kind for row in rows(session, "SELECT kind FROM ceremony")] == ["oidc"]


def test_what_one_account_has_begun_is_forgotten_and_nothing_else(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.an_id(), make.an_id()
    begun(session, at, ann)
    kept = begun(session, at, ben)

    ceremonies.forget(session, at.operator_id, ann)

    assert count(session, "ceremony") == 1
    assert ceremonies.found(session, at.operator_id, "passkey", kept, now=NOON).account_id == ben
