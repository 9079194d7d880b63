"""The HTTP door, put together and opened."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlalchemy import Engine, QueuePool
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlmodel import Session

from api import (
    batches,
    campaigns,
    coupons,
    edges,
    health,
    holds,
    keys,
    logs,
    manual,
    offers,
    operators,
    problems,
    redemptions,
    reports,
    reversals,
    validations,
    wellknown,
)
from api.batch import THREADS, Batches
from api.deps import Door, tick, wall_clock
from api.dispatching import Dispatcher, to
from api.kept import Kept
from api.opening import opened
from coupon_engine import keys as signing_keys
from coupon_engine import operators as engine_operators
from coupon_engine.database import open_engine
from coupon_engine.settings import Settings, key_passphrase, read_settings, short_code_secret
from coupon_engine.validation.issuer_keys import KeyRing

CALLER_SECONDS = 5.0
RING_SECONDS = 10.0
MOST_KEPT = 10_000

# What an operator's API key opens. FastAPI looks for the right endpoint in this order, one router
# after the other: the hot one comes first.
VERSION_1 = (
    redemptions,
    validations,
    holds,
    reversals,
    coupons,
    campaigns,
    offers,
    batches,
    operators,
    reports,
    keys,
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
            dispatcher = Dispatcher(opened_door.spare, to(settings.events_url), clock)
            dispatcher.start()
            yield
            await opened_door.batches.stop()
            await run_in_threadpool(dispatcher.stop)
            opened_door.counters.dispose()
            opened_door.spare.dispose()

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
    manual.install(made)
    problems.install(made)
    made.add_middleware(edges.Edge)
    return made


def from_environment() -> FastAPI:
    """Return the app that the environment describes; what `uvicorn --factory` calls."""
    settings = read_settings()
    logs.start(settings)
    return app(settings)


def door(engine: Engine, settings: Settings, clock: Callable[[], datetime]) -> Door:
    passphrase = key_passphrase(settings).encode()
    url = engine.url.render_as_string(hide_password=False)
    # What a counter needs, so that no flood of other requests keeps a queue of customers waiting.
    counters = open_engine(url, pool=THREADS + 2, overflow=0)

    def caller(api_key: str) -> UUID | None:
        with Session(counters) as session:
            return engine_operators.operator_of(session, api_key)

    def ring(operator_id: UUID) -> KeyRing:
        with Session(counters) as session:
            return signing_keys.ring(
                session, operator_id, issuer_url=settings.issuer_url, passphrase=passphrase
            )

    assert isinstance(engine.pool, QueuePool)
    return Door(
        engine=engine,
        looking=engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ),
        counters=counters,
        spare=open_engine(url, pool=2, overflow=0),
        seats=asyncio.Semaphore(engine.pool.size()),
        pulse=CapacityLimiter(1),
        issuer_url=settings.issuer_url,
        code_secret=short_code_secret(settings).encode(),
        passphrase=passphrase,
        clock=clock,
        callers=Kept(caller, seconds=CALLER_SECONDS, most=MOST_KEPT, tick=tick),
        rings=Kept(ring, seconds=RING_SECONDS, most=MOST_KEPT, tick=tick),
        batches=Batches(
            partial(redemptions.redeem_together, counters, clock),
            everybodys=(OperationalError, PoolExhausted),
        ),
    )
