"""`counterfoil scan` with a terminal that has no network: every way in, and how it ends."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

import counterfoil
from coupon_engine.drawing import png
from scanner import __main__ as command
from scanner.__main__ import cli
from scanner.credentials import key_path
from scanner.identity import FileKey, Identity, Pins, _jwk
from scanner.terminal.holdings import Holdings
from scanner.terminal.hub import ForStore, HubAsked
from scanner.terminal.journal import Journal, _said_in
from schemas.ids import new_id
from schemas.offline import BundleTerminal
from schemas.terminals import CashierView
from tests.scanner.terminal.shop import (
    SERVER,
    STORE,
    TERMINAL,
    bundle,
    bundle_jwt,
    coupon,
    jwk,
    list_jwt,
    shown,
    total,
)
from tests.scanner.terminal.test_seat import ANN, BOB

HOUSE = Path(__file__).parents[3]
SALE = ["--total", "1000", "--currency", "EUR"]
NEIGHBOUR = UUID(int=77)
NEIGHBOURS_KEY = FileKey(ec.generate_private_key(ec.SECP256R1()))


def code(**changes: Any) -> str:
    """A coupon that is good today, whatever day it is."""
    today = int(time.time())
    return shown(coupon(nbf=today - 3_600, exp=today + 86_400, **changes))


@pytest.fixture
def till(tmp_path: Path) -> Path:
    """A terminal that has been told all it needs, and whose server nobody reaches."""
    file = tmp_path / "till.json"
    identity = Identity(
        server_url="http://127.0.0.1:9",
        terminal_id=TERMINAL,
        store_id=STORE,
        name="Till 1",
        pin_key="AAAA",
        server_key=jwk(SERVER),
    )
    identity.save(file)
    FileKey.kept_in(key_path(file))
    now = datetime.now(UTC)
    second, until = int(now.timestamp()), int(now.timestamp()) + 12 * 3_600
    folder = tmp_path / "till"
    folder.mkdir()
    holdings = Holdings(folder, jwk(SERVER), terminal_id=TERMINAL, store_id=STORE)
    told = bundle(
        iat=second - 60,
        exp=until,
        lease_until=until,
        terminals=(
            BundleTerminal(id=NEIGHBOUR, name="Till 2", public_key=_jwk(NEIGHBOURS_KEY.public_key)),
        ),
    )
    holdings.learn_bundle(bundle_jwt(told), now)
    holdings.learn_list(list_jwt(iat=second - 60, exp=until), now)
    return file


def run(*words: object, typed: str = "") -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(cli, ["--json", *map(str, words)], input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def entries(till: Path) -> list[dict[str, Any]]:
    journal = Journal(
        till.with_suffix("") / "journal.sqlite", FileKey.kept_in(key_path(till)), TERMINAL
    )
    with journal:
        return [dict(_said_in(each)) for each in journal.unsent(100)]


def test_a_wedge_scanner_redeems_line_by_line(till: Path) -> None:
    first, second = code(), code(idx=101)

    status, told = run(
        "--terminal", till, "--stdin", *SALE, "--cashier", "Robin",
        typed=f"{first}\r\n\n  {second}\n{first}\nhttps://example.com\n",
    )  # fmt: skip

    assert [each["code"] for each in told] == [
        "ok_offline",
        "ok_offline",
        "already_redeemed",
        "not_a_coupon",
    ]
    assert status == 1
    assert told[0]["discount_minor"] == 500
    assert told[0]["currency"] == "EUR"
    assert told[0]["is_provisional"] is True
    assert {each["cashier"] for each in entries(till) if each["kind"] == "redeemed"} == {"Robin"}


def test_a_program_at_the_counter_sends_each_basket_along(till: Path) -> None:
    lines = [{"product": "coffee", "quantity": 2, "unit_price_minor": 100}]
    asked = [
        {"code": code(), "basket": {"currency": "EUR", "lines": lines}, "order_ref": "4711"},
        {"code": code(idx=101), "total_minor": 900, "currency": "EUR", "cashier": "Robin"},
        {"code": code(idx=102), "total_minor": "much"},
    ]

    status, told = run(
        "--terminal", till, "--stdin", typed="".join(f"{json.dumps(each)}\n" for each in asked)
    )

    assert [each["code"] for each in told] == ["ok_offline", "ok_offline", "not_understood"]
    assert [each["discount_minor"] for each in told] == [200, 500, None]  # never more than it costs
    assert told[0]["lines"] == [{"line": 0, "discount_minor": 200}]
    assert status == 1


def test_every_yes_ends_with_nought(till: Path) -> None:
    assert run("--terminal", till, "--stdin", *SALE, typed=f"{code()}\n")[0] == 0


def employs(till: Path, *cashiers: CashierView) -> None:
    Pins(till.with_suffix("") / "pins.json", "AAAA").learn(cashiers)


def test_a_cashier_signs_in_with_a_pin_that_no_argument_holds(till: Path) -> None:
    employs(till, ANN, BOB)
    who = ["--terminal", till, "--alone", "--cashier", "Ann"]

    status, told = run(*who, "--pin", "--stdin", *SALE, typed=f"2580\n{code()}\n")
    later = run("--terminal", till, "--alone", "--stdin", *SALE, typed=f"{code(idx=101)}\n")
    out = run("--terminal", till, "--alone", "--sign-out")
    nobody = run("--terminal", till, "--alone", "--stdin", *SALE, typed=f"{code(idx=102)}\n")

    assert (status, [each["code"] for each in told]) == (0, ["ok_offline"])
    assert [each["code"] for each in later[1]] == ["ok_offline"]  # still signed in
    assert out == (0, [])
    assert (nobody[0], [each["code"] for each in nobody[1]]) == (1, ["nobody_sits"])
    redeemed = [each for each in entries(till) if each["kind"] == "redeemed"]
    assert [(each["cashier"], each["cashier_id"]) for each in redeemed] == [
        ("Ann", str(ANN.id))
    ] * 2


def test_signing_in_alone_is_a_command_of_its_own(till: Path) -> None:
    employs(till, ANN)
    who = ["--terminal", till, "--alone", "--cashier", "Ann"]

    assert run(*who, "--pin", typed="2580\n") == (0, [])

    status, told = run(*who, "--stdin", *SALE, typed=f"{code()}\n")
    assert (status, [each["code"] for each in told]) == (0, ["ok_offline"])


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["--cashier", "Ann", "--pin"], "0001\n", "This is not the PIN."),
        (["--cashier", "Ann", "--pin"], "", "This is not the PIN."),
        (["--cashier", "Eve", "--pin"], "2580\n", "no cashier Eve"),
        (["--cashier", "Ann", "--stdin"], "2580\n", "--cashier Ann --pin"),
        (["--pin"], "2580\n", "Say whose PIN"),
    ],
)
def test_nobody_redeems_in_a_name_without_its_pin(
    till: Path, words: list[str], typed: str, said: str
) -> None:
    employs(till, ANN)

    done = CliRunner().invoke(cli, ["--terminal", str(till), "--alone", *words], input=typed)

    assert isinstance(done.exception, command.Wrong)
    assert said in str(done.exception)
    assert "2580" not in str(done.exception)


def test_what_is_wrong_with_the_journal_is_told_with_what_to_do(till: Path) -> None:
    run("--terminal", till, "--alone", "--stdin", *SALE, typed=f"{code()}\n{code(idx=101)}\n")
    database = sqlite3.connect(till.with_suffix("") / "journal.sqlite")
    with closing(database):
        database.execute("DELETE FROM spent")
        database.commit()

    done = CliRunner().invoke(cli, ["--terminal", str(till), "--sync"])

    assert done.exit_code == 1
    assert "a coupon that it redeemed is not remembered (1 more)" in done.stderr
    assert "until a manager has paired this terminal anew" in done.stderr


def test_a_person_reads_one_line(till: Path) -> None:
    done = CliRunner().invoke(
        cli, ["--terminal", str(till), "--stdin", *SALE, "--zh"], input=f"{code()}\n"
    )

    assert done.stdout == "✓☁ 通过: 已核销：立减五元（€5.00）；离线核销，联网后上传\n"


def test_pictures_are_redeemed_too(till: Path, tmp_path: Path) -> None:
    picture, poster, blank = (tmp_path / f"{name}.png" for name in ("coupon", "poster", "blank"))
    cv2.imwrite(str(blank), np.full((200, 200), 255, np.uint8))
    picture.write_bytes(png(code()))
    poster.write_bytes(png("HTTPS://EXAMPLE.COM"))

    status, told = run("--terminal", till, "--image", picture, poster, blank, *SALE)

    assert status == 1
    assert [(each["picture"], each["code"]) for each in told] == [
        (str(poster), "not_a_coupon"),
        (str(blank), "unreadable"),
        (str(picture), "ok_offline"),
    ]


def test_a_camera_redeems_what_stays_in_sight_once(till: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    picture = cv2.imdecode(np.frombuffer(png(code()), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    for _ in range(8):
        writer.write(picture)
    writer.release()

    status, told = run("--terminal", till, "--camera", film, *SALE)

    assert (status, [each["code"] for each in told]) == (0, ["ok_offline"])


def test_without_a_terminal_it_only_reads(tmp_path: Path) -> None:
    text = code()

    status, told = run("--stdin", typed=f"{text}\nnothing\n")

    assert status == 1
    assert told == [
        {"code": text, "refused": None},
        {"code": None, "refused": "not_a_coupon"},
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Say what to scan"),
        (["--stdin", "a.png"], "one of them"),
        (["--page"], "needs a terminal"),
        (["--hub"], "needs a terminal"),
        (["--stdin", "--terminal", "TILL", "--total", "5"], "--currency"),
        (["--stdin", "--terminal", "TILL", "--total", "5", "--currency", "euro"], "--currency"),
        (["--stdin", "--terminal", "nowhere.json"], "nowhere.json"),
        (["--stdin", "--terminal", "OTHER"], "has written"),
        (["--camera", "no-such-film.avi"], "no camera"),
        (["--hub", "--terminal", "TILL", "--hub-address", "8790"], "--hub-address"),
    ],
)
def test_a_slip_is_told_in_a_line_and_ends_with_two(
    till: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    other.chmod(0o600)
    names = {"TILL": str(till), "OTHER": str(other)}
    monkeypatch.chdir(tmp_path)

    status, told = fails(monkeypatch, capfd, *(names.get(word, word) for word in words))

    assert status == 2
    assert said in told, told
    assert "Traceback" not in told


def test_a_file_that_others_can_read_is_no_terminal(
    till: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    till.chmod(0o644)

    status, told = fails(monkeypatch, capfd, "--stdin", "--terminal", str(till))

    assert (status, "can be read by others" in told) == (2, True)


def test_a_terminal_runs_once(
    till: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(till, "--stdin") as process:
        say(process, code())
        assert json.loads(hear(process))["code"] == "ok_offline"

        status, told = fails(monkeypatch, capfd, "--stdin", "--terminal", str(till))

    assert status == 2
    assert "another process" in told


def fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """Run the command as a person would, and return how it ended and what it said."""
    monkeypatch.setattr(sys, "argv", ["counterfoil", "scan", *words])
    with pytest.raises(SystemExit) as ended:
        counterfoil.main()
    return int(ended.value.code or 0), "".join(capfd.readouterr())


# In a process of its own.


@contextmanager
def running(till: Path, *words: str) -> Generator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scanner", "--terminal", str(till), "--json", *SALE, *words],
        cwd=HOUSE,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_while_it_waits(till: Path, number: signal.Signals) -> None:
    with running(till, "--stdin") as process:
        say(process, code())
        assert json.loads(hear(process))["code"] == "ok_offline"

        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "", "")
    assert [each["kind"] for each in entries(till)] == ["leased", "redeemed"]


def test_page_and_hub_are_served_from_one_process_until_it_is_told_to_end(till: Path) -> None:
    with running(till, "--page", "--hub", "--hub-address", "127.0.0.1:0") as process:
        assert process.stderr is not None
        hub_url = process.stderr.readline().split()[-1].rstrip(".")
        page_url = process.stderr.readline().split()[-1]
        text = code()
        origin = page_url.removesuffix("/").rpartition("/")[0]
        body = {"code": text, "total_minor": 1_000, "currency": "EUR"}
        on_page = httpx.post(
            f"{page_url}scans", json=body, headers={"Origin": origin}, trust_env=False
        ).json()["screen"]
        asked = HubAsked(hub_url, id=NEIGHBOUR, key=NEIGHBOURS_KEY, clock=lambda: datetime.now(UTC))
        key = _jwk(FileKey.kept_in(key_path(till)).public_key)
        by_hub = [
            asked.redeem(
                ForStore(
                    id=new_id(datetime.now(UTC)), code=each, store_id=STORE, basket=total(1_000)
                ),
                TERMINAL,
                key,
            ).code
            for each in (text, code(idx=101))
        ]
        asked.close()
        told = json.loads(hear(process))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert (on_page["code"], told) == ("ok_offline", on_page)
    assert by_hub == ["already_redeemed", "ok_offline"]
    assert process.returncode == 0
    assert [each["mode"] for each in entries(till) if each["kind"] == "redeemed"] == [
        "offline",
        "hub",
    ]


def test_an_opencv_without_windows_says_what_to_do_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise cv2.error

    monkeypatch.setattr(cv2, "namedWindow", none)

    with pytest.raises(command.Wrong, match="--page"), command._preview(has_window=True):
        pass
