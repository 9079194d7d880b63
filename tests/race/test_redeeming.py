"""Many counters at once. Each promise has a twin without its guard, in which the race is lost."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import desk, limits
from coupon_engine.database import transaction
from coupon_engine.redemption import Presented, redeem
from schemas.coupons import CouponView
from schemas.offers import Conditions, GiftBalance, LimitPer, LimitRule
from schemas.redemptions import RedemptionView
from tests import make
from tests.coupon_engine.record import count, rows, used
from tests.make import NOON
from tests.race.conftest import Scene
from tests.race.together import MANY, at_once, drop, meet_after, told


def coupons(
    scene: Scene, many: int, *, of_one_customer: bool = False, **terms: Any
) -> list[CouponView]:
    with transaction(scene.engine) as session:
        batch = make.batch(
            session, scene.at, make.offer(session, scene.at, scene.campaign, **terms)
        )
        whose = make.customer(session, scene.at) if of_one_customer else None
        return [make.coupon(session, scene.at, batch, customer_id=whose) for _ in range(many)]


def redeems(scene: Scene, presented: Presented) -> Callable[[Session], RedemptionView]:
    return lambda session: redeem(session, scene.at.operator_id, presented, now=NOON)


def all_redeem(scene: Scene, coupons: list[CouponView], **more: Any) -> Counter[str]:
    requests = [make.request(scene.at, coupon, **more) for coupon in coupons]
    return told(at_once(scene.engine, [redeems(scene, request) for request in requests]))


def standing(scene: Scene) -> tuple[int, int]:
    """Return how many redemptions there are, and their money."""
    with transaction(scene.engine) as session:
        (row,) = rows(
            session, "SELECT count(*) AS many, sum(discount_minor)::int AS minor FROM redemption"
        )
        return row.many, row.minor


def budget(scene: Scene) -> tuple[int, int]:
    with transaction(scene.engine) as session:
        (campaigns,) = used(session, "9/")
        return campaigns


# One coupon, many counters.


def test_exactly_one_counter_wins(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (coupon,) = coupons(scene, 1)
    meet_after(monkeypatch, desk, "lay")

    outcomes = all_redeem(scene, [coupon] * MANY)

    assert outcomes == {"won": 1, "already_redeemed": MANY - 1}
    assert standing(scene) == budget(scene) == (1, 200)


def test_the_race_for_one_coupon_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (coupon,) = coupons(scene, 1)
    meet_after(monkeypatch, desk, "lay")
    monkeypatch.setattr(desk, "LOCK_COUPONS", "")
    drop(scene.engine, "redemption", "uq_redemption_operator_id_coupon_id_use_no")

    outcomes = all_redeem(scene, [coupon] * MANY)

    assert outcomes["won"] > 1
    assert standing(scene)[0] > 1


def test_without_the_lock_the_index_still_lets_only_one_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon,) = coupons(scene, 1)
    meet_after(monkeypatch, desk, "lay")
    monkeypatch.setattr(desk, "LOCK_COUPONS", "")

    outcomes = all_redeem(scene, [coupon] * MANY)

    assert outcomes == {"won": 1, "already_redeemed": MANY - 1}
    assert standing(scene) == (1, 200)


def test_a_coupon_of_three_uses_is_used_three_times(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon,) = coupons(scene, 1, uses=3)
    meet_after(monkeypatch, desk, "lay")

    outcomes = all_redeem(scene, [coupon] * MANY)

    assert outcomes == {"won": 3, "already_redeemed": MANY - 3}
    assert standing(scene) == budget(scene) == (3, 600)
    with transaction(scene.engine) as session:
        assert [
            row.use_no for row in rows(session, "SELECT use_no FROM redemption ORDER BY 1")
        ] == [
            1,
            2,
            3,
        ]


def test_the_race_for_uses_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (coupon,) = coupons(scene, 1, uses=2)
    meet_after(monkeypatch, desk, "lay")
    monkeypatch.setattr(desk, "LOCK_COUPONS", "")
    drop(scene.engine, "redemption", "uq_redemption_operator_id_coupon_id_use_no")

    outcomes = all_redeem(scene, [coupon] * MANY)

    assert outcomes["won"] > 2


def test_a_gift_is_not_spent_twice(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (coupon,) = coupons(scene, 1, benefit=GiftBalance(balance_minor=500))
    meet_after(monkeypatch, desk, "lay")

    outcomes = all_redeem(scene, [coupon] * MANY, basket=make.basket(200))

    assert outcomes == {"won": 3, "balance_empty": MANY - 3}
    assert standing(scene) == budget(scene) == (3, 500)


# One budget, many coupons.


def test_many_coupons_share_a_budget_to_the_cent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after(monkeypatch, limits, "locked")

    outcomes = all_redeem(scene, coupons(scene, MANY))

    assert outcomes == {"won": 3, "budget_spent": MANY - 3}
    assert standing(scene) == budget(scene) == (3, 600)


def test_the_race_for_the_budget_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    meet_after(monkeypatch, limits, "locked")
    monkeypatch.setattr(limits, "LOCK", "")

    outcomes = all_redeem(scene, coupons(scene, MANY))

    assert outcomes["won"] > 3
    assert standing(scene)[1] > 600


def test_one_customer_comes_once_with_many_coupons(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = (LimitRule(per=LimitPer.CUSTOMER, max_count=1),)
    meet_after(monkeypatch, limits, "locked")

    outcomes = all_redeem(scene, coupons(scene, MANY, of_one_customer=True, limits=once))

    assert outcomes == {"won": 1, "customer_limit_reached": MANY - 1}
    assert standing(scene) == budget(scene) == (1, 200)


def test_the_race_for_a_customers_limit_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = (LimitRule(per=LimitPer.CUSTOMER, max_count=1),)
    mine = coupons(scene, MANY + 1, of_one_customer=True, limits=once)
    make_every_row(scene, mine.pop())
    meet_after(monkeypatch, limits, "locked")
    monkeypatch.setattr(limits, "LOCK", "")

    outcomes = all_redeem(scene, mine)

    assert outcomes["won"] > 1


def make_every_row(scene: Scene, coupon: CouponView) -> None:
    """Redeem once and undo it by hand: the customer's row is there, and nought."""
    all_redeem(scene, [coupon])
    with transaction(scene.engine) as session:
        rows(session, "UPDATE limit_row SET used_count = 0, spent_minor = 0 RETURNING key")


