"""What `docs/walk.md` says about the statements of `redeem_many` is what PostgreSQL is sent."""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from coupon_engine import holding, offers, reversal
from coupon_engine.database import transaction
from coupon_engine.redemption import Presented, redeem, redeem_many
from coupon_engine.validation.showing import Shown
from schemas.campaigns import CampaignView
from schemas.coupons import CouponView
from schemas.offers import Conditions, LimitPer, LimitRule, Period
from schemas.redemptions import NewReversal
from tests import make
from tests.docs.pages import HOUSE, tables

TABLE = tables(HOUSE / "docs" / "walk.md")["`redeem_many`, statement by statement"]
STATEMENTS = [first for first, _ in TABLE if first.startswith("`")]
ALWAYS = [each.strip("`") for each in STATEMENTS if not each.endswith("*")]
ALL = [each.rstrip(" *").strip("`") for each in STATEMENTS]


def test_an_ordinary_batch_takes_the_statements_without_a_star(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        campaign = make.campaign(session, at)
        batch = make.batch(session, at, make.offer(session, at, campaign))
        before, alone, *others = [
            [asked(at, campaign, make.coupon(session, at, batch))] for _ in range(10)
        ]
    together = [each for (each,) in others]
    statements_for(database, at, before, monkeypatch)  # from now on the terms are remembered

    assert len(ALWAYS) == 5
    assert statements_for(database, at, alone, monkeypatch) == ALWAYS
    assert statements_for(database, at, together, monkeypatch) == ALWAYS


def test_a_batch_that_needs_everything_takes_all_of_them(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms: dict[str, Any] = {
        "limits": (LimitRule(per=LimitPer.CUSTOMER, period=Period.DAY, max_count=5),),
        "conditions": Conditions(first_purchase_only=True),
    }
    with transaction(database) as session:
        at = make.shop(session)
        campaign = make.campaign(session, at)
        batch = make.batch(session, at, make.offer(session, at, campaign, **terms))
        held, newcomer, returned = [
            make.coupon(session, at, batch, customer_id=make.customer(session, at))
            for _ in range(3)
        ]
        promise = make.hold_request(at, held)
        holding.hold(session, at.operator_id, promise, of(campaign, held), now=make.NOON)
        first = redeem(session, at.operator_id, asked(at, campaign, returned), now=make.NOON)
        undo = NewReversal(id=make.an_id(), redemption_id=first.id, reason="changed their mind")
        reversal.reverse(session, at.operator_id, undo, now=make.NOON)
    everything = [
        asked(at, campaign, newcomer, order_ref="R-1"),
        asked(at, campaign, returned, order_ref="R-2"),
    ]
    offers._frozen.clear()  # as in a process that has just started

    assert statements_for(database, at, everything, monkeypatch) == ALL


def test_a_repeat_takes_one(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        campaign = make.campaign(session, at)
        batch = make.batch(session, at, make.offer(session, at, campaign))
        again = [asked(at, campaign, make.coupon(session, at, batch))]
    statements_for(database, at, again, monkeypatch)

    assert statements_for(database, at, again, monkeypatch) == ALL[:1]


def asked(at: make.Shop, campaign: CampaignView, coupon: CouponView, **more: Any) -> Presented:
    return Presented(make.request(at, coupon, **more).request, of(campaign, coupon))


def of(campaign: CampaignView, coupon: CouponView) -> Shown:
    return Shown(coupon_id=coupon.id, campaign_number=campaign.number)


def statements_for(
    database: Engine, at: make.Shop, batch: Sequence[Presented], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Redeem this batch and return the rows of the table that describe what it took."""
    with listening(monkeypatch) as statements, transaction(database) as session:
        outcomes = redeem_many(session, at.operator_id, batch, now=make.NOON + timedelta(minutes=1))
    assert [outcome.error for outcome in outcomes] == [None] * len(batch)
    return [which(statement) for statement in statements]


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Write down what the driver is told, whoever tells it."""
    statements: list[str] = []
    execute = psycopg.Cursor[Any].execute

    def listen(self: psycopg.Cursor[Any], query: Any, *more: Any, **named: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        statements.append(" ".join(text.split()))
        return execute(self, query, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", listen)
        yield statements


def which(statement: str) -> str:
    """Return the row of the table that describes a statement, or the statement itself."""
    return next((row for row in ALL if pattern(row).match(statement)), statement)


def pattern(row: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in row.split("…")) + r"\b")
