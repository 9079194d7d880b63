"""The HTTP door, put together and opened."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy import Engine
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
from api.batch import Batches
from api.deps import Door, tick, wall_clock
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
        logs.start(settings)
        async with contextmanager_in_threadpool(opening(settings)) as engine:
            opened_door = door(engine, settings, clock)
            app.state.door = opened_door
            yield
            await opened_door.batches.stop()
            opened_door.spare.dispose()

    made = FastAPI(
        title="Counterfoil",
        summary="Mobile coupons that are spent once, work offline, and tell what they brought.",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        openapi_tags=manual.TAGS,
        description=manual.INTRODUCTION,
        separate_input_output_schemas=False,
    )
    made.include_router(version_1())
    for module in (wellknown, health, manual):
        made.include_router(module.router)
    manual.install(made)
    problems.install(made)
    made.add_middleware(edges.Edge)
    return made


def from_environment() -> FastAPI:
    """Return the app that the environment describes; what `uvicorn --factory` calls."""
    return app(read_settings())


def version_1() -> APIRouter:
    """Return everything that an operator's API key opens."""
    version = APIRouter(prefix="/v1")
    for module in (
        redemptions,  # first, because FastAPI looks for the right one in this order
        operators,
        campaigns,
        offers,
        batches,
        coupons,
        validations,
        holds,
        reversals,
        reports,
        keys,
    ):
        version.include_router(module.router)
    return version


def door(engine: Engine, settings: Settings, clock: Callable[[], datetime]) -> Door:
    passphrase = key_passphrase(settings).encode()

    def caller(api_key: str) -> UUID | None:
        with Session(engine) as session:
            return engine_operators.operator_of(session, api_key)

    def ring(operator_id: UUID) -> KeyRing:
        with Session(engine) as session:
            return signing_keys.ring(
                session, operator_id, issuer_url=settings.issuer_url, passphrase=passphrase
            )

    return Door(
        engine=engine,
        looking=engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ),
        spare=open_engine(engine.url.render_as_string(hide_password=False), pool=1, overflow=0),
        issuer_url=settings.issuer_url,
        code_secret=short_code_secret(settings).encode(),
        passphrase=passphrase,
        clock=clock,
        callers=Kept(caller, seconds=CALLER_SECONDS, most=MOST_KEPT, tick=tick),
        rings=Kept(ring, seconds=RING_SECONDS, most=MOST_KEPT, tick=tick),
        batches=Batches(
            partial(redemptions.redeem_together, engine, clock),
            everybodys=(OperationalError, PoolExhausted),
        ),
    )
