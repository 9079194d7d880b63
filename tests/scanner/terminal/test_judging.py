"""A terminal without the server says yes only to what it may, once, and never loses a yes.

Threats T1 to T3, T5 to T10, T13, T14, T16 to T18, T20, T21 and T23 of a code at a lonely counter.
"""

import json
import re
import secrets
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.errors import RequestReused
from coupon_engine.validation.issuer_keys import new_private_key
from coupon_engine.validation.token import Typ, sign_typed, signature_of, verify_typed
from coupon_engine.validation.wording import CASHIER, CUSTOMER
from scanner.terminal import challenges
from scanner.terminal.checking import Flaw
from scanner.terminal.holdings import HoldingRefused
from scanner.terminal.journal import hash_of, public_of
from scanner.terminal.judging import Accepted, Refused
from scanner.terminal.ledger import Spending
from schemas.baskets import Basket, Line
from schemas.campaigns import Level, OfflinePolicy
from schemas.ids import new_id
from schemas.journals import Acknowledgement, AnswerView, Entry, EntryAnswer, EntryKind, Mode
from schemas.offers import AmountOff, PercentOff
from schemas.offline import BundleOffer
from schemas.refusals import Why
from schemas.token import CouponFields
from tests.scanner.terminal.shop import (
    A_DAY,
    CAMPAIGN,
    LEASE,
    OFFER,
    SERVER,
    STORE,
    STORE_NUMBER,
    TERMINAL,
    Shop,
    bundle,
    bundle_jwt,
    campaign,
    coupon,
    jwk,
    list_jwt,
    presented,
    shown,
    terms,
    total,
)
from tests.vectors import make_token_vectors as vectors
from tests.vectors.make_token_vectors import ISSUER, KEY, NOW, PHONE, SECOND, packed, unpacked

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
SHORT_CODE = VECTORS["short_codes"]["codes"][0]["code"]
LIVE = Level.HOLDER_SIGNED
ASKED = Level.CHALLENGED


def entries(shop: Shop) -> list[Entry]:
    key = public_of(shop.key)
    texts = shop.journal.unsent(10_000)
    return [Entry.model_validate(verify_typed(text, key, Typ.JOURNAL)) for text in texts]


def refusal(shop: Shop, text: str, **more: Any) -> Refused:
    verdict = shop.redeem(text, **more)
    assert isinstance(verdict, Refused)
    return verdict


# A yes.


def test_a_coupon_is_accepted_alone_and_stands_in_the_journal(shop: Shop) -> None:
    fields = coupon()
    text = shown(fields)

    yes = shop.accepts(text, basket=total(2_000), order_ref="r-1", cashier="Ann")

    assert (yes.discount_minor, yes.currency, yes.is_provisional) == (500, "EUR", True)
    (entry,) = entries(shop)
    assert entry == Entry(
        dev=TERMINAL,
        seq=1,
        prev="0" * 64,
        ts=SECOND * 1_000,
        t_min=(SECOND - 60) * 1_000,
        kind=EntryKind.REDEEMED,
        mode=Mode.OFFLINE,
        lease=LEASE,
        ver=10,
        list_ver=1_000,
        store=STORE,
        cashier="Ann",
        id=yes.id,
        jti=UUID(bytes=fields.jti),
        cmp=fields.cmp,
        offer=OFFER,
        shown=text,
        order_ref="r-1",
        basket=total(2_000),
        currency="EUR",
        discount_minor=500,
    )
    assert shop.journal.used(LEASE, CAMPAIGN) == (1, 500)


def test_a_phones_proof_is_kept_as_evidence(shop: Shop) -> None:
    text = presented(coupon(level=LIVE), audience="cpn:any")

    shop.accepts(text)

    assert [entry.shown for entry in entries(shop)] == [text]


def test_the_discount_is_that_of_the_shared_judge(shop: Shop) -> None:
    offers = (BundleOffer(quota_class=5, id=OFFER, terms=terms(PercentOff(percent_off_bp=1_000))),)
    shop.learn(bundle(campaign(offers=offers), ver=11), places=None)
    lines = tuple(Line(product=name, quantity=1, unit_price_minor=333) for name in "ab")

    yes = shop.accepts(shown(), basket=Basket(currency="EUR", lines=lines))

    assert yes.discount_minor == 67
    assert [each.discount_minor for each in yes.lines] == [34, 33]


def test_a_no_of_the_shared_judge_is_a_no_here(shop: Shop) -> None:
    dear = terms(minimum_basket_minor=2_000)
    offers = (BundleOffer(quota_class=5, id=OFFER, terms=dear),)
    shop.learn(bundle(campaign(offers=offers), ver=11), places=None)

    no = refusal(shop, shown(), basket=total(1_500))

    assert no.refusal.code is Why.BELOW_MINIMUM
    assert no.refusal.reasons[0].needs == {"add_minor": 500, "currency": "EUR"}
    assert "5.00" in no.refusal.cashier.en
    assert shop.journal.used(LEASE, CAMPAIGN) == (0, 0)


