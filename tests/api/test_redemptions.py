"""Redeeming through the door."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from httpx import Client, Response
from sqlalchemy import Engine, func, select, text
from sqlalchemy import table as sql_table

from api.kept import SOONEST_SECONDS
from coupon_engine import coupons, keys
from coupon_engine.database import transaction
from schemas.coupons import CouponView
from schemas.keys import KeyMove, NewKey, NewKeyMove
from schemas.offers import Conditions
from tests import make
from tests.api.conftest import Clock, Codes, Counter, redemption


def test_a_coupon_is_spent_once(counter: Counter, code: str) -> None:
    first = counter.redeems(code)
    second = counter.redeems(code)

    assert (first.status_code, first.json()["discount_minor"]) == (201, 200)
    assert (second.status_code, second.json()["code"]) == (409, "already_redeemed")


def test_a_repeat_gets_the_first_answer_letter_for_letter(
    counter: Counter, code: str, clock: Clock
) -> None:
    body = redemption(counter.at, code)
    first = counter.posts("/v1/redemptions", body)
    clock.passes(days=100)

    again = counter.posts("/v1/redemptions", body)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content


def test_a_repeat_of_a_refusal_is_refused_though_it_would_work_now(
    counter: Counter, code: str, clock: Clock
) -> None:
    body = redemption(counter.at, code)
    clock.passes(days=100)
    first = counter.posts("/v1/redemptions", body)
    clock.passes(days=-100)

    again = counter.posts("/v1/redemptions", body)

    assert (first.status_code, first.json()["code"]) == (409, "expired")
    assert again.content == first.content


def test_an_id_is_for_one_request(counter: Counter, code: str) -> None:
    body = redemption(counter.at, code)
    counter.posts("/v1/redemptions", body)

    other = counter.posts("/v1/redemptions", {**body, "cashier": "Kim"})

    assert (other.status_code, other.json()["code"]) == (409, "request_reused")


def test_a_refusal_tells_customer_and_cashier_what_would_help(
    counter: Counter, database: Engine, code_of: Codes
) -> None:
    with transaction(database) as session:
        conditions = Conditions(minimum_basket_minor=1_350)
        offer = make.offer(session, counter.at, conditions=conditions)
        coupon = make.coupon(session, counter.at, make.batch(session, counter.at, offer))

    answer = counter.redeems(code_of(coupon))

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == problem["refusal"]["code"] == "below_minimum"
    assert problem["type"] == "/problems/below_minimum"
    assert problem["refusal"]["reasons"][0]["needs"]["add_minor"] == 350
    assert problem["refusal"]["customer"]["en"] == "Add €3.50 more to use this coupon."


def test_many_counters_at_once_spend_one_coupon_once(counter: Counter, code: str) -> None:
    together = Barrier(16)

    def redeem(_: int) -> Response:
        together.wait()
        return counter.redeems(code)

    with ThreadPoolExecutor(16) as counters:
        answers = list(counters.map(redeem, range(16)))

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 15]


def test_one_request_many_times_is_one_redemption(
    counter: Counter, code: str, database: Engine
) -> None:
    body = redemption(counter.at, code)
    together = Barrier(16)

    def redeem(_: int) -> Response:
        together.wait()
        return counter.posts("/v1/redemptions", body)

    with ThreadPoolExecutor(16) as counters:
        answers = list(counters.map(redeem, range(16)))

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert rows(database, "redemption") == 1


def test_a_connection_that_breaks_at_commit_is_asked_about_again(
    counter: Counter, code: str, database: Engine
) -> None:
    at_the_first_commit(database, "redemption", "PERFORM pg_terminate_backend(pg_backend_pid())")

    answer = counter.redeems(code)

    assert answer.status_code == 201
    assert rows(database, "redemption") == 1


def test_a_locked_coupon_is_busy_and_nothing_has_changed(
    counter: Counter, code: str, coupon: CouponView, database: Engine
) -> None:
    body = redemption(counter.at, code)
    before = rows(database, "answer")
    with transaction(database) as session:
        session.connection().execute(
            text("SELECT id FROM coupon WHERE id = :id FOR UPDATE"), {"id": coupon.id}
        )
        busy = counter.posts("/v1/redemptions", body)

    assert (busy.status_code, busy.json()["code"]) == (503, "busy")
    assert busy.headers["retry-after"] == "1"
    assert rows(database, "redemption") == rows(database, "answer") - before == 0
    assert counter.posts("/v1/redemptions", body).status_code == 201


def test_a_key_that_was_published_after_the_door_opened_is_known_at_once(
    counter: Counter, code: str, coupon: CouponView, database: Engine
) -> None:
    counter.redeems(code)  # the door has read the keys
    with transaction(database) as session:
        operator_id = counter.at.operator_id
        key = keys.publish(
            session,
            operator_id,
            NewKey(id=make.an_id()),
            passphrase=make.PASSPHRASE,
            now=make.NOON,
        )
        move = NewKeyMove(
            id=make.an_id(), kid=key.kid, move=KeyMove.USE, reason="new", is_urgent=True
        )
        keys.decide_key(session, operator_id, move, now=make.NOON)
        ring = keys.ring(session, operator_id, issuer_url=make.ISSUER, passphrase=make.PASSPHRASE)
        another = make.coupon(session, counter.at)
        token = coupons.token(
            session, operator_id, another.id, ring, code_secret=make.SECRET, now=make.NOON
        )
    assert token.text is not None
    time.sleep(SOONEST_SECONDS)

    answer = counter.redeems(token.text)

    assert token.letter == "B"
    assert answer.status_code == 201


def test_a_redemption_can_be_looked_at_and_taken_back(counter: Counter, code: str) -> None:
    made = counter.redeems(code).json()

    back = counter.posts(
        "/v1/reversals",
        {"id": str(make.an_id()), "redemption_id": made["id"], "reason": "wrong coupon"},
    )
    seen = counter.gets(f"/v1/redemptions/{made['id']}")

    assert (back.status_code, back.json()["is_whole"]) == (201, True)
    assert (seen.json()["state"], seen.json()["reversed_minor"]) == ("reversed", 200)


def test_a_commit_that_fails_is_no_201(door: Client, counter: Counter, database: Engine) -> None:
    at_the_first_commit(database, "merchant", "RAISE EXCEPTION 'no room'")
    body = {"id": str(make.an_id()), "name": "Corner shop"}
    before = rows(database, "merchant")

    failed = counter.posts("/v1/merchants", body)

    assert (failed.status_code, failed.json()["code"]) == (500, "internal")
    assert rows(database, "merchant") == before
    assert counter.posts("/v1/merchants", body).status_code == 201


def at_the_first_commit(database: Engine, table: str, happens: str) -> None:
    """Let something happen when the next transaction that writes to the table commits; once."""
    with database.begin() as connection:
        connection.execute(text("CREATE SEQUENCE commits"))  # which no rollback takes back
        connection.execute(text("GRANT USAGE ON SEQUENCE commits TO PUBLIC"))
        connection.execute(
            text(f"""
            CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql
            SECURITY DEFINER AS $$ BEGIN
                IF nextval('commits') = 1 THEN {happens}; END IF; RETURN NULL;
            END $$
            """)
        )
        connection.execute(
            text(f"""
            CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()
            """)
        )


def rows(database: Engine, table: str) -> int:
    with database.connect() as connection:
        return connection.scalars(select(func.count()).select_from(sql_table(table))).one()
