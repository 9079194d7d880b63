"""Leases: what a dark terminal may give away is out of the budget, and comes back exactly once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import campaigns, holding
from coupon_engine.errors import (
    CouponError,
    JournalIncomplete,
    NotSignedIn,
    RequestReused,
    TerminalFrozen,
    Unknown,
)
from coupon_engine.offline import leases
from coupon_engine.tables import Allowance, JournalGap, Lease, Terminal
from schemas.campaigns import CampaignView, Move, NewCampaign, NewMove, OfflinePolicy, Stops
from schemas.offers import Conditions, LimitOf, LimitPer, LimitRule
from schemas.offline import LONGEST_LEASE_SECONDS, LeaseView, NewLease
from tests import make
from tests.coupon_engine.record import count, kinds, redeemed, used
from tests.make import NOON, Shop

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def campaign(session: Session, at: Shop, **more: Any) -> CampaignView:
    """A campaign of which terminals may give away 3 coupons and 5.00 alone; one coupon is out."""
    asked: dict[str, Any] = {
        "offline": OfflinePolicy.DEVICE_QUOTA,
        "offline_count": 3,
        "offline_minor": 500,
    }
    made = make.campaign(session, at, **{**asked, **more})
    make.coupon(session, at, make.batch(session, at, make.offer(session, at, made)))
    return made


def budget(session: Session, of: CampaignView) -> tuple[int, int]:
    (own,) = used(session, f"9/{of.id}")
    return own


def given(lease: LeaseView, of: CampaignView) -> tuple[int, int] | None:
    for each in lease.allowances:
        if each.campaign_id == of.id:
            return each.max_count, each.max_minor
    return None


def closed(session: Session, at: Shop, lease: LeaseView, **more: Any) -> list[tuple[int, int]]:
    unused = leases.close(session, at.operator_id, lease.id, **{"now": NOON, **more})
    return [(each.max_count, each.max_minor) for each in unused]


def decides(session: Session, at: Shop, of: CampaignView, move: Move, stops: Stops) -> None:
    asked = NewMove(id=make.an_id(), campaign_id=of.id, move=move, reason="told", stops=stops)  # pyright: ignore[reportArgumentType]
    campaigns.decide(session, at.operator_id, asked, now=NOON)


def terminal(session: Session, at: Shop) -> Terminal:
    return session.get_one(Terminal, (at.operator_id, at.terminal.id))


def row(session: Session, lease: LeaseView) -> Lease:
    query = select(Lease).where(col(Lease.id) == lease.id)
    return session.exec(query.execution_options(populate_existing=True)).one()


def is_refused(error: type[CouponError], act: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(error) as refused:
        act()
    return refused.value.details


# What is set aside.


def test_an_allowance_is_out_of_the_budget_at_once(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)

    lease = make.lease(session, at)

    assert given(lease, ours) == (3, 500)
    assert budget(session, ours) == (3, 500)


def test_an_allowance_is_never_more_than_is_left(session: Session) -> None:
    at = make.shop(session)
    poor = campaign(session, at, budget_minor=700, max_redemptions=10_000)
    scarce = campaign(session, at, max_redemptions=4)
    other = make.another_terminal(session, at)

    first, second, third = (
        make.lease(session, at, terminal_id=id)
        for id in (at.terminal.id, other.id, make.another_terminal(session, at).id)
    )

    assert [given(each, poor) for each in (first, second, third)] == [(3, 500), (3, 200), None]
    assert [given(each, scarce) for each in (first, second, third)] == [(3, 500), (1, 500), None]
    assert budget(session, poor) == (6, 700)
    assert budget(session, scarce) == (4, 1_000)


def test_what_a_hold_keeps_is_not_lent(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at, budget_minor=700)
    offer = make.offer(session, at, ours)
    coupon = make.coupon(session, at, make.batch(session, at, offer))
    asked = make.hold_request(at, coupon)
    holding.hold(session, at.operator_id, asked, make.of_coupon(coupon, ours), now=NOON)
    make.lease(session, at)

    second = make.lease(session, at, terminal_id=make.another_terminal(session, at).id)

    assert second.allowances == ()  # 700 - 200 held - 500 lent
    assert budget(session, ours) == (3, 500)


def test_whoever_redeems_online_finds_what_is_left(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at, budget_minor=700)
    batch = make.batch(session, at, make.offer(session, at, ours))
    first, second = (make.coupon(session, at, batch) for _ in range(2))
    make.lease(session, at)

    redeemed(session, at, first)

    with pytest.raises(CouponError, match="does not work"):
        redeemed(session, at, second)  # 700 - 500 lent - 200 spent
    assert budget(session, ours) == (4, 700)


def test_setting_aside_is_no_spending_and_trips_no_breaker(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(
        session, at, offline_minor=500_000, planned_minor_per_minute=1_000, max_per_minute=1
    )
    batch = make.batch(session, at, make.offer(session, at, ours))
    make.lease(session, at)

    redeemed(session, at, make.coupon(session, at, batch))

    assert count(session, "event WHERE kind = 'breaker_tripped'") == 0
    assert budget(session, ours) == (4, 500_200)


@pytest.mark.parametrize(
    "more",
    [
        {"offline": OfflinePolicy.ONLINE_ONLY},
        {"limits": (LimitRule(per=LimitPer.ALL, max_count=5),)},
        {"starts_at": NOON + HOUR, "as_draft": True},
    ],
    ids=["online_only", "limits", "draft"],
)
def test_nothing_is_set_aside_of_what_no_terminal_judges_alone(
    session: Session, more: dict[str, Any]
) -> None:
    at = make.shop(session)
    if more.pop("as_draft", False):
        asked = {
            "id": make.an_id(),
            "name": "Draft",
            "currency": "EUR",
            "zone": "Europe/Berlin",
            "ends_at": NOON + 9 * DAY,
            "budget_minor": 1_000,
            "max_redemptions": 10,
            "max_issued": 10,
            "offline": OfflinePolicy.DEVICE_QUOTA,
        }
        campaigns.create_campaign(
            session, at.operator_id, NewCampaign.model_validate({**asked, **more}), now=NOON
        )
    else:
        campaign(session, at, **more)

    assert make.lease(session, at).allowances == ()


def test_rules_about_issuing_alone_stop_no_terminal(session: Session) -> None:
    at = make.shop(session)
    rule = LimitRule(of=LimitOf.ISSUE, per=LimitPer.ALL, max_count=5)
    ours = campaign(session, at, limits=(rule,))

    assert given(make.lease(session, at), ours) == (3, 500)


def test_of_a_campaign_that_has_ended_for_good_nothing_is_set_aside(session: Session) -> None:
    at = make.shop(session)
    gone, going_on = campaign(session, at), campaign(session, at)
    decides(session, at, gone, Move.END, Stops.ISSUING_AND_REDEEMING)
    decides(session, at, going_on, Move.END, Stops.ISSUING)

    lease = make.lease(session, at)

    assert (given(lease, gone), given(lease, going_on)) == (None, (3, 500))


def test_of_a_campaign_whose_coupons_are_all_over_nothing_is_set_aside(session: Session) -> None:
    """Issued on the campaign's last day, a coupon of thirty days is good for thirty more."""
    at = make.shop(session)
    ours = campaign(session, at)  # ends in 60 days
    last = NOON + 60 * DAY

    good = make.lease(session, at, now=last + 29 * DAY)
    over = make.lease(session, at, now=last + 31 * DAY)

    assert (given(good, ours), given(over, ours)) == ((3, 500), None)


