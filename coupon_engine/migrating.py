"""Bringing a database to the shape that `tables/` describes, and back."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

from coupon_engine import apart
from coupon_engine.tables import Row

# Any number will do; it must be the same wherever migrations start at once.
_ONE_AT_A_TIME = 7_265_116


def migrate(engine: Engine, to: str = "head") -> None:
    """Bring the database up to `to`, and keep its operators apart.

    Several processes may start this at once; one does it.
    """

    def upgrade(config: Config, connection: Connection) -> None:
        command.upgrade(config, to)
        if to == "head":
            apart.install(connection)

    _with_lock(engine, upgrade)


def unmigrate(engine: Engine, to: str = "base") -> None:
    """Take migrations back, down to `to`. Rows go with their tables."""
    _with_lock(engine, lambda config, _: command.downgrade(config, to))


def differences(engine: Engine) -> list[object]:
    """Return what the models have and the migrations have not, or the other way round."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, Row.metadata))


def _with_lock(engine: Engine, work: Callable[[Config, Connection], None]) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '5min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        work(config, connection)
