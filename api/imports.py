"""Lists from other programs: looked at, brought in, followed to their end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from csv import writer
from io import StringIO
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.asking.access import row_of
from api.asking.who import Asking
from api.deps import Looking, Now, OperatorId, Paging, Transaction
from api.door import door_of, reading
from api.problems import can_fail_with
from coupon_engine import importing
from coupon_engine.errors import RequestReused, SheetUnreadable, Unknown
from schemas.imports import (
    ImportReadingView,
    ImportView,
    NewImport,
    NewImportReading,
)

LOOK_SECONDS = 0.5
MOST_LOOKS = 600  # whoever still listens comes back

router = APIRouter(tags=["Customers"])


@router.post("/import-readings", responses=can_fail_with(SheetUnreadable, Unknown))
def read(
    request: NewImportReading, session: Looking, caller: Asking, now: Now
) -> ImportReadingView:
    """What is in this file, and what would be wrong with each line? Nothing is kept."""
    caller.check(row_of("POST", f"/{request.kind}"), now=now)
    return importing.read(session, caller.operator_id, request)


@router.post(
    "/imports",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, SheetUnreadable, Unknown),
)
def begin(request: NewImport, session: Transaction, caller: Asking, now: Now) -> ImportView:
    """Bring the lines of a file in. It goes on by itself, also when nobody looks."""
    caller.check(row_of("POST", f"/{request.kind}"), now=now)
    return importing.begin(session, caller.operator_id, request, now=now)


@router.get("/imports", responses=can_fail_with())
def all_imports(page: Paging, session: Looking, operator_id: OperatorId) -> list[ImportView]:
    return importing.import_views(session, operator_id, after=page.after, most=page.most)


@router.get("/imports/{import_id}", responses=can_fail_with(Unknown))
def one_import(import_id: UUID, session: Looking, operator_id: OperatorId) -> ImportView:
    return importing.import_view(session, operator_id, import_id)


async def standing_of(
    import_id: UUID, http: Request, caller: Asking
) -> AsyncIterator[AsyncIterator[ImportView]]:
    """Look once before anything is answered, so that a list which is not there is a problem."""
    lane = door_of(http).lane_of(caller)

    async def look() -> ImportView:
        async with reading(lane, caller.acting) as session:
            return await run_in_threadpool(
                importing.import_view, session, caller.operator_id, import_id
            )

    first = await look()

    async def looks() -> AsyncIterator[ImportView]:
        view = first
        for _ in range(MOST_LOOKS):
            yield view
            if view.ended_at:
                return
            await asyncio.sleep(LOOK_SECONDS)
            view = await look()

    yield looks()


Standing = Annotated[AsyncIterator[ImportView], Depends(standing_of)]


@router.get(
    "/imports/{import_id}/progress",
    response_class=EventSourceResponse,
    responses=can_fail_with(Unknown),
)
async def progress(standing: Standing) -> AsyncGenerator[ServerSentEvent]:
    """How far it has come, as events (`import`), until it has ended."""
    told = None
    async for view in standing:
        if view != told:
            yield ServerSentEvent(event="import", data=view)
        told = view


@router.get(
    "/imports/{import_id}/errors.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **can_fail_with(Unknown)},
)
def errors(import_id: UUID, session: Looking, operator_id: OperatorId) -> Response:
    """Every line that was left out, by its number in the file, and why."""
    out = StringIO()
    rows = writer(out)
    rows.writerow(("line", "column", "code"))
    for each in importing.findings(session, operator_id, import_id):
        rows.writerow((each.line, each.column or "", each.code))
    headers = {"Content-Disposition": 'attachment; filename="errors.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
