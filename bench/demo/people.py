"""One login for each role, made anew at each start: people, a terminal, a wallet, programs.

Everything is made by the verbs that a real installation uses. Only hashes of what is told here are
in the record; files lie in a directory that is removed when the demo ends.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import cast
from uuid import UUID

import httpx
from pydantic import SecretStr
from pyotp.totp import TOTP
from sqlalchemy import Engine
from sqlmodel import Session, select

from coupon_engine import acting, api_keys, break_glass, sandboxes
from coupon_engine.acting import by_system
from coupon_engine.customers import wallets
from coupon_engine.database import transaction
from coupon_engine.people import invitations, passwords, second_factor, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.signing_in import Came
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account
from coupon_engine.terminals import cashiers, pairing
from scanner import credentials
from scanner.credentials import WalletHeld
from scanner.identity import FileKey, Identity, NotPaired, Pairing
from schemas.access import AT_A_STORE, PEOPLE, Role, Scope
from schemas.api_keys import NewApiKey, NewSandbox
from schemas.ids import new_id
from schemas.people import InvitationOpened, NewAcceptance, NewTotp
from schemas.terminals import NewCashier, NewPairing, NewPairingConfirmation
from schemas.wallets import NewWallet

HOUSE = Path(__file__).resolve().parents[2]
SLUG = "grocer"
LIVE_KEY = "live.key"
HERE = Came("127.0.0.0/24", "The demo")
HEADS = ("role", "operator", "e-mail or file", "password, PIN", "authenticator app")


@dataclass(frozen=True)
class Login:
    """Who can come in, by what, and the one command that does it.

    `file` is what `counterfoil request --as` takes, for people once that command has been run.
    """

    role: Role
    operator: str
    who: str
    file: str
    secret: str = ""
    totp: str = ""
    command: str = ""


@dataclass(frozen=True)
class Stage:
    """Where logins are made: whose, by which server, kept in which directory."""

    engine: Engine
    vault: Vault
    passphrase: bytes
    operator_id: UUID
    store_id: UUID
    address: str
    folder: Path
    now: datetime


def make_logins(stage: Stage) -> list[Login]:
    """Make a login for each role there is, and for each kind of key a program may have."""
    return [
        _platform_admin(stage),
        *(_person(stage, role) for role in PEOPLE),
        *_counter(stage),
        _customer(stage),
        *_programs(stage),
    ]


def live_key(logins: Sequence[Login]) -> str:
    return next(each.secret for each in logins if each.file == LIVE_KEY)


def told(logins: Sequence[Login], address: str, folder: Path) -> list[str]:
    """Return the lines that tell whoever started the demo how to come in."""
    rows = [(each.role, each.operator, each.who, each.secret, each.totp) for each in logins]
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEADS, *rows)
    ]
    return [
        "One login for each role, for this run alone:",
        "",
        *table,
        "",
        "In another terminal, sign in as one of them:",
        "",
        f". {quote(str(HOUSE / '.venv' / 'bin' / 'activate'))}; cd {quote(str(folder))}",
        *(each.command for each in logins if each.command),
        "",
        "and ask something, as whoever a file there is about:",
        "",
        f"counterfoil request {address} GET /v1/me --as {logins[0].file}",
        f"counterfoil request {address} GET /v1/coupons --as {LIVE_KEY}",
        "",
    ]


def _platform_admin(stage: Stage) -> Login:
    email = "platform_admin@demo.test"
    with transaction(stage.engine) as session:
        invitation = break_glass.create_platform(
            session, email=email, name="Platform admin", now=stage.now
        )
    return _accepted(stage, Role.PLATFORM_ADMIN, break_glass.SLUG, invitation)


def _person(stage: Stage, role: Role) -> Login:
    with transaction(stage.engine, by_system(stage.operator_id)) as session:
        invitation = invitations.open_invitation(
            session,
            stage.operator_id,
            id=new_id(stage.now),
            email=f"{role}@demo.test",
            name=role.replace("_", " ").capitalize(),
            role=role,
            store_ids=[stage.store_id] if role in AT_A_STORE else [],
            now=stage.now,
        )
    return _accepted(stage, role, SLUG, invitation)


def _accepted(stage: Stage, role: Role, operator: str, invitation: InvitationOpened) -> Login:
    """Choose a password and set up an app, as the invited person does."""
    password = secrets.token_urlsafe(15)
    accepting = NewAcceptance(secret=SecretStr(invitation.secret), password=SecretStr(password))
    shown = acting.on_showing(hash_of(invitation.secret).hex())
    kept = passwords.hash_of(password)
    with transaction(stage.engine, shown) as session:
        invitations.check_password(session, accepting, now=stage.now)
        invitations.accept(session, accepting, kept, HERE, now=stage.now)
        operator_id = cast("UUID", acting.operator_of(session))
        totp = _with_an_app(session, operator_id, invitation.email, stage)
    file = f"{role}.json"
    return Login(
        role=role,
        operator=operator,
        who=invitation.email,
        file=file,
        secret=password,
        totp=totp,
        command=f"echo {quote(password)} | counterfoil sign-in {stage.address}"
        f" --operator {operator} --email {invitation.email} --totp {totp}"
        f" --save {file}",
    )


def _with_an_app(session: Session, operator_id: UUID, email: str, stage: Stage) -> str:
    """Give an account its second factor, and end the sign-in that this needs."""
    account = session.exec(
        select(Account).where(Account.operator_id == operator_id, Account.email == email)
    ).one()
    opened = sign_ins.open_sign_in(
        session,
        account,
        methods=["password"],
        address=HERE.address,
        agent=HERE.agent,
        now=stage.now,
    )
    own = hash_of(opened.secret)
    begun = second_factor.begin_totp(session, own, stage.vault, now=stage.now)
    # No code works twice: by the one before, the present one is left for whoever comes first.
    before = stage.now - timedelta(seconds=second_factor.STEP_SECONDS)
    answer = NewTotp(
        ceremony=SecretStr(begun.ceremony), code=SecretStr(TOTP(begun.secret).at(before))
    )
    second_factor.confirm_totp(session, own, answer, stage.vault, now=stage.now)
    sign_ins.end_all(session, operator_id, account.id, now=stage.now)
    return begun.secret


def _counter(stage: Stage) -> list[Login]:
    """Pair a terminal, and make a cashier known there."""
    file = stage.folder / "terminal.json"
    identity = _paired(stage, FileKey.kept_in(credentials.key_path(file)))
    identity.save(file)
    pin = f"70{secrets.randbelow(10_000):04}"  # neither one digit nor counting, whatever follows
    request = NewCashier(
        id=new_id(stage.now), store_id=stage.store_id, name="Robin", pin=SecretStr(pin)
    )
    with transaction(stage.engine, by_system(stage.operator_id)) as session:
        cashiers.create_cashier(
            session,
            stage.operator_id,
            request,
            store_ids=None,
            vault=stage.vault,
            now=stage.now,
        )
    seat = f'{{"cashier_id": "{request.id}", "pin": "{pin}"}}'
    return [
        Login(Role.TERMINAL, SLUG, file.name, file.name),
        Login(
            role=Role.CASHIER,
            operator=SLUG,
            who=f"{request.name} at this terminal",
            file=file.name,
            secret=pin,
            command=f"echo {quote(seat)} | counterfoil request {stage.address} POST /v1/shifts"
            f" --new-id --json - --as {file.name}",
        ),
    ]


def _paired(stage: Stage, key: FileKey) -> Identity:
    asked = NewPairing(id=new_id(stage.now), store_id=stage.store_id, name="The demo's till")
    with transaction(stage.engine, by_system(stage.operator_id)) as session:
        picture = pairing.begin(
            session,
            stage.operator_id,
            asked,
            store_ids=None,
            vault=stage.vault,
            server_url=stage.address,
            now=stage.now,
        )
    device = replace(Pairing.of_picture(picture.text, key), server_url=stage.address)
    with httpx.Client(trust_env=False) as client:
        with suppress(NotPaired):  # as it must be, before somebody has compared the digits
            device.ask(client)
        confirmation = NewPairingConfirmation(
            id=new_id(stage.now), pairing_id=asked.id, digits=device.digits
        )
        with transaction(stage.engine, by_system(stage.operator_id)) as session:
            pairing.confirm(session, stage.operator_id, confirmation, store_ids=None, now=stage.now)
        return device.ask(client)


def _customer(stage: Stage) -> Login:
    file = stage.folder / "wallet.json"
    key = FileKey.kept_in(credentials.key_path(file))
    holder_key = credentials.holder_key(key)
    proof = key.sign(wallets.proof_text(SLUG, holder_key, stage.now))
    request = NewWallet(
        operator=SLUG, holder_key=holder_key, at=stage.now, proof=credentials.unpadded(proof)
    )
    with transaction(stage.engine) as session:
        made = wallets.register(
            session, request, network=str(HERE.address), vault=stage.vault, now=stage.now
        )
    held = WalletHeld(server_url=stage.address, wallet_id=made.id, customer_id=made.customer_id)
    credentials.keep(file, held.model_dump_json())
    return Login(Role.CUSTOMER, SLUG, file.name, file.name)


def _programs(stage: Stage) -> list[Login]:
    """Make a key that opens the demo, and one that opens a sandbox beside it.

    The key that the replay has used was made in the hour that it began with, and is long over.
    """
    asked = NewApiKey(id=new_id(stage.now), name="demo", scopes=tuple(Scope), is_sandbox=True)
    with transaction(stage.engine, by_system(stage.operator_id)) as session:
        live = api_keys.create_api_key(session, stage.operator_id, "demo", now=stage.now)
        sandbox = sandboxes.open_sandbox(
            session,
            stage.operator_id,
            NewSandbox(id=new_id(stage.now)),
            passphrase=stage.passphrase,
            now=stage.now,
        )
        test_key = api_keys.make_api_key(session, stage.operator_id, asked, now=stage.now).api_key
    assert test_key is not None
    return [
        _program(stage, SLUG, LIVE_KEY, live.api_key),
        _program(stage, sandbox.slug, "test.key", test_key),
    ]


def _program(stage: Stage, operator: str, file: str, key: str) -> Login:
    credentials.keep(stage.folder / file, key)
    return Login(Role.INTEGRATOR, operator, file, file, secret=key)
