"""The first answer is the only one: a yes, a no, and never a maybe."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import answers, operators
from coupon_engine.answers import answered, body_of, error_from, every_kind
from coupon_engine.database import transaction
from coupon_engine.errors import (
    Busy,
    CouponError,
    CouponRefused,
    NotIssuing,
    RequestReused,
    UndoWindowClosed,
    Unknown,
)
from coupon_engine.redemption import redeem
from coupon_engine.validation.wording import refusal
from schemas.campaigns import MerchantView, NewMerchant
from schemas.refusals import Reason, Why
from tests import make
from tests.coupon_engine.record import count
from tests.make import NOON

REFUSAL = refusal(
    [Reason(code=Why.EXPIRED, rule="validity.until", needs={})],
    currency="EUR",
    zone="UTC",
    now=NOON,
)

SAID: list[CouponError] = [
    CouponRefused(REFUSAL),
    Unknown("store", UUID(int=3)),
    UndoWindowClosed(datetime(2026, 1, 1, tzinfo=UTC)),
    NotIssuing(campaign_state="paused"),
]


@pytest.mark.parametrize("error", SAID, ids=repr)
def test_a_no_that_was_kept_is_the_same_no(error: CouponError) -> None:
    again = error_from(body_of(error))

    assert type(again) is type(error)
    assert again.details == error.details
    assert str(again) == str(error)
    assert again.is_answered


KINDS: list[type[CouponError]] = [kind for kind in every_kind() if kind is not CouponRefused]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_no_can_be_kept(kind: type[CouponError]) -> None:
    bare = kind.__new__(kind)
    CouponError.__init__(bare, why="because")

    again = error_from(body_of(bare))

    assert (type(again), again.details) == (kind, {"why": "because"})


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in every_kind()]

    assert len(codes) == len(set(codes))


def test_one_id_is_one_request_across_all_verbs(session: Session) -> None:
    at = make.shop(session)
    request = make.request(at, make.coupon(session, at))
    redeem(session, at.operator_id, request, now=NOON)

    with pytest.raises(RequestReused):
        operators.create_merchant(
            session, at.operator_id, NewMerchant(id=request.request.id, name="Baker"), now=NOON
        )

    assert count(session, "merchant") == 1


def test_two_operators_may_use_the_same_id(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    asked = NewMerchant(id=make.an_id(), name="Baker")

    for shop in (at, stranger):
        operators.create_merchant(session, shop.operator_id, asked, now=NOON)

    assert count(session, "merchant WHERE name = 'Baker'") == 2


def verb_that(error: Exception) -> Any:
    """A verb that writes a merchant and then fails."""

    @answered(MerchantView)
    def verb(
        session: Session, operator_id: UUID, request: NewMerchant, *, now: datetime
    ) -> MerchantView:
        operators.create_merchant(
            session, operator_id, NewMerchant(id=make.an_id(), name="Half"), now=now
        )
        raise error

    return verb


def test_what_a_verb_did_is_undone_by_its_no_and_the_no_is_committed(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    request = NewMerchant(id=make.an_id(), name="Baker")

    for _ in range(2):
        with pytest.raises(NotIssuing), transaction(database) as session:
            verb_that(NotIssuing(campaign_state="paused"))(
                session, at.operator_id, request, now=NOON
            )

    with transaction(database) as session:
        assert count(session, "merchant WHERE name = 'Half'") == 0
        assert count(session, "answer WHERE is_refusal AND verb = 'verb'") == 1


@pytest.mark.parametrize("error", [Busy(), ZeroDivisionError()])
def test_busy_and_a_crash_are_no_answers(database: Engine, error: Exception) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        before = count(session, "answer")
    request = NewMerchant(id=make.an_id(), name="Baker")

    with pytest.raises(type(error)), transaction(database) as session:
        verb_that(error)(session, at.operator_id, request, now=NOON)

    with transaction(database) as session:
        assert count(session, "answer") == before
        assert count(session, "merchant WHERE name = 'Half'") == 0
        operators.create_merchant(session, at.operator_id, request, now=NOON)


def test_a_field_left_out_and_its_default_are_one_request() -> None:
    at_length = NewMerchant(id=UUID(int=1), name="Baker")

    assert answers.fingerprint("a", at_length) == answers.fingerprint(
        "a", NewMerchant.model_validate_json(at_length.model_dump_json())
    )
    assert answers.fingerprint("a", at_length) != answers.fingerprint("b", at_length)
