"""A short code survives being typed and read aloud, and a slip of the finger is caught."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation.short_code import (
    ALPHABET,
    fingerprint,
    is_short_code,
    normalise,
    short_code_of,
)
from tests.vectors import make_token_vectors as vectors

CODES: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))["short_codes"]
SECRET = bytes.fromhex(CODES["secret"])
PEPPER = bytes.fromhex(CODES["pepper"])

any_code = st.uuids().map(lambda coupon_id: short_code_of(coupon_id, SECRET))


@pytest.mark.parametrize("case", CODES["codes"])
def test_a_coupon_has_the_same_code_in_every_language(case: dict[str, str]) -> None:
    assert short_code_of(UUID(case["coupon_id"]), SECRET) == case["code"]
    assert fingerprint(case["code"], PEPPER).hex() == case["fingerprint"]


@pytest.mark.parametrize("case", CODES["good"])
def test_a_code_means_the_same_however_it_is_typed(case: dict[str, str]) -> None:
    assert normalise(case["typed"]) == case["meant"]
    assert is_short_code(case["typed"])


@pytest.mark.parametrize("typed", CODES["bad"])
def test_this_is_no_short_code(typed: str) -> None:
    assert not is_short_code(typed)


@given(code=any_code)
def test_a_code_has_three_groups_of_four_symbols(code: str) -> None:
    groups = code.split("-")

    assert [len(group) for group in groups] == [4, 4, 4]
    assert set("".join(groups)) <= set(ALPHABET)
    assert is_short_code(code)


@given(code=any_code)
def test_letters_that_look_like_digits_are_taken_for_them(code: str) -> None:
    misread = code.replace("0", "O").replace("1", "l").lower()
    in_double_width = "".join(chr(ord(symbol) + 0xFEE0) for symbol in code)

    assert normalise(misread) == normalise(code) == normalise(in_double_width)


@given(code=any_code, place=st.integers(0, 11), symbol=st.sampled_from(ALPHABET))
def test_one_wrong_symbol_is_always_caught(code: str, place: int, symbol: str) -> None:
    plain = normalise(code)
    typed = plain[:place] + symbol + plain[place + 1 :]

    assert is_short_code(typed) == (typed == plain)


def test_most_swapped_neighbours_are_caught() -> None:
    """ISO 7064 promises all but a few; 32 symbols make it 1 in 500."""
    plain = [normalise(short_code_of(UUID(int=n), SECRET)) for n in range(500)]
    swapped = [
        code[:at] + code[at + 1] + code[at] + code[at + 2 :]
        for code in plain
        for at in range(11)
        if code[at] != code[at + 1]
    ]

    assert sum(map(is_short_code, swapped)) / len(swapped) < 0.005


def test_another_coupon_or_another_secret_gives_another_code() -> None:
    codes = {short_code_of(UUID(int=n), SECRET) for n in range(1_000)}
    others = {short_code_of(UUID(int=n), b"another secret") for n in range(1_000)}

    assert len(codes) == len(others) == 1_000
    assert not codes & others


def test_a_fingerprint_depends_on_the_code_meant_and_on_the_pepper() -> None:
    code = short_code_of(UUID(int=1), SECRET)

    assert fingerprint(code.lower().replace("-", " "), PEPPER) == fingerprint(code, PEPPER)
    assert fingerprint(code, b"another pepper") != fingerprint(code, PEPPER)
    assert len(fingerprint(code, PEPPER)) == 32


@given(text=st.text())
def test_any_text_is_a_short_code_or_not(text: str) -> None:
    assert is_short_code(text) == (
        len(normalise(text)) == 12 and set(normalise(text)) <= set(ALPHABET) and checks(text)
    )


def test_a_code_followed_by_a_story_is_no_code() -> None:
    code = short_code_of(UUID(int=1), SECRET)

    assert normalise(code + " " * 40) == ""
    assert not is_short_code(code + " " * 40)


def checks(text: str) -> bool:
    """ISO 7064 MOD 37,36 over 32 symbols, written out as the standard has it."""
    check = 16
    for symbol in normalise(text):
        check = (((check or 32) * 2) % 33 + ALPHABET.index(symbol)) % 32
    return check == 1
