"""A coupon drawn by us is read by us, from a screen or paper, by a poor camera too."""

import importlib
import json

import cv2
import numpy as np
import pytest

from coupon_engine.drawing import Surface, png
from scanner import decode
from scanner.decode import Picture
from tests.vectors import make_token_vectors as vectors

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
STATIC = VECTORS["static"][0]["text"]
BOUND = VECTORS["bound"][0]["text"]
SHORT_CODE = VECTORS["short_codes"]["codes"][0]["code"]

# By its full name: the package's own `decode` is the verb.
steps = importlib.import_module("scanner.decode")


def drawn(text: str, surface: Surface = Surface.SCREEN, module_px: int = 8) -> Picture:
    data = np.frombuffer(png(text, surface, module_px=module_px), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)  # pyright: ignore[reportReturnType]


def photographed(text: str, *, module_px: float, blur: float, noise: int = 5) -> Picture:
    """Show a code on a dim screen to a camera: modules so many pixels wide, blurred, noisy."""
    code = 30 + drawn(text).astype(np.float32) * 185 / 255
    size = int(code.shape[0] * module_px / 8)
    small = cv2.resize(code, (size, size), interpolation=cv2.INTER_AREA)
    scene = cv2.copyMakeBorder(small, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(90,))
    seen = cv2.GaussianBlur(scene, (0, 0), blur * module_px)
    grain = np.random.default_rng(7).normal(0, noise, seen.shape)
    return np.clip(seen + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("surface", Surface)
@pytest.mark.parametrize("case", [*VECTORS["static"], *VECTORS["bound"]], ids=lambda c: c["name"])
def test_every_coupon_drawn_is_read_again(case: dict[str, str], surface: Surface) -> None:
    assert decode(drawn(case["text"], surface)) == [case["text"]]


def test_a_short_code_can_be_drawn_and_read_as_well() -> None:
    assert decode(drawn(SHORT_CODE)) == [SHORT_CODE]


@pytest.mark.parametrize("module_px", [2, 3, 12])
def test_a_code_is_read_small_and_large(module_px: int) -> None:
    assert decode(drawn(BOUND, module_px=module_px)) == [BOUND]


def test_a_colour_picture_is_read_like_a_grey_one() -> None:
    grey = drawn(STATIC)

    assert decode(np.dstack([grey, grey, grey])) == [STATIC]


@pytest.mark.parametrize("turn", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180])
def test_a_phone_may_be_held_any_way_up(turn: int) -> None:
    turned = cv2.rotate(drawn(STATIC), turn)

    assert decode(turned) == [STATIC]  # pyright: ignore[reportArgumentType]


def test_a_phone_may_be_tilted() -> None:
    code = drawn(BOUND)
    size = code.shape[0]
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    tilted = np.array([[60, 20], [520, 60], [490, 500], [30, 470]], np.float32)
    lens = cv2.getPerspectiveTransform(corners, tilted)
    seen = cv2.warpPerspective(code, lens, (560, 540), borderValue=(90,))

    assert decode(seen) == [BOUND]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", [STATIC, BOUND])
def test_a_slightly_blurred_code_is_read_at_once(text: str) -> None:
    assert decode(photographed(text, module_px=4, blur=0.3)) == [text]


@pytest.mark.parametrize("text", [STATIC, BOUND])
def test_a_code_out_of_focus_is_read_by_sharpening(text: str) -> None:
    seen = photographed(text, module_px=8, blur=0.53, noise=10)

    assert steps._texts(seen) == []
    assert steps._texts(steps._enlarged(seen)) == []
    assert decode(seen) == [text]


@pytest.mark.parametrize("text", [STATIC, BOUND])
def test_a_small_code_out_of_focus_is_read_by_enlarging(text: str) -> None:
    seen = photographed(text, module_px=2, blur=0.5)

    assert steps._texts(seen) == []
    assert steps._texts(steps._sharpened(seen)) == []
    assert decode(seen) == [text]


def test_the_last_resort_reads_by_itself() -> None:
    assert steps._last_resort(drawn(BOUND)) == [BOUND]


def test_two_codes_in_one_picture_are_both_told() -> None:
    side_by_side = np.hstack([drawn(STATIC), np.full((drawn(STATIC).shape[0], 40), 255, np.uint8)])
    other = drawn(VECTORS["static"][1]["text"])
    both = np.hstack([side_by_side, other])

    assert set(decode(both)) == {STATIC, VECTORS["static"][1]["text"]}


def test_one_code_shown_twice_is_told_once() -> None:
    assert decode(np.hstack([drawn(STATIC), drawn(STATIC)])) == [STATIC]


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (500, 2), (480, 640), (480, 640, 3)])
def test_a_picture_without_a_code_tells_nothing(shape: tuple[int, ...]) -> None:
    grain = np.random.default_rng(7).integers(0, 256, shape, np.uint8)

    assert decode(grain) == []
    assert decode(np.zeros(shape, np.uint8)) == []
