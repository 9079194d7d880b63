"""What cannot be meant gets a clear problem and changes nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Engine, func, select, table, text

from api.manual import REQUESTS
from coupon_engine.database import transaction
from coupon_engine.validation.token import Typ, sign_typed
from schemas.coupons import CouponView
from tests import make
from tests.api.conftest import Counter, redemption

CAMPAIGN = dict(REQUESTS["/v1/campaigns"])
OFFER = dict(REQUESTS["/v1/offers"])
MANY = "9" * 5_000


def with_terms(**more: Any) -> dict[str, Any]:
    return {**OFFER, "terms": {**OFFER["terms"], **more}}


def with_basket(**more: Any) -> dict[str, Any]:
    return {**REQUESTS["/v1/redemptions"], "basket": {"currency": "EUR", **more}}


def with_line(**more: Any) -> dict[str, Any]:
    line = {"product": "p", "quantity": 1, "unit_price_minor": 100, **more}
    return with_basket(lines=[line])


NONSENSE: list[tuple[str, Any, str]] = [
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": 5000.0}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": "5000"}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": True}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": -1}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": 0}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": 10**13}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "budget_minor": None}, "body.budget_minor"),
    ("/v1/campaigns", {**CAMPAIGN, "starts_at": "2026-03-01T00:00:00"}, "body.starts_at"),
    ("/v1/campaigns", {**CAMPAIGN, "starts_at": 1_772_000_000}, "body.starts_at"),
    ("/v1/campaigns", {**CAMPAIGN, "starts_at": "0001-01-01T00:00:00Z"}, "body.starts_at"),
    ("/v1/campaigns", {**CAMPAIGN, "ends_at": CAMPAIGN["starts_at"]}, "body"),
    ("/v1/campaigns", {**CAMPAIGN, "currency": "XYZ"}, "body.currency"),
    ("/v1/campaigns", {**CAMPAIGN, "currency": "eur"}, "body.currency"),
    ("/v1/campaigns", {**CAMPAIGN, "zone": "Europe/Atlantis"}, "body.zone"),
    ("/v1/campaigns", {**CAMPAIGN, "zone": "../../etc/passwd"}, "body.zone"),
    ("/v1/campaigns", {**CAMPAIGN, "colour": "red"}, "body.colour"),
    ("/v1/campaigns", {**CAMPAIGN, "id": "1"}, "body.id"),
    ("/v1/campaigns", {**CAMPAIGN, "id": 7}, "body.id"),
    ("/v1/campaigns", {**CAMPAIGN, "name": "a\0b"}, "body.name"),
    ("/v1/campaigns", {**CAMPAIGN, "name": "x" * 201}, "body.name"),
    ("/v1/campaigns", {**CAMPAIGN, "paper_allowed": 1}, "body.paper_allowed"),
    ("/v1/campaigns", {**CAMPAIGN, "paper_allowed": "yes"}, "body.paper_allowed"),
    ("/v1/campaigns", {**CAMPAIGN, "level": "L9"}, "body.level"),
    ("/v1/campaigns", {}, "body.id"),
    ("/v1/campaigns", [], "body"),
    ("/v1/campaigns", "campaign", "body"),
    ("/v1/offers", with_terms(uses=1.0), "body.terms.uses"),
    ("/v1/offers", with_terms(undo_seconds="60"), "body.terms.undo_seconds"),
    ("/v1/offers", with_terms(benefit={"kind": "magic"}), "body.terms.benefit"),
    (
        "/v1/offers",
        with_terms(benefit={"kind": "amount_off", "amount_minor": 3.5}),
        "body.terms.benefit.amount_off.amount_minor",
    ),
    (
        "/v1/offers",
        with_terms(benefit={"kind": "percent_off", "percent_off_bp": 0.2}),
        "body.terms.benefit.percent_off.percent_off_bp",
    ),
    ("/v1/redemptions", with_line(quantity=1.0), "body.basket.lines[0].quantity"),
    ("/v1/redemptions", with_line(quantity=True), "body.basket.lines[0].quantity"),
    ("/v1/redemptions", with_line(unit_price_minor=9.99), "body.basket.lines[0].unit_price_minor"),
    ("/v1/redemptions", with_line(unit_price_minor="9"), "body.basket.lines[0].unit_price_minor"),
    ("/v1/redemptions", with_basket(), "body.basket"),
    ("/v1/redemptions", with_basket(total_minor=-1), "body.basket.total_minor"),
    ("/v1/redemptions", with_basket(total_minor=1, currency="BTC"), "body.basket.currency"),
    ("/v1/redemptions", {**REQUESTS["/v1/redemptions"], "code": ""}, "body.code"),
    ("/v1/redemptions", {**REQUESTS["/v1/redemptions"], "code": "x" * 4_097}, "body.code"),
    ("/v1/redemptions", {**REQUESTS["/v1/redemptions"], "operator_id": "x"}, "body.operator_id"),
    ("/v1/redemptions", {**REQUESTS["/v1/redemptions"], "challenge": "12a4"}, "body.challenge"),
    ("/v1/issues", {**REQUESTS["/v1/issues"], "unclaimed": 1e2}, "body.unclaimed"),
    ("/v1/holds", {"id": "x"}, "body.id"),
]


def test_nonsense_is_told_by_its_place(counter: Counter, database: Engine) -> None:
    before = every_count(database)

    for path, body, place in NONSENSE:
        answer = counter.posts(path, body)

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid_request"), (place, body)
        assert place in [each["at"] for each in problem["places"]], body
    assert every_count(database) == before


RAW: list[tuple[str, bytes, str, int, str]] = [
    ("not JSON", b"{", "application/json", 400, "unreadable_body"),
    ("not a number", b'{"budget_minor": NaN}', "application/json", 422, "invalid_request"),
    ("a huge number", MANY.encode(), "application/json", 400, "unreadable_body"),
    ("not UTF-8", b'{"name": "\xff"}', "application/json", 400, "unreadable_body"),
    ("half a character", b'{"name": "\\ud800"}', "application/json", 422, "invalid_request"),
    ("null", b"null", "application/json", 422, "invalid_request"),
    ("deep", b"[" * 500_000, "application/json", 400, "unreadable_body"),
    ("a form", b"name=Spring", "application/x-www-form-urlencoded", 415, "not_json"),
    ("JSON that says it is text", b"{}", "text/plain", 415, "not_json"),
    ("nothing", b"", "application/json", 422, "invalid_request"),
    ("spaces", b"  ", "application/json", 400, "unreadable_body"),
    ("ten megabytes", b" " * 10_000_000, "application/json", 413, "body_too_large"),
]


def test_a_body_that_is_none_is_refused(counter: Counter, database: Engine) -> None:
    before = every_count(database)

    for what, body, media_type, status, code in RAW:
        answer = counter.client.post(
            "/v1/campaigns",
            content=body,
            headers={"Authorization": f"Bearer {counter.api_key}", "Content-Type": media_type},
        )

        assert (answer.status_code, answer.json()["code"]) == (status, code), what
        assert answer.headers["content-type"] == "application/problem+json", what
    assert every_count(database) == before


def test_a_body_without_a_length_is_cut_off_where_it_becomes_too_large(
    counter: Counter, database: Engine
) -> None:
    before = every_count(database)

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    answer = counter.client.post(
        "/v1/campaigns",
        content=endless(),
        headers={
            "Authorization": f"Bearer {counter.api_key}",
            "Content-Type": "application/json",
        },
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert every_count(database) == before


def test_a_list_of_customers_may_be_larger(counter: Counter) -> None:
    people = [{"id": str(make.an_id()), "ref": f"{number:>060}"} for number in range(12_000)]

    answer = counter.posts("/v1/customers", {"id": str(make.an_id()), "customers": people})

    assert (answer.status_code, answer.json()["count"]) == (201, 12_000)


def strangers_requests(counter: Counter, coupon: CouponView) -> Mapping[str, dict[str, Any]]:
    """Requests that would succeed if they were the coupon's own operator's."""
    new = {"id": str(make.an_id())}
    coupon_id, batch_id = str(coupon.id), str(coupon.batch_id)
    campaign_id, offer_id = str(coupon.campaign_id), str(coupon.offer_id)
    merchant_id, store_id = str(counter.at.store.merchant_id), str(counter.at.store.id)
    reason = {"reason": "because"}
    return {
        "/v1/stores": {**new, "merchant_id": merchant_id, "name": "x", "zone": "UTC"},
        "/v1/terminals": {**new, "store_id": store_id, "name": "x"},
        "/v1/moves": {**new, "campaign_id": campaign_id, "move": "pause", **reason},
        "/v1/ceilings": {
            **new,
            "campaign_id": campaign_id,
            "ceiling": "budget_minor",
            "current": 1_000_000,
            "target": 2_000_000,
            **reason,
        },
        "/v1/offers": {**OFFER, **new, "campaign_id": campaign_id},
        "/v1/terms": {**new, "offer_id": offer_id, "terms": OFFER["terms"]},
        "/v1/batches": {**new, "offer_id": offer_id, "name": "x", "size": 1},
        "/v1/batch-moves": {**new, "batch_id": batch_id, "move": "pause", **reason},
        "/v1/coupons": {**new, "batch_id": batch_id},
        "/v1/issues": {**new, "batch_id": batch_id, "unclaimed": 1},
        "/v1/revocations": {**new, "coupon_id": coupon_id, **reason},
        "/v1/validations": {"codes": ["x"], "store_id": store_id},
        "/v1/holds": {**new, "code": "x", "store_id": store_id},
        "/v1/redemptions": {**new, "code": "x", "store_id": store_id},
    }


def test_another_operators_ids_are_as_unknown_as_ids_that_never_were(
    counter: Counter, stranger: Counter, coupon: CouponView, database: Engine
) -> None:
    before = every_count(database)
    for path, body in strangers_requests(counter, coupon).items():
        answer = stranger.posts(path, {**body, "id": str(make.an_id())} if "id" in body else body)
        assert (path, answer.status_code, answer.json()["code"]) == (path, 404, "unknown")
    for path in (
        f"/v1/campaigns/{coupon.campaign_id}",
        f"/v1/batches/{coupon.batch_id}",
        f"/v1/coupons/{coupon.id}",
        f"/v1/coupons/{coupon.id}/story",
        f"/v1/coupons/{coupon.id}/token",
        f"/v1/coupons/{coupon.id}/qr.png",
        f"/v1/redemptions/{make.an_id()}",
    ):
        assert (path, stranger.gets(path).json()["code"]) == (path, "unknown")

    after = every_count(database)
    # A no is kept under its id, so that a late repeat hears the same.
    assert after.pop("answer") > before.pop("answer")
    assert after == before


def test_another_operators_coupon_is_no_coupon_here(
    counter: Counter, stranger: Counter, code: str, database: Engine
) -> None:
    answer = stranger.redeems(code)

    # Same letter, another key: a forgery, as far as this operator can tell.
    assert (answer.status_code, answer.json()["code"]) == (409, "bad_signature")
    assert count(database, "redemption") == 0
    assert counter.redeems(code).status_code == 201


def test_what_is_no_coupon_is_refused_and_not_redeemed(counter: Counter, database: Engine) -> None:
    for shown, why in (
        ("https://example.com/", "not_a_coupon"),
        ("WIFI:S:shop;;", "not_a_coupon"),
        ("CP1A", "not_a_coupon"),
        ("eyJhbGciOiJub25lIn0.e30.", "unknown_key"),
        ("eyJhbGciOiJub25lIn0", "malformed"),
        ("7K3M-9QXA-0T5D", "not_a_coupon"),
        ("x\0y", "not_a_coupon"),
    ):
        answer = counter.redeems(shown)
        assert (shown, answer.status_code, answer.json()["code"]) == (shown, 409, why)
    assert count(database, "redemption") == 0


def test_a_document_of_another_kind_is_no_coupon(counter: Counter, database: Engine) -> None:
    """Signed by the very key that signs coupons, and yet no coupon."""
    key = counter.ring["A"]
    assert key.private is not None
    for typ in Typ:
        if typ is not Typ.COUPON:
            answer = counter.redeems(sign_typed({"iat": 1}, key.private, typ, kid=key.kid))
            assert (answer.status_code, answer.json()["code"]) == (409, "malformed")
    assert count(database, "redemption") == 0


def test_without_a_key_nothing_opens(counter: Counter) -> None:
    for sent in (
        b"",
        b"Bearer",
        b"Bearer cfk_aaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        b"Bearer cfk_\xff\xfe\xff\xfe\xff\xfe\xff\xfe_b",
        b"Basic YTpi",
        b"Token " + counter.api_key.encode(),
        counter.api_key.encode(),
    ):
        answer = counter.client.get("/v1/campaigns", headers=[(b"Authorization", sent)])

        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), sent
        assert answer.headers["www-authenticate"] == "Bearer"


def test_one_character_of_the_key_is_enough_to_stay_outside(counter: Counter) -> None:
    counter.api_key = counter.api_key[:-1] + ("a" if counter.api_key[-1] != "a" else "b")

    assert counter.gets("/v1/campaigns").status_code == 401


def test_a_list_is_asked_for_in_bounds(counter: Counter) -> None:
    for params in ({"most": 0}, {"most": 501}, {"most": "x"}, {"after": "x"}, {"before": "x"}):
        answer = counter.gets("/v1/campaigns", **params)

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), params


def test_a_problem_never_repeats_what_was_sent(counter: Counter) -> None:
    answer = counter.redeems("x" * 5_000, secret="hunter2", cashier=["hunter2"])

    assert answer.status_code == 422
    assert "hunter2" not in answer.text
    assert "xxx" not in answer.text


def test_a_refused_body_leaves_coupon_and_id_alone(counter: Counter, code: str) -> None:
    body = redemption(counter.at, code)

    assert counter.posts("/v1/redemptions", {**body, "spend_minor": 1.5}).status_code == 422
    assert counter.posts("/v1/redemptions", body).status_code == 201


def every_count(database: Engine) -> dict[str, int]:
    """Return how many rows each table has, but for the outbox, which empties itself."""
    with transaction(database) as session:
        names = session.connection().execute(
            text(
                "SELECT tablename FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename <> 'outbox'"
            )
        )
        return {name: count(database, name) for name in names.scalars()}


def count(database: Engine, name: str) -> int:
    with database.connect() as connection:
        return connection.scalars(select(func.count()).select_from(table(name))).one()
