"""What the server makes of journals: recorded first, judged second."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from coupon_engine import coupons, issuing
from coupon_engine.errors import JournalIncomplete, StillProvisional, Unknown
from coupon_engine.offline import claims, journals
from coupon_engine.redemption import redemption_view
from coupon_engine.tables import Terminal
from coupon_engine.terminals import terminals
from coupon_engine.validation.short_code import short_code_of
from schemas.coupons import NewCoupon, NewRevocation
from schemas.journals import Acknowledgement, Entry, NewUpload
from schemas.offers import PercentOff
from schemas.offline import LATEST_UPLOAD_SECONDS, Liable
from schemas.refusals import Why
from schemas.terminals import NewTerminalRevocation
from tests import make
from tests.coupon_engine.offline.device import (
    HOUR,
    MINUTE,
    ONE,
    Device,
    Phone,
    answers,
    device,
    millis,
    words,
    world,
)
from tests.coupon_engine.record import (
    count,
    kinds,
    redeemed,
    refused,
    rows,
    taken_back,
    used,
)
from tests.make import NOON, PASSPHRASE

DAY = timedelta(days=1)
LATEST = timedelta(seconds=LATEST_UPLOAD_SECONDS)


@pytest.fixture
def till(session: Session) -> Device:
    """A terminal under a lease, in a shop with five coupons."""
    one = device(session, world(session, many=5))
    one.leases(session)
    return one


def last(told: Acknowledgement) -> str:
    return words(told.answers)[-1]


def said(session: Session, till: Device) -> str:
    """Send the journal and return what becomes of its last entry, which is not paid."""
    told = till.uploads(session)
    answer = told.answers[-1]
    assert answer.liable is Liable.MERCHANT
    assert count(session, "redemption") == 0
    assert count(session, "coupon WHERE uses_count > 0") == 0
    assert count(session, "allowance WHERE used_count > 0") == 0
    return f"{answer.reason or answer.answer}: {answer.why}"


# What was honoured is paid.


def test_a_redemption_made_alone_is_accepted(session: Session, till: Device) -> None:
    id = till.redeems(cashier="Ann", order_ref="17", at=NOON + MINUTE)

    told = till.uploads(session)

    assert words(told.answers) == ["noted", "accepted"]
    assert (told.seq, told.hash, told.gaps) == (2, till.prev, ())
    (row,) = rows(session, "SELECT * FROM redemption")
    assert (row.id, row.decided, row.redeemed_at) == (id, "accepted", NOON + MINUTE)
    assert (row.cashier, row.order_ref, row.discount_minor) == ("Ann", "17", 200)
    assert row.evidence == till.of.codes[0]


def test_what_happened_stands_in_the_coupons_story(session: Session, till: Device) -> None:
    id = till.redeems(at=NOON + MINUTE, cashier="Ann")

    till.uploads(session, now=NOON + HOUR)

    subject = till.of.coupons[0].id
    assert kinds(session, subject)[-2:] == ["redeemed_offline", "redemption_decided"]
    told, decided = rows(
        session,
        "SELECT * FROM event WHERE subject_id = :id AND kind LIKE 'rede%' ORDER BY at",
        id=subject,
    )
    assert (told.at, told.recorded_at) == (NOON + MINUTE, NOON + HOUR)
    assert (told.actor["id"], told.actor["cashier"]) == (str(till.id), "Ann")
    assert (decided.at, decided.data["decided"]) == (NOON + HOUR, "accepted")
    assert decided.data["redemption_id"] == str(id)


def test_its_coupon_is_spent_at_once(session: Session, till: Device) -> None:
    other = device(session, till.of)
    other.leases(session)
    till.redeems()

    assert last(till.uploads(session)) == "provisional"

    refusal = refused(session, till.of.at, till.of.coupons[0], now=NOON + HOUR)
    assert refusal.code is Why.ALREADY_REDEEMED


def test_the_budget_was_out_before_and_the_rest_comes_back_when_the_lease_is_closed(
    session: Session, till: Device
) -> None:
    assert used(session, "9/") == [(20, till.of.campaign.offline_minor)]
    till.redeems(0)
    till.redeems(1)
    till.uploads(session)
    assert used(session, "9/") == [(20, till.of.campaign.offline_minor)]

    till.leases(session, now=NOON + HOUR)
    till.uploads(session)

    (first, second) = rows(session, "SELECT * FROM lease ORDER BY number")
    assert (first.closed_at is None, second.closed_at is None) == (False, True)
    minor = till.of.campaign.offline_minor
    assert used(session, "9/") == [(20 + 2, minor + 400)]


def test_sending_it_again_gets_the_same_answers_and_changes_nothing(
    session: Session, till: Device
) -> None:
    till.redeems()
    first = till.uploads(session)
    before = rows(session, "SELECT * FROM event ORDER BY id")

    again = till.uploads(session, now=NOON + HOUR)

    assert (again.seq, again.hash, again.answers) == (first.seq, first.hash, first.answers)
    assert rows(session, "SELECT * FROM event ORDER BY id") == before
    assert count(session, "redemption") == 1


def test_pieces_and_repeats_are_as_good_as_the_whole(session: Session, till: Device) -> None:
    till.redeems(0)
    till.redeems(1)

    for piece in (till.journal[:2], till.journal[1:2], till.journal[1:]):
        told = till.uploads(session, piece)

    assert told.seq == 3
    assert rows(session, "SELECT used_count, used_minor FROM allowance") == [(2, 400)]


def test_coupons_share_a_receipt_as_they_did_at_the_counter(session: Session) -> None:
    """The second takes a tenth of what the first has left: so it was told, and so it is judged."""
    of = world(session, many=2, terms={"benefit": PercentOff(percent_off_bp=1_000)})
    till = device(session, of)
    till.leases(session)
    basket = {"currency": "EUR", "total_minor": 1_000}
    till.redeems(0, order_ref="17", basket=basket, discount_minor=100)
    till.redeems(1, order_ref="17", basket=basket, discount_minor=90)

    assert words(till.uploads(session, till.journal[:2]).answers) == ["noted", "accepted"]
    assert last(till.uploads(session)) == "accepted"


def test_a_customers_own_ceiling_fills_and_no_more(session: Session) -> None:
    of = world(session, max_per_customer=1)
    ann = make.customer(session, of.at)
    own = [
        issuing.issue(
            session,
            of.at.operator_id,
            NewCoupon(id=make.an_id(), batch_id=of.batch_id, customer_id=ann),
            code_secret=make.SECRET,
            now=NOON - HOUR,
        )
        for _ in range(3)
    ]
    codes = [make.code(session, of.at, each, of.ring) for each in own]
    of = replace(of, coupons=own, codes=codes)
    till = device(session, of)
    till.leases(session)
    till.redeems(0)
    till.redeems(1)

    assert words(till.uploads(session).answers) == ["noted", "accepted", "accepted"]

    assert used(session, "2/") == [(1, 200)]
    refusal = refused(session, of.at, own[2], now=NOON + HOUR)
    assert refusal.code is Why.CUSTOMER_LIMIT_REACHED


def test_a_pause_that_the_terminal_had_not_heard_of_is_nothing_against_it(
    session: Session, till: Device
) -> None:
    till.redeems()
    session.connection().exec_driver_sql(
        "UPDATE campaign SET decided = 'paused', stops = 'issuing_and_redeeming'"
    )

    assert last(till.uploads(session)) == "accepted"


# What is not paid, and why.


def test_a_forged_coupon_is_not_paid(session: Session, till: Device) -> None:
    code = till.of.codes[0]
    till.redeems(shown=code[:-1] + ("0" if code[-1] != "0" else "1"))

    assert said(session, till).startswith("forged")


def test_another_coupons_code_is_no_evidence(session: Session, till: Device) -> None:
    till.redeems(0, shown=till.of.codes[1])

    assert said(session, till) == "forged: None"


def test_what_another_operator_has_signed_is_forged(session: Session, till: Device) -> None:
    stranger = world(session)
    till.redeems(shown=stranger.codes[0], jti=str(stranger.coupons[0].id))

    assert said(session, till) == f"forged: {Why.BAD_SIGNATURE}"


def test_without_evidence_it_is_unproven(session: Session, till: Device) -> None:
    till.redeems(shown=None)

    assert said(session, till) == f"unproven: {Why.LIVE_CODE_REQUIRED}"


def test_a_static_copy_of_a_code_that_a_phone_must_sign_is_unproven(session: Session) -> None:
    phone = Phone(session, "L3")
    till = phone.till(session)
    till.redeems(shown=phone.view.jwt)

    assert said(session, till) == f"unproven: {Why.LIVE_CODE_REQUIRED}"


def test_what_another_phone_has_signed_is_unproven(session: Session) -> None:
    phone = Phone(session, "L3")
    till = phone.till(session)
    thief = ec.generate_private_key(ec.SECP256R1())
    till.redeems(at=NOON + MINUTE, shown=phone.shows(at=NOON + MINUTE, key=thief))

    assert said(session, till) == f"unproven: {Why.BAD_HOLDER_SIGNATURE}"


def test_a_code_that_was_photographed_and_kept_is_unproven(session: Session) -> None:
    phone = Phone(session, "L3")
    till = phone.till(session)
    till.redeems(at=NOON + HOUR, shown=phone.shows(at=NOON + MINUTE))

    assert said(session, till) == f"unproven: {Why.STALE}"


def test_a_code_that_a_phone_has_just_signed_is_paid(session: Session) -> None:
    phone = Phone(session, "L3")
    till = phone.till(session)
    till.redeems(at=NOON + HOUR, shown=phone.shows(at=NOON + HOUR))

    assert last(till.uploads(session)) == "accepted"


@pytest.mark.parametrize(
    ("answered", "asked"), [("1234", "4321"), ("", "4321"), ("1234", None), ("", None)]
)
def test_digits_that_nobody_has_answered_leave_it_unproven(
    session: Session, answered: str, asked: str | None
) -> None:
    """Nor does a terminal go round them by asking for none."""
    phone = Phone(session, "L4")
    till = phone.till(session)
    till.redeems(shown=phone.shows(nonce=answered), challenge=asked)

    assert said(session, till) == f"unproven: {Why.CHALLENGE_REQUIRED}"


def test_digits_that_the_phone_has_answered_are_as_good_days_later(session: Session) -> None:
    phone = Phone(session, "L4")
    till = phone.till(session)
    till.redeems(shown=phone.shows(nonce="1234"), challenge="1234")

    assert last(till.uploads(session, now=NOON + 3 * DAY)) == "accepted"


def test_before_the_lease_began_nothing_is_paid(session: Session) -> None:
    till = device(session, world(session))
    id = make.an_id()
    till.redeems(at=NOON + MINUTE, lease=str(id))
    till.leases(session, now=NOON + HOUR, id=id)

    told = till.uploads(session)

    assert words(told.answers) == ["rejected: no_lease", "noted"]
    assert count(session, "redemption") == 0


def test_after_the_lease_has_ended_nothing_is_paid(session: Session, till: Device) -> None:
    till.redeems(at=NOON + DAY)

    assert said(session, till) == f"no_lease: {Why.LEASE_EXPIRED}"


def test_the_last_moment_of_a_lease_is_paid(session: Session, till: Device) -> None:
    till.redeems(at=NOON + DAY - ONE)

    assert last(till.uploads(session)) == "accepted"


def test_under_another_terminals_lease_nothing_is_paid(session: Session, till: Device) -> None:
    other = device(session, till.of)
    lease = other.leases(session)
    till.redeems(lease=str(lease.id))

    assert said(session, till).startswith("no_lease")


def test_under_a_lease_that_the_journal_has_left_nothing_is_paid(
    session: Session, till: Device
) -> None:
    old = till.lease
    assert old is not None
    till.leases(session, now=NOON + MINUTE)
    till.redeems(lease=str(old.id))

    assert said(session, till).startswith("no_lease")


def test_more_than_the_allowance_is_not_paid(session: Session) -> None:
    till = device(session, world(session, many=3, offline_count=2))
    till.leases(session)
    for number in range(3):
        till.redeems(number)

    told = till.uploads(session)

    assert words(told.answers) == ["noted", "accepted", "accepted", "rejected: over_allowance"]
    assert told.answers[-1].liable is Liable.MERCHANT
    assert rows(session, "SELECT used_count, used_minor FROM allowance") == [(2, 400)]


def test_more_money_than_the_allowance_is_not_paid(session: Session) -> None:
    till = device(session, world(session, many=3, offline_minor=399))
    till.leases(session)
    till.redeems(0)
    till.redeems(1)

    assert words(till.uploads(session, till.journal[:2]).answers) == ["noted", "accepted"]
    assert last(till.uploads(session)) == "rejected: over_allowance"
    assert rows(session, "SELECT used_count, used_minor FROM allowance") == [(1, 200)]


def test_after_a_revocation_nothing_is_paid_and_everything_is_kept(
    session: Session, till: Device
) -> None:
    till.redeems()
    revoke(session, till)

    assert said(session, till).startswith("after_revocation")
    assert count(session, "journal_entry") == 2


def revoke(session: Session, till: Device) -> None:
    terminals.revoke(
        session,
        till.of.at.operator_id,
        NewTerminalRevocation(id=make.an_id(), terminal_id=till.id, reason="stolen"),
        store_ids=None,
        now=NOON + HOUR,
    )


@pytest.mark.parametrize(
    ("campaign", "terms"),
    [
        ({"offline": "online_only"}, {}),
        ({"limits": [{"per": "store", "max_count": 5}]}, {}),
        ({}, {"uses": 2}),
        ({"offline": "store_bound"}, {}),
        ({"offline": "activated"}, {}),
    ],
)
def test_what_only_the_server_may_judge_is_not_paid(
    session: Session, campaign: dict[str, Any], terms: dict[str, Any]
) -> None:
    till = device(session, world(session, terms=terms, **campaign))
    till.leases(session)
    till.redeems()

    assert said(session, till) == f"not_offline: {Why.ONLINE_REQUIRED}"


def test_a_short_code_is_never_judged_alone(session: Session, till: Device) -> None:
    till.redeems(shown=short_code_of(till.of.coupons[0].id, make.SECRET).lower())

    assert said(session, till) == f"not_offline: {Why.ONLINE_REQUIRED}"


def test_what_is_no_code_of_ours_proves_nothing(session: Session, till: Device) -> None:
    till.redeems(shown="ABCD-EFGH-JKMN")

    assert said(session, till) == f"forged: {Why.NOT_A_COUPON}"


def test_an_expired_coupon_is_not_paid(session: Session) -> None:
    till = device(session, world(session, terms={"validity": {"days_after_issue": 1}}))
    late = NOON + 3 * DAY
    till.leases(session, now=late)
    till.redeems(at=late + MINUTE)

    assert said(session, till) == f"not_due: {Why.EXPIRED}"


def test_another_discount_than_the_judges_is_not_paid(session: Session, till: Device) -> None:
    till.redeems(discount_minor=201)

    assert said(session, till) == "not_due: None"


def test_lines_that_the_judge_does_not_know_are_not_paid(session: Session, till: Device) -> None:
    till.redeems(lines=[{"line": 0, "discount_minor": 200}])

    assert said(session, till) == "not_due: None"


def test_another_currency_is_not_paid(session: Session, till: Device) -> None:
    till.redeems(basket={"currency": "USD", "total_minor": 1_000})

    assert said(session, till) == f"not_due: {Why.WRONG_CURRENCY}"


def test_another_store_than_the_leases_is_not_paid(session: Session, till: Device) -> None:
    till.redeems(store=str(make.an_id()))

    assert said(session, till) == f"not_due: {Why.WRONG_STORE}"


def test_a_coupon_that_the_status_list_had_named_is_not_paid(
    session: Session, till: Device
) -> None:
    withdrawn(session, till)
    till.redeems(at=NOON + HOUR, list_ver=millis(NOON + MINUTE))

    assert said(session, till) == f"not_due: {Why.REVOKED}"


def test_a_coupon_that_was_withdrawn_after_the_list_was_read_is_paid(
    session: Session, till: Device
) -> None:
    withdrawn(session, till)
    till.redeems(at=NOON + HOUR)

    assert last(till.uploads(session)) == "accepted"


def withdrawn(session: Session, till: Device) -> None:
    """Withdraw the first coupon at noon."""
    coupons.revoke(
        session,
        till.of.at.operator_id,
        NewRevocation(id=make.an_id(), coupon_id=till.of.coupons[0].id, reason="lost"),
        code_secret=make.SECRET,
        now=NOON,
    )


def test_a_clock_that_went_back_is_not_believed(session: Session, till: Device) -> None:
    till.redeems(0, at=NOON + HOUR)
    till.redeems(1, at=NOON + MINUTE)
    till.redeems(2, at=NOON + 2 * MINUTE)  # still before what is known to be past
    till.redeems(3, at=NOON + 2 * HOUR)

    told = till.uploads(session)

    wrong = "rejected: clock"
    assert words(told.answers) == ["noted", "accepted", wrong, wrong, "accepted"]


def test_an_entry_before_what_its_terminal_knew_is_not_believed(
    session: Session, till: Device
) -> None:
    till.redeems(at=NOON + MINUTE, t_min=millis(NOON + HOUR))

    assert said(session, till).startswith("clock")


def test_an_entry_of_the_future_is_not_believed(session: Session, till: Device) -> None:
    till.redeems(0, at=NOON + HOUR)
    told = till.uploads(session, now=NOON + MINUTE)
    till.redeems(1, at=NOON + HOUR + MINUTE)

    assert last(told) == "rejected: clock"
    assert last(till.uploads(session)) == "accepted"


def test_a_clock_that_is_a_minute_ahead_is_believed(session: Session, till: Device) -> None:
    till.redeems(at=NOON + HOUR + MINUTE)

    assert last(till.uploads(session, now=NOON + HOUR)) in ("accepted", "provisional")


def test_what_comes_too_late_is_not_paid(session: Session, till: Device) -> None:
    till.redeems()
    told = till.uploads(session, now=NOON + DAY + LATEST)

    assert last(told) == "rejected: too_late"


def test_what_comes_at_the_last_moment_is_paid(session: Session, till: Device) -> None:
    till.redeems()

    assert last(till.uploads(session, now=NOON + DAY + LATEST - ONE)) == "accepted"


def test_an_id_that_is_another_coupons_redemption_is_not_paid(
    session: Session, till: Device
) -> None:
    id = till.redeems(0)
    till.redeems(1, id=str(id))

    assert words(till.uploads(session).answers)[1:] == ["accepted", "rejected: id_taken"]


def test_a_no_tells_why_in_the_record(session: Session, till: Device) -> None:
    till.redeems(discount_minor=999)
    till.uploads(session)

    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'entry_rejected'")
    assert event.subject_id == till.of.coupons[0].id
    assert (event.data["reason"], event.data["seq"]) == ("not_due", 2)


# What is not a redemption of its own.


def test_refusals_and_leases_are_noted(session: Session, till: Device) -> None:
    till.writes("refused", why="expired", shown_hash="0" * 64)
    till.writes("clock", note={"behind_seconds": 200})

    assert words(till.uploads(session).answers) == ["noted"] * 3


def test_what_the_server_has_redeemed_is_remembered_once(session: Session, till: Device) -> None:
    made = redeemed(session, till.of.at, till.of.coupons[0])
    till.redeems(0, mode="online", id=str(made.id))
    till.redeems(1, mode="online")

    told = till.uploads(session)

    assert words(told.answers)[1:] == ["duplicate_of_self", "noted"]
    assert told.answers[1].winner_id == made.id
    assert count(session, "redemption") == 1


def test_a_counter_that_never_heard_the_servers_yes_is_not_paid_twice(
    session: Session, till: Device
) -> None:
    """It asked with this id, heard nothing, and then decided alone with the same id."""
    made = redeemed(session, till.of.at, till.of.coupons[0])
    till.redeems(0, id=str(made.id))

    told = till.uploads(session)

    assert last(told) == "duplicate_of_self"
    assert count(session, "redemption") == 1
    assert rows(session, "SELECT used_count FROM allowance") == [(0,)]


def test_the_hub_is_paid_for_whoever_asked_it(session: Session, till: Device) -> None:
    other = device(session, till.of)
    id = till.redeems(0, mode="hub", asked_by=str(other.id))
    other.redeems(0, mode="hub", id=str(id), lease=None)

    assert last(till.uploads(session)) == "accepted"
    assert last(other.uploads(session)) == "duplicate_of_self"
    assert count(session, "redemption") == 1


def test_what_came_too_quickly_is_flagged(session: Session, till: Device) -> None:
    till.redeems(0, at=NOON + MINUTE)
    till.redeems(1, at=NOON + MINUTE + ONE)
    till.redeems(2, at=NOON + MINUTE + 3 * ONE)

    till.uploads(session)

    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'redemptions_hurried'")
    assert event.data["seqs"] == [3]


# Two for one coupon.


def test_online_counts_though_it_came_later_and_the_campaign_bears_the_other(
    session: Session, till: Device
) -> None:
    online = redeemed(session, till.of.at, till.of.coupons[0], now=NOON + HOUR)
    id = till.redeems(0, at=NOON + MINUTE)

    answer = till.uploads(session, now=NOON + 2 * HOUR).answers[-1]

    assert (answer.answer, answer.winner_id) == ("disputed", online.id)
    assert answer.liable is Liable.CAMPAIGN
    both = rows(session, "SELECT id, decided, use_no FROM redemption ORDER BY use_no")
    assert both == [(online.id, "accepted", 1), (id, "disputed", 2)]
    assert rows(session, "SELECT uses_count FROM coupon WHERE last_use_no = 2") == [(1,)]
    assert rows(session, "SELECT used_count, used_minor FROM allowance") == [(1, 200)]


def test_a_merchant_bears_what_its_terminal_had_been_told_of(
    session: Session, till: Device
) -> None:
    redeemed(session, till.of.at, till.of.coupons[0], now=NOON)
    before = used(session, "9/")
    till.redeems(0, at=NOON + HOUR, list_ver=millis(NOON + MINUTE))

    answer = till.uploads(session).answers[-1]

    assert (answer.answer, answer.liable) == ("disputed", Liable.MERCHANT)
    ((many, minor),) = before
    assert used(session, "9/") == [(many - 1, minor - 200)]
    till.leases(session, now=NOON + 2 * HOUR)
    till.uploads(session)
    assert used(session, "9/") == [(1 + 20, 200 + till.of.campaign.offline_minor)]


@pytest.fixture
def two(session: Session) -> tuple[Device, Device]:
    """Two terminals that know nothing of each other, under a lease each."""
    of = world(session, many=5)
    one, other = device(session, of), device(session, of)
    one.leases(session)
    other.leases(session)
    return one, other


def test_it_is_provisional_while_another_terminal_may_have_been_earlier(
    session: Session, two: tuple[Device, Device]
) -> None:
    one, other = two
    one.redeems(0, at=NOON + HOUR)
    assert last(one.uploads(session)) == "provisional"

    other.writes("refused", at=NOON + HOUR - MINUTE)
    other.uploads(session)
    assert words(one.hears(session).answers) == ["noted"]

    other.writes("refused", at=NOON + HOUR + MINUTE)
    other.uploads(session)

    assert words(one.hears(session).answers) == ["noted", "accepted"]


@pytest.mark.parametrize("first", [0, 1])
def test_the_earlier_of_two_counts_whichever_comes_in_first(
    session: Session, two: tuple[Device, Device], first: int
) -> None:
    ids = [each.redeems(0, at=NOON + HOUR + at * MINUTE) for at, each in enumerate(two)]
    for each in two:
        each.leases(session, now=NOON + 3 * HOUR)

    for each in (two[first], two[1 - first]):
        each.uploads(session, now=NOON + 4 * HOUR)

    early, late = (each.hears(session, now=NOON + 5 * HOUR) for each in two)
    assert words([answers(early)[2]]) == ["accepted"]
    assert words([answers(late)[2]]) == ["disputed"]
    assert answers(late)[2].winner_id == ids[0]
    assert rows(session, "SELECT id, decided FROM redemption ORDER BY redeemed_at") == [
        (ids[0], "accepted"),
        (ids[1], "disputed"),
    ]
    assert rows(session, "SELECT last_redeemed_at FROM coupon WHERE uses_count = 1") == [
        (NOON + HOUR,)
    ]


def test_each_of_both_facts_ends_once(session: Session, two: tuple[Device, Device]) -> None:
    for at, each in enumerate(two):
        each.redeems(0, at=NOON + HOUR + at * MINUTE)
        each.leases(session, now=NOON + 3 * HOUR)
    for each in (*two, *two):
        each.uploads(session, now=NOON + 4 * HOUR)

    decided = rows(session, "SELECT data FROM event WHERE kind = 'redemption_decided'")
    assert sorted(row.data["decided"] for row in decided) == ["accepted", "disputed"]


def test_a_revoked_terminal_keeps_nobody_waiting(
    session: Session, two: tuple[Device, Device]
) -> None:
    one, other = two
    one.redeems(0)
    one.uploads(session)
    revoke(session, other)

    decided = claims.decide_due(session, one.of.at.operator_id, now=NOON + 2 * HOUR)

    assert decided == 1
    assert words(one.hears(session, now=NOON + 3 * HOUR).answers)[-1] == "accepted"
    assert claims.decide_due(session, one.of.at.operator_id, now=NOON + 2 * HOUR) == 0


def test_where_one_terminal_decides_for_the_store_it_counts_at_once(session: Session) -> None:
    of = world(session, offline="store_bound")
    bound = issuing.issue(
        session,
        of.at.operator_id,
        NewCoupon(id=make.an_id(), batch_id=of.batch_id, store_id=of.at.store.id),
        code_secret=make.SECRET,
        now=NOON - HOUR,
    )
    of = replace(of, coupons=[bound], codes=[make.code(session, of.at, bound, of.ring)])
    hub, other = device(session, of), device(session, of)
    hub.leases(session, wants_authority=True)
    other.leases(session, wants_authority=True)
    hub.redeems()
    other.redeems()

    assert last(hub.uploads(session)) == "accepted"
    assert last(other.uploads(session)) == "rejected: not_offline"


def test_while_it_is_provisional_nobody_takes_it_back(
    session: Session, two: tuple[Device, Device]
) -> None:
    one, other = two
    one.redeems(0, at=NOON + MINUTE)
    one.uploads(session)
    view = _view(session, one)
    assert view.state == "provisional"

    with pytest.raises(StillProvisional):
        taken_back(session, one.of.at, view, now=NOON + HOUR)

    other.writes("refused", at=NOON + 3 * HOUR)
    other.uploads(session, now=NOON + 4 * HOUR)
    before = used(session, "9/")
    taken_back(session, one.of.at, view, now=NOON + 4 * HOUR + MINUTE)
    ((many, minor),) = before
    assert used(session, "9/") == [(many - 1, minor - 200)]
    assert _view(session, one).state == "reversed"


def _view(session: Session, till: Device) -> Any:
    (row,) = rows(session, "SELECT id FROM redemption")
    return redemption_view(session, till.of.at.operator_id, row.id, now=NOON + HOUR)


# The chain.


def test_what_the_terminal_has_not_signed_is_no_entry(session: Session, till: Device) -> None:
    thief = Device(till.of, till.id, till.store)
    thief.redeems(0)
    stranger = device(session, till.of)
    stranger.redeems(0)
    entries = [till.journal[0], thief.journal[0], "nonsense", stranger.journal[0]]

    told, unread = till.uploaded(session, entries)

    assert unread == (1, 2, 3)
    assert (told.seq, words(told.answers)) == (1, ["noted"])
    assert count(session, "journal_entry") == 1


def test_what_is_well_signed_and_unreadable_is_kept(session: Session, till: Device) -> None:
    till.writes("redeemed", discount_minor=-5)
    till.redeems(0)

    told = till.uploads(session)

    assert words(told.answers) == ["noted", "rejected: unreadable", "accepted"]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_every_entry_that_is_missing_is_named(session: Session, till: Device, missing: int) -> None:
    for number in range(3):
        till.redeems(number)
    entries = [*till.journal]
    del entries[missing]

    told = till.uploads(session, entries)

    if missing == 3:  # the last: nothing says yet that there was one
        assert (told.seq, told.gaps) == (3, ())
        return
    assert [(gap.first_seq, gap.last_seq) for gap in told.gaps] == [(missing + 1, missing + 1)]
    assert told.seq == missing
    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'journal_gap_found'")
    assert event.data["gaps"] == [[missing + 1, missing + 1]]


def test_what_comes_after_a_gap_waits_and_is_judged_when_the_gap_is_filled(
    session: Session, till: Device
) -> None:
    for number in range(4):
        till.redeems(number)

    told = till.uploads(session, [till.journal[4], till.journal[0], till.journal[2]])
    assert words(told.answers) == ["noted", "provisional", "provisional"]
    assert [(gap.first_seq, gap.last_seq) for gap in told.gaps] == [(2, 2), (4, 4)]
    assert count(session, "redemption") == 0

    told = till.uploads(session, [till.journal[1]])
    assert (told.seq, [gap.first_seq for gap in told.gaps]) == (3, [4])
    assert count(session, "redemption") == 2

    told = till.uploads(session, [till.journal[3]])
    assert (told.seq, told.gaps) == (5, ())
    assert words(till.uploads(session).answers) == ["noted", *["accepted"] * 4]


def test_nobody_gets_a_lease_over_a_gap(session: Session, till: Device) -> None:
    till.redeems(0)
    till.redeems(1)
    till.uploads(session, till.journal[2:])

    with pytest.raises(JournalIncomplete):
        till.leases(session, now=NOON + HOUR)

    till.uploads(session, till.journal[:2])
    till.leases(session, now=NOON + HOUR)


def test_a_gap_that_is_half_filled_is_named_anew(session: Session, till: Device) -> None:
    for _ in range(8):
        till.writes("refused")

    till.uploads(session, till.journal[8:])
    told = till.uploads(session, till.journal[3:5])

    assert [(gap.first_seq, gap.last_seq) for gap in told.gaps] == [(1, 3), (6, 8)]
    assert till.uploads(session).gaps == ()
    assert count(session, "journal_gap WHERE filled_at IS NULL") == 0


def test_behind_a_gap_that_nobody_fills_everything_is_answered_in_the_end(
    session: Session, till: Device
) -> None:
    till.redeems(0)
    till.redeems(1)
    till.uploads(session, [till.journal[0], till.journal[2]])

    def settle(days: int) -> int:
        return journals.settle_late(session, till.of.at.operator_id, now=NOON + days * DAY)

    assert settle(8) == 0
    assert settle(9) == 1
    assert settle(9) == 0
    told = till.uploads(session, now=NOON + 9 * DAY)
    assert words(told.answers) == ["noted", "rejected: too_late", "rejected: too_late"]
    assert (told.seq, told.gaps) == (3, ())
    assert count(session, "redemption") == 0
    till.redeems(2, at=NOON + 9 * DAY)
    assert (till.uploads(session).seq, count(session, "journal_fork")) == (4, 0)


def test_two_entries_with_one_number_freeze_the_terminal(session: Session, till: Device) -> None:
    till.redeems(0)
    copy = replace(till, journal=till.journal[:1], seq=1, prev=_hash(till.journal[0]))
    copy.redeems(1)
    till.uploads(session)

    told = copy.uploads(session)

    assert (told.seq, told.hash) == (2, till.prev)
    terminal = session.get_one(Terminal, (till.of.at.operator_id, till.id))
    assert terminal.frozen_at == copy.ts + ONE
    assert rows(session, "SELECT seq, jwt FROM journal_fork") == [(2, copy.journal[1])]
    (event,) = rows(session, "SELECT * FROM event WHERE kind = 'journal_forked'")
    assert (event.subject_id, event.data["seqs"]) == (till.id, [2])
    assert count(session, "redemption") == 1


def test_from_then_on_nothing_of_it_is_paid(session: Session, till: Device) -> None:
    till.redeems(0)
    copy = replace(till, journal=till.journal[:1], seq=1, prev=_hash(till.journal[0]))
    copy.redeems(1)
    till.uploads(session)
    copy.uploads(session)

    till.redeems(2)

    assert last(till.uploads(session)) == "rejected: forked"


def test_the_same_fork_again_is_no_news(session: Session, till: Device) -> None:
    till.redeems(0)
    copy = replace(till, journal=till.journal[:1], seq=1, prev=_hash(till.journal[0]))
    copy.redeems(1)
    till.uploads(session)

    copy.uploads(session)
    copy.uploads(session, now=NOON + HOUR)

    assert count(session, "event WHERE kind = 'journal_forked'") == 1


def test_an_entry_that_does_not_go_on_from_the_one_before_freezes_it_too(
    session: Session, till: Device
) -> None:
    till.redeems(0, prev="f" * 64)

    assert said(session, till).startswith("forked")
    assert count(session, "terminal WHERE frozen_at IS NOT NULL") == 1


def test_an_edited_entry_is_found_by_the_one_after(session: Session, till: Device) -> None:
    """Whoever has the key can sign another entry; the next one's `prev` gives it away."""
    till.redeems(0)
    till.redeems(1)
    forger = replace(till, journal=till.journal[:1], seq=1, prev=_hash(till.journal[0]))
    forger.redeems(0, cashier="Somebody else")

    told = till.uploads(session, [*forger.journal, till.journal[2]], now=NOON + MINUTE)

    assert words(told.answers) == ["noted", "accepted", "rejected: forked"]
    assert count(session, "journal_fork") == 1