def test_a_paused_campaign_gives_nothing_away(shop: Shop) -> None:
    shop.learn(bundle(campaign(is_paused=True), ver=11), places=None)

    assert shop.why(shown()) is Why.CAMPAIGN_PAUSED


# Once: T1, T3, T5.


def test_the_same_coupon_twice_is_redeemed_once(shop: Shop) -> None:
    text = shown()
    shop.accepts(text)

    no = refusal(shop, text)

    assert no.refusal.code is Why.ALREADY_REDEEMED
    assert no.refusal.cashier.en == "Already used today 13:00."
    assert shop.journal.used(LEASE, CAMPAIGN) == (1, 500)


def test_once_also_after_a_restart(shop: Shop) -> None:
    text = shown()
    shop.accepts(text)

    shop.restart()

    assert shop.why(text) is Why.ALREADY_REDEEMED


def twin(text: str, at: int) -> str:
    """Turn the signature that begins there from (r, s) into (r, n - s), which verifies as well."""
    raw = unpacked(text)
    s_at = len(raw) + at + 32
    s = int.from_bytes(raw[s_at : s_at + 32])
    return packed(text[:4], raw[:s_at] + (ORDER - s).to_bytes(32), raw[s_at + 32 :])


def test_a_twin_of_its_signature_is_the_same_coupon(shop: Shop) -> None:
    fields = coupon(level=LIVE)
    text = presented(fields, audience="cpn:any")
    shop.accepts(text)

    for other in (twin(text, -128), twin(text, -64), presented(fields, audience="cpn:any")):
        assert shop.why(other) is Why.ALREADY_REDEEMED
    assert shop.journal.used(LEASE, CAMPAIGN) == (1, 500)


def test_a_coupon_that_was_signed_again_is_the_same_coupon(shop: Shop) -> None:
    fields = coupon()
    shop.accepts(shown(fields))
    assert KEY.private is not None
    other = vectors.coupon_text(fields, signature_of(vectors.sign(fields, KEY)), "A")

    assert other != shown(fields)
    assert shop.why(other) is Why.ALREADY_REDEEMED
    assert shop.why(f"  {other}\r\n") is Why.ALREADY_REDEEMED


def test_many_threads_redeem_one_coupon_once(shop: Shop) -> None:
    text, together = shown(), Barrier(8)
    told: list[Why | None] = []

    def redeem() -> None:
        together.wait()
        told.append(shop.why(text))

    threads = [Thread(target=redeem) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, told)) == sorted(["None", *["already_redeemed"] * 7])
    assert shop.journal.used(LEASE, CAMPAIGN) == (1, 500)


def test_a_presentation_is_not_replayed_later(shop: Shop) -> None:
    text = presented(coupon(level=LIVE), audience="cpn:any")

    shop.hands.pass_by(seconds=115)  # a minute of freshness and one of skew are over

    assert shop.why(text) is Why.STALE


def test_asking_again_with_the_same_id_gets_the_first_yes(shop: Shop) -> None:
    text, id = shown(), new_id(NOW)
    first = shop.accepts(text, id=id, basket=total(1_000))

    shop.hands.pass_by(days=40)  # even when the coupon is over
    shop.restart()

    assert shop.accepts(text, id=id, basket=total(1_000)) == first
    assert shop.journal.last.seq == 1


def test_an_id_that_comes_with_another_coupon_or_basket_is_an_error(shop: Shop) -> None:
    text, id = shown(), new_id(NOW)
    shop.accepts(text, id=id)

    with pytest.raises(RequestReused):
        shop.redeem(shown(), id=id)
    with pytest.raises(RequestReused):
        shop.redeem(text, id=id, basket=total(1_000))


def server_took(shop: Shop, fields: CouponFields, **more: Any) -> None:
    """Write down, as whoever asks the server does, that it has accepted this coupon."""
    spending = Spending(jti=UUID(bytes=fields.jti), id=new_id(NOW), until=NOW + 30 * A_DAY, **more)
    shop.journal.append(
        EntryKind.REDEEMED,
        Mode.ONLINE,
        at=shop.counter.look(),
        spending=spending,
        store=STORE,
        ver=10,
        jti=spending.jti,
        id=spending.id,
    )


def test_what_the_server_has_accepted_is_not_accepted_alone_as_well(shop: Shop) -> None:
    fields = coupon()

    server_took(shop, fields)

    assert shop.why(shown(fields)) is Why.ALREADY_REDEEMED
    assert [(each.kind, each.mode) for each in entries(shop)] == [
        (EntryKind.REDEEMED, Mode.ONLINE),
        (EntryKind.REFUSED, Mode.OFFLINE),
    ]
    assert shop.journal.used(LEASE, CAMPAIGN) == (0, 0)
    assert shop.journal.check() == []


def test_a_coupon_with_uses_left_is_written_down_every_time(shop: Shop) -> None:
    fields = coupon()

    for is_over in (False, False, True):
        server_took(shop, fields, is_over=is_over)

    assert shop.journal.last.seq == 3
    assert shop.journal.check() == []


# Forgeries: T6 to T9. One message for all.


