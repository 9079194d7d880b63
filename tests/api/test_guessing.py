"""Guessing short codes: nothing told apart, and soon nothing told at all."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import campaigns, coupons, guessing
from coupon_engine.customers import wallets
from coupon_engine.database import transaction
from coupon_engine.errors import CouponError, TooManyTries
from coupon_engine.guessing import OF_ALL_TOGETHER, OF_ONE_ASKER
from coupon_engine.validation.short_code import short_code_of
from schemas.campaigns import BatchView, Move, NewMove
from schemas.coupons import CouponView, NewRevocation
from schemas.wallets import NewWalletClaim, WalletView
from tests import make
from tests.api.conftest import Clock, Counter
from tests.coupon_engine.customers import phone
from tests.coupon_engine.record import count, counted, redeemed
from tests.make import NOON, SECRET, Shop
from tests.race.together import Work, at_once, told

BASKET = {"currency": "EUR", "total_minor": 1_000}


def a_guess() -> str:
    """A code that could be one of ours, and is nobody's."""
    return short_code_of(make.an_id(), SECRET)


def lot(session: Session, at: Shop, **more: Any) -> BatchView:
    return make.batch(session, at, has_short_codes=True, **more)


def code_of(coupon: CouponView) -> str:
    assert coupon.short_code is not None
    return coupon.short_code


def asks(counter: Counter, door: str, code: str, **more: Any) -> Any:
    body: dict[str, Any] = {"store_id": str(counter.at.store.id), "basket": BASKET}
    match door:
        case "validations":
            return counter.posts("/v1/validations", {**body, "codes": [code], **more})
        case "claims":
            claim = {"short_code": code, "customer_id": more["customer_id"]}
            return counter.posts("/v1/claims", {"id": str(make.an_id()), **claim})
        case _:
            body = {"id": str(make.an_id()), "code": code, **body, **more}
            return counter.posts(f"/v1/{door}", body)


def test_thirty_wrong_codes_are_told_and_not_one_more(
    counter: Counter, stranger: Counter, database: Engine, clock: Clock
) -> None:
    with transaction(database) as session:
        foreign = code_of(make.coupon(session, stranger.at, lot(session, stranger.at)))
        here = code_of(make.coupon(session, counter.at, lot(session, counter.at)))
        customer_id = str(make.customer(session, counter.at))

    heard = [asks(counter, "redemptions", a_guess()) for _ in range(10)]
    heard += [asks(counter, "holds", foreign) for _ in range(10)]
    looked = [asks(counter, "validations", a_guess()) for _ in range(9)]
    claimed = asks(counter, "claims", a_guess(), customer_id=customer_id)

    assert {(each.status_code, each.json()["code"]) for each in heard} == {
        (409, "short_code_unknown")
    }
    assert {each.json()["verdicts"][0]["refusal"]["code"] for each in looked} == {
        "short_code_unknown"
    }
    assert (claimed.status_code, claimed.json()["details"]["kind"]) == (404, "short_code")
    for door in ("redemptions", "holds", "validations", "claims"):
        for code in (a_guess(), foreign, here):  # whether it would be right is told no more either
            no = (
                asks(counter, door, code, customer_id=customer_id)
                if door == "claims"
                else (asks(counter, door, code))
            )
            assert (no.status_code, no.json()["code"]) == (429, "too_many_tries")
            assert no.headers["retry-after"] == "3600"
    clock.passes(minutes=60)
    assert asks(counter, "redemptions", a_guess()).status_code == 409
    assert asks(counter, "redemptions", here).status_code == 201


def test_a_code_that_somebody_has_is_free(counter: Counter, database: Engine) -> None:
    with transaction(database) as session:
        batch = lot(session, counter.at)
        used, good = (make.coupon(session, counter.at, batch) for _ in range(2))
        redeemed(session, counter.at, used)

    codes = {asks(counter, "redemptions", code_of(used)).json()["code"] for _ in range(35)}
    looks = [asks(counter, "validations", code_of(good)) for _ in range(35)]

    assert codes == {"already_redeemed"}  # a counter with a key may hear why
    assert {each.json()["discount_minor"] for each in looks} == {200}
    with transaction(database) as session:
        assert count(session, "tries WHERE key LIKE 'guess%'") == 0


