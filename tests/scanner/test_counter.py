"""Only a coupon leaves the counter's door; whatever else was shown is not even written down."""

import json
import logging

import pytest

from coupon_engine.validation.token_refused import NotACoupon, TwoCodes
from scanner.counter import fingerprint, pick
from tests.vectors import make_token_vectors as vectors

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
COUPON = VECTORS["static"][0]["text"]
OTHER = VECTORS["static"][1]["text"]
SHORT_CODE = VECTORS["short_codes"]["codes"][0]["code"]


def test_a_coupon_is_picked_from_among_posters() -> None:
    assert pick(["https://coupons.example", COUPON, "WIFI:S:free;;"]) == COUPON


def test_a_short_code_is_picked_as_it_was_meant() -> None:
    assert pick([SHORT_CODE.lower().replace("-", " ")]) == SHORT_CODE.replace("-", "")


@pytest.mark.parametrize("texts", [[COUPON, OTHER], [COUPON, SHORT_CODE], [OTHER, "x", COUPON]])
def test_two_different_coupons_are_not_chosen_between(texts: list[str]) -> None:
    with pytest.raises(TwoCodes):
        pick(texts)


def test_the_same_coupon_twice_is_one_coupon() -> None:
    assert pick([COUPON, COUPON]) == COUPON
    assert pick([SHORT_CODE, SHORT_CODE.lower()]) == SHORT_CODE.replace("-", "")


def test_nothing_shown_is_not_a_coupon() -> None:
    with pytest.raises(NotACoupon):
        pick([])


@pytest.mark.parametrize("text", VECTORS["hostile"], ids=range(len(VECTORS["hostile"])))
def test_something_hostile_is_no_coupon_and_is_not_written_down(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(NotACoupon) as refusal:
        pick([text])

    assert caplog.messages == [f"not a coupon: {fingerprint(text)}"]
    assert text not in caplog.text + str(refusal.value)


def test_half_a_character_has_a_fingerprint_too() -> None:
    with pytest.raises(NotACoupon):
        pick(["\ud800"])
