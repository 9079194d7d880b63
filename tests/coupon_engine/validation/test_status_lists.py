"""Status lists as they travel: small enough, exact, and as the standard writes them."""

import random
import tracemalloc
import zlib
from base64 import b85encode, urlsafe_b64decode
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation import status_lists
from coupon_engine.validation.issuer_keys import new_private_key, public_jwk
from coupon_engine.validation.status_lists import (
    SHARD_BYTES,
    SHARD_PLACES,
    apply,
    gaps_decoded,
    gaps_encoded,
    is_set,
    pack,
    pack_shards,
    put,
    unpack,
)
from coupon_engine.validation.token import Typ, sign_typed
from schemas.offline import LONGEST_LEASE_SECONDS, Changed, StatusListClaims
from tests.make import NOON

A_MILLION = 1_000_000
PRIVATE = new_private_key()
KID = public_jwk(PRIVATE)["kid"]
PLACES = st.sets(st.integers(0, SHARD_PLACES - 1), max_size=60)


def with_set(places: set[int] | list[int]) -> bytes:
    bits = bytearray(status_lists.empty())
    for place in places:
        put(bits, place, is_on=True)
    return bytes(bits)


def signed(**more: object) -> str:
    """A list as a terminal gets it, its address and version as long as they are in the world."""
    claims = StatusListClaims.model_validate(
        {
            "sub": "https://coupons.example.com/corner-shops-of-europe/sl/48213",
            "iat": int(NOON.timestamp()),
            "exp": int((NOON + timedelta(seconds=LONGEST_LEASE_SECONDS)).timestamp()),
            "ttl": 60,
            "ver": int(NOON.timestamp() * 1_000),
            "shard": 0,
            **more,
        }
    )
    said = claims.model_dump(mode="json", exclude_none=True)
    return sign_typed(said, PRIVATE, Typ.STATUS_LIST, kid=KID)


# Sizes.


def test_a_million_coupons_of_which_a_tenth_is_used_fit_into_a_first_sync() -> None:
    used = random.Random(1).sample(range(A_MILLION), A_MILLION // 10)

    jwt = signed(status_list={"bits": 1, "lst": pack(with_set(used))})

    assert len(jwt) < 130_000  # to the byte it depends on the zlib of the machine


def test_the_worst_million_is_still_a_token_that_a_terminal_takes() -> None:
    used = random.Random(1).sample(range(SHARD_PLACES), SHARD_PLACES // 2)

    jwt = signed(status_list={"bits": 1, "lst": pack(with_set(used))})

    assert len(jwt) < 2**18


def test_a_thousand_redemptions_among_a_million_are_three_kilobytes() -> None:
    used = random.Random(1).sample(range(A_MILLION), 1_000)

    jwt = signed(
        since=int(NOON.timestamp() * 1_000), changed=Changed(set=gaps_encoded(used), cleared="")
    )

    assert len(jwt) == 2_868
    assert len(jwt) <= 3_000


@pytest.mark.parametrize("many", [1, 2, 100, 1_000, 20_000])
def test_places_are_written_in_hardly_more_bits_than_there_must_be(many: int) -> None:
    """Rice's code is within a bit in twenty of what chance itself needs, and a few bytes."""
    places = random.Random(many).sample(range(A_MILLION), many)
    needed = sum(
        (A_MILLION - at).bit_length() - (at + 1).bit_length() for at in range(many)
    )  # log2 of all ways to choose them, roughly

    assert len(gaps_encoded(places)) * 4 / 5 * 8 <= 1.2 * needed + 64


# The standard's list.


def test_the_first_place_is_the_lowest_bit_as_in_the_standard() -> None:
    """The example of draft-ietf-oauth-status-list, section 4.1."""
    status = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    bits = bytearray(2)
    for place, value in enumerate(status):
        put(bits, place, is_on=bool(value))

    assert bytes(bits) == bytes.fromhex("b9a3")
    assert [is_set(bits, place) for place in range(16)] == [bool(value) for value in status]
    assert unpack("eNrbuRgAAhcBXQ") == bytes(bits)


def test_what_is_packed_is_zlib_in_base64url_without_padding() -> None:
    bits = with_set([0, 9, SHARD_PLACES - 1])

    lst = pack(bits)

    assert "=" not in lst
    assert zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4))) == bits
    assert unpack(lst) == bits