def unlocked(sql: str) -> str:
    assert "FOR NO KEY UPDATE" in sql
    return sql.replace("FOR NO KEY UPDATE", "")


def test_a_first_purchase_is_made_once_with_two_coupons(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_only = Conditions(first_purchase_only=True)
    mine = coupons(scene, MANY, of_one_customer=True, conditions=first_only)
    meet_after(monkeypatch, desk, "lay")

    outcomes = all_redeem(scene, mine)

    assert outcomes == {"won": 1, "not_first_purchase": MANY - 1}
    assert standing(scene) == budget(scene) == (1, 200)


def test_the_race_for_the_first_purchase_is_real(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_only = Conditions(first_purchase_only=True)
    mine = coupons(scene, MANY, of_one_customer=True, conditions=first_only)
    meet_after(monkeypatch, desk, "lay")
    monkeypatch.setattr(desk, "LOCK_CUSTOMERS", unlocked(desk.LOCK_CUSTOMERS))

    outcomes = all_redeem(scene, mine)

    assert outcomes["won"] > 1


# One receipt, two coupons that do not combine.


def test_of_two_rivals_on_one_receipt_one_is_taken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals = coupons(scene, MANY, conditions=Conditions(exclusivity_groups=("spring",)))
    meet_after(monkeypatch, desk, "lay")

    outcomes = all_redeem(scene, rivals, order_ref="R1")

    assert outcomes == {"won": 1, "not_combinable": MANY - 1}
    assert standing(scene) == budget(scene) == (1, 200)


def test_the_race_for_a_receipt_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = coupons(scene, MANY, conditions=Conditions(exclusivity_groups=("spring",)))
    meet_after(monkeypatch, desk, "lay")
    monkeypatch.setattr(desk, "_LOCK_ORDERS", "SELECT 1")
    drop(scene.engine, "receipt", "pk_receipt")

    outcomes = all_redeem(scene, rivals, order_ref="R1")

    assert outcomes["won"] > 1


# One request, many times.


@pytest.mark.parametrize("terms", [{}, {"uses": 3}, {"benefit": GiftBalance(balance_minor=900)}])
def test_one_request_asked_many_times_at_once_is_one_redemption(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, terms: dict[str, Any]
) -> None:
    (coupon,) = coupons(scene, 1, **terms)
    request = make.request(scene.at, coupon, basket=make.basket(200))
    meet_after(monkeypatch, desk, "lay")

    answers = at_once(scene.engine, [redeems(scene, request)] * MANY)

    assert told(answers) == {"won": MANY}
    assert all(answer == answers[0] for answer in answers)
    assert standing(scene) == budget(scene) == (1, 200)
    with transaction(scene.engine) as session:
        assert count(session, "answer WHERE verb = 'redeem'") == 1


def test_one_refused_request_asked_many_times_at_once_has_one_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coupon,) = coupons(scene, 1)
    request = make.request(scene.at, coupon, basket=make.basket(200, currency="USD"))
    meet_after(monkeypatch, desk, "lay")

    answers = at_once(scene.engine, [redeems(scene, request)] * MANY)

    assert told(answers) == {"wrong_currency": MANY}
    with transaction(scene.engine) as session:
        assert count(session, "answer WHERE verb = 'redeem'") == 1
        assert count(session, "event WHERE kind = 'redemption_refused'") == 1


def test_one_id_for_two_coupons_at_once_is_used_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = make.an_id()
    requests = [make.request(scene.at, coupon, id=id) for coupon in coupons(scene, MANY)]
    meet_after(monkeypatch, desk, "lay")

    answers = at_once(scene.engine, [redeems(scene, request) for request in requests])

    assert told(answers) == {"won": 1, "request_reused": MANY - 1}
    assert standing(scene) == budget(scene) == (1, 200)


def test_the_race_for_an_id_is_real(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (coupon,) = coupons(scene, 1)
    request = make.request(scene.at, coupon)
    meet_after(monkeypatch, desk, "lay")
    drop(scene.engine, "answer", "pk_answer")

    answers = at_once(scene.engine, [redeems(scene, request)] * MANY)

    assert told(answers) == {"won": 1, "already_redeemed": MANY - 1}
    with transaction(scene.engine) as session:
        assert count(session, "answer WHERE verb = 'redeem'") == MANY
