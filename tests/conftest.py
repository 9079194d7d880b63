"""A real PostgreSQL: a transaction that is rolled back, or a fresh clone for tests that commit.

And a real browser, for those who ask for it.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Engine, make_url
from sqlmodel import Session

from coupon_engine import acting, apart, embedded
from coupon_engine.database import open_engine, transaction
from coupon_engine.migrating import migrate
from tests import browser

# Time is not judged in tests, and cores may be busy. Whoever has time to spare names more.
EXAMPLES = "COUNTERFOIL_TEST_EXAMPLES"
settings.register_profile("here", deadline=None, max_examples=int(os.environ.get(EXAMPLES, "50")))
settings.load_profile("here")

ANOTHER_SERVER = "COUNTERFOIL_TEST_DATABASE_URL"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one file: while it runs, no other event loop can."""
    found = browser.found()
    if found is None:
        pytest.skip("there is no Chromium on this machine, and none could be fetched")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=found.program, args=found.arguments, env=dict(found.environment)
        )
        yield opened
        opened.close()


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


@pytest.fixture(scope="session")
def clones(server: str, template: str) -> Iterator["Clones"]:
    made = Clones(server, template)
    yield made
    made.close()


@pytest.fixture
def database_url(clones: "Clones") -> Iterator[str]:
    """An empty database of this test's own, to which it may do what it likes."""
    with clones.one() as name:
        yield _named(clones.server, name)


class Clones:
    """Databases like the template. One that a test has left whole is emptied and used again.

    To make one takes a tenth of a core's second, to empty one a fifth of that. (To TRUNCATE takes
    as long as to make one: what refers to a full table goes with it, and each index is a file.)
    """

    def __init__(self, server: str, template: str) -> None:
        self.server = server
        self._template = template
        self._free: list[str] = []

    @contextmanager
    def one(self) -> Generator[str]:
        name = self._free.pop() if self._free else _made(self.server, self._template)
        yield name
        if self._emptied(name):
            self._free.append(name)
        else:
            _dropped(self.server, name)

    def close(self) -> None:
        for name in self._free:
            _dropped(self.server, name)

    def _emptied(self, name: str) -> bool:
        """Take out all rows; False if the test has changed more than rows, or still holds some."""
        try:
            with _into(self.server, name, autocommit=True) as connection:
                connection.execute(_ALONE)
                if connection.execute(_SHAPE).fetchone() != self._shape:
                    return False
                if full := _full(connection):
                    connection.execute(_WITHOUT_GUARDS)
                    rows = ";".join(f"DELETE FROM {each}" for each in full)  # noqa: S608 (our names)
                    connection.execute(rows.encode())
                    connection.execute(f"VACUUM (INDEX_CLEANUP ON) {', '.join(full)}".encode())
                    connection.execute(_UNSEEN)
                return not _full(connection)
        except psycopg.Error:
            return False

    @cached_property
    def _shape(self) -> Any:
        with _into(self.server, self._template) as connection:
            return connection.execute(_SHAPE).fetchone()


# Whoever has just left may take a moment, and whoever has not is sent out.
_ALONE = """
    SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
"""
# What rows are kept in, and what guards them.
_SHAPE = """
    WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    SELECT (SELECT array_agg((relname, relkind, relrowsecurity)::text ORDER BY relname) FROM ours),
           (SELECT array_agg((relname, conname, convalidated)::text ORDER BY conname, relname)
            FROM pg_constraint JOIN ours ON ours.oid = conrelid),
           (SELECT array_agg((relname, tgname, tgenabled)::text ORDER BY tgname, relname)
            FROM pg_trigger JOIN ours ON ours.oid = tgrelid WHERE NOT tgisinternal),
           (SELECT array_agg((proname, prosrc)::text ORDER BY proname)
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
           (SELECT array_agg((relname, attname, atttypid, attnotnull)::text
                             ORDER BY relname, attnum)
            FROM pg_attribute JOIN ours ON ours.oid = attrelid WHERE relkind = 'r'),
           (SELECT array_agg((relname, polname, pg_get_expr(polqual, polrelid))::text
                             ORDER BY polname, relname)
            FROM pg_policy JOIN ours ON ours.oid = polrelid)
"""
_WITHOUT_GUARDS = "SET lock_timeout = '1s'; SET session_replication_role = replica"
# A table without a page: rows come to lie in their order, not where others have been.
_FULL = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
"""
# As in a new table: nobody has counted its rows yet, so the planner does as it would there.
_UNSEEN = """
    UPDATE pg_class SET reltuples = -1
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples = 0
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url, pool=20)
    yield engine
    engine.dispose()


@pytest.fixture
def limited(database_url: str) -> Iterator[Engine]:
    """The same database, with the rights that a server has."""
    engine = open_engine(database_url, pool=12, overflow=0, role=apart.ROLE)
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
    name = _made(server, template)
    yield name
    _dropped(server, name)


def _made(server: str, template: str) -> str:
    name = f"counterfoil_{uuid4().hex}"
    with _admin(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return name


def _dropped(server: str, name: str) -> None:
    with _admin(server) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _full(connection: psycopg.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_FULL)]


def _admin(server: str) -> psycopg.Connection:
    return _into(server, "postgres", autocommit=True)


def _into(server: str, database: str, *, autocommit: bool = False) -> psycopg.Connection:
    url = make_url(server).set(drivername="postgresql", database=database)
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=autocommit)


def _named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)
