"""The report counts what stands in the record, and explains nothing."""

from datetime import timedelta

from sqlmodel import Session

from coupon_engine.reports import report
from schemas.campaigns import CampaignReport
from tests import make
from tests.coupon_engine.offline.device import device, world
from tests.coupon_engine.record import redeemed, refused, taken_back
from tests.make import NOON


def test_a_report_adds_up_what_was_issued_redeemed_and_taken_back(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at, name="Spring")
    batch = make.batch(session, at, make.offer(session, at, running, uses=2))
    one, two, three, _ = (make.coupon(session, at, batch) for _ in range(4))
    redeemed(session, at, one, now=NOON + timedelta(seconds=60))
    redeemed(session, at, one, now=NOON + timedelta(seconds=500))
    back = redeemed(session, at, two, now=NOON)
    taken_back(session, at, back)
    parted = redeemed(
        session, at, three, now=NOON + timedelta(seconds=90), basket=make.basket(500, 1_500)
    )
    taken_back(session, at, parted, lines=(0,))
    refused(session, at, one)

    (seen,) = report(session, at.operator_id, now=NOON).campaigns

    assert seen == CampaignReport(
        campaign_id=running.id,
        name="Spring",
        currency="EUR",
        issued=4,
        redeemed=3,
        provisional=0,
        disputed=0,
        reversed=1,
        rate_bp=5_000,
        discount_minor=200 + 200 + 150,
        basket_minor=1_000 + 1_000 + 2_000,
        median_seconds_to_redeem=60,
    )


def test_a_campaign_without_coupons_is_told_as_nought(session: Session) -> None:
    at = make.shop(session)
    one, two = make.campaign(session, at, name="One"), make.campaign(session, at, name="Two")
    make.campaign(session, make.shop(session), name="A stranger's")

    view = report(session, at.operator_id, now=NOON)

    assert view.at == NOON
    assert [each.campaign_id for each in view.campaigns] == [one.id, two.id]
    empty = view.campaigns[0]
    assert (empty.issued, empty.redeemed, empty.reversed, empty.rate_bp) == (0, 0, 0, 0)
    assert (empty.discount_minor, empty.basket_minor) == (0, 0)
    assert empty.median_seconds_to_redeem is None


def test_a_basket_with_two_coupons_is_counted_once(session: Session) -> None:
    at = make.shop(session)
    running = make.campaign(session, at)
    batch = make.batch(session, at, make.offer(session, at, running))
    for _ in range(2):
        redeemed(session, at, make.coupon(session, at, batch), order_ref="R1")
    redeemed(session, at, make.coupon(session, at, batch), order_ref="R2")
    redeemed(session, at, make.coupon(session, at, batch))

    (seen,) = report(session, at.operator_id, now=NOON).campaigns

    assert (seen.redeemed, seen.discount_minor, seen.basket_minor) == (4, 800, 3_000)


def test_what_is_not_decided_yet_is_told_apart(session: Session) -> None:
    of = world(session, many=3)
    till, other = device(session, of), device(session, of)
    till.leases(session)
    other.leases(session)
    redeemed(session, of.at, of.coupons[0])
    till.redeems(0)
    till.redeems(1)
    till.redeems(2)
    till.uploads(session)

    (seen,) = report(session, of.at.operator_id, now=NOON).campaigns

    assert (seen.redeemed, seen.provisional, seen.disputed) == (3, 2, 1)
    assert seen.discount_minor == 600
