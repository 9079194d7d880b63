"""Bringing lists in: tried first, then chunk by chunk, each chunk once.

Nobody waits for a whole list. A job's row says how far it has come; each chunk moves it on in the
transaction that does the chunk, so that whoever goes on, after a crash too, goes on behind it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, text
from sqlmodel import Session, col, select

from coupon_engine import acting, events, issuing, operators, sheets
from coupon_engine.acting import EVERYWHERE, Acting
from coupon_engine.answers import answered
from coupon_engine.database import transaction
from coupon_engine.errors import CouponError
from coupon_engine.rows import found, some
from coupon_engine.tables import Batch, Customer, ImportJob
from schemas.access import Actor
from schemas.base import Ref
from schemas.campaigns import NewCustomer, NewCustomers
from schemas.coupons import NewCoupons
from schemas.ids import new_id
from schemas.imports import (
    Column,
    Finding,
    Imported,
    ImportKind,
    ImportReadingView,
    ImportView,
    NewImport,
    NewImportReading,
    Wrong,
)

CHUNK = 1_000
_MOST_TOLD = 200
_SAMPLE = 5
_YES = frozenset({"1", "true", "yes", "y", "ja", "是"})
_NO = frozenset({"", "0", "false", "no", "n", "nein", "否"})
_NAMES: Mapping[Column, frozenset[str]] = {
    Column.REF: frozenset({"ref", "id", "customer", "customer_id", "customer_ref", "编号", "顾客"}),
    Column.SEGMENTS: frozenset({"segments", "segment", "tags", "分群"}),
    Column.HAS_PURCHASED: frozenset({"has_purchased", "purchased", "bought", "曾经购买"}),
}
_REF: TypeAdapter[str] = TypeAdapter(Ref)

Line = dict[str, str]


def read(session: Session, operator_id: UUID, request: NewImportReading) -> ImportReadingView:
    """Say what is in a file, and what would be wrong with each line. Nothing is kept.

    Raises:
        SheetUnreadable: The file cannot be read.
        Unknown: No such batch.
    """
    sheet = sheets.read(request.data)
    lines = _lines(sheet, request)
    findings = _findings(session, operator_id, request, lines) if request.columns else []
    return ImportReadingView(
        columns=sheet.columns,
        sample=tuple(sheet.lines[:_SAMPLE]),
        lines=len(sheet.lines),
        suggested=_suggested(sheet.columns),
        findings=tuple(findings[:_MOST_TOLD]),
        wrong=len({each.line for each in findings}),
    )


@answered(ImportView)
def begin(session: Session, operator_id: UUID, request: NewImport, *, now: datetime) -> ImportView:
    """Take a list in. What becomes of it, its own row tells.

    Raises:
        SheetUnreadable: The file cannot be read.
        Unknown: No such batch.
    """
    if request.batch_id:
        found(session, Batch, operator_id, request.batch_id)
    lines = _lines(sheets.read(request.data), request)
    job = ImportJob(
        operator_id=operator_id,
        id=request.id,
        kind=request.kind,
        name=request.name,
        batch_id=request.batch_id,
        actor=acting.actor_of(session).model_dump(mode="json", exclude_none=True),
        lines=lines,
        lines_count=len(lines),
        created_at=now,
    )
    session.add(job)
    told = {"kind": job.kind, "name": job.name, "lines": len(lines)}
    _tell(session, "import_begun", job, now, told)
    return _view(job)


def import_view(session: Session, operator_id: UUID, import_id: UUID) -> ImportView:
    """Return how far a list has come.

    Raises:
        Unknown: No such import.
    """
    return _view(found(session, ImportJob, operator_id, import_id))


def import_views(
    session: Session, operator_id: UUID, *, after: UUID | None, most: int
) -> list[ImportView]:
    return [_view(row) for row in some(session, ImportJob, operator_id, after=after, most=most)]


def findings(session: Session, operator_id: UUID, import_id: UUID) -> list[Finding]:
    """Return every line that was left out, and why.

    Raises:
        Unknown: No such import.
    """
    job = found(session, ImportJob, operator_id, import_id)
    return [Finding.model_validate(each) for each in job.findings]


def go_on(engine: Engine, *, code_secret: bytes, now: datetime) -> int:
    """Do the next chunk of every list that is under way; return how many lines were dealt with."""
    with transaction(engine, EVERYWHERE) as session:
        open_jobs = session.connection().execute(_OPEN).all()
    done = 0
    for row in open_jobs:
        own = Acting(row.operator_id, Actor.model_validate(row.actor))
        try:
            with transaction(engine, own) as session:
                done += _chunk(session, row.operator_id, row.id, CHUNK, code_secret, now)
        except CouponError:
            done += _one_by_one(engine, own, row, code_secret, now)
    return done


def _one_by_one(engine: Engine, own: Acting, row: Any, code_secret: bytes, now: datetime) -> int:
    """Do each line of a chunk by itself: one of them has spoiled it for all."""
    done = 0
    for _ in range(CHUNK):
        try:
            with transaction(engine, own) as session:
                step = _chunk(session, row.operator_id, row.id, 1, code_secret, now)
        except CouponError as error:
            with transaction(engine, own) as session:
                step = _leave_out(session, row.operator_id, row.id, error.code, now)
        if not step:
            break
        done += step
    return done


def _chunk(
    session: Session,
    operator_id: UUID,
    import_id: UUID,
    most: int,
    code_secret: bytes,
    now: datetime,
) -> int:
    """Do the next lines; return how many, nought when there are none or another one does them."""
    job = _taken(session, operator_id, import_id)
    if job is None:
        return 0
    first = job.done_count
    lines: list[Line] = (job.lines or [])[first : first + most]
    wrong = list(_wrong(session, operator_id, ImportKind(job.kind), lines, first))
    # A line that is wrong twice is one line. What was said before about a ref counts as well.
    wrong += _repeated(job.lines or [], first, len(lines))
    left_out = {each.line for each in wrong}
    good = [line for number, line in enumerate(lines, start=first + 2) if number not in left_out]
    if good:
        _bring_in(session, job, good, first, code_secret, now)
    _move_on(session, job, len(lines), wrong, now)
    return len(lines)


def _bring_in(
    session: Session,
    job: ImportJob,
    lines: Sequence[Line],
    first: int,
    code_secret: bytes,
    now: datetime,
) -> None:
    id = uuid5(job.id, f"{first}+{len(lines)}")
    known = _known(session, job.operator_id, [line["ref"] for line in lines])
    if job.kind == ImportKind.CUSTOMERS:
        customers = tuple(_customer(line, known, now) for line in lines)
        request = NewCustomers(id=id, customers=customers)
        operators.create_customers(session, job.operator_id, request, now=now)
        return
    assert job.batch_id is not None
    issued = NewCoupons(
        id=id, batch_id=job.batch_id, customer_ids=tuple(known[line["ref"]] for line in lines)
    )
    issuing.issue_many(session, job.operator_id, issued, code_secret=code_secret, now=now)


def _customer(line: Line, known: Mapping[str, UUID], now: datetime) -> NewCustomer:
    segments = line.get("segments")
    purchased = line.get("has_purchased")
    return NewCustomer(
        id=known.get(line["ref"]) or new_id(now),
        ref=line["ref"],
        segments=None if segments is None else _parted(segments),
        has_purchased=None if purchased is None else purchased.lower() in _YES,
    )


def _leave_out(
    session: Session, operator_id: UUID, import_id: UUID, code: str, now: datetime
) -> int:
    job = _taken(session, operator_id, import_id)
    if job is None:
        return 0
    finding = Finding(line=job.done_count + 2, column=None, code=code)
    _move_on(session, job, 1, [finding], now)
    return 1


def _taken(session: Session, operator_id: UUID, import_id: UUID) -> ImportJob | None:
    """Return the job, locked, unless it has ended or another one holds it."""
    return session.exec(
        select(ImportJob)
        .where(
            col(ImportJob.operator_id) == operator_id,
            col(ImportJob.id) == import_id,
            col(ImportJob.ended_at).is_(None),
        )
        .with_for_update(skip_locked=True)
    ).one_or_none()


def _move_on(
    session: Session, job: ImportJob, done: int, wrong: Sequence[Finding], now: datetime
) -> None:
    job.done_count += done
    job.wrong_count += len({each.line for each in wrong})
    job.findings = [*job.findings, *(each.model_dump(mode="json") for each in wrong)]
    if job.done_count >= job.lines_count:
        job.ended_at, job.lines = now, None
        told = {"lines": job.lines_count, "wrong": job.wrong_count}
        _tell(session, "import_ended", job, now, told)
    session.add(job)
    session.flush()


def _lines(sheet: sheets.Sheet, request: Imported) -> list[Line]:
    """Return the cells of the columns that mean something; no other is kept."""
    return [
        {
            meaning.value: line[at]
            for meaning, at in request.columns.items()
            if at < len(sheet.columns)
        }
        for line in sheet.lines
    ]


def _findings(
    session: Session, operator_id: UUID, request: Imported, lines: Sequence[Line]
) -> list[Finding]:
    if request.batch_id:
        found(session, Batch, operator_id, request.batch_id)
    wrong = [
        *_wrong(session, operator_id, request.kind, lines, 0),
        *_repeated(lines, 0, len(lines)),
    ]
    return sorted(wrong, key=lambda each: each.line)


def _wrong(
    session: Session,
    operator_id: UUID,
    kind: ImportKind,
    lines: Sequence[Line],
    first: int,
) -> Iterator[Finding]:
    refs = [line.get("ref", "") for line in lines]
    known = _known(session, operator_id, refs) if kind is ImportKind.ISSUES else {}
    for number, (line, ref) in enumerate(zip(lines, refs, strict=True), start=first + 2):
        if not ref:
            yield Finding(line=number, column=Column.REF, code=Wrong.MISSING)
        elif not _is_fit(ref):
            yield Finding(line=number, column=Column.REF, code=Wrong.UNFIT)
        elif kind is ImportKind.ISSUES and ref not in known:
            yield Finding(line=number, column=Column.REF, code=Wrong.UNKNOWN_CUSTOMER)
        if not all(map(_is_fit, _parted(line.get("segments", "")))):
            yield Finding(line=number, column=Column.SEGMENTS, code=Wrong.UNFIT)
        if line.get("has_purchased", "").lower() not in _YES | _NO:
            yield Finding(line=number, column=Column.HAS_PURCHASED, code=Wrong.NOT_YES_OR_NO)


def _repeated(lines: Sequence[Line], first: int, many: int) -> list[Finding]:
    """Return those of `many` lines whose ref stands in a line before them."""
    seen = {line.get("ref", "") for line in lines[:first]}
    findings: list[Finding] = []
    for number, line in enumerate(lines[first : first + many], start=first + 2):
        ref = line.get("ref", "")
        if ref and ref in seen:
            findings.append(Finding(line=number, column=Column.REF, code=Wrong.REPEATED))
        seen.add(ref)
    return findings


def _known(session: Session, operator_id: UUID, refs: Iterable[str]) -> dict[str, UUID]:
    rows = session.exec(
        select(Customer.ref, Customer.id).where(
            col(Customer.operator_id) == operator_id, col(Customer.ref).in_(set(refs))
        )
    )
    return dict(rows.all())


def _is_fit(ref: str) -> bool:
    try:
        _REF.validate_python(ref)
    except ValidationError:
        return False
    return True


def _parted(segments: str) -> tuple[str, ...]:
    parts = segments.replace(";", ",").replace("|", ",").split(",")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _suggested(columns: Sequence[str]) -> dict[Column, int]:
    names = [column.strip().lower().replace(" ", "_") for column in columns]
    return {
        meaning: at
        for meaning, own in _NAMES.items()
        for at in [next((at for at, name in enumerate(names) if name in own), None)]
        if at is not None
    }


def _view(job: ImportJob) -> ImportView:
    return ImportView(
        id=job.id,
        kind=ImportKind(job.kind),
        name=job.name,
        batch_id=job.batch_id,
        lines=job.lines_count,
        done=job.done_count,
        wrong=job.wrong_count,
        created_at=job.created_at,
        ended_at=job.ended_at,
    )


def _tell(
    session: Session, kind: str, job: ImportJob, now: datetime, data: Mapping[str, Any]
) -> None:
    happened = events.happened(
        kind, job.id, operator_id=job.operator_id, campaign_id=None, at=now, data=data
    )
    events.note(session, happened)


_OPEN = text("""
    SELECT operator_id, id, actor FROM import_job WHERE ended_at IS NULL ORDER BY id LIMIT 100
""")
