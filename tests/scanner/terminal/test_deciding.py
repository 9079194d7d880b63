"""The server decides while it can be reached; its no is a no; one request has one id throughout."""

import json
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from coupon_engine.validation.token import claimed
from scanner.terminal.deciding import TRIES_AGAIN_SECONDS
from scanner.terminal.showing import Decider
from schemas.campaigns import Level, OfflinePolicy
from schemas.refusals import Why
from tests.scanner.terminal.counters import (
    Answer,
    One,
    a_terminal,
    accepts,
    away,
    refuses,
    says,
    too_slow,
)
from tests.scanner.terminal.shop import bundle, campaign, coupon, presented, shown, total

TEN = total(1_000)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[One]:
    with a_terminal(tmp_path) as made:
        made.learn()
        yield made


def sent(request: httpx.Request) -> dict[str, object]:
    return json.loads(request.content)


def portal(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<h1>Welcome to our Wi-Fi</h1>")


def elsewhere(_: httpx.Request) -> httpx.Response:
    return httpx.Response(302, headers={"Location": "https://wifi.test/sign-in"})


def bare(status: int) -> Answer:
    return lambda _: httpx.Response(status, text="Bad Gateway")


def test_the_server_decides_and_the_ledger_remembers(one: One) -> None:
    fields = coupon()
    one.far.answers = [accepts(UUID(bytes=fields.jti)), away]

    online = one.terminal.redeem(shown(fields), basket=TEN)
    alone = one.terminal.redeem(shown(fields), basket=TEN)

    assert (online.code, online.decided_by, online.discount_minor) == ("ok", Decider.SERVER, 350)
    assert (alone.code, alone.decided_by) == (Why.ALREADY_REDEEMED, Decider.TERMINAL)
    first = one.entries[0]
    assert (first["kind"], first["mode"]) == ("redeemed", "online")
    assert first["id"] == str(online.redemption_id)
    assert one.journal.used(one_lease(one), campaign().id) == (0, 0)


def one_lease(one: One) -> UUID:
    assert one.holdings.bundle is not None
    return one.holdings.bundle.lease_id


@pytest.mark.parametrize("gone", [away, too_slow, bare(502), bare(503), bare(504), says(503, "x")])
def test_without_the_server_the_terminal_decides_under_the_same_id(one: One, gone: Answer) -> None:
    one.far.answers = [gone]

    screen = one.terminal.redeem(shown(), basket=TEN, cashier="Robin")

    assert (screen.code, screen.decided_by) == ("ok_offline", Decider.TERMINAL)
    assert screen.is_provisional
    asked, entry = sent(one.far.asked[0]), one.entries[0]
    assert (entry["id"], entry["mode"]) == (asked["id"], "offline")
    assert entry["cashier"] == asked["cashier"] == "Robin"
    assert not one.terminal.is_online


@pytest.mark.parametrize("other", [portal, elsewhere, bare(200), bare(500), bare(404)])
def test_somebody_in_the_servers_place_is_no_server(one: One, other: Answer) -> None:
    one.far.answers = [other]

    assert one.terminal.redeem(shown(), basket=TEN).code == "ok_offline"


@pytest.mark.parametrize(
    "why", [Why.ALREADY_REDEEMED, Why.EXPIRED, Why.CAMPAIGN_PAUSED, Why.REVOKED, Why.BUDGET_SPENT]
)
def test_a_no_of_the_server_is_never_overruled(one: One, why: Why) -> None:
    one.far.answers = [refuses(why)]

    screen = one.terminal.redeem(shown(), basket=TEN)

    assert (screen.code, screen.decided_by) == (why, Decider.SERVER)
    assert one.journal.used(one_lease(one), campaign().id) == (0, 0)
    (entry,) = one.entries
    assert (entry["kind"], entry["mode"], entry["why"]) == ("refused", "online", why)
    assert "shown" not in entry
    assert len(entry["shown_hash"]) == 64


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(401, "not_signed_in"), "not_paired"),
        (says(403, "not_allowed"), "not_paired"),
        (says(429, "too_many_tries"), "too_many_tries"),
        (says(422, "invalid_request"), "not_understood"),
        (says(500, "internal"), "ask_again"),
        (says(408, "too_slow"), "ask_again"),
    ],
)
def test_no_other_no_of_the_server_lets_the_terminal_decide(
    one: One, answer: Answer, code: str
) -> None:
    one.far.answers = [answer]

    screen = one.terminal.redeem(shown(), basket=TEN)

    assert (screen.code, screen.is_accepted) == (code, False)
    assert one.entries == []


def test_a_terminal_that_the_server_disowns_decides_no_more(one: One) -> None:
    one.far.answers = [says(401, "not_signed_in"), away]

    one.terminal.redeem(shown(), basket=TEN)
    screen = one.terminal.redeem(shown(), basket=TEN)

    assert screen.code == "not_paired"
    assert one.entries == []


def test_a_server_that_has_just_been_away_is_not_waited_for(one: One) -> None:
    fields = coupon()
    one.far.answers = [away, accepts(UUID(bytes=fields.jti))]

    first, second = (one.terminal.redeem(shown(), basket=TEN) for _ in range(2))
    asked_meanwhile = len(one.far.asked)
    one.hands.pass_by(seconds=TRIES_AGAIN_SECONDS)
    third = one.terminal.redeem(shown(fields), basket=TEN)

    assert [first.code, second.code, third.code] == ["ok_offline", "ok_offline", "ok"]
    assert asked_meanwhile == 1
    assert one.terminal.is_online


def test_whoever_stays_alone_asks_nobody(one: One) -> None:
    one.terminal.stay_alone()

    assert one.terminal.redeem(shown(), basket=TEN).code == "ok_offline"
    assert one.far.asked == []


