"""A camera over a counter: frame after frame, with a clock of our own."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import Effort, Watcher, decode
from scanner.eye.reading import Field, Picture
from scanner.eye.watching import Together, likeness
from tests.scanner.eye.codes import (
    bent,
    blurred,
    drawn,
    grainy,
    lit,
    modules_of,
    on_a_table,
    tilted,
)

TEXT = "https://example.com/not/a/coupon"
OTHER = "https://example.com/another/one"
FRAME_SECONDS = 1 / 15
NOTHING = np.full((320, 420), 120, np.uint8)


class Stopwatch:
    """Stands in for the time that work takes: each look at it, so much has passed."""

    def __init__(self, passes: float) -> None:
        self.now, self.passes, self.looks = 0.0, passes, 0

    def __call__(self) -> float:
        self.looks += 1
        self.now += self.passes
        return self.now


def generous() -> Watcher:
    return Watcher(budget_seconds=1, timer=Stopwatch(0.1))


def held(text: str, *, module_px: int = 6, turned: float = 0, shifted: int = 0) -> Picture:
    code = drawn(modules_of(text), module_px=module_px)
    return np.roll(
        on_a_table(code, turned=turned, size=(320, 420)), (shifted // 2, shifted), (0, 1)
    )


def told(watcher: Watcher, frames: list[Picture], *, begin: float = 0) -> list[tuple[int, str]]:
    """Return in which frame which text was told."""
    return [
        (number, reading.text)
        for number, frame in enumerate(frames)
        for reading in watcher.see(frame, at=begin + number * FRAME_SECONDS)
    ]


# Once each.


def test_a_code_that_stays_is_told_once() -> None:
    watcher = generous()
    frames = [held(TEXT, turned=turn, shifted=2 * turn) for turn in range(20)]

    assert told(watcher, frames) == [(0, TEXT)]
    assert watcher.in_sight == [TEXT]


def test_a_code_that_comes_back_is_told_again_when_it_was_away_for_long_enough() -> None:
    watcher = Watcher(away_seconds=1, budget_seconds=0)
    seen = held(TEXT)

    assert [r.text for r in watcher.see(seen, at=10)] == [TEXT]
    assert watcher.see(seen, at=10.9) == []
    assert watcher.see(NOTHING, at=11.5) == []
    assert watcher.see(seen, at=11.8) == []
    assert watcher.see(NOTHING, at=12.85) == []
    assert watcher.in_sight == []
    assert [r.text for r in watcher.see(seen, at=12.9)] == [TEXT]


def test_another_code_is_told_at_once() -> None:
    frames = [held(TEXT)] * 3 + [held(OTHER)] * 3

    assert told(generous(), frames) == [(0, TEXT), (3, OTHER)]


def test_a_second_code_that_comes_beside_the_first_is_told_soon() -> None:
    alone, both = np.hstack([held(TEXT), NOTHING]), np.hstack([held(TEXT), held(OTHER)])

    assert [text for _, text in told(generous(), [alone] * 3 + [both] * 5)] == [TEXT, OTHER]


def test_a_code_is_told_with_its_place_in_the_whole_frame() -> None:
    watcher = Watcher(away_seconds=0, budget_seconds=0)
    watcher.see(held(TEXT), at=0)

    (reading,) = watcher.see(held(TEXT, shifted=30), at=0.1)

    size = 33 * 6 / 2
    corners = np.array([(-size, -size), (size, -size), (size, size), (-size, size)])
    middle = np.array([210 + 30, 160 + 15])
    assert np.abs(reading.corners - middle - corners).max() < 5


# Within the time that there is.


def test_without_time_only_the_first_look_is_taken() -> None:
    hard = grainy(held(TEXT), 140)
    assert [r.text for r in decode(hard)] == [TEXT]

    assert told(Watcher(budget_seconds=0), [hard] * 20) == []
    assert told(Watcher(budget_seconds=0), [held(TEXT)]) == [(0, TEXT)]


@pytest.mark.parametrize("units", [1, 3, 10])
def test_so_many_steps_are_taken_as_fit_into_a_frame(units: int) -> None:
    stopwatch = Stopwatch(0.01)
    watcher = Watcher(budget_seconds=units * 0.01, timer=stopwatch)

    for number in range(30):
        before = stopwatch.looks
        watcher.see(blurred(grainy(NOTHING, 40, seed=number), 1), at=number * FRAME_SECONDS)

        # Once to begin, once before each step, once to see that it is over, for votes and steps.
        assert stopwatch.looks - before <= units + 3


@pytest.mark.parametrize("every", [3, 5])
def test_what_one_threshold_for_all_shows_needs_no_time_either(every: int) -> None:
    """Whoever tries each way of a plain reader on each frame is not to be earlier."""
    striped = held(TEXT, module_px=4)
    striped[::every] = np.minimum(striped[::every], 128)
    assert decode(striped, effort=Effort.FRAME) == []

    assert told(Watcher(budget_seconds=0), [striped]) == [(0, TEXT)]


HARD = {
    "out of focus": blurred(held(TEXT), 3.2),
    "grainy": grainy(held(TEXT), 140),
    "bent": bent(on_a_table(drawn(modules_of(TEXT))), 1.0),
    "light on dark": bent(255 - on_a_table(drawn(modules_of(TEXT))), 0.9),
    "tilted": tilted(held(TEXT), 0.5),
    "in a lamp's light": lit(held(TEXT), spot=(0.5, 0.5), width=0.2, strength=150),
}


@pytest.mark.parametrize("name", HARD)
def test_what_a_thorough_look_reads_is_read_in_the_end_however_little_time(name: str) -> None:
    assert [r.text for r in decode(HARD[name], effort=Effort.THOROUGH)] == [TEXT]
    watcher = Watcher(budget_seconds=0.015, timer=Stopwatch(0.01))

    frames = (told(watcher, [HARD[name]], begin=number * FRAME_SECONDS) for number in range(100))

    assert next(filter(None, frames)) == [(0, TEXT)]


# Together.


@pytest.mark.parametrize("moves", [0, 3])
def test_frames_together_tell_what_no_single_one_does(moves: int) -> None:
    frames = [
        grainy(
            np.roll(
                held(TEXT, module_px=4), (int(moves * np.sin(k)), int(moves * np.cos(k))), (0, 1)
            ),
            200,
            seed=k,
        )
        for k in range(10)
    ]
    assert all(decode(frame, effort=Effort.THOROUGH) == [] for frame in frames)

    assert [text for _, text in told(generous(), frames)] == [TEXT]


def test_a_mean_of_frames_follows_the_hand() -> None:
    still, together = held(TEXT), Together()

    for shift in range(12):
        together.add(grainy(np.roll(still, shift, 1), 60, seed=shift))

    last = np.roll(still, 11, 1).astype(float)
    assert (
        np.abs(together.picture - last).mean()
        < 0.6 * np.abs(grainy(np.roll(still, 11, 1), 60) - last).mean()
    )


def test_a_mean_of_frames_begins_anew_with_another_scene() -> None:
    together = Together()
    together.add(held(TEXT))

    together.add(NOTHING)

    assert (together.picture == NOTHING).all()


def votes(text: str, noise: float, seed: int) -> Field:
    modules = modules_of(text).astype(np.float32) * 2 - 1
    return (modules + np.random.default_rng(seed).normal(0, noise, modules.shape)).astype(
        np.float32
    )


@given(seed=st.integers(0, 2**32 - 2))
def test_votes_for_another_code_are_not_counted_as_votes_for_this_one(seed: int) -> None:
    one, again = votes(TEXT, 1, seed), votes(TEXT, 1, seed + 1)

    assert likeness(one, again) > 0.35
    assert likeness(one, votes(OTHER + "?&=" * 8, 1, seed + 1)) < 0.25
    assert likeness(one, one[:29, :29]) == 0


# Whatever comes.


def test_frames_may_change_their_size() -> None:
    small = held(TEXT, module_px=3)[60:260, 110:310]
    frames = [NOTHING, np.dstack([NOTHING] * 3), small, held(TEXT), small[:1, :1], small]

    assert told(generous(), frames) == [(2, TEXT)]


def test_a_code_that_leaves_over_the_edge_does_no_harm() -> None:
    frames = [held(TEXT, shifted=shift)[:, : 420 - shift] for shift in range(0, 400, 20)]

    assert told(generous(), frames) == [(0, TEXT)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6))
@settings(max_examples=30)
def test_no_frame_is_too_strange(shapes: list[tuple[int, int]]) -> None:
    chance, watcher, ticks = np.random.default_rng(7), generous(), count()

    for shape in shapes:
        grain = chance.integers(0, 256, shape, np.uint8)
        assert watcher.see(grain, at=next(ticks) * FRAME_SECONDS) == []


def test_grain_is_never_told() -> None:
    frames = [grainy(NOTHING, 90, seed=seed) for seed in range(12)]

    assert told(generous(), frames) == []


def test_what_is_no_frame_is_an_error() -> None:
    with pytest.raises(TypeError, match="picture"):
        generous().see(np.zeros((40, 40)), at=0)  # pyright: ignore[reportArgumentType]