@pytest.mark.parametrize(
    "text", [shown(), presented(coupon(level=LIVE), audience="cpn:any")], ids=["static", "live"]
)
def test_no_bit_of_a_coupon_can_be_changed(shop: Shop, text: str) -> None:
    raw = unpacked(text)

    for bit in range(0, len(raw) * 8, 7):
        spoilt = bytearray(raw)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert shop.why(packed(text[:4], bytes(spoilt), b"")) is not None
    assert shop.journal.used(LEASE, CAMPAIGN) == (0, 0)


def forgeries() -> dict[Why, str]:
    fields, phone = coupon(), coupon(level=LIVE)
    raw = unpacked(shown(fields))
    return {
        Why.BAD_SIGNATURE: packed("CP1A", raw[:-64], bytes(63) + b"\1"),
        Why.UNKNOWN_KEY: f"CP1Z{shown(fields)[4:]}",
        Why.MALFORMED: packed("CP1A", b"\x87" + bytes(70), raw[-64:]),
        Why.KEY_SCOPE: shown(fields),
        Why.BAD_HOLDER_SIGNATURE: presented(phone, new_private_key(), audience="cpn:any"),
    }


@pytest.mark.parametrize("why", forgeries())
def test_a_cashier_hears_one_sentence_for_every_forgery(shop: Shop, why: Why) -> None:
    if why is Why.KEY_SCOPE:  # a key whose time has not come
        young = bundle().keys[0].model_copy(update={"nbf": SECOND + 1})
        shop.learn(bundle(ver=11, keys=(young,)), places=None)

    no = refusal(shop, forgeries()[why])

    assert no.refusal.code is why
    assert no.refusal.cashier.en == CASHIER[Why.BAD_SIGNATURE][0] == "Not a valid coupon."
    assert no.refusal.customer.zh == CUSTOMER[Why.BAD_SIGNATURE][1] == "无效的券。"
    assert [entry.why for entry in entries(shop)] == [why]  # the record tells them apart


@pytest.mark.parametrize("letter", "BCYZ")
def test_a_letter_that_is_not_in_the_bundle_opens_no_key(shop: Shop, letter: str) -> None:
    assert shop.why(f"CP1{letter}{shown()[4:]}") is Why.UNKNOWN_KEY


@pytest.mark.parametrize("typ", Typ)
def test_a_signed_document_is_no_coupon_at_a_counter(shop: Shop, typ: Typ) -> None:
    assert shop.why(sign_typed(bundle().model_dump(mode="json"), ISSUER, typ)) is Why.NOT_A_COUPON


def test_a_coupon_of_a_withdrawn_key_is_unknown(shop: Shop) -> None:
    shop.learn(bundle(ver=11, keys=()), places=None)

    assert shop.why(shown()) is Why.UNKNOWN_KEY


# The order of questions.


def all_wrong(**right: Any) -> CouponFields:
    """A coupon that nothing speaks for but its issuer's signature, except what is put right."""
    wrong: dict[str, Any] = {
        "offline": OfflinePolicy.ONLINE_ONLY,
        "level": LIVE,
        "exp": SECOND - 1,
        "nbf": SECOND - 1_000,
        "sto": STORE_NUMBER + 1,
        "idx": 5,
    }
    fields: dict[str, Any] = {**wrong, **right}
    return coupon(fields.pop("offline"), **fields)


def test_questions_come_from_the_code_to_the_phone_to_the_campaign(shop: Shop) -> None:
    """Each row puts right what the row before was refused for."""
    shop.holdings.learn_list(list_jwt([5], ver=2_000), NOW)
    over = bundle(campaign(OfflinePolicy.ONLINE_ONLY), ver=11)
    jti = new_id(NOW).bytes
    here = {"exp": SECOND + 999, "sto": 0}
    shop.accepts(shown(coupon(jti=jti)))
    shop.learn(over, places=None)
    elsewhere = all_wrong(exp=SECOND + 999)
    listed, spent = all_wrong(**here), all_wrong(**here, idx=6, jti=jti)
    last = all_wrong(**here, idx=6)
    other = new_private_key()
    rows: list[tuple[Why, str]] = [
        (Why.NOT_A_COUPON, "https://coupons.example"),
        (Why.UNKNOWN_KEY, f"CP2Z{presented(all_wrong(), other)[4:]}"),
        (Why.BAD_SIGNATURE, twisted(presented(all_wrong(), other))),
        (Why.EXPIRED, presented(all_wrong(), other)),
        (Why.WRONG_STORE, presented(elsewhere, other)),
        (Why.ALREADY_REDEEMED, presented(listed, other, audience="cpn:any")),
        (Why.ALREADY_REDEEMED, presented(spent, other, audience="cpn:any")),
        (Why.BAD_HOLDER_SIGNATURE, presented(last, other, audience="cpn:any")),
        (Why.STALE, presented(last, seconds_ago=500, audience="cpn:any")),
        (Why.ONLINE_REQUIRED, presented(last, audience="cpn:any")),
    ]

    told = [refusal(shop, text).refusal for _, text in rows]

    assert [no.code for no in told] == [why for why, _ in rows]
    assert [told[at].reasons[0].rule for at in (5, 6)] == ["status_list", "ledger"]


