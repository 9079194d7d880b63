"""Which passwords are good enough, and what is kept of one."""

import re
from unicodedata import normalize

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from coupon_engine.errors import PasswordRefused
from coupon_engine.people import passwords

EMAIL = "ann@example.com"
GOOD = "seven blue umbrellas"


def why_not(password: str) -> str | None:
    try:
        passwords.check(password, email=EMAIL)
    except PasswordRefused as refused:
        return str(refused.details["why"])
    return None


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven umbrella", "it has fewer than 15 characters"),
        ("x7#" * 66 + "ab!", "it has more than 200 characters"),
        ("my ANN@Example.com!", "it contains the e-mail address"),
        ("i love counter-foil", "it contains the name of this product"),
        ("Counterfoil is 1st", "it contains the name of this product"),
        ("Correct Horse Battery Staple", "it is one of those that everybody tries first"),
        ("123456789012345", "it is one of those that everybody tries first"),
        ("qwertyuiopasdfgh", "it is one of those that everybody tries first"),
        ("aaaaaaaaaaaaaaaaaaa", "it is one of those that everybody tries first"),
        ("abc-abc-abc-abc-abc", "it is one of those that everybody tries first"),
        ("!!!!!!!!!!!!!!!!!!!", "it is one of those that everybody tries first"),
    ],
)
def test_what_others_guess_is_refused_and_told_why(password: str, why: str) -> None:
    assert why_not(password) == why


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "seven umbrellas",  # exactly 15
        "x7#" * 66 + "ab",  # exactly 200
        "  spaces count  ",
        "七把藍色的雨傘在下雨的星期二晚上",
        "#$%&/()=?!§<>|~*",
    ],
)
def test_length_is_enough_and_nothing_is_composed(password: str) -> None:
    assert why_not(password) is None


def test_characters_are_counted_after_they_are_brought_into_one_form() -> None:
    # One letter and its accent, written apart, are one character: 15 written ones here are 14.
    apart = "a\N{COMBINING ACUTE ACCENT}" + "seven umbrel"[:13] + "x"

    assert why_not(apart) == "it has fewer than 15 characters"
    assert why_not("ﬃ" + "seven umbrel") is None  # one written character is three


def test_the_same_password_typed_on_another_keyboard_is_right() -> None:
    kept = passwords.hash_of("Ångström und Übermut")

    assert passwords.is_right("A\N{COMBINING RING ABOVE}ngström und Übermut", kept)
    assert not passwords.is_right("Angstrom und Ubermut", kept)


def test_what_is_kept_is_argon2id_with_more_than_the_least_memory() -> None:
    kept = passwords.hash_of(GOOD)

    found = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$.+\$.+", kept)
    assert found is not None
    memory, time, lanes = map(int, found.groups())
    assert memory >= 19 * 1024
    assert (time, lanes) == (2, 1)
    assert GOOD not in kept
    assert passwords.hash_of(GOOD) != kept


def test_without_an_account_the_same_work_is_done_for_nothing() -> None:
    made = re.sub(r"\$[^$]+\$[^$]+$", "", passwords.hash_of(GOOD))

    assert passwords._DUMMY.startswith(f"{made}$")  # the same parameters, so the same work
    assert not passwords.is_right(GOOD, None)
    assert passwords.judged(GOOD, None) == (False, None)


def test_a_hash_of_earlier_days_is_made_anew_when_the_password_comes() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(GOOD)

    is_right, new = passwords.judged(GOOD, old)

    assert is_right
    assert new is not None
    assert passwords.judged(GOOD, new) == (True, None)
    assert passwords.judged("another password", old) == (False, None)


@given(st.text(min_size=1, max_size=40))
@effort(max_examples=10)
def test_any_password_is_right_and_any_other_is_not(password: str) -> None:
    kept = passwords.hash_of(password)

    assert passwords.is_right(password, kept)
    assert not passwords.is_right(password + "x", kept)


@given(st.text(max_size=300))
def test_any_text_is_judged_and_by_its_length_first(password: str) -> None:
    length = len(normalize("NFKC", password))

    why = why_not(password) or ""

    assert ("fewer than" in why) == (length < 15)
    assert ("more than" in why) == (length > 200)
