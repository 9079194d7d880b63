"""Holds, reversals, claims and issues at once, each with its twin without the guard."""

from threading import Event
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import (
    batches,
    campaigns,
    desk,
    holding,
    issuing,
    keys,
    limits,
    offers,
    operators,
    reversal,
)
from coupon_engine.database import transaction
from coupon_engine.errors import OfferFrozen
from coupon_engine.redemption import redeem
from coupon_engine.reversal import reverse
from coupon_engine.rows import found
from schemas.campaigns import Ceiling, NewCeiling, NewCustomer, NewCustomers, NewTerms
from schemas.coupons import CouponView, NewClaim, NewCoupon, NewCoupons
from schemas.keys import NewKey
from schemas.offers import LimitOf, LimitPer, LimitRule
from schemas.redemptions import NewReversal
from tests import make
from tests.coupon_engine.record import count, rows, totals, used
from tests.make import NOON
from tests.race.conftest import Scene
from tests.race.together import MANY, Work, at_once, drop, meet_after, told


def coupons(scene: Scene, many: int, **terms: Any) -> list[CouponView]:
    with transaction(scene.engine) as session:
        offer = make.offer(session, scene.at, scene.campaign, **terms)
        batch = make.batch(session, scene.at, offer)
        return [make.coupon(session, scene.at, batch) for _ in range(many)]


def holds(scene: Scene, coupon: CouponView) -> Work:
    request = make.hold_request(scene.at, coupon)
    shown = make.of_coupon(coupon)
    return lambda session: holding.hold(session, scene.at.operator_id, request, shown, now=NOON)


def redeems(scene: Scene, coupon: CouponView, **more: Any) -> Work:
    request = make.request(scene.at, coupon, **more)
    return lambda session: redeem(session, scene.at.operator_id, request, now=NOON)


# Holding.


def test_a_coupon_is_held_or_redeemed_and_never_both(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon,) = coupons(scene, 1)
    meet_after(monkeypatch, desk, "lay", many=2)

    outcomes = told(at_once(scene.engine, [holds(scene, coupon), redeems(scene, coupon)]))

    assert outcomes["won"] == 1
    assert outcomes["held"] + outcomes["already_redeemed"] == 1
    with transaction(scene.engine) as session:
        assert count(session, "hold") + count(session, "redemption") == 1


def test_the_race_of_hold_and_redemption_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon,) = coupons(scene, 1)
    meet_after(monkeypatch, desk, "lay", many=2)
    monkeypatch.setattr(desk, "LOCK_COUPONS", "")

    outcomes = told(at_once(scene.engine, [holds(scene, coupon), redeems(scene, coupon)]))

    assert outcomes["won"] == 2


def test_holds_share_a_budget_to_the_cent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    meet_after(monkeypatch, limits, "locked")

    outcomes = told(at_once(scene.engine, [holds(scene, each) for each in coupons(scene, MANY)]))

    assert outcomes == {"won": 3, "budget_spent": MANY - 3}
    with transaction(scene.engine) as session:
        (promised,) = rows(session, "SELECT sum(discount_minor)::int AS minor FROM hold")
        assert promised.minor == 600


def test_the_race_of_holds_for_a_budget_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after(monkeypatch, limits, "locked")
    monkeypatch.setattr(limits, "LOCK", "")

    outcomes = told(at_once(scene.engine, [holds(scene, each) for each in coupons(scene, MANY)]))

    assert outcomes["won"] > 3


# Reversing.


def reverses_twice(scene: Scene) -> Any:
    """Two coupons redeemed; everybody takes back the first."""
    first, second = coupons(scene, 2)
    redemption, _ = at_once(scene.engine, [redeems(scene, first), redeems(scene, second)])

    def work(number: int) -> Work:
        request = NewReversal(
            id=make.an_id(), redemption_id=redemption.id, reason=f"mistake {number}"
        )
        return lambda session: reverse(session, scene.at.operator_id, request, now=NOON)

    return told(at_once(scene.engine, [work(number) for number in range(2)]))


