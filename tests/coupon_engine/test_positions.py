"""Where coupons stand in the status list: each place once, and no neighbour known."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coupon_engine.positions import SHARD_BITS, positions

SHARD = 2**SHARD_BITS


def test_a_million_coupons_fill_one_shard_without_meeting() -> None:
    position = positions(b"a key of tests")

    places = {position(nth) for nth in range(SHARD)}

    assert places == set(range(SHARD))


@settings(max_examples=50)
@given(nth=st.integers(0, 2**40), key=st.binary(min_size=16, max_size=16))
def test_a_coupon_stays_in_its_own_shard(nth: int, key: bytes) -> None:
    shard = nth // SHARD
    assert positions(key)(nth) // SHARD == 2 * shard
    assert positions(key, is_further=True)(nth) // SHARD == 2 * shard + 1


def test_neighbours_at_issue_are_strangers_in_the_list_and_keys_differ() -> None:
    one, other = positions(b"one key"), positions(b"another")

    assert not any(abs(one(nth) - one(nth + 1)) == 1 for nth in range(1_000))
    assert sum(one(nth) == other(nth) for nth in range(1_000)) < 10
