"""Lists as files: what is filtered in the console, for other programs.

The rows are read a page at a time, each in a transaction of its own: whoever reads slowly holds
no connection.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from csv import writer
from datetime import datetime
from io import StringIO
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from api.asking.callers import Caller
from api.asking.who import Asking
from api.deps import Now
from api.door import door_of, reading
from api.problems import can_fail_with
from coupon_engine import finding
from schemas.coupons import CouponLine, Sought

router = APIRouter(tags=["Coupons"])

_CSV = "text/csv; charset=utf-8"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_COLUMNS = tuple(CouponLine.model_fields)
_AT_ONCE = 2_000
_CHUNK = 2**16
_MOST_OF_A_SHEET = 1_000_000  # a sheet of Excel ends soon after
_IN_MEMORY = 2**20


@router.get(
    "/coupons.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **can_fail_with()},
)
async def as_csv(
    sought: Annotated[Sought, Query()], http: Request, caller: Asking, now: Now
) -> StreamingResponse:
    """Write all coupons that fit, as CSV. Short codes are not in it: they could be spent."""
    pages = _pages(http, caller, sought, now)
    return StreamingResponse(_csv_of(pages), media_type=_CSV, headers=_named("coupons.csv"))


@router.get(
    "/coupons.xlsx",
    response_class=StreamingResponse,
    responses={200: {"content": {_XLSX: {}}}, **can_fail_with()},
)
async def as_xlsx(
    sought: Annotated[Sought, Query()], http: Request, caller: Asking, now: Now
) -> StreamingResponse:
    """Write all coupons that fit, as a workbook. The file leaves when it is whole."""
    pages = _pages(http, caller, sought, now)
    return StreamingResponse(_xlsx_of(pages), media_type=_XLSX, headers=_named("coupons.xlsx"))


async def _pages(
    http: Request, caller: Caller, sought: Sought, now: datetime
) -> AsyncIterator[list[CouponLine]]:
    lane = door_of(http).lane_of(caller)
    after = None
    while True:
        async with reading(lane, caller.acting) as session:
            page = await run_in_threadpool(
                finding.coupon_lines,
                session,
                caller.operator_id,
                sought,
                after=after,
                most=_AT_ONCE,
                now=now,
            )
        yield page
        if len(page) < _AT_ONCE:
            return
        after = page[-1].id


async def _csv_of(pages: AsyncIterator[list[CouponLine]]) -> AsyncIterator[str]:
    # Excel takes a file for UTF-8 when it begins so.
    yield "\ufeff" + _csv([_COLUMNS])
    async for page in pages:
        yield await run_in_threadpool(_csv, [_cells(line) for line in page])


def _csv(rows: Iterable[Iterable[str]]) -> str:
    out = StringIO()
    writer(out).writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


async def _xlsx_of(pages: AsyncIterator[list[CouponLine]]) -> AsyncIterator[bytes]:
    with SpooledTemporaryFile(_IN_MEMORY) as file:
        # One row in memory at a time; texts are texts, whatever they begin with.
        workbook = Workbook(
            file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        await _fill(workbook, pages)
        await run_in_threadpool(workbook.close)
        file.seek(0)
        while chunk := await run_in_threadpool(_read, file):
            yield chunk


async def _fill(workbook: Workbook, pages: AsyncIterator[list[CouponLine]]) -> None:
    sheet, row = None, _MOST_OF_A_SHEET
    async for page in pages:
        if sheet is None or row + len(page) > _MOST_OF_A_SHEET:
            sheet, row = _sheet(workbook), 1
        await run_in_threadpool(_write, sheet, row, page)
        row += len(page)


def _sheet(workbook: Workbook) -> Worksheet:
    sheet = workbook.add_worksheet()  # pyright: ignore[reportUnknownMemberType]
    _write_row(sheet, 0, _COLUMNS)
    sheet.freeze_panes(1, 0)
    return sheet


def _write(sheet: Worksheet, row: int, page: list[CouponLine]) -> None:
    for offset, line in enumerate(page):
        _write_row(sheet, row + offset, _cells(line))


def _write_row(sheet: Worksheet, row: int, cells: Sequence[str]) -> None:
    sheet.write_row(row, 0, cells)  # pyright: ignore[reportUnknownMemberType]


def _read(file: IO[bytes]) -> bytes:
    return file.read(_CHUNK)


def _cells(line: CouponLine) -> list[str]:
    told = line.model_dump(mode="json")
    return ["" if told[name] is None else str(told[name]) for name in _COLUMNS]


def _harmless(cell: str) -> str:
    """Keep a spreadsheet from running what somebody has called a campaign or a customer."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
