"""Any order of redeeming, holding, releasing, reversing and waiting, beside a simple model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine
from sqlmodel import Session

from coupon_engine import holding
from coupon_engine.errors import AlreadyReversed, CouponRefused, HoldOver, UndoWindowClosed
from coupon_engine.redemption import redeem
from coupon_engine.reversal import reverse
from schemas.coupons import CouponView
from schemas.offers import GiftBalance, LimitPer, LimitRule
from schemas.redemptions import NewRelease, NewReversal
from tests import make
from tests.coupon_engine.record import rows
from tests.make import NOON

Answer = TypeVar("Answer")

BUDGET = 900
MOST = 5
MOST_OF_ANN = 3
UNDO = timedelta(hours=1)


@dataclass
class Promised:
    """A hold or a redemption, as the model sees it."""

    id: UUID
    coupon: int
    minor: int
    until: datetime
    is_over: bool = False


@dataclass
class Model:
    uses: list[int] = field(default_factory=lambda: [1, 2, 99])
    gift_minor: int = 700
    redemptions: list[Promised] = field(default_factory=list)
    holds: list[Promised] = field(default_factory=list)

    def standing(self) -> list[Promised]:
        return [each for each in self.redemptions if not each.is_over]

    def open(self, now: datetime) -> list[Promised]:
        return [each for each in self.holds if not each.is_over and now < each.until]

    def worth(self, coupon: int, price: int) -> int:
        if coupon < 2:
            return min(200, price)
        spent = sum(each.minor for each in self.standing() if each.coupon == 2)
        return min(price, self.gift_minor - spent)

    def allows(self, coupon: int, minor: int, now: datetime, own: Promised | None) -> bool:
        others = [each for each in self.open(now) if each is not own]
        taken = self.standing() + others
        of_ann = [each for each in taken if each.coupon < 2]
        uses = sum(each.coupon == coupon for each in self.standing())
        return (
            minor > 0
            and uses < self.uses[coupon]
            and all(each.coupon != coupon for each in others)
            and sum(each.minor for each in taken) + minor <= BUDGET
            and len(taken) < MOST
            and (coupon == 2 or len(of_ann) < MOST_OF_ANN)
        )


class AnyLife(RuleBasedStateMachine):
    """Three coupons: one of a single use, one of two uses, a gift of seven euros."""

    connection: Connection

    @initialize()
    def open_shop(self) -> None:
        self.session = Session(self.connection, expire_on_commit=False, autoflush=False)
        self.now = NOON
        self.model = Model()
        session = self.session
        self.at = make.shop(session)
        rules = (LimitRule(per=LimitPer.CUSTOMER, max_count=MOST_OF_ANN),)
        running = make.campaign(
            session, self.at, budget_minor=BUDGET, max_redemptions=MOST, limits=rules
        )
        ann = make.customer(session, self.at)

        def coupon(whose: UUID | None, **terms: Any) -> CouponView:
            offer = make.offer(session, self.at, running, **terms)
            batch = make.batch(session, self.at, offer)
            return make.coupon(session, self.at, batch, customer_id=whose)

        gift = GiftBalance(balance_minor=self.model.gift_minor)
        self.coupons = [coupon(ann), coupon(ann, uses=2), coupon(None, benefit=gift)]

    @rule(coupon=st.integers(0, 2), price=st.integers(1, 500))
    def redeem(self, coupon: int, price: int) -> None:
        self._redeem(coupon, price, None)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), price=st.integers(1, 500))
    def redeem_a_hold(self, data: st.DataObject, price: int) -> None:
        hold = data.draw(st.sampled_from(self.model.holds))
        self._redeem(hold.coupon, price, hold)

    def _redeem(self, coupon: int, price: int, hold: Promised | None) -> None:
        own = hold if hold and not hold.is_over else None
        minor = self.model.worth(coupon, price)
        expected = self.model.allows(coupon, minor, self.now, own)
        request = make.request(
            self.at,
            self.coupons[coupon],
            basket=make.basket(price),
            hold_id=hold.id if hold else None,
        )

        view = or_none(lambda: redeem(self.session, self.at.operator_id, request, now=self.now))

        assert (view is not None) == expected
        if view is None:
            return
        assert view.discount_minor == minor
        self.model.redemptions.append(Promised(view.id, coupon, minor, self.now + UNDO))
        for each in self.model.holds:
            each.is_over = each.is_over or each.coupon == coupon

    @rule(coupon=st.integers(0, 2), price=st.integers(1, 500), seconds=st.integers(1, 600))
    def hold(self, coupon: int, price: int, seconds: int) -> None:
        minor = self.model.worth(coupon, price)
        expected = self.model.allows(coupon, minor, self.now, None)
        view = self.coupons[coupon]
        request = make.hold_request(self.at, view, basket=make.basket(price), lasts_seconds=seconds)
        shown = make.of_coupon(view)

        made = or_none(
            lambda: holding.hold(self.session, self.at.operator_id, request, shown, now=self.now)
        )

        assert (made is not None) == expected
        if made is not None:
            self.model.holds.append(Promised(made.id, coupon, minor, made.expires_at))

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold = data.draw(st.sampled_from(self.model.holds))
        expected = hold in self.model.open(self.now)
        request = NewRelease(id=make.an_id(), hold_id=hold.id)

        try:
            holding.release(self.session, self.at.operator_id, request, now=self.now)
        except HoldOver:
            assert not expected
        else:
            assert expected
            hold.is_over = True

    @precondition(lambda self: self.model.redemptions)
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        redemption = data.draw(st.sampled_from(self.model.redemptions))
        request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")

        try:
            reverse(self.session, self.at.operator_id, request, now=self.now)
        except AlreadyReversed:
            assert redemption.is_over
        except UndoWindowClosed:
            assert not redemption.is_over
            assert self.now >= redemption.until
        else:
            assert not redemption.is_over
            assert self.now < redemption.until
            redemption.is_over = True

    @rule(seconds=st.integers(1, 900))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_record_says_what_the_model_says(self) -> None:
        standing = self.model.standing()
        spent = sum(each.minor for each in standing)
        held = sum(each.minor for each in self.model.open(self.now))
        (limit,) = rows(
            self.session,
            "SELECT * FROM limit_row WHERE key LIKE '9/%/redeem' AND operator_id = :operator_id",
            operator_id=self.at.operator_id,
        )
        (sums,) = rows(
            self.session,
            """SELECT count(*) FILTER (WHERE reversed_at IS NULL) AS many,
                      coalesce(sum(discount_minor - reversed_minor), 0)::int AS minor
               FROM redemption WHERE operator_id = :operator_id""",
            operator_id=self.at.operator_id,
        )
        coupons = rows(
            self.session,
            "SELECT * FROM coupon WHERE operator_id = :operator_id ORDER BY id",
            operator_id=self.at.operator_id,
        )

        assert (limit.used_count, limit.spent_minor) == (len(standing), spent)
        assert (sums.many, sums.minor) == (len(standing), spent)
        assert spent + held <= BUDGET
        for number, coupon in enumerate(coupons[:2]):
            assert coupon.uses_count == sum(each.coupon == number for each in standing)
        assert coupons[2].spent_minor == sum(each.minor for each in standing if each.coupon == 2)

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
        self.connection.rollback()


def or_none(verb: Callable[[], Answer]) -> Answer | None:
    try:
        return verb()
    except CouponRefused:
        return None


def test_in_any_life_the_record_and_a_simple_model_agree(shared: Engine) -> None:
    with shared.connect() as opened:

        class OnThisConnection(AnyLife):
            connection = opened

        run_state_machine_as_test(
            OnThisConnection, settings=settings(max_examples=20, stateful_step_count=20)
        )
