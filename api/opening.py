"""Opening the record for the door and for the command line."""

import getpass
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from coupon_engine import apart, embedded
from coupon_engine.database import assert_durable, open_engine
from coupon_engine.migrating import migrate
from coupon_engine.settings import Settings

CONNECTIONS = 12


class CannotOpen(Exception):
    """There is no record here, or nobody could ask for it; the text is for whoever starts us."""


@contextmanager
def opened(settings: Settings) -> Generator[Engine]:
    """Open the database, the embedded one if no other is named, in its newest shape.

    Raises:
        CannotOpen: It cannot be reached, or is none that a record may be kept in.
        EmbeddedFailed: There is no embedded one to be had.
    """
    with ExitStack() as closing:
        yield _open(settings, closing)


def _open(settings: Settings, closing: ExitStack) -> Engine:
    try:
        if settings.database_url is None:
            server = closing.enter_context(embedded.start(settings.data_dir))
            owner_url, url = server.url, server.url_as(apart.ROLE)
            _bring_up(owner_url, lambda connection: apart.allow_login(connection, server.password))
        else:
            url = settings.database_url
            login = make_url(url).username or getpass.getuser()
            owner_url = settings.owner_database_url or url
            _bring_up(owner_url, lambda connection: _admit(connection, login))
        engine = open_engine(url, pool=CONNECTIONS, overflow=0, role=apart.ROLE)
        closing.callback(engine.dispose)
        apart.assert_limited(engine)
    except OperationalError as error:
        why = str(error.orig).strip().partition("\n")[0]
        raise CannotOpen(f"The database cannot be opened: {why}") from error
    except ProgrammingError as error:
        why = str(error.orig).strip().partition("\n")[0]
        raise CannotOpen(f"The database cannot be brought to its newest shape: {why}") from error
    except OSError as error:
        raise CannotOpen(f"COUNTERFOIL_DATA_DIR cannot be used: {error}") from error
    except RuntimeError as error:
        raise CannotOpen(str(error)) from error
    return engine


def _bring_up(owner_url: str, let_in: Callable[[Connection], None]) -> None:
    """Bring the database to its newest shape, as its owner, who then goes away."""
    owner = open_engine(owner_url, pool=1, overflow=0)
    try:
        assert_durable(owner)
        migrate(owner)
        with owner.begin() as connection:
            let_in(connection)
    finally:
        owner.dispose()


def _admit(connection: Connection, login: str) -> None:
    if connection.execute(text("SELECT current_user")).scalar_one() != login:
        apart.admit(connection, login)
