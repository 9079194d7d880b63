"""Is this process alive, and can it serve?"""

from fastapi import APIRouter, Request
from sqlalchemy import text

from api.deps import door_of

router = APIRouter(prefix="/health", tags=["Health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers. Asks nobody else, so that a slow database gets no process killed."""
    return {"status": "live"}


@router.get("/ready")
def ready(request: Request) -> dict[str, str]:
    """The record answers, over a connection that no other request can take."""
    with door_of(request).spare.connect() as connection:
        connection.execute(text("SELECT 1"))
    return {"status": "ready"}
