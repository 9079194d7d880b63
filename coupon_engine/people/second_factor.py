"""The second factor of a password: codes of an authenticator app (RFC 6238), and recovery codes.

An app's code is good for thirty seconds and the ones before and after; no step works twice, also
when many send it at once. A recovery code works once, for whoever has lost the app.
"""

import secrets
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from uuid import UUID

from pyotp import random_base32
from pyotp.totp import TOTP
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from coupon_engine import tries
from coupon_engine.errors import CodeWrong, NotAllowed, NotSignedIn, StepUpNeeded
from coupon_engine.people import ceremonies, sign_ins
from coupon_engine.people.sign_ins import Opened
from coupon_engine.rows import found, locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account, Operator, Passkey, RecoveryCode, SignIn
from coupon_engine.tries import Budget
from schemas.people import Method, NewTotp, RecoveryCodes, TotpBegun

ISSUER = "Counterfoil"
STEP_SECONDS = 30
SETTING_UP = "totp"
SETTING_UP_LASTS = timedelta(minutes=10)
MOST_CODES_A_DAY = 20
"""Wrong codes of one account, however many sign-ins they are spread over.

A guesser who knows the password hits one of three codes in a million: 20 a day make 1 in 16,000.
"""

MANY_RECOVERY_CODES = 10
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: 10 of them are 50 bits
_READ_AS = str.maketrans("OIL", "011", "- ")


def begin_totp(
    session: Session, sign_in_hash: bytes | None, vault: Vault, *, now: datetime
) -> TotpBegun:
    """Make a secret for an authenticator app. It counts once `confirm_totp` has seen a code of it.

    Asking again makes another one.

    Raises:
        NotSignedIn: The sign-in has ended.
        StepUpNeeded: The account has a second factor already; confirm with that first.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = found(session, Account, row.operator_id, row.account_id)
    _may_change(session, row, account, now)
    secret = random_base32(32)
    sealed = vault.seal(secret.encode(), _about(account))
    ceremony = ceremonies.begin(
        session,
        account.operator_id,
        SETTING_UP,
        {"sealed": b64encode(sealed).decode()},
        account_id=account.id,
        lasts=SETTING_UP_LASTS,
        now=now,
    )
    operator = session.get_one(Operator, account.operator_id)
    address = TOTP(secret).provisioning_uri(
        name=f"{account.email} ({operator.slug})", issuer_name=ISSUER
    )
    return TotpBegun(ceremony=ceremony, secret=secret, address=address)


def confirm_totp(
    session: Session, sign_in_hash: bytes | None, request: NewTotp, vault: Vault, *, now: datetime
) -> tuple[RecoveryCodes, Opened]:
    """Take the app into use, make recovery codes, and end every other sign-in of the account.

    The first app makes this sign-in a whole one. Each ceremony works once, so twice is a no.

    Raises:
        NotSignedIn: The sign-in, or the time to answer, is over; or the ceremony is another's.
        StepUpNeeded: The account has a second factor already; confirm with that first.
        CodeWrong: The app shows another code.
        TooManyTries: Too many wrong codes came.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = locked(session, Account, row.operator_id, row.account_id)
    _may_change(session, row, account, now)
    take_try(session, account, now=now)
    ceremony = ceremonies.found(
        session, account.operator_id, SETTING_UP, request.ceremony.get_secret_value(), now=now
    )
    if ceremony.account_id != account.id:
        raise NotSignedIn
    sealed = b64decode(ceremony.data["sealed"])
    secret = vault.unseal(sealed, _about(account)).decode()
    step = _step_of(secret, request.code.get_secret_value(), now)
    if step is None:
        raise CodeWrong
    account.totp_secret, account.totp_last_step = sealed, step
    session.add(account)
    ceremonies.forget(session, account.operator_id, account.id)
    sign_ins.end_all(session, account.operator_id, account.id, now=now, but=row.hash)
    sign_ins.note(session, "second_factor_set", account, now, {"method": "totp"})
    codes = _new_codes(session, account, vault, now)
    forget_tries(session, account)
    return codes, sign_ins.step_up(session, sign_in_hash, method="totp", now=now)