def twisted(text: str) -> str:
    """Spoil the issuer's signature and nothing else."""
    raw = bytearray(unpacked(text))
    raw[-128 + 40] ^= 1
    return packed(text[:4], bytes(raw), b"")


@pytest.mark.parametrize(
    "text",
    [
        twisted(presented(coupon(level=LIVE), audience="cpn:any", seconds_ago=500)),
        twisted(presented(coupon(level=LIVE), audience="cpn:any", seconds_ago=-500)),
        twisted(presented(coupon(level=LIVE), new_private_key())),
        twisted(presented(coupon(level=ASKED), audience="cpn:any")),
    ],
    ids=["stale", "ahead", "forged proof", "challenged"],
)
def test_no_fault_of_the_phone_hides_a_forged_coupon(shop: Shop, text: str) -> None:
    """What a coupon says is asked before its phone's proof only because its issuer has signed."""
    assert shop.why(text) is Why.BAD_SIGNATURE


# Time: T16.


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        # by how much the clock is moved, then: a good coupon, an expired one, one not yet valid
        (timedelta(), (None, Why.EXPIRED, Why.NOT_YET)),
        (-A_DAY, (Why.ONLINE_REQUIRED, Why.EXPIRED, Why.NOT_YET)),
        (-timedelta(seconds=100), (None, Why.EXPIRED, Why.NOT_YET)),
        (-timedelta(seconds=200), (Why.ONLINE_REQUIRED, Why.EXPIRED, Why.NOT_YET)),
        (+A_DAY, (Why.LEASE_EXPIRED, Why.EXPIRED, Why.LEASE_EXPIRED)),
        (timedelta(hours=-2), (Why.ONLINE_REQUIRED, Why.EXPIRED, Why.NOT_YET)),
        (timedelta(days=400), (Why.EXPIRED, Why.EXPIRED, Why.EXPIRED)),
    ],
    ids=str,
)
def test_a_clock_that_is_set_brings_nothing_back_to_life(
    shop: Shop, moved: timedelta, expected: tuple[Why | None, ...]
) -> None:
    good = coupon()
    expired = coupon(exp=SECOND - 60, nbf=SECOND - 86_400)
    early = coupon(nbf=SECOND + 3_600)
    shop.hands.wall += moved

    assert tuple(shop.why(shown(fields)) for fields in (good, expired, early)) == expected


def test_a_coupon_that_expired_here_stays_expired_whatever_the_clock_says(shop: Shop) -> None:
    """Known past is also what the journal says, and what has gone by since without a network."""
    last_hour = coupon(exp=SECOND + 3_600)
    shop.hands.pass_by(hours=2)
    assert shop.why(shown(last_hour)) is Why.EXPIRED

    shop.hands.wall = NOW
    assert shop.why(shown(last_hour)) is Why.EXPIRED
    shop.restart()
    assert shop.why(shown(last_hour)) is Why.EXPIRED


def test_a_clock_that_is_behind_is_written_down_once(shop: Shop) -> None:
    shop.hands.wall -= A_DAY

    for _ in range(2):
        assert shop.why(shown()) is Why.ONLINE_REQUIRED

    kinds = [entry.kind for entry in entries(shop)]
    assert kinds == [EntryKind.CLOCK, EntryKind.REFUSED, EntryKind.REFUSED]
    assert entries(shop)[0].note == {"behind_seconds": 86_340}


@pytest.mark.parametrize(
    ("seconds_ago", "why"),
    [(-86_400, Why.CLOCK_AHEAD), (-61, Why.CLOCK_AHEAD), (-60, None), (119, None), (120, Why.STALE),
     (86_400, Why.STALE)],
)  # fmt: skip
def test_a_proof_counts_at_its_own_time(shop: Shop, seconds_ago: int, why: Why | None) -> None:
    text = presented(coupon(level=LIVE), seconds_ago=seconds_ago, audience="cpn:any")

    assert shop.why(text) is why


# The lease and what was told: T13, T20, T21.


def test_without_a_bundle_nothing_is_decided(new_shop: Shop) -> None:
    assert new_shop.why(shown()) is Why.LEASE_EXPIRED
    assert new_shop.why("https://coupons.example") is Why.NOT_A_COUPON


@pytest.mark.parametrize("offline", list(OfflinePolicy))
def test_at_the_end_of_the_lease_every_policy_stops(shop: Shop, offline: OfflinePolicy) -> None:
    told = bundle(campaign(offline), ver=11, is_authority=True)
    shop.learn(told, places=None)
    fields = coupon(offline, sto=STORE_NUMBER, exp=SECOND + 12 * 3_600 + 600)

    shop.hands.pass_by(hours=12)

    assert shop.why(shown(fields)) is Why.LEASE_EXPIRED


def test_at_the_end_of_the_lease_a_forgery_is_still_a_forgery(shop: Shop) -> None:
    shop.hands.pass_by(hours=12)

    assert shop.why(forgeries()[Why.BAD_SIGNATURE]) is Why.BAD_SIGNATURE
    assert shop.why(forgeries()[Why.UNKNOWN_KEY]) is Why.LEASE_EXPIRED  # a newer bundle may know


