"""Card numbers are kept out, and nothing else is taken for one."""

import random
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.base import Name, Ref
from schemas.cards import card_numbers

NAMES: TypeAdapter[str] = TypeAdapter(Name)
REFS: TypeAdapter[str] = TypeAdapter(Ref)

# The numbers that card networks publish for tests.
CARDS = (
    "4111111111111111",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6200000000000005",
    "6759649826438453",
)
GROUPED = (
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "3782 822463 10005",
    "3056 930902 5904",
    "6200 0000 0000 0000 003",
)
NO_CARDS = (
    "4006381333931",  # EAN-13
    "1772000000000",
    "20260302000123",
    "R-2026-4111111111111",
    "01963b2e-4c1a-7000-8000-000000000099",
    "4111111111111112",  # the check digit does not fit
    "9111111111111111",  # no network begins so
    "411111111111111",  # too short for this network
    "A4111111111111111",
    "4111111111111111-01",
    "12 000 000 coupons at 2 EUR",
)


@pytest.mark.parametrize("number", [*CARDS, *GROUPED[:3]])
def test_what_people_write_holds_no_card_number(number: str) -> None:
    for text in (number, f"refund to {number}, please", f"({number})"):
        with pytest.raises(ValidationError, match="must hold no card number"):
            NAMES.validate_python(text)


@pytest.mark.parametrize("number", CARDS)
def test_a_receipt_may_have_any_number(number: str) -> None:
    assert REFS.validate_python(number) == number


@pytest.mark.parametrize("number", GROUPED[:3])
def test_a_receipts_number_is_not_written_as_a_card_is_printed(number: str) -> None:
    with pytest.raises(ValidationError, match="must hold no card number"):
        REFS.validate_python(number)


@pytest.mark.parametrize("text", NO_CARDS)
def test_what_is_no_card_is_taken(text: str) -> None:
    assert list(card_numbers(text)) == []
    assert NAMES.validate_python(text) == text
    assert REFS.validate_python(text) == text


def test_no_id_and_no_barcode_is_ever_taken_for_a_card() -> None:
    chance = random.Random(51)
    for _ in range(20_000):
        id = UUID(int=chance.getrandbits(128))
        assert not any(card_numbers(f"coupon {id}, {id.hex}"))
        assert not any(card_numbers(f"{chance.randrange(10**13):013}"))
