"""Guesses at short codes: what nobody has is counted, what somebody has is free.

A short code has 55 bits. With a million live ones a guess is right once in 36 thousand million, so
2,000 an hour are right once in 2,000 years. A mistyped code is no guess: its check symbol tells.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import answers, tries
from coupon_engine.errors import (
    CouponError,
    CouponNotUsable,
    CouponRefused,
    CouponTaken,
    NotIssuing,
    TooManyTries,
    Unknown,
)
from coupon_engine.tries import Budget
from schemas.refusals import Why

HOUR = timedelta(hours=1)
OF_ONE_ASKER = 30
OF_ALL_TOGETHER = 2_000


def check(
    session: Session, operator_id: UUID, asker: str, request_id: UUID | None, *, now: datetime
) -> None:
    """Let nobody ask about a short code who has been wrong too often; nothing is counted yet.

    `asker` is the id of a terminal, an API key or a person. What was answered under `request_id`
    is answered again whatever happened since.

    Raises:
        TooManyTries: This asker, or all of the operator's together, were wrong too often.
    """
    budgets = _budgets(asker)
    spent = session.connection().execute(
        _SPENT,
        {
            "operator_id": operator_id,
            "keys": [each.key for each in budgets],
            "most": [each.most for each in budgets],
            "now": now,
        },
    )
    ends_at: datetime | None = spent.scalar_one()
    if ends_at is None or (request_id and answers.given(session, operator_id, [request_id])):
        return
    raise TooManyTries(ends_at - now)


def count(
    session: Session, operator_id: UUID, asker: str, *, wrong: int = 1, now: datetime
) -> None:
    """Count what this asker had wrong. Whoever is told `TooManyTries` must not be told the rest.

    Of many who were wrong at once, so many are told as there is room for; the others hear the
    same as everybody after them.

    Raises:
        TooManyTries: There is no room for this.
    """
    for _ in range(wrong):
        tries.take(session, operator_id, _budgets(asker), now=now)


def is_wrong(no: CouponError) -> bool:
    """Was it refused because nobody has this short code?"""
    match no:
        case CouponRefused():
            return no.refusal.code is Why.SHORT_CODE_UNKNOWN
        case Unknown():
            return no.details["kind"] == "short_code"
        case _:
            return False


@contextmanager
def alike(code: str | None) -> Generator[None]:
    """Tell a customer the same of every short code that gives them nothing.

    Of another operator, taken, used, withdrawn, over, not given out now: each of these would say
    that there is such a code. Without a code nothing is hidden.
    """
    if code is None:
        yield
        return
    try:
        yield
    except (CouponTaken, CouponNotUsable, NotIssuing, Unknown) as no:
        unknown = Unknown("short_code", "")
        unknown.is_answered = no.is_answered
        raise unknown from None


def _budgets(asker: str) -> list[Budget]:
    # In the order of their names: who has had enough takes nothing from the others.
    return [
        Budget(f"guesses/1/{asker}", OF_ONE_ASKER, HOUR),
        Budget("guesses/2", OF_ALL_TOGETHER, HOUR),
    ]


_SPENT = text("""
    SELECT max(tries.ends_at)
    FROM unnest(CAST(:keys AS text[]), CAST(:most AS int[])) AS budget (key, most)
    JOIN tries ON tries.operator_id = :operator_id AND tries.key = budget.key COLLATE "C"
    WHERE tries.count >= budget.most AND tries.ends_at > :now
""")
