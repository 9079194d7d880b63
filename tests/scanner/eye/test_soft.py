"""What the modules mean, though some were not seen; and no meaning where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.eye.levels import settled
from scanner.eye.reading import Field
from scanner.eye.soft import meant
from scanner.eye.symbol import LEVELS, blocks_of, codeword_places
from scanner.eye.zxing import text_of
from tests.scanner.eye.codes import modules_of

TEXT = "CP1A AND MORE"


def seen(modules: object) -> Field:
    return (np.asarray(modules, np.float32) * 2 - 1).astype(np.float32)


@pytest.mark.parametrize("version", [2, 7, 14, 25, 40])
@pytest.mark.parametrize("level", LEVELS)
def test_modules_seen_well_mean_what_was_drawn(version: int, level: str) -> None:
    modules = modules_of(TEXT, version=version, level=level)

    answer = meant(seen(modules))

    assert answer is not None
    assert (answer == modules).all()
    assert text_of(answer) == TEXT


def test_a_mirrored_code_is_turned_back() -> None:
    modules = modules_of(TEXT)

    answer = meant(seen(modules.T))

    assert answer is not None
    assert (answer == modules).all()


def test_what_was_not_seen_costs_half_of_what_was_seen_wrong() -> None:
    modules = modules_of(TEXT, version=2, level="H")
    unsure, wrong = seen(modules), seen(modules)
    unsure[9:20, 9:25] *= -0.05
    wrong[9:20, 9:25] *= -1

    assert meant(wrong) is None
    assert text_of(np.asarray(unsure > 0)) is None
    answer = meant(unsure)
    assert answer is not None
    assert text_of(answer) == TEXT


@given(seed=st.integers(0, 2**32 - 1), version=st.sampled_from([1, 2, 5]))
def test_grain_means_nothing(seed: int, version: int) -> None:
    grain = np.random.default_rng(seed).normal(0, 0.7, (17 + 4 * version,) * 2)

    assert meant(np.clip(grain, -1, 1).astype(np.float32)) is None


@pytest.mark.parametrize(("unsure", "is_believed"), [(0, True), (12, False)])
def test_each_block_is_believed_for_itself(unsure: int, is_believed: bool) -> None:
    """Three errors are few; but with twelve bytes unseen, noise lies as near to some word."""
    modules = modules_of(TEXT, version=4, level="M", mask=0)
    values = seen(modules)
    places = codeword_places(4)[blocks_of(4, "M")[1].codewords]
    for byte in places[:unsure]:
        values[byte[:, 0], byte[:, 1]] *= -0.01
    for byte in places[20:23]:
        values[byte[0, 0], byte[0, 1]] *= -1

    answer = meant(values)

    assert (answer is not None) == is_believed


def test_shadow_and_spilt_ink_are_settled_among_neighbours() -> None:
    modules = modules_of(TEXT, version=3, level="L")
    ink = modules.astype(np.float32)
    around = np.pad(ink, 1, mode="edge")
    spilt = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) * 0.2
    light = np.linspace(40, 220, len(modules), dtype=np.float32)[None, :]
    greys = (light * (1 - 0.5 * np.clip(ink + spilt, 0, 1.8) / 1.8)).astype(np.float32)
    guess = np.clip((np.median(greys) - greys) / 60, -1, 1).astype(np.float32)

    assert meant(guess) is None
    answer = meant(settled(greys, guess))
    assert answer is not None
    assert text_of(answer) == TEXT