def test_a_lease_survives_a_restart(shop: Shop) -> None:
    shop.restart()

    shop.accepts(shown())


def test_what_stands_on_the_list_is_refused(shop: Shop) -> None:
    shop.holdings.learn_list(list_jwt([100], ver=2_000), NOW)

    assert shop.why(shown(coupon(idx=100))) is Why.ALREADY_REDEEMED
    assert shop.why(shown(coupon(idx=101))) is None


def test_an_older_list_does_not_bring_a_coupon_back(shop: Shop) -> None:
    """Also what a phone shows that was bound to the coupon before: its old place is set (T23)."""
    shop.holdings.learn_list(list_jwt([100], ver=2_000), NOW)

    with pytest.raises(HoldingRefused):
        shop.holdings.learn_list(list_jwt([], ver=1_999), NOW)

    assert shop.why(shown(coupon(idx=100))) is Why.ALREADY_REDEEMED


def hears(shop: Shop, answer: EntryAnswer, *, at: int = SECOND) -> None:
    """The server has the whole journal, and says this of its last entry."""
    last = shop.journal.last
    told = Acknowledgement(
        dev=TERMINAL,
        seq=last.seq,
        hash=last.hash,
        iat=at,
        gaps=(),
        answers=(AnswerView(seq=last.seq, answer=answer),),
    )
    jwt = sign_typed(told.model_dump(mode="json"), SERVER, Typ.ACKNOWLEDGEMENT)
    shop.journal.acknowledged(jwt, jwk(SERVER))


def learns_list(shop: Shop, *places: int, seconds: int = 120) -> None:
    """A list that the server has read so many seconds after it knew of the redemption."""
    shop.holdings.learn_list(list_jwt(places, ver=(SECOND + seconds) * 1_000), NOW)


def test_a_coupon_that_was_reversed_online_works_again(shop: Shop) -> None:
    text = shown(coupon(idx=100))
    first = shop.accepts(text)
    hears(shop, EntryAnswer.ACCEPTED)
    learns_list(shop, 100)
    assert shop.why(text) is Why.ALREADY_REDEEMED

    learns_list(shop, seconds=300)  # its place is not set any more

    second = shop.accepts(text)
    assert second.id != first.id
    assert shop.why(text) is Why.ALREADY_REDEEMED  # once more, and no oftener
    assert shop.journal.used(LEASE, CAMPAIGN)[0] == 2  # what was granted is not granted again
    assert shop.journal.check() == []
    shop.restart()
    assert shop.counter.findings == []
    assert shop.why(text) is Why.ALREADY_REDEEMED


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (None, 300),  # the server has not heard of it: of course it is not on the list
        (EntryAnswer.ACCEPTED, 60),  # the list was read at the same time
        (EntryAnswer.NOTED, 300),  # the hub's redemption, which may come in later
        (EntryAnswer.REJECTED, 300),  # not paid; the customer has had it all the same
        (EntryAnswer.UNPROVEN, 300),
    ],
)
def test_a_place_that_was_never_set_brings_no_coupon_back(
    shop: Shop, answer: EntryAnswer | None, seconds: int
) -> None:
    text = shown(coupon(idx=100))
    shop.accepts(text)
    if answer is not None:
        hears(shop, answer)

    learns_list(shop, seconds=seconds)

    assert shop.why(text) is Why.ALREADY_REDEEMED


def test_a_list_that_has_ended_brings_no_coupon_back(shop: Shop) -> None:
    text = shown(coupon(idx=100))
    shop.accepts(text)
    hears(shop, EntryAnswer.ACCEPTED)
    now = NOW + timedelta(seconds=300)
    shop.holdings.learn_list(list_jwt(ver=(SECOND + 300) * 1_000, exp=SECOND + 600), now)
    shop.hands.pass_by(minutes=11)

    assert shop.why(text) is Why.ALREADY_REDEEMED


def test_without_a_list_that_counts_nothing_is_decided(shop: Shop) -> None:
    assert shop.why(shown(coupon(idx=2**20 + 1))) is Why.ONLINE_REQUIRED  # another shard
    shop.holdings.learn_list(list_jwt([], ver=2_000, exp=SECOND + 600), NOW)

    shop.hands.pass_by(minutes=10)

    assert shop.why(shown()) is Why.ONLINE_REQUIRED


# Policies and allowance: T5.


def test_an_allowance_is_never_passed_in_number(shop: Shop) -> None:
    shop.learn(bundle(campaign(max_count=3), ver=11), places=None)

    told = [shop.why(shown()) for _ in range(3)]
    shop.restart()
    told += [shop.why(shown()) for _ in range(3)]

    assert told == [None] * 3 + [Why.QUOTA_REACHED] * 3
    assert shop.journal.used(LEASE, CAMPAIGN) == (3, 1_500)


def test_an_allowance_is_never_passed_in_money(shop: Shop) -> None:
    shop.learn(bundle(campaign(max_minor=1_499), ver=11), places=None)

    assert [shop.why(shown()) for _ in range(3)] == [None, None, Why.QUOTA_REACHED]
    assert shop.journal.used(LEASE, CAMPAIGN) == (2, 1_000)