def test_a_redemption_is_taken_back_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    meet_after(monkeypatch, reversal, "_lines_to_return", many=2)

    outcomes = reverses_twice(scene)

    assert outcomes == {"won": 1, "already_reversed": 1}
    with transaction(scene.engine) as session:
        assert used(session, "9/") == [(1, 200)]
        assert count(session, "reversal") == 1


def test_the_race_of_reversals_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    meet_after(monkeypatch, reversal, "_lines_to_return", many=2)
    monkeypatch.setattr(reversal, "locked", found)

    outcomes = reverses_twice(scene)

    assert outcomes == {"won": 2}
    with transaction(scene.engine) as session:
        assert totals(session).standing == 1
        assert used(session, "9/") == [(0, 0)]  # one stands, and the budget has forgotten it


def test_a_use_returns_to_whoever_waits_for_it(scene: Scene) -> None:
    (coupon,) = coupons(scene, 1)
    (redemption,) = at_once(scene.engine, [redeems(scene, coupon, order_ref="R1")])
    request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")

    def back(session: Session) -> Any:
        return reverse(session, scene.at.operator_id, request, now=NOON)

    again = [redeems(scene, coupon, order_ref="R1") for _ in range(MANY)]
    outcomes = told(at_once(scene.engine, [back, *again]))

    assert 1 <= outcomes["won"] <= 2
    assert outcomes["won"] + outcomes["already_redeemed"] == MANY + 1
    with transaction(scene.engine) as session:
        standing = outcomes["won"] - 1
        assert totals(session).standing == standing
        assert used(session, "9/") == [(standing, 200 * standing)]
        assert totals(session).coupons == ({coupon.id: (1, 0)} if standing else {})


def one_comes_back_while_another_is_redeemed(
    scene: Scene, patch: pytest.MonkeyPatch
) -> tuple[int, int, list[int]]:
    """The second coupon has looked at the receipt; the first is taken back before it is written.

    Returns what the receipt says, what stands in redemptions, and the discounts in its list.
    """
    first, second = coupons(scene, 2)
    (redemption,) = at_once(scene.engine, [redeems(scene, first, order_ref="R1")])
    request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")
    has_looked, is_back = Event(), Event()
    looks = desk.lay

    def look_and_wait(*args: Any, **more: Any) -> desk.Desk:
        table = looks(*args, **more)
        has_looked.set()
        is_back.wait(1)
        return table

    def back(session: Session) -> None:
        has_looked.wait(10)
        reverse(session, scene.at.operator_id, request, now=NOON)
        session.commit()
        is_back.set()

    patch.setattr(desk, "lay", look_and_wait)
    outcomes = told(at_once(scene.engine, [redeems(scene, second, order_ref="R1"), back]))
    assert outcomes == {"won": 2}
    with transaction(scene.engine) as session:
        (receipt,) = rows(session, "SELECT * FROM receipt")
        (standing,) = rows(
            session, "SELECT sum(discount_minor - reversed_minor)::int AS minor FROM redemption"
        )
    applied = [each["discount_minor"] for each in receipt.applied]
    return receipt.discount_minor, standing.minor, applied


def test_a_receipt_forgets_neither_a_redemption_nor_a_reversal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = one_comes_back_while_another_is_redeemed(scene, monkeypatch)

    assert said == (200, 200, [200])


def test_the_race_for_what_a_receipt_says_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "LOCK_RECEIPTS", "")

    said = one_comes_back_while_another_is_redeemed(scene, monkeypatch)

    assert said == (400, 200, [200, 200])


# Issuing.

TWICE = (LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=2),)


def claims(scene: Scene) -> Any:
    with transaction(scene.engine) as session:
        batch = make.batch(
            session, scene.at, make.offer(session, scene.at, scene.campaign, limits=TWICE)
        )
        ann = make.customer(session, scene.at)

    def work() -> Work:
        request = NewClaim(id=make.an_id(), batch_id=batch.id, customer_id=ann)
        return lambda session: issuing.claim(
            session, scene.at.operator_id, request, code_secret=make.SECRET, now=NOON
        )

    return told(at_once(scene.engine, [work() for _ in range(MANY)]))


