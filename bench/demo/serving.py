"""The real API on a database of its own, with a clock that can be set."""

import os
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex, token_urlsafe

import psycopg
import uvicorn
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from api.clock import wall_clock
from api.main import app
from coupon_engine import embedded
from coupon_engine.settings import PREFIX, Settings

HOST = "127.0.0.1"
MOST_PORTS_TRIED = 20


@dataclass
class Clock:
    """Tells the hour that was set, and the real one while none is."""

    now: datetime | None = None

    def __call__(self) -> datetime:
        return self.now or wall_clock()


@contextmanager
def new_database() -> Generator[Settings]:
    """Yield the settings of a new and empty database, and remove it afterwards.

    Nobody's record is anywhere near: it lies in a server started for this run alone. Where
    `COUNTERFOIL_DATABASE_URL` names a server, it is a database with a name of its own on that one.
    """
    if named := os.environ.get(f"{PREFIX}DATABASE_URL"):
        with _beside(named) as url:
            yield _settings(url)
    else:
        with embedded.temporary() as server:
            yield _settings(server.url)


def _settings(database_url: str) -> Settings:
    """Return what the demo's server is told; its secrets live and die with its database."""
    return Settings(
        database_url=database_url,
        key_passphrase=SecretStr(token_urlsafe(32)),
        short_code_secret=SecretStr(token_urlsafe(32)),
        log_level="warning",
    )


@contextmanager
def _beside(named: str) -> Generator[str]:
    server = make_url(named).set(drivername="postgresql")
    name = f"counterfoil_demo_{token_hex(6)}"
    address = server.render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


def listening(port: int) -> socket.socket:
    """Return a socket on this port, or on the next one that is free; 0 is any.

    Raises:
        OSError: All of the next twenty are taken.
    """
    for at in range(port, port + MOST_PORTS_TRIED):
        opened = socket.socket()
        if sys.platform != "win32":  # there, it would share a port that somebody else has
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, at))
        except OSError:
            opened.close()
            continue
        return opened
    raise OSError(f"the ports {port} to {port + MOST_PORTS_TRIED - 1} are all taken")


@contextmanager
def serving(engine: Engine, settings: Settings, clock: Clock, at: socket.socket) -> Generator[str]:
    """Serve the API in a thread of this process, where the clock can be set; yield its address."""
    made = app(settings, clock=clock, opening=lambda _: nullcontext(engine))
    server = uvicorn.Server(
        uvicorn.Config(made, log_config=None, access_log=False, server_header=False)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, name="api")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the API did not start; its own words stand above")
            time.sleep(0.01)
        yield f"http://{HOST}:{at.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
