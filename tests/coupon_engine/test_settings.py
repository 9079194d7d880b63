"""A server says at its start what it cannot work with, and never prints a secret."""

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coupon_engine.settings import (
    SettingsRefused,
    kept_secret,
    key_passphrase,
    read_settings,
    short_code_secret,
)

SECRET = "a secret of the operator"


@pytest.fixture(autouse=True)
def a_bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COUNTERFOIL_DATA_DIR", str(tmp_path))


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = read_settings()

    assert (settings.database_url, settings.data_dir) == (None, tmp_path)
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.issuer_url == "http://127.0.0.1:8000"
    assert (settings.smtp_url, settings.mail_from) == (None, None)
    assert (settings.sms_url, settings.sms_token) == (None, None)


def test_a_database_of_ones_own_is_reached_by_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", "postgres://clerk@db/coupons")
    monkeypatch.setenv("COUNTERFOIL_KEY_PASSPHRASE", SECRET)
    monkeypatch.setenv("COUNTERFOIL_SHORT_CODE_SECRET", SECRET)

    assert read_settings().database_url == "postgresql+psycopg://clerk@db/coupons"


def test_a_database_of_ones_own_wants_secrets_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", "postgresql://clerk@db/coupons")
    monkeypatch.setenv("COUNTERFOIL_KEY_PASSPHRASE", SECRET)

    with pytest.raises(SettingsRefused) as refused:
        read_settings()

    assert str(refused.value) == (
        "COUNTERFOIL_DATABASE_URL names a database of your own, so set "
        "COUNTERFOIL_SHORT_CODE_SECRET too; secrets are made up for the embedded one only"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "65536", "COUNTERFOIL_PORT: Input should be less than or equal to 65535"),
        ("WORKERS", "0", "COUNTERFOIL_WORKERS: Input should be greater than or equal to 1"),
        ("LOG_LEVEL", "loud", "COUNTERFOIL_LOG_LEVEL: Input should be 'debug', 'info'"),
        ("DATABASE_URL", "sqlite:///x", "COUNTERFOIL_DATABASE_URL: name a PostgreSQL database"),
        ("ISSUER_URL", "coupons.example", "COUNTERFOIL_ISSUER_URL: give an address such as"),
        ("KEY_PASSPHRASE", "short", "COUNTERFOIL_KEY_PASSPHRASE: a secret needs at least 16"),
        ("DATABSE_URL", "x", "there is no setting COUNTERFOIL_DATABSE_URL"),
        ("SMS_URL", "http://sms.example/send", "COUNTERFOIL_SMS_URL: give an address that begins"),
        ("SMS_URL", "sms.example", "COUNTERFOIL_SMS_URL: give an address such as"),
        ("SMS_TOKEN", "short", "COUNTERFOIL_SMS_TOKEN: a secret needs at least 16"),
        ("SMTP_URL", "mail.example", "COUNTERFOIL_SMTP_URL: name a mail server"),
        ("SMTP_URL", "https://mail.example", "COUNTERFOIL_SMTP_URL: name a mail server"),
        ("SMTP_URL", "smtps://mail.example", "COUNTERFOIL_SMTP_URL names a mail server, so set"),
        ("MAIL_FROM", "nobody", "COUNTERFOIL_MAIL_FROM: give an address such as"),
        ("MAIL_FROM", "a@b\r\nBcc: c@d", "COUNTERFOIL_MAIL_FROM: give an address such as"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"COUNTERFOIL_{name}", value)

    with pytest.raises(SettingsRefused) as refused:
        read_settings()

    assert str(refused.value).startswith(words)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8025/send", "https://sms.example/send"])
def test_a_gateway_is_behind_tls_or_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("COUNTERFOIL_SMS_URL", url)

    assert read_settings().sms_url == url


def test_no_password_of_a_mail_server_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_MAIL_FROM", "coupons@shop.example")
    monkeypatch.setenv("COUNTERFOIL_SMTP_URL", "smtps://clerk:a-long-password@mail.example")

    assert "a-long-password" not in repr(read_settings())


def test_a_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_KEY_PASSPHRASE", SECRET)
    assert SECRET not in repr(read_settings())

    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", f"postgresql://clerk:{SECRET}@db/coupons")
    with pytest.raises(SettingsRefused) as refused:
        read_settings()

    assert SECRET not in str(refused.value)


def test_made_up_secrets_stay_the_same_and_differ_from_each_other() -> None:
    settings = read_settings()

    assert key_passphrase(settings) == key_passphrase(read_settings())
    assert short_code_secret(settings) != key_passphrase(settings)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_can_read_a_made_up_secret(tmp_path: Path) -> None:
    kept_secret(tmp_path / "secret")

    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_all_who_ask_for_a_secret_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(kept_secret, [tmp_path / "secret"] * 32))

    assert len(answers) == 1