def renew_recovery_codes(
    session: Session, sign_in_hash: bytes | None, vault: Vault, *, now: datetime
) -> RecoveryCodes:
    """Make new recovery codes; the old ones end. They are shown in this answer and never again.

    Raises:
        NotSignedIn: The sign-in has ended.
        NotAllowed: There is no second factor that they could stand for.
        StepUpNeeded: Confirm first that it is you.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = locked(session, Account, row.operator_id, row.account_id)
    if not has_any(session, account):
        raise NotAllowed(why="set up an authenticator app or a passkey first")
    _may_change(session, row, account, now)
    return _new_codes(session, account, vault, now)


def use(
    session: Session, account: Account, typed: str, vault: Vault, *, now: datetime
) -> str | None:
    """Return the method whose code this is, "totp" or "recovery", and use it up; or None.

    Count the try beforehand, by `take_try`.
    """
    if account.totp_secret is not None:
        secret = vault.unseal(account.totp_secret, _about(account)).decode()
        step = _step_of(secret, typed, now)
        if step is not None:
            return "totp" if _is_first_use(session, account, step) else None
    return "recovery" if _recovers(session, account, typed, vault, now) else None


def has_any(session: Session, account: Account) -> bool:
    """Is there a second factor: an authenticator app, or a passkey?"""
    return account.totp_secret is not None or _has_passkey(session, account)


def ways(session: Session, account: Account) -> list[Method]:
    """Return the second factors that can complete a sign-in by password."""
    has: dict[Method, bool] = {
        "totp": account.totp_secret is not None,
        "passkey": _has_passkey(session, account),
        "recovery": recovery_codes_left(session, account) > 0,
    }
    return [way for way, is_there in has.items() if is_there]


def recovery_codes_left(session: Session, account: Account) -> int:
    return session.exec(
        select(func.count())
        .select_from(RecoveryCode)
        .where(
            RecoveryCode.operator_id == account.operator_id,
            RecoveryCode.account_id == account.id,
            col(RecoveryCode.used_at).is_(None),
        )
    ).one()


def take_try(session: Session, account: Account, *more: Budget, now: datetime) -> None:
    """Count a code before it is looked at.

    Raises:
        TooManyTries: Too many have come.
    """
    daily = Budget(_budget(account), MOST_CODES_A_DAY, timedelta(days=1))
    tries.take(session, account.operator_id, [*more, daily], now=now)


def forget_tries(session: Session, account: Account) -> None:
    """A right code has come."""
    tries.forget(session, account.operator_id, _budget(account))


def take_away(session: Session, account: Account) -> None:
    """Leave the account without any second factor, recovery code or ceremony."""
    account.totp_secret = account.totp_last_step = None
    session.add(account)
    for table in (RecoveryCode, Passkey):
        session.connection().execute(
            delete(table).where(
                col(table.operator_id) == account.operator_id,
                col(table.account_id) == account.id,
            )
        )
    ceremonies.forget(session, account.operator_id, account.id)
    forget_tries(session, account)


def _may_change(session: Session, row: SignIn, account: Account, now: datetime) -> None:
    """Let pass a first setting up; later ones need what was set up first."""
    if not has_any(session, account):
        return
    if not (sign_ins.is_whole(row.methods) and sign_ins.is_stepped_up(row, now)):
        raise StepUpNeeded


def _step_of(secret: str, typed: str, now: datetime) -> int | None:
    """Return the step whose code this is: the present one, or one of its neighbours."""
    app = TOTP(secret, interval=STEP_SECONDS)
    said = typed.replace(" ", "").encode()
    present = int(now.timestamp()) // STEP_SECONDS
    for step in (present, present - 1, present + 1):
        if secrets.compare_digest(app.at(step * STEP_SECONDS).encode(), said):
            return step
    return None


def _is_first_use(session: Session, account: Account, step: int) -> bool:
    """Use up this step and all before it: the condition stands in the statement itself."""
    done = session.exec(
        update(Account)
        .where(
            col(Account.operator_id) == account.operator_id,
            col(Account.id) == account.id,
            func.coalesce(col(Account.totp_last_step), -1) < step,
        )
        .values(totp_last_step=step)
        .execution_options(synchronize_session=False)
    )
    return done.rowcount == 1


def _recovers(session: Session, account: Account, typed: str, vault: Vault, now: datetime) -> bool:
    done = session.exec(
        update(RecoveryCode)
        .where(
            col(RecoveryCode.operator_id) == account.operator_id,
            col(RecoveryCode.account_id) == account.id,
            col(RecoveryCode.hash) == _kept_of(account.id, typed, vault),
            col(RecoveryCode.used_at).is_(None),
        )
        .values(used_at=now)
        .execution_options(synchronize_session=False)
    )
    return done.rowcount == 1


def _new_codes(session: Session, account: Account, vault: Vault, now: datetime) -> RecoveryCodes:
    session.connection().execute(
        delete(RecoveryCode).where(
            col(RecoveryCode.operator_id) == account.operator_id,
            col(RecoveryCode.account_id) == account.id,
        )
    )
    codes = [_a_code() for _ in range(MANY_RECOVERY_CODES)]
    session.add_all(
        RecoveryCode(
            operator_id=account.operator_id,
            account_id=account.id,
            hash=_kept_of(account.id, code, vault),
        )
        for code in codes
    )
    sign_ins.note(session, "recovery_codes_made", account, now, {"count": len(codes)})
    return RecoveryCodes(codes=tuple(codes))


def _a_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(10))
    return f"{letters[:5]}-{letters[5:]}"


def _kept_of(account_id: UUID, typed: str, vault: Vault) -> bytes:
    """Return what is kept of a recovery code.

    Keyed, because 50 bits that are hashed plainly could be tried out by whoever has a dump.
    """
    return vault.lookup(typed.upper().translate(_READ_AS), f"recovery/{account_id}")


def _has_passkey(session: Session, account: Account) -> bool:
    query = select(Passkey.credential_id).where(
        Passkey.operator_id == account.operator_id, Passkey.account_id == account.id
    )
    return session.exec(query.limit(1)).first() is not None


def _budget(account: Account) -> str:
    return f"second_factor/{account.id}"


def _about(account: Account) -> str:
    return f"totp/{account.id}"
