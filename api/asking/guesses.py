"""Short codes at the door: who is wrong too often is told nothing more for a while.

Each look and each count is a transaction of its own, by the real clock. A code with a signature
costs nothing here: nobody guesses one.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from fastapi.concurrency import run_in_threadpool

from api.asking.callers import Caller
from api.door import Door
from coupon_engine import guessing
from coupon_engine.database import looking, transaction
from coupon_engine.errors import CouponRefused, Unknown
from coupon_engine.validation.short_code import is_short_code
from coupon_engine.validation.showing import Shown
from schemas.redemptions import Refused, ValidationView
from schemas.refusals import Why

Answer = TypeVar("Answer")


async def answered(
    door: Door, caller: Caller, shown: Shown, id: UUID, answer: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Return the answer to a request that shows this code.

    Raises:
        TooManyTries: This asker, or the operator's together, were wrong too often.
    """
    if shown.code_hash is None:
        return await answer()
    await run_in_threadpool(_check, door, caller, id)
    try:
        return await answer()
    except CouponRefused as refused:
        await run_in_threadpool(_count, door, caller, int(guessing.is_wrong(refused)))
        raise


@contextmanager
def watched(door: Door, caller: Caller, shown: Shown, id: UUID) -> Generator[None]:
    """Do what `answered` does, for whoever has a thread of their own."""
    with _watched(door, caller, id, is_guess=shown.code_hash is not None):
        yield


@contextmanager
def watched_text(door: Door, caller: Caller, text: str | None, id: UUID | None) -> Generator[None]:
    """Do the same for a short code that was not read yet; looking has no id."""
    with _watched(door, caller, id, is_guess=text is not None and is_short_code(text)):
        yield


def looked_at(
    door: Door, caller: Caller, codes: Sequence[Shown], look: Callable[[], ValidationView]
) -> ValidationView:
    """Do the same for many codes, of which each that nobody has is one guess."""
    if all(code.code_hash is None for code in codes):
        return look()
    _check(door, caller, None)
    view = look()
    _count(door, caller, sum(_is_wrong(verdict) for verdict in view.verdicts))
    return view


@contextmanager
def _watched(door: Door, caller: Caller, id: UUID | None, *, is_guess: bool) -> Generator[None]:
    if not is_guess:
        yield
        return
    _check(door, caller, id)
    try:
        yield
    except (CouponRefused, Unknown) as no:
        _count(door, caller, int(guessing.is_wrong(no)))
        raise


def _is_wrong(verdict: object) -> bool:
    return isinstance(verdict, Refused) and verdict.refusal.code is Why.SHORT_CODE_UNKNOWN


def _check(door: Door, caller: Caller, id: UUID | None) -> None:
    with looking(door.asking.engine, caller.acting) as session:
        guessing.check(session, caller.operator_id, _asker(caller), id, now=door.clock())


def _count(door: Door, caller: Caller, wrong: int) -> None:
    if wrong:
        with transaction(door.asking.engine, caller.acting) as session:
            guessing.count(
                session, caller.operator_id, _asker(caller), wrong=wrong, now=door.clock()
            )


def _asker(caller: Caller) -> str:
    """Return who is counted: a terminal, whoever stands at it."""
    return str(caller.terminal_id or caller.id)
