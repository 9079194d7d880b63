"""A coupon drawn by us is read by us, from a screen or paper, however badly it is seen."""

import json
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coupon_engine.drawing import Surface, png
from scanner import Effort, Reading, decode
from scanner.eye.reading import Picture
from tests.scanner.eye.codes import (
    PAPER,
    TABLE,
    bent,
    blurred,
    crumpled,
    drawn,
    grainy,
    lit,
    modules_of,
    on_a_table,
    tilted,
)
from tests.vectors import make_token_vectors as vectors

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
STATIC = VECTORS["static"][0]["text"]
BOUND = VECTORS["bound"][0]["text"]
OTHER = VECTORS["static"][1]["text"]
TEXT = "https://example.com/not/a/coupon"


def coupon(text: str, surface: Surface = Surface.SCREEN, module_px: int = 8) -> Picture:
    data = np.frombuffer(png(text, surface, module_px=module_px), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def texts(picture: Picture, effort: Effort = Effort.DEFAULT) -> list[str]:
    return [reading.text for reading in decode(picture, effort=effort)]


# As it should be.


@pytest.mark.parametrize("surface", Surface)
@pytest.mark.parametrize("case", [*VECTORS["static"], *VECTORS["bound"]], ids=lambda c: c["name"])
def test_every_coupon_drawn_is_read_again(case: dict[str, str], surface: Surface) -> None:
    assert texts(coupon(case["text"], surface), Effort.FRAME) == [case["text"]]


@pytest.mark.parametrize("module_px", [2, 3, 12])
def test_a_code_is_read_small_and_large(module_px: int) -> None:
    assert texts(coupon(BOUND, module_px=module_px)) == [BOUND]


def test_a_colour_picture_is_read_like_a_grey_one() -> None:
    grey = coupon(STATIC)

    assert texts(np.dstack([grey, grey, grey])) == [STATIC]


def test_a_part_of_a_larger_array_is_read_in_place() -> None:
    grey = coupon(STATIC)
    every_second = np.repeat(np.repeat(grey, 2, axis=0), 2, axis=1)[::2, ::2]
    backwards = np.ascontiguousarray(grey[::-1, ::-1])[::-1, ::-1]

    assert texts(every_second) == texts(backwards) == [STATIC]


@pytest.mark.parametrize("turned", [0, 37, 90, 180, 275])
def test_the_corners_begin_at_the_codes_own_top_left(turned: float) -> None:
    code = drawn(modules_of(TEXT), module_px=6)

    (reading,) = decode(on_a_table(code, turned=turned))

    size = 33 * 6 / 2
    square = np.array([(-size, -size), (size, -size), (size, size), (-size, size)])
    angle = np.deg2rad(-turned)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    assert reading.text == TEXT
    assert reading.step == "grey"
    assert np.abs(reading.corners - (square @ turn + (320, 240))).max() < 6


def test_two_codes_in_one_picture_are_both_told() -> None:
    both = np.hstack([coupon(STATIC), np.full((coupon(STATIC).shape[0], 40), 255, np.uint8)])

    assert set(texts(np.hstack([both, coupon(OTHER)]))) == {STATIC, OTHER}


def test_one_code_shown_twice_is_told_once() -> None:
    assert texts(np.hstack([coupon(STATIC), coupon(STATIC)])) == [STATIC]


@pytest.mark.parametrize("effort", [Effort.DEFAULT, Effort.THOROUGH])
def test_a_bad_code_beside_a_good_one_is_read_as_well(effort: Effort) -> None:
    good = on_a_table(drawn(modules_of("GOOD")))
    bad = bent(on_a_table(drawn(modules_of("BENT"))), 1.0)
    assert texts(bad, Effort.FRAME) == []

    assert set(texts(np.hstack([good, bad]), effort)) == {"GOOD", "BENT"}


def test_bytes_that_are_no_text_do_no_harm() -> None:
    picture = drawn(modules_of(bytes([0xFF, 0xFE, 0x00, 0x80, 0xC3, 0x28]) * 4))

    for reading in decode(picture, effort=Effort.THOROUGH):
        assert isinstance(reading.text, str)


# As it is: each of these is more than the first look can read.


HARD: dict[str, Picture] = {
    "out of focus": grainy(blurred(drawn(modules_of(TEXT)), 4.3), 10),
    "small and out of focus": grainy(blurred(drawn(modules_of(TEXT), module_px=2), 1.0), 5),
    "grainy": grainy(on_a_table(drawn(modules_of(TEXT), module_px=5)), 130),
    "bent": bent(on_a_table(drawn(modules_of(TEXT))), 1.0),
    "crumpled": crumpled(drawn(modules_of(TEXT)), 8),
    "far away in the dark": grainy(
        (on_a_table(drawn(modules_of(TEXT), module_px=3)) // 14).astype(np.uint8), 1.5
    ),
}


@cache
def texts_of_hard(name: str, effort: Effort) -> list[str]:
    return texts(HARD[name], effort)


@pytest.mark.parametrize("name", HARD)
def test_a_thorough_look_reads_what_the_first_one_cannot(name: str) -> None:
    assert texts_of_hard(name, Effort.FRAME) == []
    assert texts_of_hard(name, Effort.THOROUGH) == [TEXT]


def torn(rows: slice, columns: slice) -> Picture:
    modules = modules_of(TEXT, level="Q")
    modules[rows, columns] = False
    return on_a_table(drawn(modules))


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(0, 2), slice(0, 7)),
        (slice(0, 7), slice(31, 33)),
        (slice(31, 33), slice(0, 7)),
    ],
)
def test_a_torn_finder_does_not_hide_a_code(rows: slice, columns: slice) -> None:
    assert texts(torn(rows, columns), Effort.FRAME) == []
    assert texts(torn(rows, columns), Effort.THOROUGH) == [TEXT]