def test_a_newer_bundle_under_the_same_lease_gives_no_new_allowance(shop: Shop) -> None:
    shop.learn(bundle(campaign(max_count=1), ver=11), places=None)
    shop.accepts(shown())

    shop.learn(bundle(campaign(max_count=1), ver=12), places=None)

    assert shop.why(shown()) is Why.QUOTA_REACHED


def test_a_refused_coupon_takes_nothing_from_the_allowance(shop: Shop) -> None:
    shop.learn(bundle(campaign(max_count=1), ver=11), places=None)
    late = shown(coupon(exp=SECOND - 1, nbf=SECOND - 100))

    assert shop.why(late) is Why.EXPIRED

    shop.accepts(shown())


def test_a_store_bound_yes_is_final(shop: Shop) -> None:
    told = bundle(campaign(OfflinePolicy.STORE_BOUND), ver=11, is_authority=True)
    shop.learn(told, places=None)

    yes = shop.accepts(shown(coupon(OfflinePolicy.STORE_BOUND, sto=STORE_NUMBER)))

    assert not yes.is_provisional


@pytest.mark.parametrize("text", [SHORT_CODE, SHORT_CODE.lower().replace("-", " ")])
def test_a_short_code_needs_the_server(shop: Shop, text: str) -> None:
    assert shop.why(text) is Why.ONLINE_REQUIRED


def test_a_terminal_may_decide_for_another_of_its_store(shop: Shop) -> None:
    other = UUID(int=77)

    shop.accepts(shown(), asked_by=other)

    (entry,) = entries(shop)
    assert (entry.mode, entry.asked_by) == (Mode.HUB, other)


# Several coupons on one receipt.


def two_offers(**conditions: Any) -> tuple[BundleOffer, ...]:
    return (
        BundleOffer(quota_class=5, id=OFFER, terms=terms(AmountOff(amount_minor=500))),
        BundleOffer(
            quota_class=6,
            id=UUID(int=6),
            terms=terms(PercentOff(percent_off_bp=1_000), **conditions),
        ),
    )


def test_coupons_of_one_receipt_see_what_the_others_have_taken_off(shop: Shop) -> None:
    shop.learn(bundle(campaign(offers=two_offers()), ver=11), places=None)
    basket = total(2_000)
    shop.accepts(shown(), basket=basket, order_ref="r-1")
    second = coupon(policy={"quota_class": 6})
    shop.restart()

    assert shop.accepts(shown(second), basket=basket, order_ref="r-1").discount_minor == 150
    assert shop.why(shown(), basket=total(9_999), order_ref="r-1") is Why.BASKET_CHANGED
    assert shop.why(shown(), order_ref="r-1") is Why.BASKET_REQUIRED


def test_coupons_that_do_not_combine_do_not_combine_alone(shop: Shop) -> None:
    grouped = two_offers(exclusivity_groups=("one",))
    first = BundleOffer(quota_class=5, id=OFFER, terms=terms(exclusivity_groups=("one",)))
    shop.learn(bundle(campaign(offers=(first, grouped[1])), ver=11), places=None)
    shop.accepts(shown(), basket=total(2_000), order_ref="r-1")

    second = coupon(policy={"quota_class": 6})

    assert shop.why(shown(second), basket=total(2_000), order_ref="r-1") is Why.NOT_COMBINABLE
    assert shop.why(shown(second), basket=total(2_000), order_ref="r-2") is None


def test_a_receipt_with_a_coupon_that_only_the_server_knows_is_the_servers(shop: Shop) -> None:
    server_took(shop, coupon(), order_ref="r-1", basket=total(2_000))

    assert shop.why(shown(), basket=total(2_000), order_ref="r-1") is Why.ONLINE_REQUIRED
    assert shop.why(shown(), basket=total(2_000), order_ref="r-2") is None


def test_a_basket_too_long_for_an_entry_is_the_servers(shop: Shop) -> None:
    lines = tuple(Line(product=f"p{at}", quantity=1, unit_price_minor=9) for at in range(1_000))

    assert shop.why(shown(), basket=Basket(currency="EUR", lines=lines)) is Why.ONLINE_REQUIRED
    assert shop.journal.used(LEASE, CAMPAIGN) == (0, 0)


# The challenge: T2.


@pytest.fixture
def asked(shop: Shop) -> CouponFields:
    return coupon(level=ASKED)


def answers(fields: CouponFields, digits: str, **how: Any) -> str:
    return presented(fields, nonce=digits, audience="cpn:any", **how)


def other_than(digits: str, step: int) -> str:
    return f"{(int(digits) + step) % 10_000:04d}"


def test_a_phone_answers_the_four_digits_that_the_counter_shows(
    shop: Shop, asked: CouponFields
) -> None:
    no = refusal(shop, answers(asked, ""))
    assert no.refusal.code is Why.CHALLENGE_REQUIRED
    assert no.challenge is not None
    assert re.fullmatch("[0-9]{4}", no.challenge)
    assert no.refusal.cashier.en == f"The customer types {no.challenge} into the app."

    shop.accepts(answers(asked, no.challenge))

    assert entries(shop)[-1].challenge == no.challenge


