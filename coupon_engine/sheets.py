"""Reading a list as other programs write it: CSV in any of the usual dialects, or a workbook."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO, StringIO
from itertools import islice
from typing import Any
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, CalamineWorkbook

from coupon_engine.errors import SheetUnreadable
from schemas.imports import MOST_COLUMNS, MOST_LINES

# A workbook is a packed folder, and a small one can hold a very large one.
_MOST_UNPACKED = 128 * 2**20
_LONGEST_CELL = 1_000


@dataclass(frozen=True)
class Sheet:
    """The first line, and those after it; each has as many cells as the first."""

    columns: tuple[str, ...]
    lines: list[tuple[str, ...]]


def read(data: bytes) -> Sheet:
    """Read a file.

    Raises:
        SheetUnreadable: It is neither, or has more lines or columns than it may.
    """
    rows = _workbook(data) if data.startswith(b"PK\x03\x04") else _csv(data)
    kept = list(islice(rows, MOST_LINES + 2))
    while kept and not any(kept[-1]):
        kept.pop()
    if not kept or not any(kept[0]):
        raise SheetUnreadable(why="the first line must name the columns")
    if len(kept) > MOST_LINES + 1:
        raise SheetUnreadable(why=f"a list has at most {MOST_LINES} lines")
    width = len(kept[0])
    if width > MOST_COLUMNS:
        raise SheetUnreadable(why=f"a list has at most {MOST_COLUMNS} columns")
    lines = [tuple((row + [""] * width)[:width]) for row in kept[1:]]
    return Sheet(tuple(kept[0]), lines)


def _csv(data: bytes) -> Iterator[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SheetUnreadable(why="a CSV file must be in UTF-8") from error
    if "\0" in text:
        raise SheetUnreadable(why="this is neither CSV nor a workbook")
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    try:
        for row in csv.reader(StringIO(text), delimiter=delimiter):
            yield [_cell(cell) for cell in row]
    except csv.Error as error:
        raise SheetUnreadable(why="a line of the CSV file cannot be read") from error


def _workbook(data: bytes) -> Iterator[list[str]]:
    try:
        if sum(part.file_size for part in ZipFile(BytesIO(data)).infolist()) > _MOST_UNPACKED:
            raise SheetUnreadable(why="the workbook is too large when it is unpacked")
        sheet = CalamineWorkbook.from_filelike(BytesIO(data)).get_sheet_by_index(0)
        rows: Iterable[list[Any]] = sheet.iter_rows()
        for row in rows:
            yield [_cell(cell) for cell in row]
    except (BadZipFile, CalamineError) as error:
        raise SheetUnreadable(why="the workbook cannot be read") from error


def _cell(value: object) -> str:
    match value:
        case float() if value.is_integer():  # numbers of a workbook are floats, also 17
            return str(int(value))
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value).strip()[:_LONGEST_CELL]
