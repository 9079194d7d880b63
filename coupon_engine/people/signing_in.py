"""Signing in by password, in steps: a transaction, the slow hash outside of any, a transaction.

    look_for  ->  passwords.is_right  ->  sign_in  ->  (code)  ->  complete

Whether there is such an operator or account, and whether it is suspended, nobody learns: the same
steps are taken, as much is hashed, the same is answered, and tries are counted alike.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, ip_address, ip_network
from uuid import UUID

from sqlmodel import Session, select

from coupon_engine import acting, tries
from coupon_engine.errors import CodeWrong, CouponError, NotAllowed, NotSignedIn
from coupon_engine.people import ceremonies, second_factor, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened
from coupon_engine.rows import locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account, Operator
from coupon_engine.tries import Budget
from schemas.access import Actor
from schemas.people import Method, NewSecondFactor, NewSignIn

WINDOW = timedelta(minutes=15)
MOST_FOR_ACCOUNT = 10
MOST_FROM_ADDRESS = 30
MOST_CODES = 5
_ANY = 10**6

CEREMONY = "sign_in"
WAITS_FOR_CODE = timedelta(minutes=5)

NOWHERE = UUID(int=0)
"""Where tries are counted of those who name no operator that there is."""


@dataclass(frozen=True, slots=True)
class Came:
    """From where a request came: the network and the browser, as lists and the record tell them.

    `exact` is the whole address. It is forgotten with the tries that are counted for it.
    """

    address: str | None
    agent: str | None
    exact: str | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """Whom somebody says they are, and what was kept of the password; or nobody, and nothing."""

    operator_id: UUID
    account_id: UUID | None
    password_hash: str | None
    budget: str


@dataclass(frozen=True, slots=True)
class Half:
    """The password was right. The secret must come back with a second factor."""

    ceremony: str
    ways: tuple[Method, ...]


def look_for(session: Session, request: NewSignIn, came: Came, *, now: datetime) -> Sought:
    """Count the try, and return what the password must fit.

    Raises:
        TooManyTries: For this account, or from this address.
    """
    operator_id = _operator_at(session, request.operator)
    acting.enter(session, operator_id)
    budget = budget_of(request.operator, request.email)
    budgets = [
        Budget(budget, MOST_FOR_ACCOUNT, WINDOW),
        Budget(f"password/address/{_place_of(came.exact)}", MOST_FROM_ADDRESS, WINDOW),
    ]
    tries.take(session, operator_id, budgets, now=now)
    account = session.exec(
        select(Account).where(Account.operator_id == operator_id, Account.email == request.email)
    ).one_or_none()
    if account is None:
        return Sought(operator_id, None, None, budget)
    return Sought(operator_id, account.id, account.password_hash, budget)


def sign_in(
    session: Session,
    sought: Sought,
    came: Came,
    *,
    is_right: bool,
    new_hash: str | None,
    now: datetime,
) -> Opened | Half:
    """Let in whose password was right, or ask for the second factor if they have one.

    Without one they are in, and nothing opens before one is set up. `new_hash` replaces what is
    kept of the password, where it was made by parameters of earlier days.

    Raises:
        NotSignedIn: Wrong, unknown or suspended.
    """
    acting.enter(session, sought.operator_id, _from(came))
    account = None
    if sought.account_id is not None:
        account = locked(session, Account, sought.operator_id, sought.account_id)
    if account is None:
        # Where there is an account a failure is noted, and a commit that writes takes longer.
        tries.take(
            session, sought.operator_id, [Budget(f"{sought.budget}/-", _ANY, WINDOW)], now=now
        )
        raise _for_good(NotSignedIn())
    # What was hashed meanwhile may have been changed meanwhile.
    is_right = is_right and account.password_hash == sought.password_hash
    if not is_right or account.suspended_at is not None:
        sign_ins.note(session, "sign_in_failed", account, now, {"method": "password"})
        raise _for_good(NotSignedIn())
    if new_hash is not None:
        account.password_hash = new_hash
        session.add(account)
    if not second_factor.has_any(session, account):
        tries.forget(session, account.operator_id, sought.budget)
        return _opened(session, account, ["password"], came, now)
    secret = ceremonies.begin(
        session,
        account.operator_id,
        CEREMONY,
        {"budget": sought.budget},
        account_id=account.id,
        lasts=WAITS_FOR_CODE,
        now=now,
    )
    return Half(secret, tuple(second_factor.ways(session, account)))


def complete(
    session: Session, request: NewSecondFactor, vault: Vault, came: Came, *, now: datetime
) -> Opened:
    """Let in whose password was right and who now sends a code.

    For a transaction that began with `acting.on_showing` of the ceremony's hash. Of right codes
    that come at once, one signs in.

    Raises:
        NotSignedIn: The ceremony is unknown, used or over; or the account is suspended.
        CodeWrong: Not this account's code, or one that was used before.
        TooManyTries: Five codes for this password, or too many in a day, were wrong.
    """
    secret = request.ceremony.get_secret_value()
    ceremony = ceremonies.shown(session, CEREMONY, secret, now=now)
    assert ceremony.account_id is not None
    acting.enter(session, ceremony.operator_id, _from(came))
    account = locked(session, Account, ceremony.operator_id, ceremony.account_id)
    here = Budget(f"second_factor/{hash_of(secret).hex()}", MOST_CODES, WAITS_FOR_CODE)
    second_factor.take_try(session, account, here, now=now)
    method = second_factor.use(session, account, request.code.get_secret_value(), vault, now=now)
    if method is None:
        sign_ins.note(session, "sign_in_failed", account, now, {"method": "code"})
        raise CodeWrong
    ended = ceremonies.finish(session, account.operator_id, CEREMONY, secret, now=now)
    for budget in (here.key, str(ended.data["budget"])):
        tries.forget(session, account.operator_id, budget)
    second_factor.forget_tries(session, account)
    return _opened(session, account, ["password", method], came, now)


def look_for_own(session: Session, sign_in_hash: bytes | None, *, now: datetime) -> Sought:
    """Count the try, and return what the password of somebody who is signed in must fit.

    Whoever has an app or a passkey confirms by that: a password is what thieves bring along.

    Raises:
        NotSignedIn: The sign-in has ended.
        NotAllowed: There is a second factor; or this sign-in is still without one.
        TooManyTries: For this account.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = locked(session, Account, row.operator_id, row.account_id)
    if second_factor.has_any(session, account) or not sign_ins.is_whole(row.methods):
        raise NotAllowed(why="confirm by your second factor")
    budget = f"password/step_up/{account.id}"
    tries.take(session, row.operator_id, [Budget(budget, MOST_FOR_ACCOUNT, WINDOW)], now=now)
    return Sought(account.operator_id, account.id, account.password_hash, budget)


