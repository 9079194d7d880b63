"""One asker for each role, with the credential that such people and devices really have."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from httpx import Client, Response
from sqlalchemy import Engine
from sqlmodel import Session

from api.asking import cookies
from coupon_engine import acting, api_keys
from coupon_engine.database import transaction
from coupon_engine.people import sign_ins
from coupon_engine.tables import Account, Operator, Terminal, Wallet
from scanner.identity import FileKey, Signing
from schemas.access import AT_A_STORE, PEOPLE, Role, Scope
from tests import make
from tests.make import Shop


@dataclass(frozen=True)
class Asker:
    """Somebody at the door, with a credential."""

    name: str
    role: Role
    client: Client
    at: Shop
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    auth: httpx.Auth | None = None
    scopes: frozenset[Scope] = frozenset()
    is_stepped_up: bool = False

    def asks(self, method: str, path: str, **more: Any) -> Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, auth=self.auth, **more)

    def posts(self, path: str, body: Any) -> Response:
        return self.asks("POST", path, json=body)

    def gets(self, path: str, **params: Any) -> Response:
        return self.asks("GET", path, params=params)


def person(
    database: Engine,
    door: Client,
    at: Shop,
    role: Role,
    *,
    now: datetime,
    methods: Iterable[str] = ("password", "totp"),
    is_stepped_up: bool = False,
) -> Asker:
    """Somebody of this role, signed in: a moment ago, or so long that they have to confirm it."""
    now = now if is_stepped_up else now - timedelta(minutes=11)
    with transaction(database) as session:
        account = Account(
            operator_id=at.operator_id,
            id=make.an_id(now),
            email=f"{make.an_id(now).hex}@example.com",
            name=f"The {role.replace('_', ' ')}",
            role=role,
            store_ids=[at.store.id] if role in AT_A_STORE else [],
            created_at=now,
        )
        session.add(account)
        session.flush()
        acting.enter(session, at.operator_id)
        opened = sign_ins.open_sign_in(
            session, account, methods=list(methods), address=None, agent=None, now=now
        )
        secret = opened.secret
        if is_stepped_up:
            row = sign_ins.found(session, secret, now=now)
            assert row is not None
            secret = sign_ins.step_up(session, row.hash, method="totp", now=now).secret
    return Asker(role, role, door, at, with_cookie(door, secret), is_stepped_up=is_stepped_up)


def with_cookie(door: Client, secret: str) -> dict[str, str]:
    """What a browser sends along from our own pages."""
    return {
        "Cookie": f"{cookies.NAME}={secret}",
        "Origin": str(door.base_url).rstrip("/"),
        cookies.CSRF_HEADER: cookies.csrf_of(secret),
    }


def program(database: Engine, door: Client, at: Shop, *scopes: Scope, now: datetime) -> Asker:
    with transaction(database) as session:
        acting.enter(session, at.operator_id)
        key = api_keys.create_api_key(
            session, at.operator_id, make.an_id(now).hex, scopes=scopes, now=now
        ).api_key
    name = "+".join(scopes)
    headers = {"Authorization": f"Bearer {key}"}
    return Asker(name, Role.INTEGRATOR, door, at, headers, scopes=frozenset(scopes))


def terminal(database: Engine, door: Client, at: Shop, *, clock: Callable[[], datetime]) -> Asker:
    key = FileKey(ec.generate_private_key(ec.SECP256R1()))
    with transaction(database) as session:
        row = _terminal_row(session, at)
        row.public_key, row.paired_at = key.public_key, clock()
        session.add(row)
        session.commit()
    auth = Signing(at.terminal.id, key, clock=clock)
    return Asker("terminal", Role.TERMINAL, door, at, auth=auth)


def customer(database: Engine, door: Client, at: Shop, *, clock: Callable[[], datetime]) -> Asker:
    key = FileKey(ec.generate_private_key(ec.SECP256R1()))
    with transaction(database) as session:
        wallet = Wallet(
            operator_id=at.operator_id,
            id=make.an_id(clock()),
            customer_id=make.customer(session, at),
            public_key=key.public_key,
            created_at=clock(),
        )
        session.add(wallet)
        session.flush()
        id = wallet.id
    return Asker("customer", Role.CUSTOMER, door, at, auth=Signing(id, key, clock=clock))


def platform_admin(
    database: Engine, door: Client, *, now: datetime, is_stepped_up: bool = False
) -> Asker:
    with transaction(database) as session:
        at = make.shop(session)
        operator = session.get_one(Operator, at.operator_id)
        operator.is_platform = True
        session.add(operator)
    return person(database, door, at, Role.PLATFORM_ADMIN, now=now, is_stepped_up=is_stepped_up)


def everybody(
    database: Engine, door: Client, at: Shop, *, clock: Callable[[], datetime]
) -> list[Asker]:
    """One of each role, stepped up, and one program for each scope."""
    now = clock()
    return [
        *(person(database, door, at, role, now=now, is_stepped_up=True) for role in PEOPLE),
        platform_admin(database, door, now=now, is_stepped_up=True),
        terminal(database, door, at, clock=clock),
        customer(database, door, at, clock=clock),
        *(program(database, door, at, scope, now=now) for scope in Scope),
    ]


def _terminal_row(session: Session, at: Shop) -> Terminal:
    return session.get_one(Terminal, (at.operator_id, at.terminal.id))
