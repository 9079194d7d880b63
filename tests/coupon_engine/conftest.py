"""One database for all tests of a worker that need only one transaction: each is rolled back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.database import open_engine
from tests.conftest import _database, _named


@pytest.fixture(scope="session")
def shared(server: str, template: str) -> Iterator[Engine]:
    with _database(server, template) as name:
        engine = open_engine(_named(server, name), pool=2)
        yield engine
        engine.dispose()


@pytest.fixture
def session(shared: Engine) -> Iterator[Session]:
    """One open transaction in an empty record, as a verb gets it; nothing of it stays."""
    as_system = shared.execution_options(**{acting.OPTION: acting.NOBODY})
    with as_system.connect() as connection:
        with Session(connection, expire_on_commit=False, autoflush=False) as session:
            yield session
        connection.rollback()