def test_the_right_digits_need_no_clock(shop: Shop, asked: CouponFields) -> None:
    digits = shop.counter.digits(UUID(bytes=asked.jti))

    shop.accepts(answers(asked, digits, seconds_ago=5_000))


def test_a_code_made_beforehand_answers_nothing(shop: Shop, asked: CouponFields) -> None:
    digits = shop.counter.digits(UUID(bytes=asked.jti))
    made_before = answers(asked, other_than(digits, 1))

    assert shop.why(made_before) is Why.CHALLENGE_REQUIRED
    assert shop.why(made_before, challenge=other_than(digits, 1)) is Why.CHALLENGE_REQUIRED


def test_after_three_tries_there_are_new_digits_and_a_pause(
    shop: Shop, asked: CouponFields
) -> None:
    first = shop.counter.digits(UUID(bytes=asked.jti))
    tries = [refusal(shop, answers(asked, other_than(first, step))) for step in (1, 2, 3)]

    assert [no.challenge == first for no in tries[:2]] == [True, True]
    second = tries[2].challenge
    assert second is not None
    assert tries[2].refusal.reasons[0].needs["wait_seconds"] == 60
    assert shop.why(answers(asked, second)) is Why.CHALLENGE_REQUIRED  # even the right ones
    assert shop.why(answers(asked, first)) is Why.CHALLENGE_REQUIRED

    shop.hands.pass_by(seconds=60)
    shop.accepts(answers(asked, second))


