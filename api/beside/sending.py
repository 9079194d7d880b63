"""Sends codes to customers, in the background of a server.

Where no mail server and no address for short messages is configured, whoever started the server
reads them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Engine

from api.beside.background import Background
from coupon_engine.channels import Channel
from coupon_engine.channels.console import Console
from coupon_engine.channels.http_sms import HttpSms
from coupon_engine.channels.mail import Mail
from coupon_engine.customers.passcodes import send_waiting
from coupon_engine.sealing import Vault
from coupon_engine.settings import Settings
from schemas.wallets import ContactKind

IDLE_SECONDS = 1.0


def sender(
    engine: Engine,
    channels: Mapping[ContactKind, Channel],
    *,
    vault: Vault,
    issuer_url: str,
    clock: Callable[[], datetime],
) -> Background:
    """Return what sends the codes that wait, again and again."""

    def send() -> int:
        return send_waiting(engine, channels, vault=vault, issuer_url=issuer_url, now=clock())

    return Background("sender", send, idle_seconds=IDLE_SECONDS)


def channels_of(settings: Settings) -> Mapping[ContactKind, Channel]:
    """Return who carries what, as the settings say."""
    mail: Channel = Console()
    if settings.smtp_url and settings.mail_from:
        mail = Mail(settings.smtp_url, settings.mail_from)
    phone: Channel = Console()
    if settings.sms_url:
        token = settings.sms_token.get_secret_value() if settings.sms_token else None
        phone = HttpSms(settings.sms_url, token)
    return {ContactKind.EMAIL: mail, ContactKind.PHONE: phone}
