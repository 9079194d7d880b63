"""What the door writes down, and what it never does."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from socket import socket
from urllib.parse import quote

import pytest
import structlog
from httpx import Client, ConnectError, RemoteProtocolError
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api import logs
from coupon_engine.settings import Settings
from tests import make
from tests.api.conftest import Counter
from tests.api.wire import Line


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        issuer_url=make.ISSUER,
        key_passphrase=SecretStr(make.PASSPHRASE.decode()),
        short_code_secret=SecretStr(make.SECRET.decode()),
        log_level="debug",
        log_format="json",
    )


@pytest.fixture
def written(settings: Settings) -> Iterator[StringIO]:
    """What the process writes down from now on."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, logging.raiseExceptions
    with warnings.catch_warnings():
        logs.start(settings, stream)
        yield stream
        logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook, sys.unraisablehook, logging.raiseExceptions = hooks
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_fault_is_noted_by_its_place_and_without_a_word_of_the_request(
    written: StringIO, counter: Counter, code: str, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE customer ADD CHECK (ref <> 'c-secret-ref')"))
        connection.execute(text("ALTER TABLE redemption ADD CHECK (cashier <> 'Secret Kim')"))

    people = [{"id": str(make.an_id()), "ref": "c-secret-ref"}]
    first = counter.posts("/v1/customers", {"id": str(make.an_id()), "customers": people})
    second = counter.redeems(code, cashier="Secret Kim")

    assert (first.status_code, first.json()["code"]) == (500, "internal")
    assert (second.status_code, second.json()["code"]) == (500, "internal")
    assert "secret" not in (first.text + second.text).lower()
    for secret in (counter.api_key, counter.api_key[-32:], code, "c-secret-ref", "Secret Kim"):
        assert secret not in written.getvalue()
    failures = [line for line in notes(written) if line["event"] == "request failed"]
    assert [line["path"] for line in failures] == ["/v1/customers", "/v1/redemptions"]
    assert {line["sqlstate"] for line in failures} == {"23514"}
    assert all(line["at"] for line in failures)


def test_a_day_without_faults_leaves_no_secret_behind(
    written: StringIO, counter: Counter, code: str
) -> None:
    counter.redeems(code)
    counter.redeems(code)
    counter.redeems("not a coupon", colour="red")
    counter.gets("/v1/customers")

    assert [line for line in notes(written) if line["level"] in ("warning", "error")] == []
    for secret in (counter.api_key, counter.api_key[-32:], code, code[4:60]):
        assert secret not in written.getvalue()


def notes(written: StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]


# A real process, whose every word is heard.

KEY = "cfk_live_Ab3dEf7h_0123456789abcdefghijklmnopqrstuv9Zk2Lm"
TOKEN = "CP1A6BF*U7%0$XM5.LD+R8/KQ:YV2 JW9T4H6N3G0SCEZA1B7"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJzZWNyZXQtanRpIn0.c2VjcmV0LXNpZ25hdHVyZQ"
SHORT_CODE = "7K3M-9QXA-0T5C"
COOKIE = "__Host-counterfoil=c2Vzc2lvbi1zZWNyZXQtMTIz"
MAIL = "ann.secret+1@mail.example"
NUMBER = "+4915112345678"
CARD = "4111 1111 1111 1111"
PASSCODE = "code=493817"
PASSWORD = "password=correct-horse-battery"
BEARER = "Bearer c2VjcmV0LWJlYXJlcg=="
SECRETS = {
    KEY: "0123456789abcdef",
    TOKEN: "U7%0$XM5",
    JWT: "c2VjcmV0LXNpZ25hdHVyZQ",
    SHORT_CODE: "9QXA",
    COOKIE: "c2Vzc2lvbi1zZWNyZXQ",
    MAIL: "ann.secret",
    NUMBER: "15112345678",
    CARD: "1111 1111",
    PASSCODE: "493817",
    PASSWORD: "correct-horse",
    BEARER: "c2VjcmV0LWJlYXJlcg",
}
"""What must never be written down, and the part of it that a look for it would find."""


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "asked for {} just now",
        "['{}']",
        "detail: Key (ref)=({}) already exists.",
        "GET /v1/coupons?{}&most=1 HTTP/1.1",
        '{{"sent": "{}"}}',
        "\x1b[31m{}\x1b[0m",
    ],
)
def test_a_secret_in_a_line_is_hidden(secret: str, said: str) -> None:
    assert SECRETS[secret] not in logs.hidden(said.format(secret))


@pytest.mark.parametrize(
    "header",
    ["Authorization: {}", "'cookie': '{}'", "(b'signature', b'{}')", '"Signature-Input": "{}"'],
)
def test_a_header_that_proves_something_is_hidden_whatever_it_holds(header: str) -> None:
    assert logs.hidden(header.format("sig1=:c2VjcmV0:; a b")).count("c2Vj") == 0


def test_no_line_can_be_made_to_look_like_two() -> None:
    assert logs.hidden("a\nb\r\x1b[2Jc\u2028d") == "a b  c d"


KEPT = (
    "/v1/coupons/01963b2e-4c1a-7000-8000-000000000099/qr.svg",
    "2026-11-22T20:53:32.123456+00:00",
    "4006381333931 is bread, receipt 20260302-000123",
    "at=['api/edges.py:123 __call__']",
    "sqlstate=23514 error=sqlalchemy.exc.IntegrityError",
    "127.0.0.1:54321 took 1772000000000 ns",
    "code=busy",
)


