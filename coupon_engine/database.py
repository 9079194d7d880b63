"""Opening the database, and where a transaction ends.

Verbs take a session and never commit. `transaction` commits once; `repeating` runs the whole
transaction again when PostgreSQL says that two of them crossed.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from coupon_engine import acting
from coupon_engine.acting import NOBODY, Acting
from coupon_engine.errors import Busy, CouponError

# PostgreSQL bounds every wait; no time-out of ours ever runs round a transaction.
TIMEOUTS = "-c lock_timeout=2s -c statement_timeout=5s -c idle_in_transaction_session_timeout=10s"
BULK_SECONDS = 600

MOST_TRIES = 3

Result = TypeVar("Result")


class Crossed(Exception):
    """Another transaction wrote the same answer first: run this one again, and it will see it."""


def open_engine(url: str, *, pool: int = 8, overflow: int = 4, role: str | None = None) -> Engine:
    """Open a pool of connections, each of which waits for nothing longer than `TIMEOUTS` say.

    `role` gives up the rights of whoever logs in for those of that role.

    Raises:
        RuntimeError: The server would lose committed rows in a crash, or is not PostgreSQL.
    """
    if not url.startswith("postgresql"):
        raise RuntimeError("Counterfoil keeps its record in PostgreSQL; see docs/decisions/0001.")
    giving_up = f" -c role={role}" if role else ""
    engine = create_engine(
        url,
        connect_args={"options": f"{TIMEOUTS} -c timezone=UTC{giving_up}"},
        pool_size=pool,
        max_overflow=overflow,
        pool_timeout=2,
        pool_pre_ping=False,
    )
    event.listen(engine, "connect", _prepare_often)
    acting.listen(engine)
    return engine


def _prepare_often(connection: psycopg.Connection[Any], _: object) -> None:
    # The hot statements are few and always the same: let the server keep their plans.
    connection.prepare_threshold = 2


def assert_durable(engine: Engine) -> None:
    """Refuse a server that would answer before the row is on disk."""
    with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if connection.execute(text(f"SHOW {setting}")).scalar_one() == "off":
                raise RuntimeError(f"PostgreSQL runs with {setting}=off; it would lose answers.")


@contextmanager
def transaction(engine: Engine, for_: Acting = NOBODY) -> Generator[Session]:
    """Act for somebody; commit on leaving, roll back on an error.

    A refusal that was written under the asker's id is an answer like any other: it is committed
    before it goes on its way.
    """
    with acting.session_for(engine, for_) as session:
        try:
            yield session
        except CouponError as error:
            if error.is_answered:
                session.commit()
            raise
        session.commit()


@contextmanager
def looking(engine: Engine, for_: Acting) -> Generator[Session]:
    """Look on somebody's behalf; nothing is committed."""
    with acting.session_for(engine, for_) as session:
        yield session


def repeating(engine: Engine, work: Callable[[Session], Result], for_: Acting = NOBODY) -> Result:
    """Run one transaction; where it crossed another, run the whole of it again.

    A lost connection at commit means *unknown*: running again reads the answer by its id first,
    so it is found if it was committed and made if it was not.

    Raises:
        Busy: A row stayed locked, or the transactions kept crossing.
    """
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            with transaction(engine, for_) as session:
                return work(session)
        except Crossed as crossed:
            if not tries_left:
                raise Busy from crossed
        except DBAPIError as error:
            if not tries_left or not _is_worth_repeating(error):
                raise busy_or(error) from error
    raise AssertionError("unreachable")


def busy_or(error: DBAPIError) -> Exception:
    """Return `Busy` for what asking again will mend, else the error itself."""
    is_mended = _sqlstate(error) in _WAITED_TOO_LONG or _two_in_one_short_code(error)
    return Busy() if is_mended else error


def allow_bulk(session: Session) -> None:
    """Give this transaction the time that a million rows take."""
    session.connection().execute(text(f"SET LOCAL statement_timeout = '{BULK_SECONDS}s'"))


def _is_worth_repeating(error: DBAPIError) -> bool:
    if isinstance(error, OperationalError) and error.connection_invalidated:
        return True
    return _sqlstate(error) in _CROSSED


def _two_in_one_short_code(error: DBAPIError) -> bool:
    """Have two coupons met in one short code? The next try makes other ids, so other codes."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None) == "uq_coupon_code_hash"


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


_CROSSED = {"40001", "40P01", "23505"}  # serialization failure, deadlock, one key written twice
_WAITED_TOO_LONG = {"55P03", "57014", "40001", "40P01"}  # lock or statement time-out, see above