def step_up_by_password(
    session: Session, sign_in_hash: bytes | None, sought: Sought, *, is_right: bool, now: datetime
) -> Opened:
    """Confirm a sign-in by the password that `look_for_own` has asked for.

    Raises:
        NotSignedIn: The sign-in has ended.
        CodeWrong: This is not the password.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = locked(session, Account, row.operator_id, row.account_id)
    if not is_right or account.password_hash != sought.password_hash:
        sign_ins.note(session, "step_up_failed", row, now, {"method": "password"})
        raise CodeWrong
    tries.forget(session, account.operator_id, sought.budget)
    return sign_ins.step_up(session, sign_in_hash, method="password", now=now)


def step_up_by_code(
    session: Session, sign_in_hash: bytes | None, typed: str, vault: Vault, *, now: datetime
) -> Opened:
    """Confirm a sign-in by a code of the authenticator app, or a recovery code.

    Raises:
        NotSignedIn: The sign-in has ended.
        CodeWrong: Not this account's code, or one that was used before.
        TooManyTries: Too many wrong codes came.
    """
    row = sign_ins.current(session, sign_in_hash, now=now)
    account = locked(session, Account, row.operator_id, row.account_id)
    here = Budget(f"second_factor/step_up/{row.id}", MOST_CODES, WINDOW)
    second_factor.take_try(session, account, here, now=now)
    method = second_factor.use(session, account, typed, vault, now=now)
    if method is None:
        sign_ins.note(session, "step_up_failed", row, now, {"method": "code"})
        raise CodeWrong
    tries.forget(session, account.operator_id, here.key)
    second_factor.forget_tries(session, account)
    return sign_ins.step_up(session, sign_in_hash, method=method, now=now)


def budget_of(slug: str, email: str) -> str:
    """Return where the tries at one account's password are counted, if there is one or not."""
    return f"password/account/{_short(f'{slug}/{email}')}"


def _operator_at(session: Session, slug: str) -> UUID:
    return session.exec(select(Operator.id).where(Operator.slug == slug)).one_or_none() or NOWHERE


def _opened(
    session: Session, account: Account, methods: list[str], came: Came, now: datetime
) -> Opened:
    return sign_ins.open_sign_in(
        session, account, methods=methods, address=came.address, agent=came.agent, now=now
    )


def _from(came: Came) -> Actor:
    """Return who acts until it is known who does: nobody, from there."""
    return acting.SYSTEM.model_copy(update={"address": came.address})


def _place_of(address: str | None) -> str:
    """Return an address, or of the many that one house has in IPv6 (RFC 6177) what they share."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))


def _short(text: str) -> str:
    """Return what tells texts apart and cannot be read: rows of tries name no address."""
    return sha256(text.encode()).hexdigest()[:32]


def _for_good(error: CouponError) -> CouponError:
    """Let `transaction` commit what was counted and noted before this no."""
    error.is_answered = True
    return error
