"""A friend takes a gift in the moment in which the giver takes it back: one of them has it."""

from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import rows
from coupon_engine.customers import gifts, wallets
from coupon_engine.database import transaction
from coupon_engine.tables import Coupon
from schemas.wallets import (
    NewGift,
    NewGiftAcceptance,
    NewGiftWithdrawal,
    NewWalletClaim,
    WalletView,
)
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT
from tests.make import NOON, SECRET
from tests.race.together import Work, at_once, meet_after, told

FRIENDS = 3


@dataclass(frozen=True)
class Party:
    """Somebody has offered a coupon, and all friends have the link."""

    at: make.Shop
    giver: WalletView
    friends: list[WalletView]
    coupon_id: UUID
    secret: str


@pytest.fixture
def party(database: Engine) -> Party:
    with transaction(database) as session:
        at = make.shop(session)
        batch = make.batch(session, at)
        giver, *friends = [phone.wallet(session, at) for _ in range(1 + FRIENDS)]
        coupon = wallets.claim(
            session,
            at.operator_id,
            giver.id,
            NewWalletClaim(id=make.an_id(), batch_id=batch.id),
            network=HOME,
            vault=VAULT,
            code_secret=SECRET,
            now=NOON,
        )
        gift = gifts.give(
            session,
            at.operator_id,
            giver.id,
            NewGift(id=make.an_id(), coupon_id=coupon.id),
            code_secret=SECRET,
            now=NOON,
        )
        return Party(at, giver, friends, coupon.id, gift.secret)


def test_of_all_who_want_it_exactly_one_has_it(database: Engine, party: Party) -> None:
    answers = at_once(database, everybody(party))

    assert told(answers) == {"won": 1, "gift_over": FRIENDS}
    (won,) = [answer for answer in answers if not isinstance(answer, Exception)]
    with transaction(database) as session:
        row = session.get_one(Coupon, (party.at.operator_id, party.coupon_id))
        assert (row.customer_id, row.gift_hash) == (won.customer_id, None)


def test_this_race_is_real(database: Engine, party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock everybody would be told that it is theirs."""
    monkeypatch.setattr(gifts, "locked", rows.found)
    meet_after(monkeypatch, gifts, "locked", many=1 + FRIENDS)

    answers = at_once(database, everybody(party))

    assert told(answers)["won"] > 1


def everybody(party: Party) -> list[Work]:
    return [takes_back(party), *(takes(party, friend) for friend in party.friends)]


def takes(party: Party, friend: WalletView) -> Work:
    asked = NewGiftAcceptance(id=make.an_id(), secret=party.secret)

    def work(session: Session) -> object:
        return gifts.accept(
            session,
            party.at.operator_id,
            friend.id,
            asked,
            network=str(friend.id),
            vault=VAULT,
            code_secret=SECRET,
            now=NOON,
        )

    return work


def takes_back(party: Party) -> Work:
    asked = NewGiftWithdrawal(id=make.an_id(), coupon_id=party.coupon_id)

    def work(session: Session) -> object:
        return gifts.withdraw(
            session, party.at.operator_id, party.giver.id, asked, code_secret=SECRET, now=NOON
        )

    return work
