"""What the command line says and keeps when a server answers it."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from httpx import Client
from sqlalchemy import Engine

import counterfoil
from api.asking import cookies
from coupon_engine.database import transaction
from coupon_engine.tables import Account
from scanner import asking, credentials
from scanner.credentials import SignedIn
from tests import make
from tests.api import askers
from tests.api.conftest import Clock
from tests.coupon_engine.people.apps import App, app_of
from tests.make import PASSWORD, Shop

Run = Callable[..., tuple[int, str, str]]
Person = tuple[Shop, Account, App]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: Clock) -> Run:
    """Run `counterfoil` with these words, and with what somebody types."""
    monkeypatch.setattr(asking, "wall_clock", clock)

    def command(*words: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["counterfoil", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            counterfoil.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


@pytest.fixture
def url(door: Client) -> str:
    return str(door.base_url).rstrip("/")


@pytest.fixture
def olga(database: Engine, clock: Clock) -> Person:
    """An owner with an app, which was set up an hour ago."""
    with transaction(database) as session:
        at = make.shop(session)
        account = make.person(session, at, name="Olga")
        app = app_of(session, account, now=clock.now - timedelta(hours=1))
    return at, account, app


def comes_as(url: str, person: Person) -> tuple[str, ...]:
    at, account, _ = person
    return ("sign-in", url, "-o", at.slug, "--email", account.email)


def test_a_wrong_password_is_told_as_one(run: Run, url: str, olga: Person) -> None:
    status, out, err = run(*comes_as(url, olga), typed="not this one at all\n")

    assert (status, out) == (1, "")
    assert err == "401 not_signed_in: Operator, e-mail or password is wrong.\n"


def test_a_code_that_was_used_is_told_to_work_once(
    run: Run, url: str, olga: Person, clock: Clock
) -> None:
    words = (*comes_as(url, olga), "--code", olga[2].code(clock.now))
    first = run(*words, typed=f"{PASSWORD}\n")

    status, _, err = run(*words, typed=f"{PASSWORD}\n")

    assert first[0] == 0
    assert (status, "a code works once and for about a minute" in err) == (1, True), err


def test_a_sign_in_that_is_not_kept_is_told(run: Run, url: str, olga: Person, clock: Clock) -> None:
    status, out, err = run(
        *comes_as(url, olga), "--code", olga[2].code(clock.now), typed=f"{PASSWORD}\n"
    )

    assert (status, out.startswith("Olga: owner at ")) == (0, True)
    assert err == "Not kept: add --save FILE when you sign in.\n"


def test_who_breaks_the_glass_keeps_the_way_in_beside_their_own(
    run: Run, url: str, database: Engine, door: Client, clock: Clock, olga: Person, tmp_path: Path
) -> None:
    own, glass = a_platform_admin(url, database, door, tmp_path, clock()), tmp_path / "glass.json"
    kept = own.read_text()
    body = f'{{"operator": "{olga[0].slug}", "reason": "ticket 4711", "minutes": 5}}'
    before = run("request", url, "GET", "/v1/campaigns", "--as", own)

    broken = run(
        *("request", url, "POST", "/v1/break-glass", "--as", own, "--new-id"),
        *("--json", body, "--save", glass),
    )

    assert "not_allowed" in before[2]
    assert (broken[0], broken[1].count("\n")) == (0, 1)
    assert f": auditor at {olga[0].slug} " in broken[2]
    assert run("request", url, "GET", "/v1/campaigns", "--as", glass)[:2] == (0, "[]\n")
    assert own.read_text() == kept
    assert run("request", url, "GET", "/v1/operators", "--as", own)[0] == 0


def test_an_answer_without_a_sign_in_is_not_kept(
    run: Run, url: str, database: Engine, door: Client, clock: Clock, tmp_path: Path
) -> None:
    own, file = a_platform_admin(url, database, door, tmp_path, clock()), tmp_path / "x.json"

    status, _, err = run("request", url, "GET", "/v1/me", "--as", own, "--save", file)

    assert (status, err) == (2, "Done, but nothing is kept: the answer brings no sign-in.\n")
    assert not file.exists()


def a_platform_admin(url: str, database: Engine, door: Client, folder: Path, now: datetime) -> Path:
    """Keep a platform admin's sign-in in a file, as `sign-in --save` does."""
    admin = askers.platform_admin(database, door, now=now, is_stepped_up=True)
    held = SignedIn(
        server_url=url,
        cookie=admin.headers["Cookie"],
        csrf=admin.headers[cookies.CSRF_HEADER],
    )
    file = folder / "pat.json"
    credentials.keep(file, held.model_dump_json())
    return file
