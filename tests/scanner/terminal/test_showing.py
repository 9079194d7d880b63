"""Every answer has a colour, a sign, a word and a sentence, and no forgery sounds like itself."""

import re

import pytest

from coupon_engine.validation import wording
from scanner.terminal.showing import (
    AMBER,
    GREY,
    Colour,
    Decider,
    Screen,
    Sign,
    Slip,
    accepted,
    line_of,
    plainly,
    refused,
    slipped,
)
from schemas.offers import Title
from schemas.refusals import Reason, Why
from tests import make

FORGERIES = [
    Why.MALFORMED,
    Why.UNKNOWN_KEY,
    Why.KEY_SCOPE,
    Why.BAD_SIGNATURE,
    Why.BAD_HOLDER_SIGNATURE,
    Why.COUPON_UNKNOWN,
]


def every_screen() -> list[Screen]:
    return [*(plainly(why) for why in Why), *(slipped(slip) for slip in Slip)]


def a_yes(decided_by: Decider, **more: object) -> Screen:
    asked = {"redemption_id": make.an_id(), "coupon_id": make.an_id(), **more}
    return accepted(discount_minor=350, currency="EUR", decided_by=decided_by, **asked)  # pyright: ignore[reportArgumentType]


def test_every_no_is_told_in_both_languages_with_something_to_do() -> None:
    for screen in every_screen():
        told = [screen.word, screen.cashier, screen.customer, screen.action]
        assert all(each.en and re.search(r"[\u4e00-\u9fff]", each.zh) for each in told), screen.code
        assert screen.colour is not Colour.GREEN
        assert not screen.is_accepted


def test_each_colour_has_a_sign_and_a_word_of_its_own() -> None:
    screens = [*every_screen(), a_yes(Decider.SERVER)]

    pairs = {(each.colour, each.sign, each.word.en, each.word.zh) for each in screens}

    assert len(pairs) == len(Colour)


def test_all_forgeries_look_alike_but_for_their_code() -> None:
    screens = [plainly(why).model_copy(update={"code": ""}) for why in FORGERIES]

    assert all(screen == screens[0] for screen in screens)
    assert screens[0].colour is Colour.RED


@pytest.mark.parametrize(
    ("why", "colour"),
    [
        (Why.ALREADY_REDEEMED, Colour.RED),
        (Why.EXPIRED, Colour.RED),
        (Why.NOT_YET, Colour.RED),
        (Why.WRONG_STORE, Colour.RED),
        (Why.REVOKED, Colour.RED),
        (Why.SUSPENDED, Colour.RED),
        (Why.STALE, Colour.AMBER),
        (Why.CHALLENGE_REQUIRED, Colour.AMBER),
        (Why.LIVE_CODE_REQUIRED, Colour.AMBER),
        (Why.ONLINE_REQUIRED, Colour.AMBER),
        (Why.QUOTA_REACHED, Colour.AMBER),
        (Why.LEASE_EXPIRED, Colour.AMBER),
        (Why.NOT_A_COUPON, Colour.GREY),
        (Why.SHORT_CODE_UNKNOWN, Colour.RED),
    ],
)
def test_colours_are_those_of_the_specification(why: Why, colour: Colour) -> None:
    assert plainly(why).colour is colour
    assert (why in AMBER, why in GREY) == (colour is Colour.AMBER, colour is Colour.GREY)


def test_a_yes_without_the_network_says_so() -> None:
    online, alone = a_yes(Decider.SERVER), a_yes(Decider.TERMINAL, is_provisional=True)

    assert (online.code, online.sign) == ("ok", Sign.TICK)
    assert (alone.code, alone.sign) == ("ok_offline", Sign.TICK_AND_CLOUD)
    assert "without the network" in alone.cashier.en
    assert "离线" in alone.cashier.zh
    assert online.is_accepted
    assert alone.is_accepted


def test_a_yes_says_what_the_coupon_is_worth() -> None:
    title = Title(en="Coffee", zh="咖啡")

    screen = a_yes(Decider.SERVER, title=title)

    assert screen.cashier.en == "Coupon accepted: Coffee (€3.50)"
    assert screen.cashier.zh == "已核销：咖啡（€3.50）"
    assert screen.action.en == "Take €3.50 off."
    assert line_of(screen) == "✓ ACCEPTED: Coupon accepted: Coffee (€3.50)"


def test_a_no_keeps_the_words_of_whoever_decided() -> None:
    told = wording.refusal(
        [Reason(code=Why.BELOW_MINIMUM, rule="x", needs={"add_minor": 350})],
        currency="EUR",
        zone="Europe/Berlin",
    )

    screen = refused(told, decided_by=Decider.SERVER)

    assert (screen.cashier.en, screen.customer.zh) == (
        "Add €3.50 more.",
        "再买€3.50即可使用此券。",
    )
    assert line_of(screen, "zh") == "! 请稍候: 还差€3.50。"
