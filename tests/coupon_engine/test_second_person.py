"""Who gives much away is not who takes it back: a void over the limit needs a second person."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from coupon_engine import acting
from coupon_engine.errors import NotAllowed, SecondPersonNeeded, Unknown
from coupon_engine.redemption import redeem
from coupon_engine.reversal import VOID_ALONE_MINOR, reverse
from coupon_engine.tables import Event, Redemption
from schemas.access import Actor, ActorKind, Role
from schemas.offers import AmountOff, PercentOff
from schemas.redemptions import NewReversal, ReversalView
from tests import make
from tests.coupon_engine.record import totals
from tests.make import NOON, Shop


def at_terminal(cashier: str | None) -> Actor:
    return Actor(kind=ActorKind.TERMINAL, id="t", name="Till", role=Role.TERMINAL, cashier=cashier)


def person(id: str, name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=id, name=name, role=Role.SHOP_MANAGER)


PROGRAM = Actor(kind=ActorKind.API_KEY, id="k", name="key", role=Role.INTEGRATOR)
ANN, BOB, NOBODY = at_terminal("Ann"), at_terminal("Bob"), at_terminal(None)
MANAGER, MANAGER_ANN = person("m", "Mia"), person("a", "ANN")


def redeemed(session: Session, at: Shop, minor: int, by: Actor, cashier: str | None = None) -> UUID:
    """Give a discount of so much, as this actor, and return the redemption's id."""
    offer = make.offer(session, at, benefit=AmountOff(amount_minor=minor))
    coupon = make.coupon(session, at, make.batch(session, at, offer))
    acting.enter(session, at.operator_id, by)
    request = make.request(
        at, coupon, basket=make.basket(minor, 100), cashier=by.cashier or cashier
    )
    redeem(session, at.operator_id, replace(request, actor=by), now=NOON)
    return request.request.id


def takes_back(
    session: Session, at: Shop, id: UUID, by: Actor, cashier: str | None = None, **more: Any
) -> ReversalView:
    acting.enter(session, at.operator_id, by)
    request = NewReversal(
        id=make.an_id(), redemption_id=id, reason="a mistake", cashier=cashier, **more
    )
    return reverse(session, at.operator_id, request, now=NOON)


@pytest.mark.parametrize(
    ("giver", "taker"),
    [
        (ANN, ANN),
        (ANN, at_terminal("ann")),  # the same name, typed otherwise
        (ANN, MANAGER_ANN),  # one person with two ways in
        (ANN, NOBODY),
        (NOBODY, NOBODY),
        (NOBODY, ANN),  # Ann may have been that nobody
        (MANAGER, MANAGER),
    ],
)
def test_over_the_limit_one_person_is_not_enough(
    session: Session, giver: Actor, taker: Actor
) -> None:
    at = make.shop(session)
    id = redeemed(session, at, VOID_ALONE_MINOR + 1, giver)
    before = totals(session)

    with pytest.raises(SecondPersonNeeded) as refused:
        takes_back(session, at, id, taker)

    assert refused.value.details == {"alone_minor": VOID_ALONE_MINOR}
    assert refused.value.is_answered
    assert totals(session) == before
    assert session.exec(select(Event).where(Event.kind == "redemption_reversed")).all() == []


@pytest.mark.parametrize(
    ("giver", "taker"),
    [
        (ANN, BOB),
        (ANN, MANAGER),
        (MANAGER, ANN),
        (NOBODY, MANAGER),
        (MANAGER, person("n", "Noa")),
        (PROGRAM, PROGRAM),  # a shop on the Internet, where nobody sits
        (ANN, PROGRAM),
    ],
)
def test_another_person_takes_it_back(session: Session, giver: Actor, taker: Actor) -> None:
    at = make.shop(session)
    id = redeemed(session, at, VOID_ALONE_MINOR + 1, giver)

    assert takes_back(session, at, id, taker).is_whole


def test_up_to_the_limit_everybody_mends_their_own_mistakes(session: Session) -> None:
    at = make.shop(session)
    id = redeemed(session, at, VOID_ALONE_MINOR, ANN)

    assert takes_back(session, at, id, ANN).is_whole


def test_the_people_that_a_program_names_count(session: Session) -> None:
    at = make.shop(session)
    id = redeemed(session, at, VOID_ALONE_MINOR + 1, PROGRAM, "Ann")

    with pytest.raises(SecondPersonNeeded):
        takes_back(session, at, id, PROGRAM, "Ann")

    assert takes_back(session, at, id, PROGRAM, "Bob").cashier == "Bob"


def test_line_by_line_is_no_way_round(session: Session) -> None:
    """What was taken back before counts towards the limit."""
    at = make.shop(session)
    coupon = make.coupon(
        session,
        at,
        make.batch(session, at, make.offer(session, at, benefit=PercentOff(percent_off_bp=10_000))),
    )
    acting.enter(session, at.operator_id, ANN)
    request = make.request(at, coupon, basket=make.basket(3_000, 3_000), cashier="Ann")
    redeem(session, at.operator_id, replace(request, actor=ANN), now=NOON)
    id = request.request.id
    assert takes_back(session, at, id, ANN, lines=(0,)).discount_minor == 3_000

    with pytest.raises(SecondPersonNeeded):
        takes_back(session, at, id, ANN, lines=(1,))

    assert takes_back(session, at, id, BOB, lines=(1,)).is_whole


def test_a_terminals_reversal_has_the_name_of_its_shift(session: Session) -> None:
    """A body cannot put another name there."""
    at = make.shop(session)
    id = redeemed(session, at, 200, ANN)

    with pytest.raises(NotAllowed):
        takes_back(session, at, id, BOB, "Ann")
    view = takes_back(session, at, id, BOB)

    assert view.cashier == "Bob"
    (event,) = session.exec(select(Event).where(Event.kind == "redemption_reversed")).all()
    assert (event.data["cashier"], event.actor["cashier"]) == ("Bob", "Bob")


def test_nobody_takes_back_what_another_store_gave(session: Session) -> None:
    at = make.shop(session)
    id = redeemed(session, at, 200, ANN)
    request = NewReversal(id=make.an_id(), redemption_id=id, reason="x")
    acting.enter(session, at.operator_id, BOB)

    with pytest.raises(Unknown):
        reverse(session, at.operator_id, request, store_ids=frozenset({make.an_id()}), now=NOON)

    own = frozenset({at.store.id})
    request = request.model_copy(update={"id": make.an_id()})
    assert reverse(session, at.operator_id, request, store_ids=own, now=NOON).cashier == "Bob"


def test_row_38_no_row_of_the_record_is_without_an_actor(session: Session) -> None:
    at = make.shop(session)
    takes_back(session, at, redeemed(session, at, 200, ANN), BOB)

    events = session.exec(select(Event)).all()

    assert len(events) >= 6
    assert [each.kind for each in events if not each.actor.get("kind")] == []
    by_people = [each for each in events if each.actor["kind"] == "terminal"]
    assert sorted((each.kind, each.actor["cashier"]) for each in by_people) == [
        ("coupon_redeemed", "Ann"),
        ("redemption_reversed", "Bob"),
    ]
    assert [row.cashier for row in session.exec(select(Redemption))] == ["Ann"]


def test_row_38_the_database_takes_no_event_without_an_actor(database: Engine) -> None:
    with pytest.raises(IntegrityError, match="actor"), database.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO event (operator_id, id, kind, subject_id, at, recorded_at, data)
                VALUES (gen_random_uuid(), gen_random_uuid(), 'x', gen_random_uuid(), now(),
                        now(), '{}')
            """)
        )