def test_a_server_that_was_heard_again_is_asked_at_once(one: One) -> None:
    one.far.answers = [away, refuses(Why.EXPIRED)]
    one.terminal.redeem(shown(), basket=TEN)

    one.terminal.heard(is_online=True)

    assert one.terminal.redeem(shown(), basket=TEN).decided_by is Decider.SERVER


def test_what_nobody_knows_is_asked_again_under_the_same_id(one: One) -> None:
    """The server had redeemed it, and its answer was lost: the customer gets what is theirs."""
    one.learn(bundle(campaign(OfflinePolicy.ONLINE_ONLY), terminal_id=one.id, ver=11))
    fields = coupon(OfflinePolicy.ONLINE_ONLY)
    one.far.answers = [too_slow, accepts(UUID(bytes=fields.jti))]

    first = one.terminal.redeem(shown(fields), basket=TEN)
    one.hands.pass_by(seconds=TRIES_AGAIN_SECONDS)
    second = one.terminal.redeem(shown(fields), basket=TEN)

    assert (first.code, second.code) == (Why.ONLINE_REQUIRED, "ok")
    one_ask, other_ask = map(sent, one.far.asked)
    assert one_ask == other_ask


def test_a_live_code_that_nobody_knows_about_is_looked_up_first(one: One) -> None:
    """Each time a phone shows another text, which is another request and needs another id."""
    one.learn(bundle(campaign(OfflinePolicy.ONLINE_ONLY), terminal_id=one.id, ver=11))
    fields = coupon(OfflinePolicy.ONLINE_ONLY, level=Level.HOLDER_SIGNED)
    one.far.answers = [too_slow, accepts(UUID(bytes=fields.jti))]

    first = one.terminal.redeem(presented(fields), basket=TEN)
    one.hands.pass_by(seconds=TRIES_AGAIN_SECONDS)
    second = one.terminal.redeem(presented(fields, seconds_ago=3), basket=TEN)

    assert (first.code, second.code) == (Why.ONLINE_REQUIRED, "ok")
    asked = sent(one.far.asked[0])
    assert one.far.paths == ["POST /v1/redemptions", f"GET /v1/redemptions/{asked['id']}"]
    assert str(second.redemption_id) == asked["id"]


def test_a_live_code_that_was_not_redeemed_is_a_new_request(one: One) -> None:
    one.learn(bundle(campaign(OfflinePolicy.ONLINE_ONLY), terminal_id=one.id, ver=11))
    fields = coupon(OfflinePolicy.ONLINE_ONLY, level=Level.HOLDER_SIGNED)
    one.far.answers = [too_slow, says(404, "unknown"), accepts(UUID(bytes=fields.jti))]

    one.terminal.redeem(presented(fields), basket=TEN)
    one.hands.pass_by(seconds=TRIES_AGAIN_SECONDS)
    second = one.terminal.redeem(presented(fields, seconds_ago=3), basket=TEN)

    assert second.code == "ok"
    assert sent(one.far.asked[0])["id"] != sent(one.far.asked[2])["id"]


def test_the_customer_is_asked_for_digits_and_the_next_scan_brings_them(one: One) -> None:
    one.learn(bundle(campaign(), terminal_id=one.id, ver=11))
    fields = coupon(level=Level.CHALLENGED)
    one.far.answers = [refuses(Why.CHALLENGE_REQUIRED), accepts(UUID(bytes=fields.jti))]

    first = one.terminal.redeem(presented(fields), basket=TEN)
    second = one.terminal.redeem(presented(fields, nonce=first.challenge), basket=TEN)

    assert (first.code, second.code) == (Why.CHALLENGE_REQUIRED, "ok")
    assert first.challenge is not None
    assert [sent(each)["challenge"] for each in one.far.asked] == [first.challenge] * 2


def test_digits_that_the_server_asked_for_are_good_alone(one: One) -> None:
    fields = coupon(level=Level.CHALLENGED)
    one.far.answers = [refuses(Why.CHALLENGE_REQUIRED), away]

    first = one.terminal.redeem(presented(fields), basket=TEN)
    second = one.terminal.redeem(presented(fields, nonce=first.challenge), basket=TEN)

    assert second.code == "ok_offline"


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_terminal_whose_clock_is_wrong_signs_by_the_servers(one: One, minutes: int) -> None:
    fields, theirs = coupon(), one.hands.wall + timedelta(minutes=minutes)
    late = says(401, "not_signed_in", headers={"Date": format_datetime(theirs, usegmt=True)})
    one.far.answers = [late, accepts(UUID(bytes=fields.jti)), accepts(UUID(bytes=fields.jti))]

    screen = one.terminal.redeem(shown(fields), basket=TEN)
    one.terminal.redeem(shown(coupon()), basket=TEN)

    assert screen.code == "ok"
    created = int(theirs.timestamp())
    given = [each.headers["signature-input"] for each in one.far.asked]
    assert [f"created={created};" in each for each in given] == [False, True, True]
    assert len({each.headers["signature"] for each in one.far.asked}) == 3


@pytest.mark.parametrize(
    "code", ["CP1", "CP1A" + "0" * 120, "CP2A" + "%" * 300, "0B3D-EF6H-JK9M", "ab", "eyJ"]
)
def test_what_is_no_code_of_ours_says_nothing_of_itself(code: str) -> None:
    assert claimed(code) is None


def test_what_cannot_be_asked_is_not_understood(one: One) -> None:
    screen = one.terminal.redeem(shown(), order_ref="4711")  # a receipt without its basket

    assert screen.code == "not_understood"
    assert one.far.asked == []
