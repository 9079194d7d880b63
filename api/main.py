"""The HTTP door, put together and opened."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from api import (
    accounts,
    activations,
    api_keys,
    approvals,
    apps,
    audit,
    batches,
    bundles,
    campaigns,
    cashiers,
    contacts,
    coupons,
    disputes,
    edges,
    exports,
    figures,
    gifts,
    health,
    holds,
    imports,
    journals,
    keys,
    leases,
    logs,
    manual,
    offers,
    oidc,
    operators,
    passes,
    passkeys,
    pauses,
    platform,
    previews,
    problems,
    redemptions,
    reports,
    reversals,
    sandboxes,
    sign_ins,
    status_lists,
    terminals,
    validations,
    wallets,
    wellknown,
)
from api.asking import credentials
from api.asking.callers import Caller
from api.asking.credentials import Device
from api.asking.flood import Flood
from api.asking.signatures import Nonces
from api.batch import THREADS, Batches
from api.beside.background import Background
from api.beside.dispatching import dispatcher, to
from api.beside.sending import channels_of, sender
from api.clock import wall_clock
from api.door import Door, lane, tick
from api.kept import Kept
from api.opening import opened
from coupon_engine import apart, importing
from coupon_engine import keys as signing_keys
from coupon_engine.acting import by_system
from coupon_engine.database import looking, open_engine
from coupon_engine.passes.signers import read_signers
from coupon_engine.sealing import Vault
from coupon_engine.settings import Settings, key_passphrase, read_settings, short_code_secret
from coupon_engine.sweeping import sweep
from coupon_engine.validation.issuer_keys import KeyRing

CALLER_SECONDS = 5.0
DEVICE_SECONDS = 2.0
SEEN_SECONDS = 60.0
RING_SECONDS = 10.0
SWEEP_SECONDS = 600.0
IMPORT_SECONDS = 1.0
MOST_KEPT = 10_000
# Connections of lanes of their own, see `door.Lane`.
PEOPLE = 4
STRANGERS = 3
ASKING = 4
SPARE = 4

# What an operator's API key opens. FastAPI looks for the right endpoint in this order, one router
# after the other: the hot one comes first.
VERSION_1 = (
    redemptions,
    validations,
    holds,
    reversals,
    coupons,
    exports,
    activations,
    campaigns,
    figures,
    approvals,
    pauses,
    offers,
    previews,
    batches,
    operators,
    terminals,
    leases,
    bundles,
    status_lists,
    journals,
    cashiers,
    wallets,
    gifts,
    passes,
    imports,
    contacts,
    reports,
    disputes,
    keys,
    api_keys,
    sandboxes,
    passkeys,
    oidc,
    sign_ins,
    accounts,
    audit,
    platform,
)


Opening = Callable[[Settings], AbstractContextManager[Engine]]


def app(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = wall_clock,
    opening: Opening = opened,
) -> FastAPI:
    """Return the app. It opens the database when it starts and lets go of it when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with contextmanager_in_threadpool(opening(settings)) as engine:
            opened_door = door(engine, settings, clock)
            app.state.door = opened_door
            works = list(_background(opened_door, settings, clock))
            for work in works:
                work.start()
            listening = pauses.Pauses(opened_door.spare)
            app.state.pauses = listening
            listening.start()
            yield
            await run_in_threadpool(listening.stop)
            await opened_door.batches.stop()
            for work in works:
                await run_in_threadpool(work.stop)
            opened_door.close()

    made = FastAPI(
        title="Counterfoil",
        summary="Mobile coupons that are spent once, traced, and honestly counted.",
        version="1",
        openapi_url=None,  # manual.py has its own
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        openapi_tags=manual.TAGS,
        description=manual.introduction(),
        separate_input_output_schemas=False,
    )
    for module in VERSION_1:
        made.include_router(module.router, prefix="/v1")
    for module in (wellknown, health, manual):
        made.include_router(module.router)
    made.include_router(oidc.flow)
    made.include_router(status_lists.world)
    apps.install(made)
    manual.install(made)
    problems.install(made)
    made.add_middleware(edges.Edge, is_https=settings.issuer_url.startswith("https:"))
    return made


def from_environment() -> FastAPI:
    """Return the app that the environment describes; what `uvicorn --factory` calls."""
    settings = read_settings()
    logs.start(settings)
    return app(settings)


def _background(
    door: Door, settings: Settings, clock: Callable[[], datetime]
) -> Iterator[Background]:
    yield dispatcher(door.spare, to(settings.events_url), clock)
    yield sender(
        door.spare,
        channels_of(settings),
        vault=door.vault,
        issuer_url=settings.issuer_url,
        clock=clock,
    )
    yield Background(
        "importer",
        lambda: importing.go_on(door.spare, code_secret=door.code_secret, now=clock()),
        idle_seconds=IMPORT_SECONDS,
    )
    yield Background("sweeper", lambda: sweep(door.spare, now=clock()), idle_seconds=SWEEP_SECONDS)


def door(engine: Engine, settings: Settings, clock: Callable[[], datetime]) -> Door:
    passphrase = key_passphrase(settings).encode()
    url = engine.url.render_as_string(hide_password=False)

    def own(pool: int) -> Engine:
        return open_engine(url, pool=pool, overflow=0, role=apart.ROLE)

    # What a counter needs, so that no flood of other requests keeps a queue of customers waiting.
    counters = own(THREADS + 2)

    asking = own(ASKING)

    def program(api_key: str) -> Caller | None:
        return credentials.program(asking, api_key, now=clock())

    def person(secret: str) -> Caller | None:
        return credentials.person(asking, secret, now=clock())

    def device(id: str) -> Device | None:
        return credentials.device(asking, id)

    def seen(of: Device) -> bool:
        return credentials.note_seen(asking, of, now=clock())

    def at_shift(of: tuple[Caller, str]) -> Caller | None:
        return credentials.at_shift(asking, *of, now=clock())

    def ring(operator_id: UUID) -> KeyRing:
        with looking(counters, by_system(operator_id)) as session:
            return signing_keys.ring(
                session, operator_id, issuer_url=settings.issuer_url, passphrase=passphrase
            )

    return Door(
        everybody=lane(engine),
        people=lane(own(PEOPLE)),
        strangers=lane(own(STRANGERS)),
        counters=counters,
        asking=lane(asking),
        spare=own(3),
        pulse=CapacityLimiter(1),
        issuer_url=settings.issuer_url,
        code_secret=short_code_secret(settings).encode(),
        passphrase=passphrase,
        vault=Vault.under(passphrase),
        clock=clock,
        callers=Kept(program, seconds=CALLER_SECONDS, most=MOST_KEPT, tick=tick),
        devices=Kept(device, seconds=DEVICE_SECONDS, most=MOST_KEPT, tick=tick),
        shifts=Kept(at_shift, seconds=DEVICE_SECONDS, most=MOST_KEPT, tick=tick),
        seen=Kept(seen, seconds=SEEN_SECONDS, most=MOST_KEPT, tick=tick),
        find_person=person,
        nonces=Nonces(),
        flood=Flood(tick, factor=settings.flood_factor, trusted_proxies=settings.trusted_proxies),
        rings=Kept(ring, seconds=RING_SECONDS, most=MOST_KEPT, tick=tick),
        passes=read_signers(settings),
        batches=Batches(
            partial(redemptions.redeem_together, counters, clock),
            everybodys=(OperationalError, PoolExhausted),
        ),
    )
