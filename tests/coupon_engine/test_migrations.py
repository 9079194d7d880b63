"""The database gets the shape that the models describe, from any state, on PostgreSQL 15 and 18."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, inspect, text
from sqlmodel import SQLModel

from coupon_engine import coupons, migrating
from coupon_engine.database import open_engine, transaction
from coupon_engine.redemption import redeem
from coupon_engine.reversal import reverse
from schemas.coupons import CouponState
from schemas.redemptions import NewReversal
from tests import make
from tests.conftest import _database, _named
from tests.coupon_engine.record import Totals, kinds, totals
from tests.make import NOON

POSTGRES_15 = Path(os.environ.get("POSTGRES_15", "/usr/lib/postgresql/15/bin"))


@pytest.fixture
def empty(server: str) -> Iterator[Engine]:
    """A database in which nothing is yet."""
    with _database(server, "template1") as name:
        engine = open_engine(_named(server, name))
        yield engine
        engine.dispose()


def versions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
    newest_first = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in newest_first][::-1]


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def functions(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
            ).scalars()
        )


def test_models_and_migrations_agree(database: Engine) -> None:
    assert migrating.differences(database) == []
    assert tables(database) == set(SQLModel.metadata.tables)


def test_a_difference_between_models_and_migrations_would_be_told(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE coupon DROP COLUMN revoked_at"))
        connection.execute(text("DROP INDEX ix_coupon_batch"))

    told = str(migrating.differences(database))

    assert "revoked_at" in told
    assert "ix_coupon_batch" in told


def test_every_migration_goes_up_and_down_and_up_again(empty: Engine) -> None:
    before = ["base", *versions()]
    for version, previous in zip(before[1:], before, strict=False):
        migrating.migrate(empty, version)
        shape = tables(empty)
        migrating.unmigrate(empty, previous)
        migrating.migrate(empty, version)
        assert tables(empty) == shape
    assert migrating.differences(empty) == []

    migrating.unmigrate(empty)

    assert tables(empty) == set()
    assert functions(empty) == []


def test_migrating_what_is_migrated_changes_nothing(database: Engine) -> None:
    with transaction(database) as session:
        coupon = make.coupon(session, make.shop(session))

    migrating.migrate(database)

    with transaction(database) as session:
        assert kinds(session, coupon.id) == ["coupon_issued"]
    assert migrating.differences(database) == []


def test_processes_that_migrate_at_once_do_it_once(empty: Engine) -> None:
    url = empty.url.render_as_string(hide_password=False)
    program = (
        "import sys; from coupon_engine.database import open_engine;"
        "from coupon_engine.migrating import migrate; migrate(open_engine(sys.argv[1]))"
    )

    started = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE)
        for _ in range(2)
    ]

    for process in started:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    assert migrating.differences(empty) == []


@pytest.mark.skipif(
    not (POSTGRES_15 / "initdb").exists(), reason="no PostgreSQL 15 here; set POSTGRES_15"
)
def test_postgresql_15_serves_as_well() -> None:
    with postgres_15() as url:
        engine = open_engine(url)
        migrating.migrate(engine)

        assert migrating.differences(engine) == []
        one_life(engine)
        migrating.unmigrate(engine)
        assert tables(engine) == set()
        engine.dispose()


def test_the_embedded_postgresql_is_18_and_serves(database: Engine) -> None:
    with database.connect() as connection:
        assert connection.execute(text("SHOW server_version_num")).scalar_one()[:2] == "18"

    one_life(database)


def one_life(engine: Engine) -> None:
    with transaction(engine) as session:
        at = make.shop(session)
        coupon = make.coupon(session, at, customer_id=make.customer(session, at))
    with transaction(engine) as session:
        request = make.request(at, coupon, order_ref="R1")
        redemption = redeem(session, at.operator_id, request, now=NOON)
    with transaction(engine) as session:
        request = NewReversal(id=make.an_id(), redemption_id=redemption.id, reason="mistake")
        reverse(session, at.operator_id, request, now=NOON)
    with transaction(engine) as session:
        assert totals(session) == Totals()
        assert kinds(session, coupon.id) == [
            "coupon_issued",
            "coupon_redeemed",
            "redemption_reversed",
        ]
        seen = coupons.coupon_view(
            session, at.operator_id, coupon.id, code_secret=make.SECRET, now=NOON
        )
        assert seen.state is CouponState.ACTIVE


@contextmanager
def postgres_15() -> Generator[str]:
    """A server of our own in a new directory. PostgreSQL refuses root, so root lends an account."""
    account = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="cf15-", dir="/tmp"))
    try:
        if account:
            shutil.chown(folder, account)
        run(
            "initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N", as_=account
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        log = str(folder / "log")
        run(
            "pg_ctl",
            "-D",
            str(folder / "data"),
            "-l",
            log,
            "-o",
            options,
            "-w",
            "start",
            as_=account,
        )
        try:
            url = URL.create(
                "postgresql+psycopg",
                username="postgres",
                database="postgres",
                query={"host": str(folder)},
            )
            yield url.render_as_string(hide_password=False)
        finally:
            run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop", as_=account)
    finally:
        shutil.rmtree(folder)


def run(program: str, *args: str, as_: str | None) -> None:
    done = subprocess.run(
        [str(POSTGRES_15 / program), *args],
        user=pwd.getpwnam(as_).pw_uid if as_ else None,
        group=pwd.getpwnam(as_).pw_gid if as_ else None,
        extra_groups=[] if as_ else None,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