def test_a_customer_claims_as_often_as_they_may(scene: Scene) -> None:
    outcomes = claims(scene)

    assert outcomes == {"won": 2, "claim_limit_reached": MANY - 2}
    with transaction(scene.engine) as session:
        assert count(session, "coupon") == 2


def test_the_race_of_claims_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = str(issuing._COUNT_ONE_MORE)
    condition = guarded[guarded.rindex("WHERE") :]
    monkeypatch.setattr(
        issuing, "_COUNT_ONE_MORE", text(guarded.replace(condition, "RETURNING key"))
    )
    drop(scene.engine, "limit_row", "ck_limit_row_count")

    outcomes = claims(scene)

    assert outcomes == {"won": MANY}


def issues(scene: Scene, *, size: int) -> Any:
    with transaction(scene.engine) as session:
        offer = make.offer(session, scene.at, scene.campaign)
        batch = make.batch(session, scene.at, offer, size=size)
        make.coupon(session, scene.at, batch)

    def one() -> Work:
        request = NewCoupon(id=make.an_id(), batch_id=batch.id)
        return lambda session: issuing.issue(
            session, scene.at.operator_id, request, code_secret=make.SECRET, now=NOON
        )

    def two() -> Work:
        request = NewCoupons(id=make.an_id(), batch_id=batch.id, unclaimed=2)
        return lambda session: issuing.issue_many(
            session, scene.at.operator_id, request, code_secret=make.SECRET, now=NOON
        )

    return told(at_once(scene.engine, [one(), two(), one(), two(), one(), two()]))


def test_a_batch_gives_out_no_more_than_it_has_and_every_place_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after(monkeypatch, limits, "locked")

    outcomes = issues(scene, size=6)

    assert outcomes["won"] + outcomes["batch_exhausted"] == MANY
    with transaction(scene.engine) as session:
        (lot,) = rows(
            session, "SELECT count(*) AS many, count(DISTINCT position) AS places FROM coupon"
        )
        (standing,) = rows(session, "SELECT used_count FROM limit_row WHERE key LIKE '7/%/issue'")
        assert lot.many == lot.places == standing.used_count
        assert lot.many in (5, 6)


def test_the_race_for_the_last_coupons_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after(monkeypatch, limits, "locked")
    monkeypatch.setattr(limits, "LOCK", "")
    drop(scene.engine, "coupon", "uq_coupon_operator_id_campaign_id_position")

    outcomes = issues(scene, size=6)

    assert outcomes["won"] == MANY
    with transaction(scene.engine) as session:
        assert count(session, "coupon") == 10


def an_offer_changes_while_its_first_coupon_is_issued(
    scene: Scene, patch: pytest.MonkeyPatch
) -> tuple[Any, int, int]:
    """The issue has read the terms; before it writes the coupon somebody changes them.

    Returns what the change was told, the uses of the coupon, and those of its offer.
    """
    with transaction(scene.engine) as session:
        offer = make.offer(session, scene.at, scene.campaign)
        batch = make.batch(session, scene.at, offer)
    request = NewTerms(id=make.an_id(), offer_id=offer.id, terms=make.terms(uses=5))
    has_read, is_changed = Event(), Event()
    reads = offers.terms_of

    def read_and_wait(*args: Any) -> Any:
        terms = reads(*args)
        has_read.set()
        is_changed.wait(1)
        return terms

    def change(session: Session) -> None:
        has_read.wait(10)
        offers.change_terms(session, scene.at.operator_id, request, now=NOON)
        session.commit()
        is_changed.set()

    patch.setattr(offers, "terms_of", read_and_wait)
    changed, coupon = at_once(
        scene.engine, [change, lambda session: make.coupon(session, scene.at, batch)]
    )
    with transaction(scene.engine) as session:
        (row,) = rows(session, "SELECT (terms->>'uses')::int AS uses FROM offer")
    return changed, coupon.uses, row.uses


