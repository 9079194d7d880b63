"""Opening the record for the door and for the command line."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from coupon_engine import embedded
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
        url = settings.database_url
        if url is None:
            url = closing.enter_context(embedded.start(settings.data_dir)).url
        engine = open_engine(url, pool=CONNECTIONS, overflow=0)
        closing.callback(engine.dispose)
        assert_durable(engine)
        migrate(engine)
    except OperationalError as error:
        why = str(error.orig).strip().partition("\n")[0]
        raise CannotOpen(f"The database cannot be opened: {why}") from error
    except OSError as error:
        raise CannotOpen(f"COUNTERFOIL_DATA_DIR cannot be used: {error}") from error
    except RuntimeError as error:
        raise CannotOpen(str(error)) from error
    return engine