@pytest.mark.parametrize("line", KEPT)
def test_what_helps_to_find_a_fault_is_kept(line: str) -> None:
    assert logs.hidden(line) == line


def test_hiding_takes_no_longer_for_a_line_made_for_it() -> None:
    began = time.monotonic()
    for letter in ("a", "1", "1 ", "+1 ", "a-", "a.", "code ", "://", "CP1A", "eyJ", "A1", "%40"):
        logs.hidden(letter * 100_000)

    assert time.monotonic() - began < 3


def test_a_members_name_is_enough_to_hide_it(written: StringIO) -> None:
    structlog.get_logger().error("sent", pin=1234, phone="030 1234", nested={"otp": ["493817"]})

    (line,) = notes(written)
    assert (line["pin"], line["phone"]) == (logs.HIDDEN, logs.HIDDEN)
    assert line["nested"] == {"otp": logs.HIDDEN}


SERVER = """
import asyncio, logging, sys, threading, warnings
from contextlib import nullcontext
import structlog, uvicorn
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlmodel import Session
from api import logs
from api.connections import SERVING
from api.main import app
from coupon_engine.database import open_engine
from coupon_engine.settings import read_settings

settings = read_settings()
logs.start(settings)
engine = open_engine(settings.database_url)
made = app(settings, opening=lambda _: nullcontext(engine))
left = []

@made.post("/fault/{way}")
async def fault(way: str, request: Request) -> Response:
    said = (await request.body()).decode()
    match way:
        case "raises":
            raise ValueError(said)
        case "chained":
            try:
                raise KeyError(said)
            except KeyError as error:
                raise RuntimeError(f"with {said}") from error
        case "database":
            with engine.connect() as connection:
                connection.execute(text("SELECT CAST(:said AS integer)"), {"said": said})
        case "after the answer began":
            async def broken():
                yield b"x"
                raise ValueError(said)
            return StreamingResponse(broken())
        case "logged":
            logging.getLogger("library").error("sent %s", said, extra={"said": said})
            logging.getLogger("library").error("badly %d", said)
            structlog.get_logger().error(said, said=said, nested=[{"a": said}], raw=said.encode())
            try:
                raise ValueError(said)
            except ValueError:
                logging.getLogger("library").exception("failed")
                structlog.get_logger().exception("failed")
        case "warned":
            warnings.warn(said, stacklevel=1)
        case "thread":
            def breaks():
                raise ValueError(said)
            threading.Thread(target=breaks, name=said).start()
        case "task":
            async def breaks_later():
                raise ValueError(said)
            left.append(asyncio.create_task(breaks_later()))
            await asyncio.sleep(0)
            left.clear()
            import gc; gc.collect()
        case "left behind":
            class Leaving:
                def __del__(self):
                    raise ValueError(said)
            Leaving()
    return Response()

uvicorn.run(made, port=int(sys.argv[1]), **SERVING)
"""
WAYS = (
    "raises",
    "chained",
    "database",
    "after the answer began",
    "logged",
    "warned",
    "thread",
    "task",
    "left behind",
)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_real_server_writes_down_no_secret_whichever_door_it_comes_by(
    database_url: str, tmp_path: Path, log_format: str
) -> None:
    said = tmp_path / "said.txt"
    with server(database_url, said, log_format) as url, Client(base_url=url, timeout=20) as client:
        for secret in SECRETS:
            plain = secret.encode("ascii")
            quoted = quote(secret, safe="")
            client.get(f"/v1/coupons/{quoted}")
            client.get(f"/problems/{quoted}")
            client.get(f"/v1/campaigns?after={quoted}&{secret}")
            client.get("/v1/campaigns", headers={"Authorization": secret, "Cookie": secret})
            client.get("/health/ready", headers={"Signature": secret, "X-Said": secret})
            client.post("/v1/redemptions", json={"code": secret, secret: 1})
            client.post("/v1/redemptions", content=plain)
            for way in WAYS:
                with suppress(RemoteProtocolError):
                    client.post(f"/fault/{way}", content=plain)
            with Line(url) as line:  # no HTTP at all
                line.sends(plain + b"\r\n\r\n")
                line.hears()
    text = said.read_text()

    for secret, part in SECRETS.items():
        assert part not in text, secret
        assert quote(part, safe="") not in text, secret
    # All of that was heard of.
    for kind in ("builtins.ValueError", "builtins.RuntimeError", "sqlalchemy.exc."):
        assert text.count(kind) >= len(SECRETS), kind
    for told in ("sent", "failed", "thread ends", "left behind", "Invalid HTTP request"):
        assert told in text, told


@contextmanager
def server(database_url: str, said: Path, log_format: str) -> Generator[str]:
    """Run a server as a process of its own, and write down what it says."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            cwd=Path(__file__).resolve().parents[2],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "COUNTERFOIL_DATABASE_URL": database_url,
                "COUNTERFOIL_KEY_PASSPHRASE": make.PASSPHRASE.decode(),
                "COUNTERFOIL_SHORT_CODE_SECRET": make.SECRET.decode(),
                "COUNTERFOIL_LOG_LEVEL": "debug",
                "COUNTERFOIL_LOG_FORMAT": log_format,
                "PYTHONWARNINGS": "always",
            },
        )
        try:
            url = f"http://127.0.0.1:{port}"
            ends = time.monotonic() + 30
            while time.monotonic() < ends and process.poll() is None:
                with suppress(ConnectError), Client() as client:
                    client.get(f"{url}/health/live")
                    break
                time.sleep(0.1)
            assert process.poll() is None, said.read_text()
            yield url
        finally:
            process.terminate()
            process.wait(40)
