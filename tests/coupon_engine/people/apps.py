"""A person's authenticator app, and what else they hold."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from pyotp.totp import TOTP
from sqlmodel import Session

from coupon_engine.people import second_factor, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened
from coupon_engine.tables import Account, SignIn
from schemas.people import NewTotp
from tests import make
from tests.make import NOON


@dataclass(frozen=True)
class App:
    """An authenticator app that holds one secret, the recovery codes beside it, and a sign-in."""

    secret: str
    recovery_codes: tuple[str, ...]
    opened: Opened

    def code(self, now: datetime) -> str:
        return code_of(self.secret, now)

    def wrong_code(self, now: datetime) -> str:
        """A code that none of the three steps has that count."""
        return wrong_code_of(self.secret, now)


def code_of(secret: str, now: datetime) -> str:
    return TOTP(secret).at(now)


def wrong_code_of(secret: str, now: datetime) -> str:
    app = TOTP(secret)
    right = {app.at(now, counter_offset=offset) for offset in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


def app_of(session: Session, account: Account, *, now: datetime = NOON) -> App:
    """Set up an app for somebody who has none."""
    first = make.signed_in(session, account, "password", now=now)
    own = hash_of(first.secret)
    begun = second_factor.begin_totp(session, own, make.VAULT, now=now)
    codes, opened = second_factor.confirm_totp(
        session, own, typed(begun.ceremony, code_of(begun.secret, now)), make.VAULT, now=now
    )
    return App(begun.secret, codes.codes, opened)


def typed(ceremony: str, code: str) -> NewTotp:
    return NewTotp(ceremony=SecretStr(ceremony), code=SecretStr(code))


def row_of(session: Session, opened: Opened, *, now: datetime = NOON) -> SignIn | None:
    """Whom a secret lets in."""
    session.flush()
    return sign_ins.found(session, opened.secret, now=now)
