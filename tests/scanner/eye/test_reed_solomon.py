"""A block comes back whole as long as it can be told, and not one byte further."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.eye.reed_solomon import corrected
from scanner.eye.symbol import LEVELS, Block, blocks_of, codeword_places, mask_of
from tests.scanner.eye.codes import modules_of


def codewords(version: int, level: str) -> tuple[list[int], Block]:
    """Return the first block of a code that another library drew."""
    modules = modules_of("COUPON", version=version, level=level, mask=3)
    places = codeword_places(version)
    bits = (modules ^ mask_of(3, len(modules)))[places[..., 0], places[..., 1]]
    block = blocks_of(version, level)[0]
    return np.packbits(bits, axis=1)[block.codewords, 0].tolist(), block


@pytest.mark.parametrize("version", [1, 6, 15, 40])
@pytest.mark.parametrize("level", LEVELS)
def test_a_block_of_another_library_needs_no_correction(version: int, level: str) -> None:
    word, block = codewords(version, level)

    assert corrected(word, block.check_bytes) == word


@given(
    erasures=st.integers(0, 16),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_errors_and_erasures_within_reach_are_corrected(
    erasures: int, share: float, seed: int
) -> None:
    word, block = codewords(2, "M")
    assert block.check_bytes == 16
    errors = int(share * (block.check_bytes - erasures) / 2)
    chance = np.random.default_rng(seed)
    wrong = chance.choice(len(word), erasures + errors, replace=False).tolist()
    spoilt = list(word)
    for place in wrong:
        spoilt[place] ^= int(chance.integers(1, 256))

    assert corrected(spoilt, block.check_bytes, wrong[:erasures]) == word


@given(st.lists(st.integers(0, 255), min_size=20, max_size=80), st.integers(2, 30))
def test_whatever_comes_back_is_a_word_of_the_code(word: list[int], check_bytes: int) -> None:
    answer = corrected(word, min(check_bytes, len(word) - 1))

    assert answer is None or corrected(answer, min(check_bytes, len(word) - 1)) == answer


def test_more_erasures_than_check_bytes_are_too_many() -> None:
    word, block = codewords(1, "L")
    spoilt = [byte ^ 255 for byte in word[:8]] + word[8:]

    assert corrected(spoilt, block.check_bytes, range(8)) is None
