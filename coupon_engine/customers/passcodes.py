"""Passcodes: a code in a message shows that an address or number is somebody's own.

Whoever types it on a phone brings that phone's wallet to the customer whom the address belongs to,
or gives the address to the wallet's own customer. It works for five minutes, five guesses and one
phone: the one that asked. What is asked and answered here holds secrets, so that no first answer is
kept.

A message leaves after its row is committed: `send_waiting` leases rows, sends them with no
transaction open, and takes the code out of those that have left.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from pydantic_core import from_json, to_json
from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine import tries
from coupon_engine.acting import EVERYWHERE
from coupon_engine.channels import Channel, Message, NotSent
from coupon_engine.customers import contacts, wallets
from coupon_engine.customers.contacts import Address
from coupon_engine.database import transaction
from coupon_engine.errors import PasscodeOver, PasscodeWrong, RequestReused
from coupon_engine.sealing import Spoilt, Vault
from coupon_engine.tables import Passcode, Wallet
from coupon_engine.tries import Budget
from schemas.wallets import (
    ContactKind,
    NewPasscode,
    NewPasscodeAnswer,
    PasscodeAnswerView,
    PasscodeView,
)

LASTS = timedelta(minutes=5)
MOST_TRIES = 5
LEASE = timedelta(seconds=30)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PER_ADDRESS_AN_HOUR = 3
PER_ADDRESS_A_DAY = 10
PER_PREFIX_AN_HOUR = 30  # who earns on messages has whole blocks of numbers
PER_WALLET_AN_HOUR = 5
PER_NETWORK_AN_HOUR = 30
PER_OPERATOR_AN_HOUR = 1_000  # of mails, and as many short messages

_log = structlog.get_logger()


def ask(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewPasscode,
    *,
    network: str,
    vault: Vault,
    now: datetime,
    counted_at: datetime | None = None,
) -> PasscodeView:
    """Send a code. Who the address belongs to, if to anybody, does not show in the answer.

    The same id sends nothing a second time. Each message is counted against the wallet, the network
    it comes from, the address, the block of numbers and the operator; by the real clock, which is
    `counted_at` where `now` is a sandbox's: its messages cost as much, and its clock can be set.

    Raises:
        NotSignedIn: The wallet has ended.
        RequestReused: This id was used for another request.
        ContactNotUsable: This is no address or number to which a code could go.
        TooManyTries: Too many codes went there, or came from here.
    """
    wallets.alive_alone(session, operator_id, wallet_id)
    address = contacts.address_of(request.kind, request.to, request.region)
    lookup = contacts.lookup_of(vault, operator_id, address)
    if earlier := session.get(Passcode, (operator_id, request.id)):
        if (earlier.wallet_id, earlier.lookup) != (wallet_id, lookup):
            raise RequestReused
        return _view(earlier)
    blurred = wallets.blurred(vault, network)
    budgets = _budgets(address, lookup, wallet_id, blurred)
    tries.take(session, operator_id, budgets, now=counted_at or now)
    row = _new_passcode(operator_id, wallet_id, request, address, lookup, vault=vault, now=now)
    session.add(row)
    session.flush()
    return _view(row)


def answer(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewPasscodeAnswer,
    *,
    vault: Vault,
    now: datetime,
) -> PasscodeAnswerView:
    """Take a code, and bring wallet and address together under one customer.

    A try is counted before it is looked at, and stays counted. A code that was right is used up:
    whoever lost the answer looks into the wallet.

    Raises:
        NotSignedIn: The wallet has ended.
        PasscodeOver: Never asked for by this phone, used, too old, or guessed at five times.
        PasscodeWrong: This is not the code.
    """
    wallets.alive_alone(session, operator_id, wallet_id)
    passcode = _try(session, operator_id, wallet_id, request.passcode_id, now=now)
    if passcode is None:
        raise PasscodeOver
    if not _is_right(passcode, request.code, vault):
        raise PasscodeWrong(tries_left=MOST_TRIES - passcode.tries)
    address = _use(session, passcode, vault, now=now)
    return _bring_together(
        session, passcode, address, end_others=request.end_others, vault=vault, now=now
    )


def send_waiting(
    engine: Engine,
    channels: Mapping[ContactKind, Channel],
    *,
    vault: Vault,
    issuer_url: str,
    now: datetime,
    most: int = 3,
) -> int:
    """Lease codes that are due, send them, and forget what they said; return how many left.

    Only as many at a time as can be sent before the lease runs out. What nobody took is due again
    later, each time twice as late, until the code is over. Rows of codes that are over go, and
    with them the last copy of where they went.
    """
    with transaction(engine, EVERYWHERE) as session:
        session.connection().execute(_SWEEP, {"now": now})
        due = _lease(session, now=now, most=most)
    sent = [each for each in due if _send(each, channels, vault, issuer_url, now)]
    if sent:
        with transaction(engine, EVERYWHERE) as session:
            _strike_off(session, sent, vault)
    return len(sent)


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is sealed while it waits. Once it has left only `to` remains."""

    to: str
    code: str
    secret: str | None
    language: str