def _hash(jwt: str) -> str:
    return sha256(jwt.encode()).hexdigest()


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**60),
    st.text(max_size=8),
    st.uuids().map(str),
    st.lists(st.integers(0, 3), max_size=2),
    st.sampled_from(["redeemed", "leased", "hub", "online", "0" * 64]),
)


@given(st.lists(st.dictionaries(st.sampled_from([*Entry.model_fields]), anything, max_size=4)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_a_terminal_signs_breaks_an_upload(
    session: Session, till: Device, said: list[dict[str, Any]]
) -> None:
    for claims_said in said:
        asked: Any = {"id": str(make.an_id()), **claims_said}
        till.redeems(**asked)

    told, unread = till.uploaded(session, till.journal[-len(said) or -1 :], now=NOON + HOUR)

    signed = {each.seq for each in told.answers}
    assert len(signed) + len(unread) <= max(1, len(said))


# The acknowledgement.


def test_it_tells_what_was_decided_since(session: Session, two: tuple[Device, Device]) -> None:
    one, other = two
    one.redeems(0, at=NOON + MINUTE)
    one.redeems(1, at=NOON + 2 * MINUTE)
    one.uploads(session)
    other.writes("refused", at=NOON + MINUTE + ONE)
    other.uploads(session, now=NOON + HOUR)

    assert [each.seq for each in one.hears(session, after=NOON + HOUR).answers] == [2]
    assert one.hears(session, after=NOON + HOUR + MINUTE).answers == ()
    one.writes("refused")
    told = one.uploads(session, one.journal[3:], after=int((NOON + HOUR).timestamp()))
    assert [each.seq for each in told.answers] == [2, 4]


def test_nobody_uploads_for_a_terminal_of_another_operator(session: Session, till: Device) -> None:
    stranger = world(session)
    request = NewUpload(id=make.an_id(), entries=tuple(till.journal))

    with pytest.raises(Unknown):
        journals.receive(
            session,
            stranger.at.operator_id,
            till.id,
            request,
            ring=stranger.ring,
            passphrase=PASSPHRASE,
            now=NOON,
        )


def test_who_is_tied_to_other_stores_brings_no_journal(session: Session, till: Device) -> None:
    request = NewUpload(id=make.an_id(), entries=tuple(till.journal))

    with pytest.raises(Unknown):
        journals.receive(
            session,
            till.of.at.operator_id,
            till.id,
            request,
            ring=till.of.ring,
            passphrase=PASSPHRASE,
            store_ids=frozenset(),
            now=NOON,
        )
