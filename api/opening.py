"""Opening the record for the door and for the command line."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine

from coupon_engine import embedded
from coupon_engine.database import assert_durable, open_engine
from coupon_engine.migrating import migrate
from coupon_engine.settings import Settings


@contextmanager
def opened(settings: Settings) -> Generator[Engine]:
    """Open the database, the embedded one if no other is named, in its newest shape."""
    with ExitStack() as closing:
        url = settings.database_url
        if url is None:
            url = closing.enter_context(embedded.start(settings.data_dir)).url
        engine = open_engine(url)
        closing.callback(engine.dispose)
        assert_durable(engine)
        migrate(engine)
        yield engine
