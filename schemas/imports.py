"""Lists from other programs: read, tried line by line, then brought in."""

from base64 import b64decode
from binascii import Error as NotBase64
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from schemas.base import Ask, Count, Moment, Name, Wire

MOST_LINES = 50_000
MOST_COLUMNS = 50
MOST_BYTES = 8 * 2**20


class ImportKind(StrEnum):
    """What the lines are. Each name is that of the endpoint which takes one of them as well."""

    CUSTOMERS = "customers"
    ISSUES = "issues"


class Column(StrEnum):
    """What a column of the file may mean."""

    REF = "ref"
    SEGMENTS = "segments"
    HAS_PURCHASED = "has_purchased"


class Wrong(StrEnum):
    """What may be wrong with a line, before anybody tries it."""

    MISSING = "missing"
    UNFIT = "unfit"  # too long, or with characters that nobody types
    REPEATED = "repeated"
    NOT_YES_OR_NO = "not_yes_or_no"
    UNKNOWN_CUSTOMER = "unknown_customer"


def _is_base64(text: str) -> str:
    try:
        b64decode(text, validate=True)
    except NotBase64:
        raise ValueError("must be base64") from None
    return text


Content = Annotated[
    str, Field(min_length=1, max_length=MOST_BYTES * 4 // 3 + 4), AfterValidator(_is_base64)
]
"""A CSV file in UTF-8 or a workbook, in base64."""

Meaning = dict[Column, Annotated[int, Field(strict=True, ge=0, lt=MOST_COLUMNS)]]


class Imported(Wire):
    """A file and what its columns mean. The first line names the columns."""

    kind: ImportKind
    content: Content
    columns: Meaning = Field(default={}, description="For each meaning the column, counted from 0.")
    batch_id: UUID | None = Field(default=None, description="For issues: out of this batch.")

    @property
    def data(self) -> bytes:
        return b64decode(self.content)


class NewImportReading(Imported):
    """What is in this file, and what would be wrong with it? Nothing is kept."""


class NewImport(Imported, Ask):
    """Bring the lines of a file in. Of its columns, those that are named are kept till the end."""

    name: Name

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if Column.REF not in self.columns:
            raise ValueError("say which column is the ref")
        if (self.kind is ImportKind.ISSUES) != (self.batch_id is not None):
            raise ValueError("issues come out of a batch, and customers out of none")
        return self


class Finding(Wire):
    """One thing that is wrong. `line` counts from 1, as a spreadsheet does; 1 is the heading."""

    line: Count
    column: Column | None
    code: str = Field(description="Of `Wrong`, or of the problem that the verb had with it.")


class ImportReadingView(Wire):
    columns: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    lines: Count
    suggested: dict[Column, int] = Field(description="What the columns' own names suggest.")
    findings: tuple[Finding, ...]
    wrong: Count = Field(description="Lines that would be left out; `findings` tells the first.")


class ImportView(Wire):
    id: UUID
    kind: ImportKind
    name: str
    batch_id: UUID | None
    lines: Count
    done: Count = Field(description="Lines that have been dealt with, right or wrong.")
    wrong: Count
    created_at: Moment
    ended_at: Moment | None = Field(description="None: it is under way.")
