"""Is this process alive, and can it serve?"""

from anyio import to_thread
from fastapi import APIRouter, Request
from sqlalchemy import Engine, text

from api.door import door_of
from api.problems import can_break
from coupon_engine.errors import Busy

router = APIRouter(prefix="/health", tags=["Health"])


@router.get("/live", responses=can_break())
async def live() -> dict[str, str]:
    """The process answers. Asks nobody else, so that a slow database gets no process killed."""
    return {"status": "live"}


@router.get("/ready", responses=can_break(Busy))
async def ready(request: Request) -> dict[str, str]:
    """The record answers, over a connection and in a thread that no other request can take."""
    door = door_of(request)
    await to_thread.run_sync(_ask, door.spare, limiter=door.pulse)
    return {"status": "ready"}


def _ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