def test_a_mistyped_code_is_no_guess(counter: Counter, database: Engine) -> None:
    code = a_guess()
    mistyped = ("1" if code[0] != "1" else "2") + code[1:]

    heard = [asks(counter, "redemptions", mistyped) for _ in range(35)]

    assert {each.json()["code"] for each in heard} == {"not_a_coupon"}
    with transaction(database) as session:
        assert count(session, "tries WHERE key LIKE 'guess%'") == 0


def test_every_wrong_code_of_one_look_counts(counter: Counter) -> None:
    def look(many: int) -> Any:
        codes = [a_guess() for _ in range(many)]
        body = {"store_id": str(counter.at.store.id), "basket": BASKET, "codes": codes}
        return counter.posts("/v1/validations", body)

    assert [look(20).status_code, look(10).status_code, look(1).status_code] == [200, 200, 429]


def test_a_look_with_more_wrong_codes_than_are_left_tells_nothing(counter: Counter) -> None:
    for _ in range(OF_ONE_ASKER - 1):
        asks(counter, "redemptions", a_guess())

    codes = [a_guess(), a_guess()]
    body = {"store_id": str(counter.at.store.id), "basket": BASKET, "codes": codes}
    no = counter.posts("/v1/validations", body)

    assert (no.status_code, no.json()["code"]) == (429, "too_many_tries")


def test_what_was_answered_is_answered_again_though_nothing_more_is_told(
    counter: Counter, database: Engine
) -> None:
    with transaction(database) as session:
        good = code_of(make.coupon(session, counter.at, lot(session, counter.at)))
    id = str(make.an_id())
    first = asks(counter, "redemptions", good, id=id)
    for _ in range(OF_ONE_ASKER):
        asks(counter, "redemptions", a_guess())

    assert asks(counter, "redemptions", good).status_code == 429
    assert asks(counter, "redemptions", good, id=id).json() == first.json()


def test_a_signed_code_pays_nothing_and_goes_on_working(
    counter: Counter, code: str, coupon: CouponView
) -> None:
    for _ in range(OF_ONE_ASKER):
        asks(counter, "redemptions", a_guess())
    assert asks(counter, "redemptions", a_guess()).status_code == 429

    with counted() as statements:
        answer = asks(counter, "redemptions", code)

    assert (answer.status_code, answer.json()["coupon_id"]) == (201, str(coupon.id))
    assert statements
    assert [each for each in statements if "tries" in each] == []


def test_another_operators_counters_are_not_held_up(counter: Counter, stranger: Counter) -> None:
    for _ in range(OF_ONE_ASKER + 1):
        asks(counter, "redemptions", a_guess())

    assert asks(stranger, "redemptions", a_guess()).status_code == 409


def wrong(at: Shop, asker: str) -> Work:
    return lambda session: guessing.count(session, at.operator_id, asker, now=NOON)


def test_of_many_who_are_wrong_at_once_thirty_are_told(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)

    answers = at_once(database, [wrong(at, "till") for _ in range(48)])

    assert told(answers) == {"won": OF_ONE_ASKER, "too_many_tries": 48 - OF_ONE_ASKER}
    with transaction(database) as session, pytest.raises(TooManyTries):
        guessing.check(session, at.operator_id, "till", None, now=NOON)


def test_an_enumeration_by_many_terminals_is_told_two_thousand_times_in_an_hour(
    session: Session,
) -> None:
    at = make.shop(session)
    minute = timedelta(minutes=1)

    def heard(asker: str, now: Any) -> bool:
        try:
            guessing.check(session, at.operator_id, asker, None, now=now)
            guessing.count(session, at.operator_id, asker, now=now)
        except TooManyTries:
            return False
        return True

    def round_of_guesses(each: int, now: Any) -> int:
        return sum(heard(f"till {number % 75}", now) for number in range(75 * each))

    assert round_of_guesses(27, NOON) == OF_ALL_TOGETHER < 75 * 27
    assert round_of_guesses(1, NOON + 59 * minute) == 0
    assert round_of_guesses(1, NOON + 60 * minute) == 75


