"""Fifty terminals at once: the budget holds, one decides for a store, nothing comes back twice."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import limits
from coupon_engine.acting import by_system
from coupon_engine.database import open_engine, repeating, transaction
from coupon_engine.offline import leases, server_keys
from coupon_engine.rows import found
from schemas.campaigns import CampaignView, OfflinePolicy
from schemas.offline import LeaseView, NewLease
from tests import make
from tests.coupon_engine.record import count, rows, used
from tests.make import NOON, Shop
from tests.race.together import MANY, Work, at_once, drop, meet_after, told

ALL = 50


@pytest.fixture
def many(database_url: str) -> Iterator[Engine]:
    """As many connections as terminals."""
    engine = open_engine(database_url, pool=ALL, overflow=0)
    yield engine
    engine.dispose()


class Shops:
    """A shop with a campaign of 12.00 and 30 redemptions; a terminal may give away 1.00 of it."""

    def __init__(self, engine: Engine, terminals: int, **more: Any) -> None:
        self.engine = engine
        with transaction(engine) as session:
            self.at = make.shop(session)
            self.campaign = a_campaign(session, self.at, **more)
            self.terminals = [make.another_terminal(session, self.at).id for _ in range(terminals)]

    def asking(self, number: int, **more: Any) -> Work:
        request = NewLease(id=make.an_id(), **more)
        id = self.terminals[number]
        return lambda session: leases.grant(session, self.at.operator_id, id, request, now=NOON)

    def all_ask(self, **more: Any) -> list[Any]:
        works = [self.asking(number, **more) for number in range(len(self.terminals))]
        return at_once(self.engine, works, self.on_behalf)

    def on_behalf(self, engine: Engine, work: Work) -> Any:
        return repeating(engine, work, by_system(self.at.operator_id))

    def standing(self) -> tuple[int, int]:
        with transaction(self.engine) as session:
            (own,) = used(session, f"9/{self.campaign.id}")
            return own

    def lent(self) -> tuple[int, int]:
        with transaction(self.engine) as session:
            (row,) = rows(
                session,
                """
                SELECT coalesce(sum(max_count), 0)::int AS many,
                       coalesce(sum(max_minor), 0)::int AS minor FROM allowance
                """,
            )
            return row.many, row.minor


def a_campaign(session: Session, at: Shop, **more: Any) -> CampaignView:
    asked: dict[str, Any] = {
        "offline": OfflinePolicy.DEVICE_QUOTA,
        "offline_count": 2,
        "offline_minor": 100,
        "budget_minor": 1_200,
        "max_redemptions": 30,
    }
    made = make.campaign(session, at, **{**asked, **more})
    make.coupon(session, at, make.batch(session, at, make.offer(session, at, made)))
    return made


# The budget.


def test_fifty_leases_at_once_never_pass_the_budget(many: Engine) -> None:
    shop = Shops(many, ALL)

    answers = shop.all_ask()

    assert told(answers) == {"won": ALL}
    assert shop.lent() == shop.standing() == (24, 1_200)  # money for twelve of them


def test_fifty_leases_at_once_never_pass_the_count(many: Engine) -> None:
    shop = Shops(many, ALL, budget_minor=1_000_000, max_redemptions=31)

    shop.all_ask()

    assert shop.lent() == shop.standing()
    assert shop.lent()[0] == 31


def test_this_race_for_a_budget_is_real(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock on its row each is lent what was there for one."""
    shop = Shops(database, MANY, budget_minor=100)
    monkeypatch.setattr(limits, "LOCK", "")
    meet_after(monkeypatch, limits, "locked")
    drop(database, "limit_row", "ck_limit_row_count", "ck_limit_row_money")
    monkeypatch.setattr(leases, "locked", without_the_store(leases.locked))

    shop.all_ask()

    assert shop.lent()[1] > 100