def test_shards_far_apart_are_one_list_with_nothing_between_them() -> None:
    shards = {0: with_set([3]), 953: with_set([SHARD_PLACES - 1])}

    lst = pack_shards(shards)

    assert len(lst) < 200_000  # of 125 MB
    bits = unpack(lst, most_bytes=954 * SHARD_BYTES)
    assert len(bits) == 954 * SHARD_BYTES
    assert bits[:SHARD_BYTES] == shards[0]
    assert bits[-SHARD_BYTES:] == shards[953]
    assert not any(bits[SHARD_BYTES:-SHARD_BYTES])


def test_one_shard_and_none_are_lists_too() -> None:
    assert unpack(pack_shards({0: with_set([7])})) == with_set([7])
    assert unpack(pack_shards({})) == status_lists.empty()


@pytest.mark.parametrize("lst", ["", "x", "eNrbuRgAAhcBX", "eNrbuRgAAhcBXQAAAA", "%%%%", "QUJD"])
def test_what_is_no_list_is_refused(lst: str) -> None:
    with pytest.raises(ValueError, match=r"not a status list|base64"):
        unpack(lst)


def test_a_bomb_is_not_unpacked() -> None:
    """Nor made and then refused: what it takes is that of a list."""
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()

    try:
        with pytest.raises(ValueError, match="not a status list"):
            unpack(bomb)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most_bytes < 20 * SHARD_BYTES


def test_a_place_lies_in_its_shard() -> None:
    assert status_lists.shard_of(0) == (0, 0)
    assert status_lists.shard_of(SHARD_PLACES - 1) == (0, SHARD_PLACES - 1)
    assert status_lists.shard_of(SHARD_PLACES) == (1, 0)


# What changed.


@given(PLACES)
def test_places_come_back_as_they_were(places: set[int]) -> None:
    assert gaps_decoded(gaps_encoded(places)) == sorted(places)


@pytest.mark.parametrize("places", [[], [0], [SHARD_PLACES - 1], [0, SHARD_PLACES - 1], [3, 4, 5]])
def test_places_at_the_edges_come_back(places: list[int]) -> None:
    assert gaps_decoded(gaps_encoded(reversed(places))) == places


def test_every_place_of_a_shard_comes_back() -> None:
    assert gaps_decoded(gaps_encoded(range(SHARD_PLACES))) == list(range(SHARD_PLACES))


@given(st.binary(max_size=40).map(lambda raw: b85encode(raw).decode()) | st.text(max_size=40))
def test_any_text_is_places_of_the_shard_or_refused(text: str) -> None:
    try:
        places = gaps_decoded(text)
    except ValueError:
        return
    assert places == sorted(set(places))
    assert all(0 <= place < SHARD_PLACES for place in places)


@given(PLACES, PLACES, PLACES)
def test_changes_end_the_same_however_often_they_are_made(
    before: set[int], now_set: set[int], now_cleared: set[int]
) -> None:
    cleared = now_cleared - now_set
    changed = Changed(set=gaps_encoded(now_set), cleared=gaps_encoded(cleared))

    once = apply(with_set(before), changed)

    assert once == with_set((before - cleared) | now_set)
    assert apply(once, changed) == once


def test_changes_of_a_longer_list_are_refused() -> None:
    changed = Changed(set=gaps_encoded([16]), cleared="")

    with pytest.raises(ValueError, match="beyond"):
        apply(bytes(2), changed)
