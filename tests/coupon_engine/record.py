"""What stands in the record, read past everything that a session remembers."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from coupon_engine.errors import CouponRefused
from coupon_engine.redemption import redeem
from coupon_engine.reversal import reverse
from schemas.coupons import CouponView
from schemas.redemptions import NewReversal, RedemptionView, ReversalView
from schemas.refusals import Refusal
from tests import make
from tests.make import NOON, Shop


@dataclass
class Totals:
    """Everything that a redemption moves. What is nought is left out, as if it had never been."""

    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    coupons: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    receipts: dict[str, tuple[int, Any]] = field(default_factory=dict)
    standing: int = 0


def totals(session: Session) -> Totals:
    return Totals(
        limits={
            row.key: (row.used_count, row.spent_minor)
            for row in rows(session, "SELECT * FROM limit_row WHERE used_count + spent_minor > 0")
            if "/issue" not in row.key
        },
        coupons={
            row.id: (row.uses_count, row.spent_minor)
            for row in rows(session, "SELECT * FROM coupon WHERE uses_count + spent_minor > 0")
        },
        receipts={
            row.order_ref: (row.discount_minor, row.applied)
            for row in rows(session, "SELECT * FROM receipt WHERE discount_minor > 0")
        },
        standing=count(session, "redemption WHERE reversed_at IS NULL"),
    )


def rows(session: Session, sql: str, **named: Any) -> list[Any]:
    session.flush()
    return list(session.connection().execute(text(sql), named).all())


def count(session: Session, what: str) -> int:
    return int(rows(session, f"SELECT count(*) AS found FROM {what}")[0].found)  # noqa: S608


def used(session: Session, key_start: str) -> list[tuple[int, int]]:
    """Return count and money of the limit rows whose keys begin so, in the order of their keys."""
    found = rows(
        session,
        "SELECT * FROM limit_row WHERE key LIKE :start AND key LIKE '%/redeem%' ORDER BY key",
        start=f"{key_start}%",
    )
    return [(row.used_count, row.spent_minor) for row in found]


def kinds(session: Session, subject_id: UUID) -> list[str]:
    """Return what happened to a thing, oldest first."""
    found = rows(
        session, "SELECT kind FROM event WHERE subject_id = :id ORDER BY at, id", id=subject_id
    )
    return [row.kind for row in found]


def redeemed(
    session: Session, at: Shop, coupon: CouponView, *, now: datetime = NOON, **more: Any
) -> RedemptionView:
    return redeem(session, at.operator_id, make.request(at, coupon, **more), now=now)


def refused(
    session: Session, at: Shop, coupon: CouponView, *, now: datetime = NOON, **more: Any
) -> Refusal:
    """Return the no. It must have left everything as it was."""
    before = totals(session)
    with pytest.raises(CouponRefused) as raised:
        redeemed(session, at, coupon, now=now, **more)
    assert totals(session) == before
    return raised.value.refusal


def taken_back(
    session: Session, at: Shop, redemption: RedemptionView, *, now: datetime = NOON, **more: Any
) -> ReversalView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "redemption_id": redemption.id,
        "reason": "scanned by mistake",
    }
    return reverse(session, at.operator_id, NewReversal(**{**asked, **more}), now=now)


@contextmanager
def counted() -> Generator[list[str]]:
    """Return the statements that are sent meanwhile, whoever sends them."""
    seen: list[str] = []
    ask = psycopg.Cursor.execute

    def listen(cursor: Any, statement: Any, *args: Any, **more: Any) -> Any:
        seen.append(str(statement))
        return ask(cursor, statement, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", listen)
        yield seen
