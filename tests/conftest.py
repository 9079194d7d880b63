"""A real PostgreSQL: a transaction that is rolled back, or a fresh clone for tests that commit."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import Engine, make_url
from sqlmodel import Session

from coupon_engine import acting, embedded
from coupon_engine.database import open_engine, transaction
from coupon_engine.migrating import migrate

# Time is not judged in tests, and cores may be busy.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

ANOTHER_SERVER = "COUNTERFOIL_TEST_DATABASE_URL"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server where databases can be made: one of each test worker's own."""
    if url := os.environ.get(ANOTHER_SERVER):
        yield url
        return
    with embedded.temporary(durable=False) as running:
        yield running.url


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a migrated database that nobody writes to."""
    with _database(server, "template1") as name:
        engine = open_engine(_named(server, name))
        migrate(engine)
        engine.dispose()
        yield name


@pytest.fixture
def database_url(server: str, template: str) -> Iterator[str]:
    with _database(server, template) as name:
        yield _named(server, name)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url, pool=20)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def untouched(server: str, template: str) -> Iterator[Engine]:
    """One database for all tests that commit nothing."""
    with _database(server, template) as name:
        engine = open_engine(_named(server, name))
        yield engine
        engine.dispose()


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """One open transaction, rolled back at the end: no clone is made, so it costs next to nothing.

    In a test that asks for `database` as well, it is a transaction there, and commits.
    """
    if "database" in request.fixturenames:
        with transaction(request.getfixturevalue("database")) as session:
            yield session
        return
    engine: Engine = request.getfixturevalue("untouched")
    with acting.session_for(engine, acting.NOBODY) as session:
        yield session


@contextmanager
def _database(server: str, template: str) -> Generator[str]:
    name = f"counterfoil_{uuid4().hex}"
    with _admin(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    yield name
    with _admin(server) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _admin(server: str) -> psycopg.Connection:
    url = make_url(server).set(drivername="postgresql", database="postgres")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def _named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)
