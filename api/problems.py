"""Every no as an RFC 9457 problem. The one place that knows both coupons and HTTP."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field
from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException

from api import logs
from coupon_engine import errors
from coupon_engine.database import busy_or
from coupon_engine.drawing import CannotPrint
from coupon_engine.errors import CouponError, CouponRefused
from coupon_engine.validation import token_refused, wording
from schemas.base import Json, Wire
from schemas.refusals import Reason, Refusal, Why

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1

# 401: who are you? 403: not you. 404: not here. 409: not now, or not in this state. 422: never, as
# it was asked. 429: not so often. 503: ask again.
STATUS_OF: Mapping[type[CouponError], int] = {
    CouponRefused: 409,
    errors.RequestReused: 409,
    errors.Unknown: 404,
    errors.NameTaken: 409,
    errors.TerminalHasJournal: 409,
    errors.SheetUnreadable: 422,
    errors.OfferFrozen: 409,
    errors.OfferSuperseded: 409,
    errors.TermsMismatch: 422,
    errors.MoveNotAllowed: 409,
    errors.CeilingMoved: 409,
    errors.CeilingBelowUse: 409,
    errors.NotIssuing: 409,
    errors.BatchExhausted: 409,
    errors.ClaimLimitReached: 409,
    errors.CouponTaken: 409,
    errors.CouponNotUsable: 409,
    errors.StillActivated: 409,
    errors.TooManyHolderKeys: 409,
    errors.HolderSuspended: 409,
    errors.PasscodeNeeded: 403,
    errors.HolderKeyInvalid: 422,
    errors.HolderKeyRequired: 422,
    errors.ProofInvalid: 422,
    errors.ContactNotUsable: 422,
    errors.ContactNeeded: 409,
    errors.PasscodeWrong: 409,
    errors.PasscodeOver: 409,
    errors.GiftOver: 404,
    errors.HoldOver: 409,
    errors.UndoWindowClosed: 409,
    errors.AlreadyReversed: 409,
    errors.StillProvisional: 409,
    errors.LineUnknown: 422,
    errors.PassesNotSetUp: 404,
    errors.NoSigningKey: 409,
    errors.KeyTooYoung: 409,
    errors.NoFreeLetter: 409,
    errors.NotSignedIn: 401,
    errors.NotAllowed: 403,
    errors.StepUpNeeded: 403,
    errors.PasskeyRefused: 422,
    errors.LastSecondFactor: 409,
    errors.TooManyKeys: 409,
    errors.NotASandbox: 409,
    errors.ClockTooFar: 422,
    errors.TooManyTries: 429,
    errors.CrossSite: 403,
    errors.CodeWrong: 403,
    errors.PasswordRefused: 422,
    errors.InvitationOver: 404,
    errors.StoresMismatch: 422,
    errors.Busy: 503,
    errors.PairingTaken: 409,
    errors.JournalIncomplete: 409,
    errors.TerminalFrozen: 409,
    errors.NoLease: 409,
    errors.SecondPersonNeeded: 403,
    errors.ChangedSince: 409,
    errors.ApprovalNeeded: 409,
    errors.TooManyListeners: 429,
    CannotPrint: 422,
    token_refused.TokenRefused: 409,
    token_refused.NotACoupon: 409,
    token_refused.TwoCodes: 409,
    token_refused.Malformed: 409,
    token_refused.UnknownKey: 409,
    token_refused.KeyScope: 409,
    token_refused.BadSignature: 409,
    token_refused.BadHolderSignature: 409,
    token_refused.Stale: 409,
    token_refused.ClockAhead: 409,
    token_refused.ChallengeRequired: 409,
    token_refused.LiveCodeRequired: 409,
}

# What is said before any coupon is looked at.
INVALID = "invalid_request"
AT_THE_DOOR: Mapping[int, tuple[str, str]] = {
    400: ("unreadable_body", "The body cannot be read."),
    404: ("no_such_page", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take this method."),
    408: ("too_slow", "The request took too long to arrive."),
    413: ("body_too_large", "The body is too large."),
    414: ("address_too_long", "The address is too long."),
    415: ("not_json", "Send JSON, as 'Content-Type: application/json'."),
    422: (INVALID, "Something in the request cannot be meant so."),
    431: ("headers_too_large", "There are too many headers, or they are too long."),
    500: ("internal", "Something broke on our side. Ask again with the same id."),
    503: ("unavailable", "The record cannot be reached just now. Ask again with the same id."),
}


class Place(Wire):
    """One thing in a request that cannot be meant so."""

    at: str = Field(description="Where, such as body.basket.lines[0].quantity.")
    says: str


class Problem(Wire):
    """A no, for programs (`code`) and for people (`title`, `detail`); see RFC 9457."""

    type: str = Field(description="The page that explains this kind of problem.")
    title: str
    status: int
    code: str = Field(description="Never changes: decide by this.")
    detail: str
    details: Json | None = Field(default=None, description="What is known about this case.")
    refusal: Refusal | None = Field(default=None, description="Why a coupon does not work.")
    places: tuple[Place, ...] | None = Field(default=None, description="What to mend.")


def install(app: FastAPI) -> None:
    """Make every error of this app leave as a problem."""
    app.add_exception_handler(CouponError, _coupon_error)
    app.add_exception_handler(HTTPException, _door_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(PoolExhausted, _exhausted)


def problem_of(error: CouponError) -> Problem:
    """Word an error of the engine."""
    status = STATUS_OF[type(error)]
    if isinstance(error, CouponRefused):
        refusal = error.refusal
        return Problem(
            type=page_of(refusal.code),
            title=wording.CASHIER[refusal.code][0],
            status=status,
            code=refusal.code,
            detail=refusal.developer.en,
            refusal=refusal,
        )
    return Problem(
        type=page_of(error.code),
        title=error.message,
        status=status,
        code=error.code,
        detail=str(error.details.get("why", error.message)),
        details=error.details or None,
    )


def at_the_door(status: int, detail: str | None = None, **more: Any) -> Problem:
    """Word a no of HTTP's own."""
    code, title = AT_THE_DOOR.get(status, AT_THE_DOOR[400 if status < 500 else 500])
    return Problem(
        type=page_of(code), title=title, status=status, code=code, detail=detail or title, **more
    )


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the problem as it leaves."""
    body = problem.model_dump(mode="json", exclude_none=True)
    return Response(
        to_json(body),
        problem.status,
        {**_headers_of(problem), **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def _headers_of(problem: Problem) -> dict[str, str]:
    match problem.status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 429:
            seconds = (problem.details or {}).get("retry_after_seconds", RETRY_SECONDS)
            return {"Retry-After": str(seconds)}
        case 503:
            return {"Retry-After": str(RETRY_SECONDS)}
        case _:
            return {}


def as_text(problem: Json) -> str:
    """Return a problem as a person reads it."""
    return to_json(problem, indent=2).decode()


def page_of(code: str) -> str:
    return f"/problems/{code}"


# These are `async` because Starlette would run them in another thread otherwise.


async def _coupon_error(_: Request, error: Exception) -> Response:
    return answer(problem_of(cast("CouponError", error)))


async def _door_error(_: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    return answer(at_the_door(error.status_code), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Tell every place that is wrong, but never repeat what stood there."""
    found = cast("Sequence[Mapping[str, Any]]", cast("RequestValidationError", error).errors())
    if any(each["loc"] == ("body",) for each in found) and not _says_json(request):
        return answer(at_the_door(415))
    if any(each["type"] == "json_invalid" for each in found):
        return answer(at_the_door(400))
    told = _worth_telling(found)[:MOST_PLACES]
    places = tuple(Place(at=_path(each["loc"]), says=_says(each)) for each in told)
    detail = "; ".join(f"{place.at}: {place.says}" for place in places[:3])
    return answer(at_the_door(422, detail, places=places))


