"""Bringing a database to the shape that `tables.py` describes, and back."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

# Any number will do; it must be the same wherever migrations start at once.
_ONE_AT_A_TIME = 7_265_116


def migrate(engine: Engine, to: str = "head") -> None:
    """Bring the database up to `to`. Several processes may start this at once; one does it."""
    _with_lock(engine, lambda config: command.upgrade(config, to))


def unmigrate(engine: Engine, to: str = "base") -> None:
    """Take migrations back, down to `to`. Rows go with their tables."""
    _with_lock(engine, lambda config: command.downgrade(config, to))


def differences(engine: Engine) -> list[object]:
    """Return what the models have and the migrations have not, or the other way round."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlmodel import SQLModel

    import coupon_engine.tables

    assert coupon_engine.tables.Coupon
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, SQLModel.metadata))


def _with_lock(engine: Engine, work) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '5min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        work(config)
