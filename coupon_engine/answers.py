"""The first answer to an asker's id is the only one.

`answered` makes an ordinary verb keep that promise. `redeem_many` keeps it for a whole batch, with
`given` before and `rows` after.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import wraps
from hashlib import sha256
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import bulk
from coupon_engine.errors import Busy, CouponError, CouponRefused, RequestReused
from schemas.base import Ask, Wire
from schemas.refusals import Refusal

View = TypeVar("View", bound=Wire)
Request = TypeVar("Request", bound=Ask)
More = ParamSpec("More")

Verb = Callable[Concatenate[Session, UUID, Request, More], View]


def answered(view: type[View]) -> Callable[[Verb[Request, More, View]], Verb[Request, More, View]]:
    """Make a verb answer a repeated id with its first answer, a refusal as well.

    The id is written first and waits for anybody else who is writing it. What the verb did is
    undone when it raises; the no itself is kept, and `transaction` commits it.
    """

    def decorate(verb: Verb[Request, More, View]) -> Verb[Request, More, View]:
        @wraps(verb)
        def once(
            session: Session,
            operator_id: UUID,
            request: Request,
            *args: More.args,
            **more: More.kwargs,
        ) -> View:
            now = more["now"]
            assert isinstance(now, datetime)
            if not _claim(session, operator_id, request, verb.__name__, now):
                return _first_answer(session, operator_id, request, verb.__name__, view)
            try:
                with session.begin_nested():
                    answer = verb(session, operator_id, request, *args, **more)
                    session.flush()
            except CouponError as error:
                if not isinstance(error, Busy):
                    _keep(session, operator_id, request.id, body_of(error), is_refusal=True)
                    error.is_answered = True
                raise
            _keep(session, operator_id, request.id, answer.model_dump_json(), is_refusal=False)
            return answer

        return once

    return decorate


def fingerprint(verb: str, request: Ask) -> str:
    """Return what tells this request from another: what is asked, and everything in it."""
    document = request.model_dump_json(exclude_defaults=True)
    return sha256(f"{verb}\n{document}".encode()).hexdigest()


class Given:
    """An answer that stands in the record."""

    def __init__(self, fingerprint: str, body: str, *, is_refusal: bool) -> None:
        self.fingerprint = fingerprint
        self.body = body
        self.is_refusal = is_refusal


def given(session: Session, operator_id: UUID, ids: Iterable[UUID]) -> Mapping[UUID, Given]:
    """Return the answers that these ids already have."""
    rows = bulk.read(session, _GIVEN, {"operator_id": operator_id, "ids": list(ids)})
    return {row.id: Given(row.fingerprint, row.body, is_refusal=row.is_refusal) for row in rows}


def body_of(error: CouponError) -> str:
    """Return a no as it is kept: its code, and what it said."""
    return to_json({"code": error.code, "details": error.details}).decode()


def error_from(body: str) -> CouponError:
    """Return the no that was kept."""
    kept = from_json(body)
    if kept["code"] == CouponRefused.code:
        error: CouponError = CouponRefused(Refusal.model_validate(kept["details"]["refusal"]))
    else:
        error = _kinds()[kept["code"]].__new__(_kinds()[kept["code"]])
        CouponError.__init__(error, **kept["details"])
    error.is_answered = True
    return error


def _kinds() -> dict[str, type[CouponError]]:
    return {kind.code: kind for kind in every_kind()}


def every_kind(of: type[CouponError] = CouponError) -> Iterable[type[CouponError]]:
    """Yield every error the engine can raise, however deep it is derived."""
    for kind in of.__subclasses__():
        if "code" in kind.__dict__:
            yield kind
        yield from every_kind(kind)


def _claim(session: Session, operator_id: UUID, request: Ask, verb: str, now: datetime) -> bool:
    row: dict[str, Any] = {
        "operator_id": operator_id,
        "id": request.id,
        "verb": verb,
        "fingerprint": fingerprint(verb, request),
        "at": now,
    }
    return session.connection().execute(_CLAIM, row).rowcount == 1


def _first_answer(
    session: Session, operator_id: UUID, request: Ask, verb: str, view: type[View]
) -> View:
    first = given(session, operator_id, [request.id])[request.id]
    if first.fingerprint != fingerprint(verb, request):
        raise RequestReused
    if first.is_refusal:
        raise error_from(first.body)
    return view.model_validate_json(first.body)


def _keep(session: Session, operator_id: UUID, id: UUID, body: str, *, is_refusal: bool) -> None:
    session.connection().execute(
        _KEEP, {"operator_id": operator_id, "id": id, "body": body, "is_refusal": is_refusal}
    )


_CLAIM = text("""
    INSERT INTO answer (operator_id, id, verb, fingerprint, is_refusal, body, at)
    VALUES (:operator_id, :id, :verb, :fingerprint, false, '', :at)
    ON CONFLICT DO NOTHING
""")
_KEEP = text("""
    UPDATE answer SET body = :body, is_refusal = :is_refusal
    WHERE operator_id = :operator_id AND id = :id
""")
_GIVEN = """
    SELECT id, fingerprint, body, is_refusal FROM answer
    WHERE operator_id = %(operator_id)s AND id = ANY(%(ids)s)
"""
