from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scanner.terminal.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A terminal that knows one campaign and holds a list in which nothing is set."""
    shop = Shop(tmp_path)
    shop.learn()
    yield shop
    shop.close()


@pytest.fixture
def new_shop(tmp_path: Path) -> Iterator[Shop]:
    """A terminal that has been told nothing yet."""
    shop = Shop(tmp_path)
    yield shop
    shop.close()
