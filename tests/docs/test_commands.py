"""Every command and program of the pages is run as it stands there, against a server of its own.

Four things differ from what a stranger does. The server listens on a free port, and its data lies
in a directory of its own. `run.py` is asked whether it knows its words and a bench whether it is
there: `test` would start these tests again, and demo and benches have tests of their own. A server
that a page starts is stopped when it has answered. And where a command asks for a password or a
code, `person.py` answers.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from socket import socket

import cv2
import psycopg
import pytest
from psycopg.sql import SQL, Literal
from sqlalchemy import make_url

from coupon_engine import embedded
from scanner import decode
from tests.docs.pages import HOUSE, PAGES, blocks, languages, name_of

ADDRESS = "http://127.0.0.1:8000"
DATABASES = {
    "app": "postgresql://counterfoil:secret@db.example/counterfoil",
    "owner": "postgresql://counterfoil_owner:secret@db.example/counterfoil",
}
CREATE_ROLE = SQL("CREATE ROLE counterfoil LOGIN PASSWORD {}")
SECONDS = 240  # for crowded machines; a quiet one needs a tenth

# What the words of a page mean here.
PRELUDE = r"""
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT

answers() {
    for _ in $(seq 600); do
        curl -sf "http://127.0.0.1:$1/health/ready" >/dev/null && return
        sleep 0.1
    done
    echo "no server on port $1" >&2
    return 1
}
is_there() {
    command python -c "from importlib import util; util.find_spec('$1').origin"
}
mkdir -p .venv/bin && : >.venv/bin/activate  # PATH leads to this environment already
python3() {
    if [ "$1" != run.py ]; then command python3 "$@"; return; fi
    python -c 'import sys, run; run.command_line(run.HOUSE, sys.argv[1:])' "${@:2}"
    case "$2" in
        serve) COUNTERFOIL_PORT=$FIRST_PORT command counterfoil serve & answers $FIRST_PORT ;;
        demo) is_there bench.demo.__main__ ;;
    esac
}
python() {
    case "${2:-}" in
        bench.*) is_there "$2" ;;
        *) command python "$@" ;;
    esac
}
counterfoil() {
    case "$1" in
        serve)
            COUNTERFOIL_PORT=$SECOND_PORT command counterfoil serve &
            answers $SECOND_PORT
            kill $!
            wait $! || true
            ;;
        accept-invitation | sign-in | step-up) command python "$PERSON" "$@" ;;
        admin | request) command counterfoil "$@" | tee -a told ;;  # a person reads it too
        *) command counterfoil "$@" ;;
    esac
}
"""


def is_missing() -> str | None:
    """Say what this machine lacks to run what the pages say."""
    if shutil.which("bash") is None or shutil.which("curl") is None:
        return "bash or curl is not on this machine"
    options = subprocess.run(["curl", "--help", "all"], check=False, capture_output=True, text=True)
    return None if "--fail-with-body" in options.stdout else "this curl is older than 7.76"


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """A directory that the account of the embedded PostgreSQL can enter."""
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-pages-", dir=embedded._scratch_folder()))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def databases(data_dir: Path) -> Iterator[dict[str, str]]:
    """Two ways into an empty database on a server that keeps its promises."""
    with embedded.start(data_dir) as server:
        url = make_url(server.url).set(drivername="postgresql")
        admin = url.render_as_string(hide_password=False)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("CREATE DATABASE elsewhere")
            connection.execute(CREATE_ROLE.format(Literal(url.password)))
        owner = url.set(database="elsewhere")
        yield {
            "app": owner.set(username="counterfoil").render_as_string(hide_password=False),
            "owner": owner.render_as_string(hide_password=False),
        }


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.skipif(is_missing() is not None, reason=str(is_missing()))
@pytest.mark.parametrize("page", [page for page in PAGES if "sh" in languages(page)], ids=name_of)
def test_every_command_of_a_page_works(
    page: Path, data_dir: Path, databases: Mapping[str, str], tmp_path: Path
) -> None:
    out = run_page(page, data_dir, databases, tmp_path)

    if name_of(page) == "README.md":
        see_the_first_campaign(out, tmp_path)


def run_page(page: Path, data_dir: Path, databases: Mapping[str, str], folder: Path) -> str:
    """Run all blocks of a page, in order, in one shell; return what it printed."""
    first, second = free_port(), free_port()

    def here(text: str) -> str:
        text = text.replace(ADDRESS, f"http://127.0.0.1:{first}")
        for who, named in DATABASES.items():
            text = text.replace(named, shlex.quote(databases[who]))
        return text

    script = [PRELUDE]
    for block in blocks(page):
        if block.language == "python":
            assert block.file_name, "a program needs a name to be run by"
            (folder / block.file_name).write_text(here(block.text), encoding="utf-8")
        elif block.language == "sh":
            script.append(here(block.text))
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if "COUNTERFOIL_" not in name},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COUNTERFOIL_DATA_DIR": str(data_dir),
            "COUNTERFOIL_ISSUER_URL": f"http://127.0.0.1:{first}",
            "COUNTERFOIL_LOG_LEVEL": "warning",
            "PERSON": str(HOUSE / "tests" / "docs" / "person.py"),
            "FIRST_PORT": str(first),
            "SECOND_PORT": str(second),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
    return done.stdout


def see_the_first_campaign(out: str, folder: Path) -> None:
    """Look at what the programs of the README printed and left behind."""
    lines = out.splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    redemptions = [answer for answer in answers if "undo_until" in answer]
    (story,) = [answer["lines"] for answer in answers if "lines" in answer and "coupon" in answer]
    told = [line.split()[-1] for line in lines if line.endswith(LIVES)]
    picture = cv2.imread(str(folder / "coupon.png"))

    assert picture is not None
    assert decode(picture)[0].text.startswith("CP1A")  # pyright: ignore[reportArgumentType]
    assert [each["discount_minor"] for each in redemptions] == [350, 350]
    assert redemptions[0] == redemptions[1]
    assert [line["kind"] for line in story] == [LIVES[0], LIVES[1], LIVES[3]]
    assert told == list(LIVES)
    assert sum(line.startswith("already_redeemed ") for line in lines) == 1


LIVES = ("coupon_issued", "coupon_redeemed", "redemption_refused", "redemption_reversed")


def free_port() -> int:
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_a_command_that_fails_would_be_seen(
    data_dir: Path, databases: Mapping[str, str], tmp_path: Path
) -> None:
    page = HOUSE / "README.md"
    assert languages(page) >= {"sh", "python"}
    broken = tmp_path / "broken.md"
    broken.write_text("```sh\npython3 run.py dmeo\n```\n")

    with pytest.raises(AssertionError, match="there is no command"):
        run_page(broken, data_dir, databases, tmp_path)
