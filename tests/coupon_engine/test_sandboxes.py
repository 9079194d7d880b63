"""A place apart to try things out, with a clock of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import coupons, keys, outbox, sandboxes
from coupon_engine.acting import by_system
from coupon_engine.database import transaction
from coupon_engine.errors import ClockTooFar, NameTaken, NotASandbox, Unknown
from coupon_engine.outbox import Message
from schemas.api_keys import NewClockSetting, NewSandbox, SandboxView
from schemas.coupons import CouponState
from schemas.refusals import Why
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import ISSUER, NOON, PASSPHRASE, Shop
from tests.race.together import Work, at_once, told

LATER = NOON + timedelta(days=400)


def opened(session: Session, operator_id: UUID) -> SandboxView:
    return sandboxes.open_sandbox(
        session, operator_id, NewSandbox(id=make.an_id()), passphrase=PASSPHRASE, now=NOON
    )


def setting(now: datetime | None = LATER) -> NewClockSetting:
    return NewClockSetting(id=make.an_id(), now=now)


def opening(at: Shop) -> Work:
    return lambda session: opened(session, at.operator_id)


def test_a_sandbox_is_another_operator_with_a_key_in_use(database: Engine, limited: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        make.signing_key(session, at)

    with transaction(limited, by_system(at.operator_id)) as session:
        sandbox = opened(session, at.operator_id)
        assert sandboxes.sandbox_of(session, at.operator_id) == sandbox
        live = keys.ring(session, at.operator_id, issuer_url=ISSUER, passphrase=PASSPHRASE)
        assert keys.ring(session, sandbox.id, issuer_url=ISSUER, passphrase=PASSPHRASE) == {}

    assert sandbox.id != at.operator_id
    assert (sandbox.slug, sandbox.sandbox_of) == (f"{at.slug}-sandbox", at.operator_id)
    with transaction(limited, by_system(sandbox.id)) as session:
        own = keys.ring(session, sandbox.id, issuer_url=ISSUER, passphrase=PASSPHRASE)
    assert own["A"].issuer == f"{ISSUER}/{at.slug}-sandbox"
    assert own["A"].private is not None
    assert {key.kid for key in own.values()}.isdisjoint(key.kid for key in live.values())


def test_an_operator_has_one_sandbox_and_a_sandbox_has_none(session: Session) -> None:
    at = make.shop(session)
    sandbox = opened(session, at.operator_id)

    with pytest.raises(NameTaken):
        opened(session, at.operator_id)
    with pytest.raises(Unknown):
        opened(session, sandbox.id)
    with pytest.raises(Unknown):
        sandboxes.sandbox_of(session, sandbox.id)

    assert count(session, "operator WHERE sandbox_of IS NOT NULL") == 1


def test_many_who_open_it_at_once_open_one(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)

    answers = at_once(database, [opening(at) for _ in range(6)])

    assert told(answers) == {"won": 1, "name_taken": 5}


def test_a_long_name_still_makes_a_short_name(session: Session) -> None:
    at = make.shop(session)
    session.connection().exec_driver_sql(
        "UPDATE operator SET slug = %s WHERE id = %s", ("a" * 31 + "-bcdefghi", at.operator_id)
    )
    session.expire_all()

    assert opened(session, at.operator_id).slug == "a" * 31 + "-sandbox"


def test_a_coupon_of_the_sandbox_is_a_strangers_coupon_at_a_live_counter(
    session: Session,
) -> None:
    at, other = make.shop(session), make.shop(session)
    live, elsewhere = make.signing_key(session, at), make.signing_key(session, other)
    sandbox = opened(session, at.operator_id)
    ring = keys.ring(session, sandbox.id, issuer_url=ISSUER, passphrase=PASSPHRASE)
    inside = Shop(sandbox.id, sandbox.slug, at.store, at.terminal)
    tried = make.code(session, inside, make.coupon(session, inside), ring)
    strangers = make.code(session, other, make.coupon(session, other), elsewhere)

    assert make.read(tried, ring).coupon_id is not None
    assert make.read(tried, live).refused is Why.BAD_SIGNATURE
    assert make.read(tried, live) == make.read(strangers, live)


def test_a_sandboxs_clock_goes_ahead_back_and_home(session: Session) -> None:
    at = make.shop(session)
    sandbox = opened(session, at.operator_id)
    an_hour = timedelta(hours=1)

    def set_to(moment: datetime | None) -> int:
        view = sandboxes.set_clock(session, sandbox.id, setting(moment), now=NOON + an_hour)
        assert view.now == (moment or NOON + an_hour)
        return view.ahead_seconds

    assert set_to(LATER) == (LATER - NOON - an_hour).total_seconds()
    assert set_to(NOON - timedelta(days=3)) == -(timedelta(days=3) + an_hour).total_seconds()
    assert set_to(None) == 0
    told = rows(session, "SELECT data FROM event WHERE kind = 'clock_set' ORDER BY id")
    assert [row.data["before"]["clock_ahead_seconds"] for row in told] == [0, 34_556_400, -262_800]
    assert told[-1].data["after"] == {"clock_ahead_seconds": 0}


def test_a_live_clock_cannot_be_set(session: Session) -> None:
    at = make.shop(session)
    opened(session, at.operator_id)

    with pytest.raises(NotASandbox):
        sandboxes.set_clock(session, at.operator_id, setting(), now=NOON)

    assert count(session, "operator WHERE clock_ahead_seconds <> 0") == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_goes_five_years_and_no_further(session: Session, sign: int) -> None:
    sandbox = opened(session, make.shop(session).operator_id)
    furthest = NOON + sign * timedelta(days=5 * 365)

    sandboxes.set_clock(session, sandbox.id, setting(furthest), now=NOON)

    beyond = furthest + sign * timedelta(seconds=1)
    with pytest.raises(ClockTooFar):
        sandboxes.set_clock(session, sandbox.id, setting(beyond), now=NOON)


def test_what_was_done_in_a_later_year_is_still_to_come_when_the_clock_goes_back(
    session: Session,
) -> None:
    at = make.shop(session)
    sandbox = opened(session, at.operator_id)
    inside = Shop(sandbox.id, sandbox.slug, at.store, at.terminal)

    coupon = make.coupon(session, inside, now=LATER)

    def state(now: datetime) -> CouponState:
        return coupons.coupon_view(
            session, sandbox.id, coupon.id, code_secret=make.SECRET, now=now
        ).state

    assert (state(LATER), state(NOON)) == (CouponState.ACTIVE, CouponState.PENDING)


def test_what_a_sandbox_tells_says_so_and_waits_for_no_clock(
    database: Engine, limited: Engine
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        sandbox = opened(session, at.operator_id)
        make.campaign(session, at)
        make.campaign(session, Shop(sandbox.id, sandbox.slug, at.store, at.terminal), now=LATER)
    told: list[Message] = []

    def unreachable(messages: Sequence[Message]) -> list[UUID]:
        told.extend(messages)
        return []

    outbox.dispatch(limited, unreachable, now=NOON)

    created = {each.operator_id: each.sandbox for each in told if each.kind == "campaign_created"}
    assert created == {at.operator_id: False, sandbox.id: True}
    first = len(told)
    assert outbox.dispatch(limited, unreachable, now=NOON + timedelta(seconds=59)) == 0
    assert len(told) == first  # a message that did not arrive waits its turn, there as well
    outbox.dispatch(limited, unreachable, now=NOON + timedelta(seconds=60))
    assert len(told) == 2 * first