def test_an_offer_for_other_stores_sets_nothing_aside_here(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)
    ours = make.campaign(session, at, offline=OfflinePolicy.DEVICE_QUOTA)
    offer = make.offer(session, at, ours, conditions=Conditions(stores=(other.id,)))
    make.coupon(session, at, make.batch(session, at, offer))
    there = make.another_terminal(session, at, store_id=other.id)

    here, elsewhere = make.lease(session, at), make.lease(session, at, terminal_id=there.id)

    assert (given(here, ours), given(elsewhere, ours)) == (None, (20, 10_000))


@pytest.mark.parametrize("policy", [OfflinePolicy.STORE_BOUND, OfflinePolicy.ACTIVATED])
def test_what_one_ledger_of_a_store_decides_is_lent_to_that_one_alone(
    session: Session, policy: OfflinePolicy
) -> None:
    at = make.shop(session)
    ours = campaign(session, at, offline=policy)
    other = make.another_terminal(session, at)

    deciding = make.lease(session, at, wants_authority=True)
    beside = make.lease(session, at, terminal_id=other.id)

    assert (given(deciding, ours), given(beside, ours)) == ((3, 500), None)
    assert budget(session, ours) == (3, 500)


# How long.


def test_a_lease_lasts_a_day_at_most(session: Session) -> None:
    at = make.shop(session)

    lease = make.lease(session, at)

    assert lease.ends_at - lease.starts_at == DAY
    with pytest.raises(ValidationError, match="less than or equal to 86400"):
        NewLease(id=make.an_id(), lasts_seconds=LONGEST_LEASE_SECONDS + 1)