def test_an_offer_is_changed_before_its_first_coupon_or_never(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, *uses = an_offer_changes_while_its_first_coupon_is_issued(scene, monkeypatch)

    assert isinstance(changed, OfferFrozen)
    assert uses == [1, 1]


def test_the_race_for_the_terms_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "locked", found)

    changed, *uses = an_offer_changes_while_its_first_coupon_is_issued(scene, monkeypatch)

    assert changed is None
    assert uses == [1, 5]  # a coupon that is not what its offer says


# What everybody numbers, names or moves.


def test_a_ceiling_is_moved_by_the_one_who_was_first(scene: Scene) -> None:
    def move(target: int) -> Work:
        request = NewCeiling(
            id=make.an_id(),
            campaign_id=scene.campaign.id,
            ceiling=Ceiling.BUDGET_MINOR,
            current=600,
            target=target,
            reason="more",
        )
        return lambda session: campaigns.move_ceiling(
            session, scene.at.operator_id, request, now=NOON
        )

    answers = at_once(scene.engine, [move(700 + number) for number in range(MANY)])

    assert told(answers) == {"won": 1, "ceiling_moved": MANY - 1}
    (won,) = (answer for answer in answers if not isinstance(answer, Exception))
    with transaction(scene.engine) as session:
        seen = campaigns.campaign_view(session, scene.at.operator_id, scene.campaign.id, now=NOON)
        assert seen.proposed == {Ceiling.BUDGET_MINOR: won.target}


def test_stores_campaigns_and_keys_made_at_once_have_names_of_their_own(scene: Scene) -> None:
    operator_id, merchant_id = scene.at.operator_id, scene.at.store.merchant_id

    def store(session: Session) -> Any:
        return make.another_store(session, operator_id, merchant_id)

    def campaign(session: Session) -> Any:
        return make.campaign(session, scene.at)

    def key(session: Session) -> Any:
        request = NewKey(id=make.an_id())
        return keys.publish(session, operator_id, request, passphrase=make.PASSPHRASE, now=NOON)

    made = at_once(scene.engine, [store, campaign, key] * 3)

    assert told(made) == {"won": 9}
    assert sorted(each.number for each in made[0::3]) == [2, 3, 4]
    assert sorted(each.number for each in made[1::3]) == [2, 3, 4]
    assert sorted(each.letter for each in made[2::3]) == ["A", "B", "C"]


def test_customers_made_known_twice_at_once_are_known_once(scene: Scene) -> None:
    people = tuple(NewCustomer(id=make.an_id(), ref=f"c{number}") for number in range(20))

    def known(customers: Any) -> Work:
        request = NewCustomers(id=make.an_id(), customers=customers)
        return lambda session: operators.create_customers(
            session, scene.at.operator_id, request, now=NOON
        )

    answers = at_once(scene.engine, [known(people), known(people[::-1])] * 3)

    assert told(answers) == {"won": 6}
    with transaction(scene.engine) as session:
        assert count(session, "customer") == 20


def test_one_batch_asked_for_many_times_at_once_is_one_batch(scene: Scene) -> None:
    with transaction(scene.engine) as session:
        offer = make.offer(session, scene.at, scene.campaign)
    id = make.an_id()

    def work(session: Session) -> Any:
        return make.batch(session, scene.at, offer, id=id)

    answers = at_once(scene.engine, [work] * MANY)

    assert told(answers) == {"won": MANY}
    assert all(answer == answers[0] for answer in answers)
    with transaction(scene.engine) as session:
        assert count(session, "batch") == 1
        assert batches.batch_view(session, scene.at.operator_id, id, now=NOON) == answers[0]


def test_of_two_customers_who_want_one_ref_the_second_is_told(scene: Scene) -> None:
    def makes() -> Work:
        one = NewCustomer(id=make.an_id(), ref="the same")
        asked = NewCustomers(id=make.an_id(), customers=(one,))
        at = scene.at.operator_id
        return lambda session: operators.create_customers(session, at, asked, now=NOON)

    outcomes = told(at_once(scene.engine, [makes() for _ in range(MANY)]))

    assert outcomes == {"won": 1, "name_taken": MANY - 1}
