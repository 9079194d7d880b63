"""A grid is laid where a code is, and not where only its finders are."""

import numpy as np
import pytest

from scanner import Effort
from scanner.eye.cascade import Look, work
from scanner.eye.grid import Blank, Grid, grids
from scanner.eye.reading import Picture
from scanner.eye.soft import meant
from scanner.eye.zxing import Sighting, text_of
from tests.scanner.eye.codes import bent, drawn, modules_of, on_a_table

TEXT = "https://example.com/not/a/coupon"
MODULE_PX = 6
SIDE = 33 * MODULE_PX / 2
PLACE = Sighting(
    np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32) * SIDE
    + np.array([320, 240], np.float32),
    4,
)


def by_lot(seed: int) -> Picture:
    """Modules by lot between three finders: not even the timing patterns are there."""
    squares = np.random.default_rng(seed).integers(0, 2, (33, 33)).astype(np.bool_)
    real = modules_of(TEXT)
    for part in np.s_[:8, :8], np.s_[:8, 25:], np.s_[25:, :8]:
        squares[part] = real[part]
    return on_a_table(drawn(squares, module_px=MODULE_PX))


def laid(picture: Picture) -> list[Grid | Blank]:
    return [grid for grid in grids(picture, PLACE) if grid is not None]


@pytest.mark.parametrize("seed", range(6))
def test_three_finders_and_nothing_else_are_blank(seed: int) -> None:
    found = laid(by_lot(seed))

    assert found
    assert all(isinstance(grid, Blank) for grid in found)


@pytest.mark.parametrize("seed", range(3))
def test_a_blank_place_ends_the_search_of_a_single_quick_look(seed: int) -> None:
    seen = Look(by_lot(seed), most_fits=2)
    for _ in work(seen, Effort.DEFAULT):
        pass

    assert seen.blanks >= 1
    assert len(seen.tried) == 1


@pytest.mark.parametrize("how_bent", [0, 0.5, 0.8])
def test_a_code_is_not_blank_though_it_is_bent(how_bent: float) -> None:
    flat = on_a_table(drawn(modules_of(TEXT), module_px=MODULE_PX))

    found = laid(bent(flat, how_bent) if how_bent else flat)

    texts = [meant(grid.values) for grid in found if isinstance(grid, Grid)]
    assert [text_of(text) for text in texts if text is not None][:1] == [TEXT]


def test_a_code_is_not_blank_though_a_corner_is_torn_off() -> None:
    modules = modules_of(TEXT, level="Q")
    modules[:3, :7] = False

    found = laid(on_a_table(drawn(modules, module_px=MODULE_PX)))

    assert any(isinstance(grid, Grid) for grid in found)