def test_the_record_itself_takes_no_longer_lease(session: Session) -> None:
    at = make.shop(session)
    lease = row(session, make.lease(session, at))
    lease.ends_at += timedelta(seconds=1)
    session.add(lease)

    with pytest.raises(IntegrityError, match="ck_lease_longest"):
        session.flush()


def test_a_lease_is_in_force_from_its_start_until_its_end(session: Session) -> None:
    at = make.shop(session)
    lease = make.lease(session, at, lasts_seconds=600)

    def has_one(seconds: float) -> bool:
        now = NOON + timedelta(seconds=seconds)
        own = leases.current(session, at.operator_id, at.terminal.id, now=now)
        return own is not None and own.id == lease.id

    assert [has_one(-1), has_one(0), has_one(599.9), has_one(600)] == [False, True, True, False]


def test_the_next_lease_takes_the_place_of_the_one_before(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    first = make.lease(session, at)

    second = make.lease(session, at, now=NOON + HOUR)

    assert (first.number, second.number) == (1, 2)
    own = leases.current(session, at.operator_id, at.terminal.id, now=NOON + HOUR)
    assert own is not None
    assert own.id == second.id
    assert row(session, first).replaced_at == NOON + HOUR
    assert row(session, first).closed_at is None
    assert budget(session, ours) == (6, 1_000)  # of the first it is not known yet what was used


# Asked again.


def test_asking_again_is_one_lease(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    id = make.an_id()
    first = make.lease(session, at, id=id)

    again = make.lease(session, at, id=id, now=NOON + HOUR)

    assert again == first
    assert budget(session, ours) == (3, 500)


def test_another_terminal_does_not_get_the_answer_to_one_terminals_id(session: Session) -> None:
    at = make.shop(session)
    id = make.an_id()
    make.lease(session, at, id=id)
    other = make.another_terminal(session, at)

    is_refused(RequestReused, lambda: make.lease(session, at, id=id, terminal_id=other.id))


# Closing.


def test_what_was_not_used_comes_back_exactly_once(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    lease = make.lease(session, at)
    allowance = session.exec(select(Allowance)).one()
    allowance.used_count, allowance.used_minor = 1, 200
    session.add(allowance)

    assert closed(session, at, lease) == [(2, 300)]
    assert budget(session, ours) == (1, 200)
    assert closed(session, at, lease) == []
    assert budget(session, ours) == (1, 200)
    assert row(session, lease).closed_at == NOON
    assert kinds(session, at.terminal.id)[-2:] == ["lease_granted", "lease_closed"]


def test_a_lease_of_which_all_was_used_gives_nothing_back(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    lease = make.lease(session, at)
    allowance = session.exec(select(Allowance)).one()
    allowance.used_count, allowance.used_minor = 3, 500
    session.add(allowance)

    assert closed(session, at, lease) == []
    assert budget(session, ours) == (3, 500)


def test_a_closed_lease_is_in_force_no_more(session: Session) -> None:
    at = make.shop(session)
    lease = make.lease(session, at)

    closed(session, at, lease)

    assert leases.current(session, at.operator_id, at.terminal.id, now=NOON) is None


def test_what_never_was_is_not_closed(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    lease = make.lease(session, at)

    is_refused(Unknown, lambda: closed(session, stranger, lease))
    assert row(session, lease).closed_at is None


# Authority.


def test_one_terminal_at_a_time_decides_for_its_store(session: Session) -> None:
    at = make.shop(session)
    other = make.another_terminal(session, at)
    elsewhere = make.another_store(session, at.operator_id, at.store.merchant_id)
    third = make.another_terminal(session, at, store_id=elsewhere.id)

    first = make.lease(session, at, wants_authority=True, lasts_seconds=600)
    second = make.lease(session, at, terminal_id=other.id, wants_authority=True)
    there = make.lease(session, at, terminal_id=third.id, wants_authority=True)
    later = make.lease(
        session, at, terminal_id=other.id, wants_authority=True, now=NOON + timedelta(seconds=600)
    )

    assert [each.is_authority for each in (first, second, there, later)] == [
        True,
        False,
        True,
        True,
    ]


def test_whoever_decides_goes_on_deciding_with_the_next_lease(session: Session) -> None:
    at = make.shop(session)
    make.lease(session, at, wants_authority=True)

    assert make.lease(session, at, wants_authority=True).is_authority


def test_authority_that_was_given_up_is_free_when_nobody_can_still_believe_in_it(
    session: Session,
) -> None:
    """The answer that ended it may never have arrived; its journal shows that it has."""
    at = make.shop(session)
    other = make.another_terminal(session, at)
    first = make.lease(session, at, wants_authority=True)
    make.lease(session, at)  # the same terminal, without authority

    before = make.lease(session, at, terminal_id=other.id, wants_authority=True)
    closed(session, at, first)
    after = make.lease(session, at, terminal_id=other.id, wants_authority=True)

    assert (before.is_authority, after.is_authority) == (False, True)


def test_a_stolen_terminal_keeps_its_authority_until_its_lease_is_over(session: Session) -> None:
    at = make.shop(session)
    other = make.another_terminal(session, at)
    make.lease(session, at, wants_authority=True, lasts_seconds=600)
    terminal(session, at).revoked_at = NOON
    session.flush()

    early = make.lease(session, at, terminal_id=other.id, wants_authority=True)
    late = make.lease(
        session, at, terminal_id=other.id, wants_authority=True, now=NOON + timedelta(seconds=600)
    )

    assert (early.is_authority, late.is_authority) == (False, True)


# Who gets none.


def test_a_revoked_terminal_gets_no_lease(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    terminal(session, at).revoked_at = NOON
    session.flush()

    is_refused(NotSignedIn, lambda: make.lease(session, at))
    assert budget(session, ours) == (0, 0)


def test_a_frozen_terminal_gets_no_lease(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    terminal(session, at).frozen_at = NOON
    session.flush()

    is_refused(TerminalFrozen, lambda: make.lease(session, at))
    assert budget(session, ours) == (0, 0)


def test_a_terminal_whose_journal_has_a_gap_gets_no_lease_until_it_is_filled(
    session: Session,
) -> None:
    at = make.shop(session)
    gap = JournalGap(
        operator_id=at.operator_id,
        terminal_id=at.terminal.id,
        first_seq=4,
        last_seq=6,
        noticed_at=NOON,
    )
    session.add(gap)
    session.flush()

    told = is_refused(JournalIncomplete, lambda: make.lease(session, at))
    gap.filled_at = NOON
    session.flush()

    assert told == {"first_seq": 4, "last_seq": 6}
    assert make.lease(session, at).number == 1


def test_a_terminal_that_never_uploads_cannot_draw_a_budget_dry(session: Session) -> None:
    at = make.shop(session)
    ours = campaign(session, at)
    held = [make.lease(session, at) for _ in range(leases.MOST_OPEN)]

    told = is_refused(JournalIncomplete, lambda: make.lease(session, at))

    assert told == {"open_leases": 3, "first_seq": 1}
    assert budget(session, ours) == (9, 1_500)
    closed(session, at, held[0])
    assert make.lease(session, at).number == 4
    assert budget(session, ours) == (9, 1_500)


def test_a_terminal_that_is_not_ours_gets_no_lease(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)

    is_refused(Unknown, lambda: make.lease(session, at, terminal_id=stranger.terminal.id))
    is_refused(Unknown, lambda: make.lease(session, at, terminal_id=make.an_id()))
