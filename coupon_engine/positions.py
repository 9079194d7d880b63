"""Where a coupon stands in its campaign's status list: a place that tells nothing of its order.

The nth coupon gets the nth place of a secret permutation, one shard of 2^20 places after the other,
so that a list of a million coupons stays one shard and neighbours in it are strangers. Coupons have
every other shard; between them lie the further places of `places.py`.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

SHARD_BITS = 20
_HALF_BITS = SHARD_BITS // 2
_HALF_MASK = 2**_HALF_BITS - 1
_ROUNDS = 4


# Drawing the tables takes longer than everything else about issuing one coupon.
@lru_cache(maxsize=64)
def positions(key: bytes, *, is_further: bool = False) -> Callable[[int], int]:
    """Return the permutation of this key: a Feistel network of four rounds over 20 bits.

    Source: Luby and Rackoff, 1988; the round functions are tables drawn from BLAKE2b.
    """
    tables = [_table(key, number) for number in range(_ROUNDS)]
    first, second, third, fourth = tables

    def position(nth: int) -> int:
        left, right = nth >> _HALF_BITS & _HALF_MASK, nth & _HALF_MASK
        left ^= first[right]
        right ^= second[left]
        left ^= third[right]
        right ^= fourth[left]
        shard = 2 * (nth >> SHARD_BITS) + is_further
        return shard << SHARD_BITS | left << _HALF_BITS | right

    return position


def _table(key: bytes, number: int) -> list[int]:
    return [
        int.from_bytes(
            blake2b(at.to_bytes(2), digest_size=2, key=key, salt=bytes([number])).digest()
        )
        & _HALF_MASK
        for at in range(2**_HALF_BITS)
    ]
