"""Everybody at once: threads that start together and meet again at the worst moment."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine.database import repeating
from coupon_engine.errors import CouponError, CouponRefused

Work = Callable[[Session], Any]

MANY = 6
A_WHILE = 0.25


def at_once(
    engine: Engine,
    works: Sequence[Work],
    run: Callable[[Engine, Work], Any] = repeating,
) -> list[Any]:
    """Do every work in a thread and a transaction of its own; return answers and errors."""
    start = threading.Barrier(len(works))
    answers: list[Any] = [None] * len(works)

    def one(number: int) -> None:
        start.wait()
        try:
            answers[number] = run(engine, works[number])
        except Exception as error:  # the test looks at what went wrong
            answers[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def told(answers: Iterable[Any]) -> Counter[str]:
    """Count the answers: "won", or the code of the no."""
    return Counter(_word(answer) for answer in answers)


def _word(answer: Any) -> str:
    if isinstance(answer, CouponRefused):
        return str(answer.refusal.code)
    if isinstance(answer, CouponError):
        return answer.code
    return type(answer).__name__ if isinstance(answer, Exception) else "won"


def meet_after(patch: pytest.MonkeyPatch, place: Any, name: str, *, many: int = MANY) -> None:
    """Let everybody who has looked wait, before they go on, until all the others have looked.

    That is the moment at which a race is lost, made certain. Where a lock lets only one look at a
    time the others cannot come, and after a while the one goes on alone.
    """
    meeting = threading.Barrier(many)
    looks = getattr(place, name)

    def look_and_wait(*args: Any, **more: Any) -> Any:
        seen = looks(*args, **more)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(A_WHILE)
        return seen

    patch.setattr(place, name, look_and_wait)


def drop(engine: Engine, table: str, *constraints: str) -> None:
    """Take guards out of this test's own database."""
    with engine.begin() as connection:
        for name in constraints:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"))