async def _database_error(request: Request, error: Exception) -> Response:
    """Say that it is worth asking again where PostgreSQL ended a wait, or cannot be reached.

    What became of a commit that broke is not known. Whoever asks again by the same id learns it.
    """
    error = cast("DBAPIError", error)
    if isinstance(busy_or(error), errors.Busy):
        return answer(problem_of(errors.Busy()))
    logs.failed(request, error)
    return answer(at_the_door(503 if isinstance(error, OperationalError) else 500))


async def _exhausted(*_: object) -> Response:
    return answer(problem_of(errors.Busy()))


MOST_PLACES = 20


def _worth_telling(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out that a list is too short where that only means that its members are wrong."""
    around = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    return [each for each in found if each["type"] != "too_short" or each["loc"] not in around]


def _says_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def _path(loc: Sequence[str | int]) -> str:
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc
    ).removeprefix(".")


def _says(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


# For the OpenAPI document: which endpoint answers which code.


def can_fail_with(*kinds: type[CouponError]) -> dict[int | str, dict[str, Any]]:
    """Document the codes of an endpoint: those of its verb, and those that any of them has."""
    by_status: dict[int, list[str]] = {}
    for kind in dict.fromkeys((*kinds, *_ANYWHERE)):
        codes = list(Why) if kind is CouponRefused else [kind.code]
        by_status.setdefault(STATUS_OF[kind], []).extend(codes)
    return _documents(by_status, (400, 413, 415, 422, 500, 503))


# What any endpoint may say to whoever asks.
_ANYWHERE = (
    errors.NotSignedIn,
    errors.CrossSite,
    errors.NotAllowed,
    errors.CrossSite,
    errors.StepUpNeeded,
    errors.TooManyTries,
    errors.Busy,
)


def can_break(*kinds: type[CouponError]) -> dict[int | str, dict[str, Any]]:
    """Document the codes of an endpoint that takes no key and nothing else."""
    by_status = {STATUS_OF[kind]: [kind.code] for kind in kinds}
    return _documents(by_status, (500, 503) if kinds else (500,))


def _documents(
    by_status: Mapping[int, list[str]], at_the_door: Iterable[int]
) -> dict[int | str, dict[str, Any]]:
    found = {**by_status}
    for status in at_the_door:
        found[status] = [*found.get(status, ()), AT_THE_DOOR[status][0]]
    return {status: _documented(codes) for status, codes in sorted(found.items())}


def examples() -> dict[str, Any]:
    """Return one example of every problem, by its code."""
    problems = [
        *(at_the_door(status) for status in AT_THE_DOOR),
        *(problem_of(_example_of(kind)) for kind in STATUS_OF if kind is not CouponRefused),
        *(problem_of(CouponRefused(_refusal(why))) for why in Why),
    ]
    return {
        problem.code: {
            "summary": problem.title,
            "value": problem.model_dump(mode="json", exclude_none=True),
        }
        for problem in problems
    }


def _documented(codes: Iterable[str]) -> dict[str, Any]:
    codes = list(codes)
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _example_of(kind: type[CouponError]) -> CouponError:
    error = kind.__new__(kind)
    CouponError.__init__(error, **_DETAILS.get(kind.code, {}))
    return error


def _refusal(why: Why) -> Refusal:
    rule, needs = _REASONS.get(why, ("code" if why in _ABOUT_CODES else "coupon", {}))
    return wording.refusal(
        [Reason(code=why, rule=rule, needs=needs)], currency="EUR", zone="Europe/Berlin"
    )


_DETAILS: Mapping[str, Json] = {
    "unknown": {"kind": "store", "id": "0195a5c0-0000-7000-8000-000000000001"},
    "move_not_allowed": {"state": "ended", "move": "pause", "allowed": ["archive"]},
    "ceiling_moved": {"current": 500_000},
    "ceiling_below_use": {"in_use": 123_400},
    "undo_window_closed": {"undo_until": "2026-03-01T13:00:00+00:00"},
    "line_unknown": {"lines": [3]},
    "not_issuing": {"campaign_state": "paused"},
    "changed_since": {
        "fingerprint": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    },
    "approval_needed": {"stopped_by": "breaker"},
    "passes_not_set_up": {"app": "apple"},
    "still_activated": {"until": "2026-03-01T14:00:00+00:00"},
    "too_many_listeners": {"most": 500},
    "sheet_unreadable": {"why": "a CSV file must be in UTF-8"},
    "terms_mismatch": {"why": "a coupon must not start before its campaign"},
    "contact_not_usable": {"why": "codes go to mobile numbers only"},
    "passcode_wrong": {"tries_left": 4},
    "key_too_young": {"usable_from": "2026-03-03T12:00:00+00:00"},
    "too_many_keys": {"name": "till server", "most": 2},
    "clock_too_far": {"most_days": 1825},
    "too_many_tries": {"retry_after_seconds": 840},
    "password_refused": {"why": "it has fewer than 15 characters"},
    "stale": {"behind_seconds": 95},
    "clock_ahead": {"ahead_seconds": 300},
}
_ANOTHER = "0195a5c0-7000-7000-8000-000000000007"
# The rules by the names that the judge gives them.
_REASONS: Mapping[Why, tuple[str, Json]] = {
    Why.UNCLAIMED: ("coupon.claimed", {}),
    Why.REVOKED: ("coupon.revoked", {}),
    Why.NOT_YET: ("validity.from", {"from": "2026-03-02T00:00:00+01:00"}),
    Why.EXPIRED: ("validity.until", {"until": "2026-03-01T00:00:00+01:00"}),
    Why.ALREADY_REDEEMED: ("uses", {"uses": 1, "at": "2026-03-01T12:00:00+01:00"}),
    Why.BALANCE_EMPTY: ("benefit.balance_minor", {}),
    Why.HELD: ("coupon.held", {"until": "2026-03-01T12:05:00+01:00"}),
    Why.CAMPAIGN_NOT_RUNNING: ("campaign.state", {}),
    Why.CAMPAIGN_PAUSED: ("campaign.stops", {}),
    Why.CAMPAIGN_ENDED: ("campaign.ended", {}),
    Why.WRONG_STORE: ("conditions.stores", {}),
    Why.OUTSIDE_HOURS: ("conditions.hours", {"from": "2026-03-02T09:00:00+01:00"}),
    Why.WRONG_CUSTOMER: ("coupon.customer_id", {}),
    Why.WRONG_SEGMENT: ("conditions.segments", {"any_of": ["regular"]}),
    Why.NOT_FIRST_PURCHASE: ("conditions.first_purchase_only", {}),
    Why.BASKET_REQUIRED: ("basket", {}),
    Why.BASKET_CHANGED: ("basket.order_ref", {}),
    Why.LINES_REQUIRED: ("basket.lines", {}),
    Why.WRONG_CURRENCY: ("campaign.currency", {"currency": "EUR"}),
    Why.BELOW_MINIMUM: (
        "conditions.minimum_basket_minor",
        {"add_minor": 350, "currency": "EUR"},
    ),
    Why.NO_MATCHING_ITEM: ("conditions.products", {"add_units": 1}),
    Why.TOO_FEW_ITEMS: ("benefit.buy", {"add_units": 1}),
    Why.NOTHING_TO_DISCOUNT: ("benefit", {}),
    Why.NOT_COMBINABLE: ("conditions.exclusivity_groups", {"reverse": [_ANOTHER]}),
    Why.STACKING_ORDER: ("conditions.stacking_order", {"reverse": [_ANOTHER]}),
    Why.BUDGET_SPENT: ("campaign.max_minor", {"left_minor": 120}),
    Why.LIMIT_REACHED: ("campaign.max_count", {"max_count": 2_000}),
    Why.CUSTOMER_LIMIT_REACHED: ("offer.limits[0].max_count", {"max_count": 1}),
    Why.SUSPENDED: ("coupon.activated", {"until": "2026-03-01T14:00:00+01:00"}),
    Why.ONLINE_REQUIRED: ("terminal.offline", {}),
    Why.QUOTA_REACHED: ("terminal.allowance", {}),
    Why.LEASE_EXPIRED: ("terminal.lease", {}),
}
_ABOUT_CODES = frozenset(list(Why)[: list(Why).index(Why.UNCLAIMED)])
