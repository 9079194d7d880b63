"""What the client refuses before anything leaves this machine.

What it does at a server, the tests of the pages and of the demo show.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from pyotp.totp import TOTP

import counterfoil
from scanner import asking, credentials
from scanner.asking import Wrong
from scanner.credentials import OtherServer, SignedIn, WalletHeld
from scanner.identity import FileKey, KeyExposed
from tests import make

Run = Callable[..., tuple[int, str]]
HERE = "http://127.0.0.1:8000"
SIGN_IN = ("sign-in", HERE, "-o", "acme", "--email", "a@b.c")
SIGNED_IN = SignedIn(server_url=HERE, cookie="__Host-counterfoil=secret", csrf="word")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["counterfoil", *words])
        with pytest.raises(SystemExit) as ended:
            counterfoil.main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return command


def headers_of(auth: httpx.Auth) -> httpx.Headers:
    request = httpx.Request("GET", f"{HERE}/v1/me")
    return next(auth.sync_auth_flow(request)).headers


def auth_in(path: Path, server_url: str = HERE) -> httpx.Auth:
    return credentials.auth_in(path, server_url, shift=None, clock=lambda: NOON)


@pytest.mark.parametrize("url", ["http://coupons.example.com", "ftp://127.0.0.1", "127.0.0.1:8000"])
def test_a_password_goes_to_no_other_machine_without_tls(url: str) -> None:
    with pytest.raises(Wrong):
        asking.checked(url)


def test_a_password_goes_to_this_machine_and_behind_tls() -> None:
    assert asking.checked("http://127.0.0.1:8000/") == HERE
    assert asking.checked("https://coupons.example.com") == "https://coupons.example.com"


def test_a_sign_in_is_sent_as_a_page_of_the_server_would(tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    credentials.keep(file, SIGNED_IN.model_dump_json())

    headers = headers_of(auth_in(file))

    assert headers["Cookie"] == "__Host-counterfoil=secret"
    assert (headers["X-CSRF-Token"], headers["Origin"]) == ("word", HERE)


def test_a_sign_in_is_shown_to_no_other_server(tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    credentials.keep(file, SIGNED_IN.model_dump_json())

    with pytest.raises(OtherServer):
        auth_in(file, "https://elsewhere.example")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "live.key"
    file.write_text("cfk_live_abcdefgh_secret")
    file.chmod(0o640)

    with pytest.raises(KeyExposed):
        auth_in(file)


def test_what_is_kept_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "live.key"
    file.write_text("readable by all")
    file.chmod(0o644)

    credentials.keep(file, "cfk_live_abcdefgh_secret")

    assert file.stat().st_mode & 0o777 == 0o600
    assert headers_of(auth_in(file))["Authorization"] == "Bearer cfk_live_abcdefgh_secret"


def test_a_wallet_signs_by_the_key_beside_its_file(tmp_path: Path) -> None:
    file = tmp_path / "wallet.json"
    held = WalletHeld(server_url=HERE, wallet_id=make.an_id(), customer_id=make.an_id())
    credentials.keep(file, held.model_dump_json())
    FileKey.kept_in(credentials.key_path(file))

    assert f'keyid="{held.wallet_id}"' in headers_of(auth_in(file))["Signature-Input"]


def test_a_missing_key_is_told_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "wallet.json"
    held = WalletHeld(server_url=HERE, wallet_id=make.an_id(), customer_id=make.an_id())
    credentials.keep(file, held.model_dump_json())

    with pytest.raises(ValueError, match=r"wallet\.pem is missing"):
        auth_in(file)

    assert not credentials.key_path(file).exists()


def test_a_script_that_comes_again_sends_the_next_code() -> None:
    app = TOTP("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")

    first, second = asking.codes_at(app.secret, NOON)

    assert first == app.at(NOON)
    assert second == app.at(NOON + timedelta(seconds=30)) != first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sign-in", "http://elsewhere.example", "-o", "acme", "--email", "a@b.c"), "https"),
        (("request", HERE, "GET", "/v1/me", "--as", "nowhere.json"), "nowhere.json"),
        (("step-up", "--as", "nowhere.json"), "nowhere.json"),
        (("pair", "no picture", "--save", "till.json"), "the text COUNTERFOIL:PAIR/"),
        (("pair", "nonsense", "--save", "till.json"), "the text COUNTERFOIL:PAIR/"),
        ((*SIGN_IN, "--totp", "banana"), "--totp is no app secret (letters A-Z, digits 2-7)."),
        ((*SIGN_IN, "--code", "12345"), "A code has six digits"),
        ((*SIGN_IN, "--code", "banana"), "A code has six digits"),
        ((*SIGN_IN, "--save", "nowhere/x.json"), "Nothing can be kept in nowhere: No such"),
        ((*SIGN_IN, "--save", "."), "is a folder"),
        (("accept-invitation", HERE, "--save", "nowhere/x.json"), "Nothing can be kept in nowhere"),
    ],
)
def test_a_slip_is_told_in_a_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    status, told = run(*words)

    assert (status, said in told, len(told.splitlines())) == (2, True, 1), told
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A program's key."""
    file = tmp_path / "live.key"
    credentials.keep(file, "cfk_live_abcdefgh_secret")
    return file


def test_nobody_listening_is_told_in_a_line(run: Run, file: Path) -> None:
    status, told = run("request", "http://127.0.0.1:9", "GET", "/v1/me", "--as", str(file))

    assert (status, told) == (
        2,
        "Nothing answers at http://127.0.0.1:9. Is the server running?\n",
    )


@pytest.mark.parametrize(
    ("method", "told"),
    [("POST", "POST needs --json."), ("DELETE", "There is no method DELETE here: GET or POST.")],
)
def test_what_cannot_be_meant_is_not_sent(run: Run, file: Path, method: str, told: str) -> None:
    assert run("request", HERE, method, "/v1/keys", "--as", str(file)) == (2, f"{told}\n")


@pytest.mark.parametrize("contents", [b"# Counterfoil\n", b"\x89PNG\r\n\xff\x00", b"{}", b""])
def test_a_file_about_nobody_is_named_and_need_not_be_private(
    run: Run, tmp_path: Path, contents: bytes
) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(contents)
    file.chmod(0o644)

    status, told = run("request", HERE, "GET", "/v1/me", "--as", str(file))

    assert (status, told) == (2, f"{file} is no sign-in, terminal, wallet or API key.\n")


def test_only_a_sign_in_can_be_confirmed(run: Run, file: Path) -> None:
    assert run("step-up", "--as", str(file)) == (2, f"{file} is no sign-in.\n")


def test_a_mistyped_invitation_is_told_before_a_password_is_chosen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("rosebud\n"))

    assert run("accept-invitation", HERE) == (2, "This is no invitation.\n")


def test_no_json_is_told_before_it_is_sent(run: Run, file: Path) -> None:
    status, told = run("request", HERE, "POST", "/v1/keys", "--as", str(file), "--json", "{")

    assert (status, told.startswith("--json is no JSON")) == (2, True)