@pytest.mark.parametrize("by", [0.3, 0.5])
def test_a_phone_may_be_tilted(by: float) -> None:
    assert texts(tilted(coupon(BOUND), by), Effort.THOROUGH) == [BOUND]


@pytest.mark.parametrize("spot", [(0.5, 0.5), (0.62, 0.4)])
def test_a_lamp_may_shine_back_from_the_middle(spot: tuple[float, float]) -> None:
    code = on_a_table(drawn(modules_of(TEXT, level="Q")))

    assert texts(lit(code, spot=spot, width=0.1, strength=260), Effort.THOROUGH) == [TEXT]


def test_light_on_dark_is_read_as_well() -> None:
    dark = 255 - lit(on_a_table(drawn(modules_of(TEXT))), spot=(0.4, 0.4), width=0.2, strength=60)

    assert texts(bent(dark, 0.9), Effort.THOROUGH) == [TEXT]


def test_low_contrast_is_still_a_difference() -> None:
    faint = np.where(on_a_table(drawn(modules_of(TEXT))) > TABLE - 40, 128, 118).astype(np.uint8)

    assert texts(grainy(faint, 2), Effort.THOROUGH) == [TEXT]


def test_more_effort_never_reads_less() -> None:
    for name in HARD:
        frame, default, thorough = (set(texts_of_hard(name, effort)) for effort in Effort)

        assert frame <= default <= thorough


def test_the_same_picture_always_gives_the_same_answer() -> None:
    def told(reading: Reading) -> tuple[str, str, bytes]:
        return reading.text, reading.step, reading.corners.tobytes()

    first = [told(reading) for reading in decode(HARD["bent"], effort=Effort.THOROUGH)]

    assert first == [told(reading) for reading in decode(HARD["bent"], effort=Effort.THOROUGH)]


# Where there is nothing to read.


def crossword(seed: int) -> Picture:
    """Black and white squares, as many as a code has, and finders to mislead."""
    squares = np.random.default_rng(seed).integers(0, 2, (33, 33)).astype(np.bool_)
    real = modules_of(TEXT)
    for part in (
        (slice(0, 8), slice(0, 8)),
        (slice(0, 8), slice(25, 33)),
        (slice(25, 33), slice(0, 8)),
    ):
        squares[part] = real[part]
    squares[6], squares[:, 6] = real[6], real[:, 6]
    return on_a_table(drawn(squares, module_px=4), size=(240, 320))


@pytest.mark.parametrize("seed", range(5))
def test_what_only_looks_like_a_code_is_not_read(seed: int) -> None:
    assert texts(crossword(seed), Effort.THOROUGH) == []


@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize(
    "shape",
    [(0, 0), (0, 9), (0, 9, 3), (1, 1), (1, 1, 3), (2, 500), (500, 2), (30, 30), (480, 640)],
)
def test_a_picture_without_a_code_tells_nothing(shape: tuple[int, ...], effort: Effort) -> None:
    grain = np.random.default_rng(7).integers(0, 256, shape, np.uint8)

    assert texts(grain, effort) == []
    assert texts(np.zeros(shape, np.uint8), effort) == []


def test_a_huge_picture_is_looked_at_all_the_same() -> None:
    poster = np.full((6000, 6000), PAPER, np.uint8)
    code = drawn(modules_of(TEXT), module_px=40)
    poster[3000 : 3000 + code.shape[0], 2000 : 2000 + code.shape[1]] = code

    assert texts(poster) == [TEXT]


def test_a_very_long_picture_is_looked_at_all_the_same() -> None:
    strip = np.full((400, 70_000), PAPER, np.uint8)
    strip[20:348, 60_000:60_328] = drawn(modules_of(TEXT))

    assert texts(strip) == [TEXT]


@given(
    arrays.arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(0, 70), st.integers(0, 70)),
            st.tuples(st.integers(0, 70), st.integers(0, 70), st.just(3)),
        ),
    )
)
@settings(max_examples=60)
def test_no_picture_is_too_strange(picture: Picture) -> None:
    assert texts(picture, Effort.THOROUGH) == []


@given(seed=st.integers(0, 2**32 - 1), wrong=st.integers(20, 1500))
@settings(max_examples=15)
def test_a_spoilt_code_is_read_right_or_not_at_all(seed: int, wrong: int) -> None:
    chance = np.random.default_rng(seed)
    modules = modules_of(TEXT, level="L")
    flat = modules.reshape(-1)
    flat[chance.integers(0, flat.size, wrong)] ^= True

    assert texts(drawn(modules, module_px=4), Effort.THOROUGH) in ([], [TEXT])


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (np.zeros((40, 40), np.float32), TypeError),
        (np.zeros((40, 40), np.bool_), TypeError),
        ([[0, 0], [0, 0]], TypeError),
        (np.zeros((40, 40, 4), np.uint8), ValueError),
        (np.zeros(40, np.uint8), ValueError),
    ],
)
def test_what_is_no_picture_is_an_error(picture: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"[Aa] picture"):
        decode(picture)  # pyright: ignore[reportArgumentType]