def _budgets(address: Address, lookup: bytes, wallet_id: UUID, network: str) -> list[Budget]:
    # They are taken in the order of their keys, and a try that one of them refuses counts against
    # those before it alone: what a single phone wastes never uses up everybody's.
    budgets = [
        Budget(f"passcodes 1 {wallet_id}", PER_WALLET_AN_HOUR, HOUR),
        Budget(f"passcodes 2 {network}", PER_NETWORK_AN_HOUR, HOUR),
        Budget(f"passcodes 3 {lookup.hex()} hour", PER_ADDRESS_AN_HOUR, HOUR),
        Budget(f"passcodes 4 {lookup.hex()} day", PER_ADDRESS_A_DAY, DAY),
        Budget(f"passcodes 6 {address.kind}", PER_OPERATOR_AN_HOUR, HOUR),
    ]
    if address.prefix:
        budgets.append(Budget(f"passcodes 5 +{address.prefix}", PER_PREFIX_AN_HOUR, HOUR))
    return budgets


def _new_passcode(
    operator_id: UUID,
    wallet_id: UUID,
    request: NewPasscode,
    address: Address,
    lookup: bytes,
    *,
    vault: Vault,
    now: datetime,
) -> Passcode:
    letter = _Letter(
        to=address.value,
        code=_six_digits(),
        secret=secrets.token_urlsafe(16) if address.kind is ContactKind.EMAIL else None,
        language=request.language,
    )
    return Passcode(
        operator_id=operator_id,
        id=request.id,
        hash=_hash_of(vault, operator_id, request.id, letter.code),
        link_hash=sha256(letter.secret.encode()).digest() if letter.secret else None,
        kind=address.kind,
        lookup=lookup,
        sealed=vault.seal(to_json(letter), _about(operator_id, request.id)),
        wallet_id=wallet_id,
        created_at=now,
        expires_at=now + LASTS,
        due_at=now,
    )


def _six_digits() -> str:
    return f"{secrets.randbelow(10**6):06}"


def _try(
    session: Session, operator_id: UUID, wallet_id: UUID, id: UUID, *, now: datetime
) -> Passcode | None:
    """Count one try and return the passcode, or None: it is not worth a look any more."""
    counted = session.connection().execute(
        _TRY,
        {
            "operator_id": operator_id,
            "wallet_id": wallet_id,
            "id": id,
            "most": MOST_TRIES,
            "now": now,
        },
    )
    if counted.rowcount == 0:
        return None
    return session.get(Passcode, (operator_id, id), populate_existing=True)