def test_ten_thousand_guesses_are_stopped_after_three(
    shop: Shop, asked: CouponFields, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(_: int) -> int:
        return 4_711  # the guesses would come to it, if nothing stopped them

    monkeypatch.setattr(secrets, "randbelow", drawn)

    told = [refusal(shop, answers(asked, f"{guess:04d}")) for guess in range(30)]

    waits = ["wait_seconds" in no.refusal.reasons[0].needs for no in told]
    assert waits == [False] * 3 + [True] * 27  # the first opens the challenge
    assert shop.journal.used(LEASE, CAMPAIGN) == (0, 0)


def test_what_a_camera_only_sees_again_is_no_try(shop: Shop, asked: CouponFields) -> None:
    before = answers(asked, "")
    digits = refusal(shop, before).challenge
    assert digits is not None

    for _ in range(20):
        assert refusal(shop, before).challenge == digits

    shop.accepts(answers(asked, digits))


def test_digits_are_good_for_five_minutes(shop: Shop, asked: CouponFields) -> None:
    old = shop.counter.digits(UUID(bytes=asked.jti))
    shop.hands.pass_by(minutes=5)

    no = refusal(shop, answers(asked, old))

    assert no.refusal.code is Why.CHALLENGE_REQUIRED


def test_digits_are_drawn_from_all_ten_thousand(shop: Shop) -> None:
    drawn = {shop.counter.digits(UUID(int=at)) for at in range(500)}

    assert len(drawn) > 450
    assert all(re.fullmatch("[0-9]{4}", digits) for digits in drawn)


def test_a_counter_keeps_only_so_many_open_challenges(shop: Shop) -> None:
    for at in range(challenges.MOST_CHALLENGES + 10):
        shop.counter.digits(UUID(int=at))

    assert len(shop.counter._challenges._open) == challenges.MOST_CHALLENGES


def test_a_paper_copy_of_a_live_coupon_is_not_enough(shop: Shop) -> None:
    fields = coupon(level=LIVE)
    signature = unpacked(presented(fields, audience="cpn:any"))[-128:-64]
    bare = vectors.fields(fields.policy, jti=fields.jti, sto=0, idx=100)
    assert KEY.private is not None
    static = vectors.coupon_text(bare, signature_of(vectors.signed(bare)), "A")

    assert shop.why(static) is Why.LIVE_CODE_REQUIRED
    assert shop.why(vectors.coupon_text(bare, signature, "A")) is Why.BAD_SIGNATURE


# What is written down: T13, T14, T18.


def disk(shop: Shop) -> dict[str, bytes]:
    """Every file, and what the entries say, which stands in the journal's file in base64 alone."""
    said = [entry.model_dump_json(exclude_none=True).encode() for entry in entries(shop)]
    shop.close()
    files = {file.name: file.read_bytes() for file in shop.folder.rglob("*") if file.is_file()}
    return files | {"entries": b"\n".join(said)}


def test_a_no_is_written_down_with_a_hash_and_without_the_text(shop: Shop) -> None:
    texts = ["https://evil.example/?q=secret", SHORT_CODE, forgeries()[Why.BAD_SIGNATURE]]

    for text in texts:
        assert shop.why(text) is not None

    assert [entry.kind for entry in entries(shop)] == [EntryKind.REFUSED] * 3
    assert [entry.shown_hash for entry in entries(shop)] == [hash_of(text) for text in texts]
    assert {entry.shown for entry in entries(shop)} == {None}
    raw = b"".join(disk(shop).values())
    assert not [text for text in texts if text.encode() in raw]


def test_a_no_says_which_coupon_it_was(shop: Shop) -> None:
    fields = coupon(exp=SECOND - 1, nbf=SECOND - 100)

    no = refusal(shop, shown(fields))

    (entry,) = entries(shop)
    assert (entry.jti, entry.cmp, entry.why) == (no.coupon_id, fields.cmp, Why.EXPIRED)
    assert no.coupon_id == UUID(bytes=fields.jti)


def test_a_stolen_disk_holds_no_secret_of_others(shop: Shop) -> None:
    """Of private keys only the terminal's own, which is revoked with it; no PIN, no customer."""
    for at in range(5):
        shop.accepts(shown(), cashier=f"C{at}", order_ref=f"r-{at}", basket=total(900))
    shop.why(SHORT_CODE)

    files = disk(shop)

    private = re.compile(rb'PRIVATE KEY|"d"\s*:|\bpin\b|pin_key|pepper|passphrase', re.IGNORECASE)
    assert [name for name, raw in files.items() if private.search(raw)] == ["key.pem"]
    numbers = [key.private_numbers().private_value for key in (ISSUER, PHONE, vectors.REGIONAL)]
    for number in numbers:
        raw_key = number.to_bytes(32)
        spelled = [raw_key, raw_key.hex().encode(), vectors.b64(raw_key).encode()]
        assert not [name for name, raw in files.items() if any(each in raw for each in spelled)]
    person = re.compile(rb"[\w.]+@[\w.]+\.\w+|customer|segment_of|phone_number|\+49\d+")
    said = {name: set(person.findall(raw)) for name, raw in files.items() if name != "key.pem"}
    assert {name: found for name, found in said.items() if found} == {}


@pytest.mark.parametrize("text", VECTORS["hostile"], ids=range(len(VECTORS["hostile"])))
def test_something_hostile_is_no_coupon(shop: Shop, text: str) -> None:
    assert shop.why(text) is Why.NOT_A_COUPON


# A journal that cannot be trusted, or written.


def test_on_a_journal_that_is_not_whole_nothing_is_decided(shop: Shop) -> None:
    used = shown()
    shop.accepts(used)
    shop.accepts(shown())
    shop.journal._database.execute("DELETE FROM spent WHERE seq = 1")
    shop.restart()

    assert [each.flaw for each in shop.counter.findings] == [Flaw.LEDGER]
    assert shop.why(used) is Why.ONLINE_REQUIRED
    assert shop.why(shown()) is Why.ONLINE_REQUIRED
    assert shop.journal.last.seq == 2  # and nothing is built on it


def test_what_cannot_be_written_is_not_promised(shop: Shop) -> None:
    shop.accepts(shown())
    shop.journal._database.execute("PRAGMA query_only = ON")  # as a disk that fails
    text = shown()

    no = refusal(shop, text)

    assert (no.refusal.code, no.refusal.reasons[0].rule) == (Why.ONLINE_REQUIRED, "journal")
    shop.journal._database.execute("PRAGMA query_only = OFF")
    shop.accepts(text)


# Whatever is shown.


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.learn()
    return shop


ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


@given(st.one_of(
    st.text(max_size=600),
    st.text(ALPHABET, min_size=90, max_size=520).map(lambda text: f"CP1A{text}"),
    st.text(ALPHABET, min_size=90, max_size=520).map(lambda text: f"CP2A{text}"),
    st.binary(min_size=64, max_size=250).map(lambda data: packed("CP1A", data, b"")),
    st.binary(min_size=128, max_size=250).map(lambda data: packed("CP2A", data, b"")),
))  # fmt: skip
def test_any_text_gets_a_verdict(open_shop: Shop, text: str) -> None:
    assert isinstance(open_shop.redeem(text), Refused)


@given(st.data())
def test_any_change_of_a_coupon_gets_a_no(open_shop: Shop, data: st.DataObject) -> None:
    """A signature's twin shows the same coupon, and no single character makes one."""
    text = PLAIN
    at = data.draw(st.integers(3, len(text) - 1))
    character = data.draw(st.sampled_from([each for each in ALPHABET if each != text[at]]))

    verdict = open_shop.redeem(text[:at] + character + text[at + 1 :])

    assert isinstance(verdict, Refused)


PLAIN = shown(coupon())


def test_seven_thousand_digits_are_no_coupon(shop: Shop) -> None:
    assert shop.why("7" * 7_089) is Why.NOT_A_COUPON
    assert shop.why("CP1A" + "0" * 100_000) is Why.NOT_A_COUPON


def test_a_verdict_is_accepted_or_refused(shop: Shop) -> None:
    assert isinstance(shop.redeem(shown()), Accepted)
    assert isinstance(shop.redeem("\ud800"), Refused)


def test_a_bundle_that_arrives_late_is_told_by_the_guarded_clock(shop: Shop) -> None:
    """Winding the clock back does not make room for a bundle whose lease is over."""
    shop.hands.pass_by(hours=13)
    shop.counter.redeem(shown())
    shop.hands.wall = NOW

    with pytest.raises(HoldingRefused):
        shop.holdings.learn_bundle(bundle_jwt(bundle(ver=11)), shop.counter.look().now)