def test_without_the_lock_the_record_itself_lends_no_more_than_there_is(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shops(database, MANY, budget_minor=100)
    monkeypatch.setattr(limits, "LOCK", "")
    meet_after(monkeypatch, limits, "locked")
    monkeypatch.setattr(leases, "locked", without_the_store(leases.locked))

    answers = shop.all_ask()

    assert told(answers)["won"] == 1
    assert shop.lent() == shop.standing() == (2, 100)


def without_the_store(locked: Any) -> Any:
    """All of them stand in one store, whose row would let one look at a time."""

    def look(session: Session, table: Any, operator_id: Any, id: Any) -> Any:
        look_at = found if table.__name__ == "Store" else locked
        return look_at(session, table, operator_id, id)

    return look


# Who decides for the store.


def test_of_all_who_want_it_at_once_one_decides(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shops(database, MANY)
    meet_after(monkeypatch, leases, "with_authority")

    answers = shop.all_ask(wants_authority=True)

    assert deciding(answers) == 1


def test_this_race_for_a_store_is_real(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shops(database, MANY)
    monkeypatch.setattr(leases, "locked", without_the_store(leases.locked))
    meet_after(monkeypatch, leases, "with_authority")

    answers = shop.all_ask(wants_authority=True)

    assert deciding(answers) > 1


def deciding(answers: list[Any]) -> int:
    assert all(isinstance(each, LeaseView) for each in answers), answers
    return sum(each.is_authority for each in answers)


# One terminal.


def test_one_terminal_that_asks_many_times_at_once_has_so_many_leases_and_no_more(
    database: Engine,
) -> None:
    shop = Shops(database, 1)
    works = [shop.asking(0) for _ in range(MANY)]

    answers = at_once(database, works, shop.on_behalf)

    assert told(answers) == {"won": leases.MOST_OPEN, "journal_incomplete": MANY - leases.MOST_OPEN}
    assert shop.standing() == shop.lent() == (2 * leases.MOST_OPEN, 100 * leases.MOST_OPEN)


def test_one_request_that_is_sent_many_times_at_once_is_one_lease(database: Engine) -> None:
    shop = Shops(database, 1)

    answers = at_once(database, [shop.asking(0)] * MANY, shop.on_behalf)

    assert told(answers) == {"won": MANY}
    assert len({each.number for each in answers}) == 1
    assert shop.standing() == (2, 100)


# Closing.


def test_of_all_who_close_a_lease_at_once_one_brings_back_what_was_not_used(
    database: Engine,
) -> None:
    shop = Shops(database, 2)
    first, _ = shop.all_ask()
    closing: Work = partial(
        leases.close, operator_id=shop.at.operator_id, lease_id=first.id, now=NOON
    )

    answers = at_once(database, [closing] * MANY, shop.on_behalf)

    assert sorted(len(each) for each in answers) == [*[0] * (MANY - 1), 1]
    assert shop.standing() == (2, 100)  # the other terminal's


def test_this_race_for_what_comes_back_is_real(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rows' locks it comes back as often as it is asked for."""
    shop = Shops(database, MANY)
    first, *_ = shop.all_ask()
    monkeypatch.setattr(leases, "locked", found)
    meet_after(monkeypatch, leases, "locked")
    closing: Work = partial(
        leases.close, operator_id=shop.at.operator_id, lease_id=first.id, now=NOON
    )

    at_once(database, [closing] * MANY, shop.on_behalf)

    assert shop.standing()[1] < 100 * (MANY - 1)


def test_leases_are_granted_and_closed_at_once_and_nobody_waits_in_a_ring(
    database: Engine,
) -> None:
    """Each has allowances of three campaigns, and every one of them wants all three rows."""
    shop = Shops(database, MANY)
    with transaction(database) as session:
        more = [a_campaign(session, shop.at) for _ in range(2)]
    granted = shop.all_ask()
    works: list[Work] = []
    for number, lease in enumerate(granted):
        works.append(
            partial(leases.close, operator_id=shop.at.operator_id, lease_id=lease.id, now=NOON)
        )
        works.append(shop.asking(number))

    answers = at_once(database, works, shop.on_behalf)

    assert told(answers) == {"won": 2 * MANY}
    with transaction(database) as session:
        for campaign in (shop.campaign, *more):
            assert used(session, f"9/{campaign.id}") == [(2 * MANY, 100 * MANY)]


# The server's key.


def test_of_all_who_need_the_first_server_key_at_once_one_makes_it(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shops(database, 1)
    meet_after(monkeypatch, server_keys, "_row")
    needing: Work = partial(
        server_keys.public, operator_id=shop.at.operator_id, passphrase=make.PASSPHRASE, now=NOON
    )

    answers = at_once(database, [needing] * MANY, shop.on_behalf)

    assert len({each["kid"] for each in answers}) == 1
    with transaction(database) as session:
        assert count(session, "server_key") == 1