def _is_right(passcode: Passcode, shown: str, vault: Vault) -> bool:
    hashed = _hash_of(vault, passcode.operator_id, passcode.id, shown)
    is_code = hmac.compare_digest(hashed, passcode.hash)
    secret = sha256(shown.encode()).digest()
    return is_code or hmac.compare_digest(secret, passcode.link_hash or b"")


def _hash_of(vault: Vault, operator_id: UUID, id: UUID, code: str) -> bytes:
    """Return what the database keeps: a million codes could be guessed back from a plain hash."""
    return vault.lookup(code, f"passcode {operator_id} {id}")


def _use(session: Session, passcode: Passcode, vault: Vault, *, now: datetime) -> Address:
    """Use the passcode up and return the address, of which nothing stays in the row."""
    to = from_json(vault.unseal(passcode.sealed, _about(passcode.operator_id, passcode.id)))["to"]
    passcode.used_at = now
    passcode.due_at = None
    passcode.sealed = b""
    session.add(passcode)
    session.flush()
    return Address(ContactKind(passcode.kind), to)


def _bring_together(
    session: Session,
    passcode: Passcode,
    address: Address,
    *,
    end_others: bool,
    vault: Vault,
    now: datetime,
) -> PasscodeAnswerView:
    operator_id = passcode.operator_id
    wallet = session.get_one(Wallet, (operator_id, passcode.wallet_id))
    contact, is_new = contacts.keep(
        session,
        operator_id,
        wallet.customer_id,
        address,
        vault=vault,
        verified_at=now,
        now=now,
    )
    if is_new or contact.verified_at is None:
        contact.verified_at = now
        session.add(contact)
        contacts.record(session, "contact_verified", contact, now)
    moved_coupons = 0
    has_moved = contact.customer_id != wallet.customer_id
    if has_moved:
        moved_coupons = wallets.move(
            session, wallet.id, contact.customer_id, operator_id=operator_id, now=now
        )
    ended = _end_others(session, wallet, now=now) if end_others else 0
    session.flush()
    return PasscodeAnswerView(
        wallet=wallets.view(wallet),
        has_moved=has_moved,
        moved_coupons=moved_coupons,
        ended_wallets=ended,
        contact=contacts.view(contact, vault),
    )


def _end_others(session: Session, wallet: Wallet, *, now: datetime) -> int:
    others = [
        other
        for other in wallets.of_customer(session, wallet.operator_id, wallet.customer_id)
        if other.id != wallet.id and not other.ended_at
    ]
    for other in others:
        wallets.end(session, other, why="moved to another phone", now=now)
    return len(others)


def _lease(session: Session, *, now: datetime, most: int) -> list[Mapping[str, Any]]:
    rows = session.connection().execute(_LEASE, {"now": now, "most": most, "lease": LEASE})
    return [dict(row) for row in rows.mappings()]


def _send(
    row: Mapping[str, Any],
    channels: Mapping[ContactKind, Channel],
    vault: Vault,
    issuer_url: str,
    now: datetime,
) -> bool:
    kind = ContactKind(row["kind"])
    try:
        message = _message(row, _opened(row, vault), issuer_url, now)
        channels[kind].send(message)
    except (NotSent, Spoilt) as error:
        why = str(error) or type(error).__name__
        _log.warning("passcode_not_sent", channel=kind, attempts=row["attempts"], error=why)
        return False
    return True


def _opened(row: Mapping[str, Any], vault: Vault) -> _Letter:
    return _Letter(**from_json(vault.unseal(row["sealed"], _about(row["operator_id"], row["id"]))))


def _message(row: Mapping[str, Any], letter: _Letter, issuer_url: str, now: datetime) -> Message:
    subject, words = _WORDS[letter.language, row["kind"]]
    told = {
        "operator": row["operator_name"],
        "code": letter.code,
        # Behind the `#`, so that no server and no log on the way sees it.
        "link": f"{issuer_url}/wallet/move#{letter.secret}",
    }
    subject, body = subject.format(**told), words.format(**told)
    return Message(id=row["id"], to=letter.to, subject=subject, text=body, at=now)


