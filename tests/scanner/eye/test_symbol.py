"""The plan of a code, against a library that draws codes."""

import numpy as np
import pytest

from scanner.eye.symbol import (
    LEVELS,
    VERSIONS,
    blocks_of,
    codeword_places,
    format_places,
    format_words,
    mask_of,
    pattern_of,
    size_of,
    version_of,
    version_places,
    version_words,
)
from tests.scanner.eye.codes import modules_of


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_fixed_stands_where_another_library_draws_it(version: int) -> None:
    level, mask = LEVELS[version % 4], version % 8

    modules = modules_of("A coupon", version=version, level=level, mask=mask)

    fixed = pattern_of(version).fixed
    assert ((modules * 2 - 1) == fixed)[fixed != 0].all()
    for place in format_places(size_of(version)):
        word = format_words()[LEVELS.index(level) * 8 + mask]
        assert (modules[tuple(place.T)] == (word > 0)).all()
    for place in version_places(size_of(version)) if version >= 7 else ():
        assert (modules[tuple(place.T)] == (version_words()[version - 7] > 0)).all()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_codeword_is_in_one_block(version: int, level: str) -> None:
    blocks = blocks_of(version, level)

    held = np.sort(np.concatenate([block.codewords for block in blocks]))

    assert held.tolist() == list(range(len(codeword_places(version))))


def test_every_mask_turns_over_other_modules() -> None:
    masks = {mask_of(number, 21).tobytes() for number in range(8)}

    assert len(masks) == 8


def test_only_some_sizes_are_of_a_code() -> None:
    assert [version_of(size) for size in (17, 21, 22, 25, 177, 181)] == [None, 1, None, 2, 40, None]
