from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from coupon_engine import apart
from coupon_engine.database import open_engine


@pytest.fixture
def limited(database_url: str) -> Iterator[Engine]:
    """The database with the rights that a server has."""
    engine = open_engine(database_url, pool=12, overflow=0, role=apart.ROLE)
    yield engine
    engine.dispose()