def _strike_off(session: Session, sent: list[Mapping[str, Any]], vault: Vault) -> None:
    """Let what has left be known by its hash alone, unless it was used in the meantime."""
    for row in sent:
        about = _about(row["operator_id"], row["id"])
        sealed = vault.seal(to_json({"to": _opened(row, vault).to}), about)
        session.connection().execute(
            _STRIKE_OFF, {"operator_id": row["operator_id"], "id": row["id"], "sealed": sealed}
        )


def _view(row: Passcode) -> PasscodeView:
    return PasscodeView(id=row.id, expires_at=row.expires_at)


def _about(operator_id: UUID, id: UUID) -> str:
    return f"passcode {operator_id} {id}"


_WORDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("en", ContactKind.EMAIL): (
        "{code} is your code for {operator}",
        "Your code for your coupons at {operator}:\n\n    {code}\n\n"
        "Or open this link on the phone where you asked for it:\n\n    {link}\n\n"
        "Both work for 5 minutes, once. Nobody from {operator} will ever ask you for the code.\n"
        "If you did not ask for it, do nothing: nothing happens.\n",
    ),
    ("zh", ContactKind.EMAIL): (
        "{operator} 验证码：{code}",
        "您在 {operator} 的优惠券验证码：\n\n    {code}\n\n"
        "也可以在申请验证码的手机上打开此链接：\n\n    {link}\n\n"
        "验证码和链接 5 分钟内有效，只能使用一次。{operator} 的工作人员不会向您索要验证码。\n"
        "如果不是您本人操作，请忽略本邮件。\n",
    ),
    ("en", ContactKind.PHONE): (
        "Code",
        "{code} is your code for {operator}. It works for 5 minutes. Tell it to nobody.",
    ),
    ("zh", ContactKind.PHONE): (
        "验证码",
        "【{operator}】验证码 {code}，5 分钟内有效，请勿告诉他人。",
    ),
}

# Condition and count are one statement: of fifty who guess at once, five are looked at.
_TRY = text("""
    UPDATE passcode SET tries = tries + 1
    WHERE operator_id = :operator_id AND id = :id AND wallet_id = :wallet_id
        AND used_at IS NULL AND expires_at > :now AND tries < :most
""")
# A sandbox has a clock of its own.
_SWEEP = text("""
    DELETE FROM passcode WHERE (operator_id, id) IN (
        SELECT passcode.operator_id, passcode.id
        FROM passcode JOIN operator ON operator.id = passcode.operator_id
        WHERE expires_at <= :now + make_interval(secs => operator.clock_ahead_seconds)
        LIMIT 1000 FOR UPDATE OF passcode SKIP LOCKED
    )
""")
# The wait after a failure is the lease itself, doubled with every attempt.
_LEASE = text("""
    WITH due AS (
        SELECT passcode.operator_id, passcode.id, operator.name,
            :now + make_interval(secs => operator.clock_ahead_seconds) AS now
        FROM passcode JOIN operator ON operator.id = passcode.operator_id
        WHERE due_at <= :now + make_interval(secs => operator.clock_ahead_seconds)
            AND expires_at > :now + make_interval(secs => operator.clock_ahead_seconds)
        ORDER BY due_at LIMIT :most FOR UPDATE OF passcode SKIP LOCKED
    )
    UPDATE passcode SET
        attempts = passcode.attempts + 1,
        due_at = due.now + :lease * power(2, least(passcode.attempts, 10))
    FROM due
    WHERE passcode.operator_id = due.operator_id AND passcode.id = due.id
    RETURNING passcode.operator_id, passcode.id, passcode.kind, passcode.sealed,
        passcode.attempts, due.name AS operator_name
""")
_STRIKE_OFF = text("""
    UPDATE passcode SET sealed = :sealed, due_at = NULL
    WHERE operator_id = :operator_id AND id = :id AND used_at IS NULL
""")
