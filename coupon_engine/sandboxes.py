"""A place to try things out: one more operator, with data, signing keys and a clock of its own.

A live counter knows none of its coupons, as it knows no other operator's. Its clock goes ahead or
back by up to five years, as often as one likes, and everything written there bears the moment that
was set. Nothing is written anew when the clock goes back: what was done later is then still to
come, and a limit that ends later ends later. Keys, guesses and floods go by the real clock.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session, select

from coupon_engine import acting, events, keys
from coupon_engine.answers import answered
from coupon_engine.errors import ClockTooFar, NameTaken, NotASandbox, Unknown
from coupon_engine.operators import create_operator, in_turn
from coupon_engine.tables import Operator
from schemas.api_keys import ClockView, NewClockSetting, NewSandbox, SandboxView
from schemas.campaigns import NewOperator
from schemas.ids import new_id
from schemas.keys import KeyMove, NewKey, NewKeyMove

FURTHEST = timedelta(days=5 * 365)
_SUFFIX = "-sandbox"
_LONGEST_SLUG = 40


@answered(SandboxView)
def open_sandbox(
    session: Session,
    operator_id: UUID,
    request: NewSandbox,
    *,
    passphrase: bytes,
    now: datetime,
) -> SandboxView:
    """Make the operator's sandbox, with a signing key in use. There is one at most.

    Raises:
        NameTaken: It is there already, or another operator has its short name.
        Unknown: No such operator, or it is a sandbox itself.
    """
    operator = session.get(Operator, operator_id)
    if operator is None or operator.sandbox_of is not None:
        raise Unknown("live_operator", operator_id)
    in_turn(session, operator_id)  # of two who ask at once, the second must see the first
    if there := sandbox_there(session, operator_id):
        raise NameTaken(slug=there.slug)
    slug = operator.slug[: _LONGEST_SLUG - len(_SUFFIX)].rstrip("-") + _SUFFIX
    asked = NewOperator(id=new_id(now), slug=slug, name=f"{operator.name[:180]} (sandbox)")
    with inside(session, asked.id):
        create_operator(session, asked, sandbox_of=operator_id, now=now)
        _sign(session, asked.id, passphrase, now)
    _tell(session, "sandbox_opened", operator_id, request.id, now, {"id": asked.id, "slug": slug})
    return SandboxView(id=asked.id, slug=slug, name=asked.name, sandbox_of=operator_id)


@answered(ClockView)
def set_clock(
    session: Session, operator_id: UUID, request: NewClockSetting, *, now: datetime
) -> ClockView:
    """Let it be another moment in this sandbox from now on; `now` is the hour that it really is.

    Servers that know the sandbox's keys follow within seconds.

    Raises:
        NotASandbox: The clock of a live operator is nobody's to set.
        ClockTooFar: More than five years ahead or back.
    """
    operator = session.exec(
        select(Operator)
        .where(Operator.id == operator_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    if operator.sandbox_of is None:
        raise NotASandbox
    ahead = request.now - now if request.now else timedelta()
    if abs(ahead) > FURTHEST:
        raise ClockTooFar(most_days=FURTHEST.days)
    before, after = operator.clock_ahead_seconds, round(ahead.total_seconds())
    operator.clock_ahead_seconds = after
    session.add(operator)
    told = {
        "before": {"clock_ahead_seconds": before},
        "after": {"clock_ahead_seconds": after},
    }
    _tell(session, "clock_set", operator_id, request.id, now, told)
    return ClockView(now=now + timedelta(seconds=after), ahead_seconds=after)


def sandbox_of(session: Session, operator_id: UUID) -> SandboxView:
    """Return this operator's sandbox.

    Raises:
        Unknown: It has none.
    """
    there = sandbox_there(session, operator_id)
    if there is None:
        raise Unknown("sandbox", "")
    return there


def sandbox_there(session: Session, operator_id: UUID) -> SandboxView | None:
    """Return this operator's sandbox, if it has one."""
    row = session.exec(select(Operator).where(Operator.sandbox_of == operator_id)).one_or_none()
    if row is None:
        return None
    return SandboxView(id=row.id, slug=row.slug, name=row.name, sandbox_of=operator_id)


@contextmanager
def inside(session: Session, operator_id: UUID) -> Generator[None]:
    """Act for one's own sandbox meanwhile: the name on what is done stays the same."""
    before: acting.Acting = session.info.get(acting.OPTION, acting.NOBODY)
    session.flush()
    acting.enter(session, operator_id)
    try:
        yield
        session.flush()
    except BaseException:
        session.info[acting.OPTION] = before  # the database forgets it with what is undone
        raise
    if before.operator_id:
        acting.enter(session, before.operator_id)


def _sign(session: Session, operator_id: UUID, passphrase: bytes, now: datetime) -> None:
    key = keys.publish(session, operator_id, NewKey(id=new_id(now)), passphrase=passphrase, now=now)
    use = NewKeyMove(id=new_id(now), kid=key.kid, move=KeyMove.USE, reason="the sandbox's first")
    keys.decide_key(session, operator_id, use, now=now)


def _tell(
    session: Session,
    kind: str,
    operator_id: UUID,
    request_id: UUID,
    now: datetime,
    data: Mapping[str, object],
) -> None:
    events.record(
        session,
        events.happened(
            kind, request_id, operator_id=operator_id, campaign_id=None, at=now, data=data
        ),
    )
