"""What a server may be told about mail and short messages, and what it refuses to work with."""

import os
from pathlib import Path

import pytest

from coupon_engine.settings import SettingsRefused, read_settings


@pytest.fixture(autouse=True)
def a_bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COUNTERFOIL_DATA_DIR", str(tmp_path))


def test_nothing_needs_to_be_set() -> None:
    settings = read_settings()

    assert (settings.smtp_url, settings.mail_from) == (None, None)
    assert (settings.sms_url, settings.sms_token) == (None, None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
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
def test_what_would_send_codes_in_clear_or_nowhere_is_refused(
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