def gone(session: Session, at: Shop, **more: Any) -> dict[str, Callable[[], str]]:
    """Codes of such lots that give a customer nothing, for as many reasons as there are."""
    other = make.shop(session)

    def fresh(of: Shop = at) -> CouponView:
        return make.coupon(session, of, lot(session, of, needs_claim=True, **more))

    def used() -> str:
        coupon = make.coupon(session, at, lot(session, at, **more))
        redeemed(session, at, coupon)
        return code_of(coupon)

    def taken() -> str:
        of, somebody = lot(session, at, **more), make.customer(session, at)
        return code_of(make.coupon(session, at, of, customer_id=somebody))

    def withdrawn() -> str:
        coupon = fresh()
        request = NewRevocation(id=make.an_id(), coupon_id=coupon.id, reason="by mistake")
        coupons.revoke(session, at.operator_id, request, code_secret=SECRET, now=NOON)
        return code_of(coupon)

    def expired() -> str:
        long_ago = NOON - timedelta(days=50)
        of = make.offer(session, at, now=long_ago)
        return code_of(make.coupon(session, at, lot(session, at, of=of, **more), now=long_ago))

    return {
        "unknown": a_guess,
        "foreign": lambda: code_of(fresh(other)),
        "used": used,
        "taken": taken,
        "withdrawn": withdrawn,
        "expired": expired,
    }


def claims(session: Session, at: Shop, wallet: WalletView, code: str) -> CouponError:
    with pytest.raises(CouponError) as raised:
        wallets.claim(
            session,
            at.operator_id,
            wallet.id,
            NewWalletClaim(id=make.an_id(), short_code=code),
            network=f"203.0.113.{make.an_id().int % 250}",
            vault=make.VAULT,
            code_secret=SECRET,
            now=NOON,
        )
    return raised.value


@pytest.mark.parametrize("needs_contact", [False, True])
def test_a_customer_hears_the_same_of_every_code_that_gives_nothing(
    session: Session, *, needs_contact: bool
) -> None:
    at = make.shop(session)
    heard: dict[str, Any] = {}
    sent: dict[str, Any] = {}

    for reason, code in gone(session, at, needs_contact=needs_contact).items():
        typed = code()
        wallet = phone.wallet(session, at)
        with counted() as statements:
            no = claims(session, at, wallet, typed)
        heard[reason] = (type(no), no.code, no.details, str(no), no.is_answered)
        sent[reason] = [re.sub(r"savepoint_\d+", "savepoint", each) for each in statements]

    assert set(map(str, heard.values())) == {str(heard["unknown"])}
    assert {reason: sent[reason] == sent["unknown"] for reason in sent} == dict.fromkeys(sent, True)
    assert len(sent["unknown"]) > 5


def test_a_code_of_a_paused_campaign_is_like_any_other_to_a_customer(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    offer = make.offer(session, at, of=campaign)
    coupon = make.coupon(session, at, lot(session, at, of=offer, needs_claim=True))
    pause = NewMove(id=make.an_id(), campaign_id=campaign.id, move=Move.PAUSE, reason="a mistake")
    campaigns.decide(session, at.operator_id, pause, now=NOON)

    no = claims(session, at, phone.wallet(session, at), code_of(coupon))

    assert (no.code, no.details) == ("unknown", {"kind": "short_code", "id": ""})


def test_a_repeat_of_a_customers_guess_hears_no_more(session: Session) -> None:
    at = make.shop(session)
    wallet = phone.wallet(session, at)
    request = NewWalletClaim(id=make.an_id(), short_code=gone(session, at)["used"]())

    def again(id: UUID) -> Any:
        with pytest.raises(CouponError) as raised:
            wallets.claim(
                session,
                at.operator_id,
                id,
                request,
                network="203.0.113.1",
                vault=make.VAULT,
                code_secret=SECRET,
                now=NOON,
            )
        return raised.value.code, raised.value.details

    assert again(wallet.id) == again(wallet.id) == ("unknown", {"kind": "short_code", "id": ""})
