"""One coupon's whole life through real doors: HTTP, a signed token, a picture, a scanner."""

from typing import Any
from uuid import UUID

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine

from coupon_engine.database import transaction
from scanner import decode
from scanner.counter import pick
from schemas.access import Role
from tests import make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter
from tests.coupon_engine.record import Totals, totals

BASKET = {
    "currency": "EUR",
    "lines": [
        {"product": "bread", "quantity": 1, "unit_price_minor": 350},
        {"product": "milk", "category": "dairy", "quantity": 2, "unit_price_minor": 150},
        {"product": "cheese", "category": "dairy", "quantity": 1, "unit_price_minor": 700},
    ],
}


@pytest.fixture
def walk(counter: Counter, clock: Clock, database: Engine) -> "Walk":
    second_person = askers.person(
        database, counter.client, counter.at, Role.APPROVER, now=clock.now, is_stepped_up=True
    )
    return Walk(counter, second_person, clock)


class Walk:
    """An operator's program, a phone and a counter, all talking HTTP."""

    def __init__(self, counter: Counter, second_person: Asker, clock: Clock) -> None:
        self.counter = counter
        self.clock = clock
        self.store_id = str(counter.at.store.id)
        self.second_person = second_person

    def makes(self, path: str, **body: Any) -> Any:
        answer = self.counter.posts(f"/v1/{path}", {"id": str(make.an_id()), **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def sees(self, path: str) -> Any:
        answer = self.counter.gets(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def coupon(self) -> Any:
        """Campaign, offer, batch, customer, and the coupon of this customer."""
        day = self.clock.now.date().isoformat()
        campaign = self.makes(
            "campaigns",
            name="Spring dairy",
            currency="EUR",
            zone="Europe/Berlin",
            starts_at=f"{day}T00:00:00+01:00",
            ends_at="2026-12-31T00:00:00+01:00",
            budget_minor=100_000,
            max_redemptions=1_000,
            max_issued=1_000,
        )
        offer = self.makes(
            "offers",
            campaign_id=campaign["id"],
            terms={
                "title": {"en": "A third off dairy", "zh": "乳制品打七折"},
                "benefit": {"kind": "percent_off", "percent_off_bp": 3_333},
                "conditions": {"categories": ["dairy"], "minimum_basket_minor": 1_000},
                "validity": {"days_after_issue": 14},
                "limits": [{"per": "customer", "period": "week", "max_count": 2}],
            },
        )
        batch = self.makes("batches", offer_id=offer["id"], name="Letters", size=10)
        diff = self.sees(f"campaigns/{campaign['id']}/diff")
        answer = self.second_person.posts(
            "/v1/approvals",
            {
                "id": str(make.an_id()),
                "campaign_id": campaign["id"],
                "seen": diff["fingerprint"],
                "reason": "ready",
            },
        )
        assert answer.status_code == 201, answer.text
        ann = str(make.an_id())
        self.makes("customers", customers=[{"id": ann, "ref": "loyalty-4711"}])
        return self.makes("coupons", batch_id=batch["id"], customer_id=ann)

    def scans(self, coupon: Any) -> str:
        """The phone draws the code; the counter's camera reads it."""
        picture = self.counter.gets(f"/v1/coupons/{coupon['id']}/qr.png")
        assert picture.headers["content-type"] == "image/png"
        return pick(reading.text for reading in decode(photographed(picture.content)))

    def redeems(self, code: str, **more: Any) -> Any:
        body = {
            "code": code,
            "store_id": self.store_id,
            "basket": BASKET,
            "order_ref": "R-1",
            **more,
        }
        return self.makes("redemptions", **body)


def photographed(png: bytes) -> Any:
    """A photograph of a screen, held a little askew under bad light."""
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    high, wide = drawn.shape
    turned = cv2.warpAffine(
        drawn,
        cv2.getRotationMatrix2D((wide / 2, high / 2), 7, 0.8),
        (wide, high),
        borderValue=(255,),
    )
    dim = cv2.convertScaleAbs(turned, alpha=0.5, beta=40)
    return cv2.GaussianBlur(dim, (5, 5), 1)


def test_one_coupon_lives_its_whole_life(walk: Walk, database: Engine) -> None:
    coupon = walk.coupon()
    code = walk.scans(coupon)
    assert code.startswith("CP1A")

    # Would it work? Looking changes nothing.
    looked = walk.counter.posts(
        "/v1/validations", {"codes": [code], "store_id": walk.store_id, "basket": BASKET}
    ).json()
    assert looked["discount_minor"] == 333
    with transaction(database) as session:
        assert totals(session) == Totals()

    # Redeemed, and repeated by a counter that lost the network.
    walk.clock.passes(minutes=5)
    id = str(make.an_id())
    redemption = walk.redeems(code, id=id, cashier="Ada")
    assert redemption["discount_minor"] == 333  # a third of 10.00 in dairy, 0.33 on the milk
    assert redemption["lines"] == [
        {"line": 1, "discount_minor": 100},
        {"line": 2, "discount_minor": 233},
    ]
    walk.clock.passes(minutes=1)
    assert walk.redeems(code, id=id, cashier="Ada") == redemption

    # A second counter hears no, and why.
    late = walk.counter.redeems(code, basket=BASKET)
    assert late.json()["code"] == "already_redeemed"
    assert walk.sees(f"coupons/{coupon['id']}")["state"] == "redeemed"

    # Taken back by line, then whole: nothing of it is left.
    first = walk.makes("reversals", redemption_id=id, reason="milk was sour", lines=[1])
    assert (first["discount_minor"], first["is_whole"]) == (100, False)
    rest = walk.makes("reversals", redemption_id=id, reason="the whole basket")
    assert (rest["discount_minor"], rest["coupon_is_usable"]) == (233, True)
    assert walk.sees(f"redemptions/{id}")["state"] == "reversed"
    with transaction(database) as session:
        assert totals(session) == Totals()

    # Redeemed again, from a fresh picture, and cleared an hour later.
    walk.clock.passes(minutes=1)
    again = walk.redeems(walk.scans(coupon))
    assert (again["use_no"], again["discount_minor"]) == (2, 333)
    walk.clock.passes(hours=2)
    assert walk.sees(f"redemptions/{again['id']}")["state"] == "cleared"
    too_late = walk.counter.posts(
        "/v1/reversals",
        {"id": str(make.an_id()), "redemption_id": again["id"], "reason": "too late"},
    )
    assert too_late.json()["code"] == "undo_window_closed"

    # The report counts it, and the story tells every step.
    (line,) = walk.sees("report")["campaigns"]
    assert {name: line[name] for name in ("issued", "redeemed", "reversed", "rate_bp")} == {
        "issued": 1,
        "redeemed": 1,
        "reversed": 1,
        "rate_bp": 10_000,
    }
    assert (line["discount_minor"], line["basket_minor"]) == (333, 1_350)
    assert line["median_seconds_to_redeem"] == 7 * 60
    story = walk.sees(f"coupons/{coupon['id']}/story")
    assert [each["kind"] for each in story["lines"]] == [
        "coupon_issued",
        "coupon_redeemed",
        "redemption_refused",
        "redemption_reversed",
        "redemption_reversed",
        "coupon_redeemed",
    ]
    assert story["lines"][1]["data"]["cashier"] == "Ada"
    assert UUID(story["lines"][5]["data"]["redemption_id"]) == UUID(again["id"])
    assert story["coupon"]["state"] == "redeemed"
