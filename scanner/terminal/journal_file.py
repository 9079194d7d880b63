"""The journal's file, for one process at a time, and the mark beside it."""

import os
import sqlite3
from pathlib import Path

_TABLES = """
    CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS entry (
        seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, jwt TEXT NOT NULL, ts INTEGER NOT NULL,
        answer TEXT
    ) STRICT;
"""


class JournalInUse(Exception):
    """Another process holds the file. Two would not see what the other has spent."""


class JournalOfAnother(Exception):
    """The file belongs to another terminal, or is no journal."""


def opened(path: Path, tables: str) -> sqlite3.Connection:
    """Open the file for this process alone; whoever dies leaves it to the next.

    Raises:
        JournalInUse: Another process holds it.
        JournalOfAnother: It is no journal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN EXCLUSIVE")  # from here on nobody else comes in
        database.execute("COMMIT")
        database.executescript(_TABLES + tables)
    except sqlite3.OperationalError as error:
        database.close()
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise JournalInUse(f"another process holds {path}") from None
        raise
    except sqlite3.DatabaseError:
        database.close()
        raise JournalOfAnother(f"{path} is no journal") from None
    return database


class Mark:
    """How far the journal has been, in a file of its own.

    It is written after the commit and not waited for, so it is never ahead of the truth: power
    that fails loses the mark's last steps, never the journal's.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)

    def set(self, seq: int, named: str) -> None:
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"{seq:020d} {named}\n".encode())

    def get(self) -> tuple[int, str] | None:
        """Return the mark; None where there is none that can be read."""
        os.lseek(self._file, 0, os.SEEK_SET)
        seq, _, named = os.read(self._file, 128).decode("ascii", "replace").strip().partition(" ")
        return (int(seq), named) if seq.isascii() and seq.isdigit() and named else None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
