"""What a person does at the server's own terminal, on a durable server as in production."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from socket import socket
from textwrap import dedent

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

import counterfoil
from api import cli
from api.clock import wall_clock
from coupon_engine import embedded, operators
from coupon_engine.database import open_engine, transaction
from schemas.campaigns import NewMerchant, NewTerminal
from tests import make
from tests.api.test_redemptions import at_the_first_commit

Run = Callable[..., tuple[int, str]]
HOUSE = Path(__file__).resolve().parents[2]
SETTINGS = {
    "COUNTERFOIL_KEY_PASSPHRASE": make.PASSPHRASE.decode(),
    "COUNTERFOIL_SHORT_CODE_SECRET": make.SECRET.decode(),
    "COLUMNS": "200",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedded.temporary() as server:
        yield server.url


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", url)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "out", Console(width=200))
    monkeypatch.setattr(cli, "err", Console(width=200, stderr=True))

    def command(*words: object) -> tuple[int, str]:
        """Run `counterfoil` with these words; return its status and all that it said."""
        monkeypatch.setattr(sys, "argv", ["counterfoil", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            counterfoil.main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return command


def test_a_person_runs_an_operator_from_the_terminal(url: str, run: Run) -> None:
    status, said = run("operator", "create", "acme", "Acme Ltd")
    api_key = re.findall(r"cfk_live_\w{8}_\w{38}", said)
    assert (status, len(api_key)) == (0, 1)
    till = run("operator", "new-key", "acme", "till", "--scope", "redeem", "--scope", "read")
    second = re.findall(r"cfk_live_\w{8}_\w{38}", till[1])
    assert len({*api_key, *second}) == 2
    assert run("operator", "revoke-key", "acme", second[0].split("_")[2])[0] == 0
    assert run("operator", "revoke-key", "acme", "nosuchke")[0] == 1
    status, said = run("operator", "sandbox", "acme")
    assert (status, len(re.findall(r"cfk_test_\w{8}_\w{38}", said))) == (0, 1)
    assert run("operator", "sandbox", "acme")[0] == 1
    assert run("operator", "approval-over", "acme", 500_000)[0] == 0
    assert run("operator", "approval-over", "acme", -1)[0] == 2
    assert run("key", "publish", "-o", "acme")[0] == 0
    assert "in_use" in run("key", "use", "A", "-o", "acme")[1]

    engine, now = open_engine(url), wall_clock()
    with transaction(engine) as session:
        shop = a_shop(session, now=now)
        batch = make.batch(session, shop, has_short_codes=True, now=now)
    engine.dispose()

    said = run("coupon", "issue", batch.id, "-o", "acme")[1]
    code = re.findall(r"\w{4}-\w{4}-\w{4}\b", said)[-1]
    (coupon_id,) = re.findall(r"^id +(\S+)", said, re.M)
    where = ("-o", "acme", "--store", shop.store.id, "--total", 1000)
    assert "discount_minor  200" in re.sub(r" {2,}", "  ", run("validate", code, *where)[1])
    status, said = run("redeem", code, *where)
    (redemption_id,) = re.findall(r"^id +(\S+)", said, re.M)
    assert status == 0
    status, said = run("redeem", code, *where)
    assert (status, "already_redeemed" in said) == (1, True)
    assert "coupon_redeemed" in run("coupon", "story", coupon_id, "-o", "acme")[1]
    assert run("reverse", redemption_id, "-o", "acme", "-r", "mistake")[0] == 0
    pause = run("campaign", "pause", batch.campaign_id, "-o", "acme", "-r", "a look first")
    assert (pause[0], "paused" in pause[1]) == (0, True)
    again = run("campaign", "pause", batch.campaign_id, "-o", "acme", "-r", "a look first")
    assert (again[0], "move_not_allowed" in again[1]) == (1, True)
    assert run("campaign", "resume", batch.campaign_id, "-o", "acme", "-r", "fine")[0] == 0
    assert run("coupon", "revoke", coupon_id, "-o", "acme", "-r", "lost")[0] == 0
    assert "revoked" in run("coupon", "show", coupon_id, "-o", "acme")[1]
    assert "Spring" in run("report", "-o", "acme")[1]


def a_shop(session: Session, *, now: datetime) -> make.Shop:
    """A store and a terminal of the operator that the terminal has made."""
    operator = operators.operator_named(session, "acme")
    merchant = NewMerchant(id=make.an_id(now), name="Corner shop")
    operators.create_merchant(session, operator.id, merchant, now=now)
    store = make.another_store(session, operator.id, merchant.id, now=now)
    till = NewTerminal(id=make.an_id(now), store_id=store.id, name="Till 1")
    terminal = operators.create_terminal(session, operator.id, till, now=now)
    return make.Shop(operator.id, "acme", store, terminal)


def test_an_unknown_operator_is_told_and_not_made(run: Run) -> None:
    status, said = run("report", "-o", "nobody")

    assert (status, said.splitlines()[0]) == (1, "There is no operator 'nobody'.")
    assert said.splitlines()[1] == "unknown: kind operator, id nobody"


def test_a_case_is_told_in_words_and_not_in_a_notation() -> None:
    details = {"state": "paused", "allowed": ["end", "resume"], "stopped_by": None}

    assert cli._told(details) == ": state paused, allowed end or resume, stopped by nothing"
    assert cli._told({}) == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("operator", "create", "No Slug", "Acme"), "A slug is a-z, 0-9 and -, at most 40."),
        (("operator", "create", "acme", ""), "name: String should have at least 1 character"),
        (
            ("admin", "owner", "No Slug", "--email", "a@b.c", "--name", "A"),
            "A slug is a-z, 0-9 and -, at most 40.",
        ),
        (
            ("admin", "owner", "acme", "--email", "nonsense", "--name", "A"),
            "This is no e-mail address.",
        ),
    ],
)
def test_a_slip_in_an_argument_is_told_in_a_sentence(
    run: Run, words: tuple[str, ...], told: str
) -> None:
    assert run(*words) == (2, f"{told}\n")


@pytest.mark.parametrize(
    ("option", "value"), [("port", 99_999), ("port", -1), ("port", 0), ("workers", 0)]
)
def test_a_server_is_started_at_a_port_and_by_workers_that_there_are(
    run: Run, option: str, value: int
) -> None:
    status, said = run("serve", f"--{option}", value)

    assert (status, f"--{option}" in said) == (2, True), said


def test_a_misspelt_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_DATABSE_URL", "postgresql://elsewhere/x")

    status, said = run("migrate")

    assert (status, "COUNTERFOIL_DATABSE_URL" in said, "elsewhere" in said) == (2, True, False)


def test_nothing_is_told_before_it_is_in_the_record(
    url: str, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("operator", "create", "shy", "Shy Ltd")
    engine = open_engine(url)
    at_the_first_commit(engine, "signing_key", "RAISE EXCEPTION 'no room'")
    engine.dispose()
    monkeypatch.setattr(sys, "argv", ["counterfoil", "key", "publish", "-o", "shy"])

    with pytest.raises(DBAPIError):
        counterfoil.main()

    assert capsys.readouterr().out == ""
    assert "published" in run("key", "publish", "-o", "shy")[1]


@pytest.mark.parametrize("command", ["migrate", "serve", "report -o acme"])
@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("DATABASE_URL", "postgresql://x@127.0.0.1:1/x", "Connection refused"),
        ("DATA_DIR", "/dev/null/here", "/dev/null/here"),
    ],
)
def test_a_record_that_cannot_be_opened_is_told_in_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, setting: str, value: str, wanted: str
) -> None:
    monkeypatch.delenv("COUNTERFOIL_DATABASE_URL")
    monkeypatch.setenv(f"COUNTERFOIL_{setting}", value)

    status, said = run(*command.split())

    assert (status, wanted in said, len(said.splitlines())) == (2, True, 1), said


def test_a_port_that_is_taken_is_told_in_a_line(url: str) -> None:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = shell(f"serve --port {port}", {**SETTINGS, "COUNTERFOIL_DATABASE_URL": url})

    assert (status, str(port) in said, len(said.splitlines())) == (2, True, 1), said
    assert said.endswith("--port takes another.\n")


def shell(command: str, settings: Mapping[str, str]) -> tuple[int, str]:
    """Run `counterfoil` in a process of its own, which knows no other settings."""
    kept = {name: each for name, each in os.environ.items() if not name.startswith("COUNTERFOIL")}
    done = subprocess.run(
        [sys.executable, "-m", "counterfoil", *command.split()],
        cwd=HOUSE,
        env={**kept, **settings},
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_help_names_the_scanner_too(run: Run) -> None:
    assert re.search(r"^\W*scan\b", run("--help")[1], re.M)


@pytest.mark.parametrize("word", ["sign-in", "accept-invitation", "step-up", "pair", "request"])
def test_the_client_has_a_room_of_its_own_and_is_named_by_help(run: Run, word: str) -> None:
    assert re.search(rf"^\W*{word}\b", run("--help")[1], re.M)
    assert f"Usage: counterfoil {word} " in run(word, "--help")[1]


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, f"counterfoil {version('counterfoil')}\n")


def test_without_the_server_the_command_says_what_to_install() -> None:
    """As on a counter, where only the scanner is installed."""
    script = dedent("""
        import sys
        sys.modules.update(dict.fromkeys(("fastapi", "sqlalchemy", "sqlmodel", "uvicorn")))
        import counterfoil
        sys.argv = ["counterfoil", "serve"]
        counterfoil.main()
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=HOUSE, check=False, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert 'pip install "counterfoil[server]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_owner_and_the_first_admin_are_invited_from_the_terminal(
    url: str, run: Run
) -> None:
    status, said = run("admin", "owner", "corner", "--email", "Ann@Example.com", "--name", "Ann")
    again = run("admin", "owner", "corner", "--email", "ann@example.com", "--name", "Ann")
    admin = run("admin", "platform", "--email", "root@example.com", "--name", "Root")
    wrong = run("admin", "owner", "corner", "--email", "nobody", "--name", "Nobody")

    assert (status, again[0], admin[0], wrong[0]) == (0, 0, 0, 2)
    assert "ann@example.com at corner" in said
    assert said.endswith("counterfoil accept-invitation http://127.0.0.1:8000\n")
    secrets = [re.findall(r"^  (\S{43})$", each, re.M) for each in (said, again[1], admin[1])]
    assert all(len(found) == 1 for found in secrets)
    engine = open_engine(url)
    with engine.connect() as connection:
        open_ones = connection.execute(
            text("SELECT role, count(*) FROM invitation WHERE ended_at IS NULL GROUP BY role")
        )
        acted = connection.execute(
            text("SELECT DISTINCT actor->>'kind' FROM event WHERE kind = 'account_invited'")
        ).scalars()
        assert dict(map(tuple, open_ones)) == {"owner": 1, "platform_admin": 1}
        assert set(acted) == {"command"}
    engine.dispose()
