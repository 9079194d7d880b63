"""The embedded PostgreSQL survives what happens to programs on a desk."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from coupon_engine import embedded
from coupon_engine.embedded import Embedded, EmbeddedFailed, start, temporary

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and sockets of Unix")

HOLD = """
import sys
from pathlib import Path
from coupon_engine.embedded import start
with start(Path(sys.argv[1]), durable=False):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not pytest's own folder: when the tests run as root, PostgreSQL's account cannot enter that.
    folder = Path(tempfile.mkdtemp(dir=embedded._scratch_folder()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_a_server_starts_and_stops_and_keeps_what_it_was_told(data_dir: Path) -> None:
    with start(data_dir, durable=False) as server:
        ask(server.url, "CREATE TABLE coupon (id int)")
        assert ask(server.url, "SHOW timezone") == "UTC"
    assert not is_running(data_dir)

    with start(data_dir, durable=False) as server:
        assert ask(server.url, "SELECT count(*) FROM coupon") == 0


def test_a_server_answers_only_for_what_is_on_disk_unless_it_is_told_otherwise() -> None:
    with temporary() as server:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(server.url, f"SHOW {setting}") == "on"


def test_the_last_user_stops_the_server(data_dir: Path) -> None:
    first = start(data_dir, durable=False)
    second = start(data_dir, durable=False)

    first.stop()
    first.stop()
    assert ask(second.url, "SELECT 1") == 1

    second.stop()
    assert not is_running(data_dir)


def test_three_processes_start_one_server(data_dir: Path) -> None:
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(another_process(data_dir)) for _ in range(3)]
        assert [line_of(user) for user in users] == ["up", "up", "up"]

    assert [user.returncode for user in users] == [0, 0, 0]
    assert not is_running(data_dir)


def test_a_killed_user_leaves_a_server_that_the_next_one_takes_over(data_dir: Path) -> None:
    with another_process(data_dir) as user:
        assert line_of(user) == "up"
        user.kill()
    assert is_running(data_dir)

    with start(data_dir, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1

    assert not is_running(data_dir)


def test_a_killed_server_comes_back_with_its_rows(data_dir: Path) -> None:
    first = start(data_dir, durable=False)
    ask(first.url, "CREATE TABLE coupon AS SELECT 1 AS id")
    os.kill(postmaster(data_dir), signal.SIGKILL)

    with start(data_dir, durable=False) as again:
        assert ask(again.url, "SELECT id FROM coupon") == 1

    first.stop()
    assert not is_running(data_dir)


def test_a_number_left_by_a_killed_server_may_belong_to_somebody_else_by_now(
    data_dir: Path,
) -> None:
    with start(data_dir, durable=False):
        pid_file = data_dir / "postgresql" / "18" / "postmaster.pid"
        left_behind = pid_file.read_text().splitlines()
    uid = (data_dir / "postgresql" / "18").stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=uid if os.geteuid() == 0 else None) as somebody:
        pid_file.write_text("\n".join([str(somebody.pid), *left_behind[1:], ""]))

        with start(data_dir, durable=False) as server:
            assert ask(server.url, "SELECT 1") == 1

        assert somebody.poll() is None
        somebody.kill()


def test_a_server_that_is_full_is_not_mistaken_for_a_dead_one(data_dir: Path) -> None:
    with start(data_dir, durable=False) as server, contextlib.ExitStack() as guests:
        plain = server.url.replace("postgresql+psycopg", "postgresql")
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                guests.enter_context(psycopg.connect(plain))

        with pytest.raises(EmbeddedFailed, match=r"lets nobody in.*too many clients"):
            start(data_dir, durable=False)

        guests.close()
        assert ask(server.url, "SELECT 1") == 1


def test_a_server_that_is_going_down_is_waited_for_and_started_again(data_dir: Path) -> None:
    first = start(data_dir, durable=False)
    guest = psycopg.connect(first.url.replace("postgresql+psycopg", "postgresql"))
    os.kill(postmaster(data_dir), signal.SIGTERM)  # it lets nobody in, and waits for its guests
    leaving = threading.Timer(4, guest.close)
    leaving.start()

    with start(data_dir, durable=False) as again:
        assert guest.closed
        assert ask(again.url, "SELECT 1") == 1

    leaving.join()
    first.stop()


def test_a_path_too_long_or_too_odd_for_a_socket_still_works(data_dir: Path) -> None:
    with start(data_dir / f"Läden & Märkte {'x' * 90}", durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        socket_dir = socket_dir_of(server)

    assert socket_dir.parent == embedded.SHORT_FOLDER
    assert socket_dir.stat().st_mode & 0o077 == 0
    socket_dir.rmdir()


def test_a_counterfeit_socket_folder_is_refused(data_dir: Path) -> None:
    odd = data_dir / "Läden"
    with start(odd, durable=False) as server:
        socket_dir = socket_dir_of(server)
    socket_dir.chmod(0o777)

    with pytest.raises(EmbeddedFailed, match="should be ours alone"):
        start(odd, durable=False)

    socket_dir.rmdir()


def test_a_durable_server_is_never_a_fast_one_in_disguise(data_dir: Path) -> None:
    with start(data_dir, durable=False), pytest.raises(EmbeddedFailed, match="without fsync"):
        start(data_dir)


def test_a_server_without_sockets_wants_its_password(data_dir: Path) -> None:
    with start(data_dir, durable=False, over_tcp=True) as server:
        assert ask(server.url, "SELECT 1") == 1
        password = server.url.partition("postgres:")[2].partition("@")[0]

        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(server.url.replace(password, "guess"), "SELECT 1")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is barred")
def test_root_is_told_where_its_server_cannot_live(data_dir: Path) -> None:
    barred = data_dir / "home of root"
    barred.mkdir(mode=0o700)

    with pytest.raises(EmbeddedFailed, match=r"cannot enter .*Set COUNTERFOIL_DATA_DIR"):
        start(barred / "data")


def test_what_a_killed_process_left_behind_is_cleared_away() -> None:
    hold = "import sys; from coupon_engine.embedded import temporary\n"
    hold += "with temporary(durable=False) as it: print(it.url, flush=True); sys.stdin.read()"
    with process_of(hold) as user:
        url = line_of(user)
        user.kill()
    assert ask(url, "SELECT 1") == 1

    with temporary(durable=False) as other:
        assert ask(other.url, "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError):
            ask(url, "SELECT 1")


def test_a_forked_child_does_not_stop_its_parents_server(data_dir: Path) -> None:
    with start(data_dir, durable=False) as server:
        assert status_of_child(server) == 0

        assert ask(server.url, "SELECT 1") == 1


def ask(url: str, question: str) -> object:
    plain = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def socket_dir_of(server: Embedded) -> Path:
    return Path(str(make_url(server.url).query["host"]))


def is_running(data_dir: Path) -> bool:
    return (data_dir / "postgresql" / "18" / "postmaster.pid").exists()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgresql" / "18" / "postmaster.pid").read_text().split()[0])


def another_process(data_dir: Path) -> subprocess.Popen[str]:
    return process_of(HOLD, str(data_dir))


def process_of(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def status_of_child(server: Embedded) -> int:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    return os.waitpid(child, 0)[1]
