"""Coupons: given out, claimed, looked at, shown, handed on, withdrawn."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from api.asking import guesses
from api.asking.access import row_of
from api.asking.who import Asking
from api.deps import CodeSecret, Keys, Looking, Now, OperatorId, Page, Reading, Transaction
from api.problems import can_fail_with
from coupon_engine import coupons, finding, issuing, printing
from coupon_engine.errors import (
    BatchExhausted,
    ClaimLimitReached,
    CouponNotUsable,
    CouponTaken,
    HolderKeyInvalid,
    HolderKeyRequired,
    HolderSuspended,
    NoSigningKey,
    NotAllowed,
    NotIssuing,
    PasscodeNeeded,
    RequestReused,
    TermsMismatch,
    TooManyHolderKeys,
    Unknown,
)
from coupon_engine.validation.token_refused import LiveCodeRequired
from schemas.coupons import (
    CouponView,
    IssuedView,
    NewClaim,
    NewCoupon,
    NewCoupons,
    NewHolderKey,
    NewRevocation,
    NewTransfer,
    Sought,
    StoryView,
    TokenView,
)

router = APIRouter(tags=["Coupons"])

_ISSUE = (
    RequestReused,
    Unknown,
    NotIssuing,
    BatchExhausted,
    ClaimLimitReached,
    HolderKeyRequired,
    HolderKeyInvalid,
)
_SHOW = (Unknown, NoSigningKey, CouponNotUsable, HolderSuspended, HolderKeyRequired)


async def code_secret_for(caller: Asking, code_secret: CodeSecret, now: Now) -> bytes | None:
    """Return the secret of short codes for those who may show a coupon, and None for readers.

    A short code spends a coupon as its token does, so it is told to the same people.
    """
    try:
        caller.check(row_of("GET", "/coupons/{coupon_id}/token"), now=now)
    except NotAllowed:
        return None
    return code_secret


ReadersSecret = Annotated[bytes | None, Depends(code_secret_for)]


@router.post(
    "/coupons",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(*_ISSUE),
)
def issue(
    request: NewCoupon,
    session: Transaction,
    operator_id: OperatorId,
    code_secret: CodeSecret,
    now: Now,
) -> CouponView:
    """Issue one coupon of a batch."""
    return issuing.issue(session, operator_id, request, code_secret=code_secret, now=now)


@router.post(
    "/issues",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        RequestReused, Unknown, NotIssuing, BatchExhausted, ClaimLimitReached, TermsMismatch
    ),
)
def issue_many(
    request: NewCoupons,
    session: Transaction,
    operator_id: OperatorId,
    code_secret: CodeSecret,
    now: Now,
) -> IssuedView:
    """Issue many coupons of a batch, all or none."""
    return issuing.issue_many(session, operator_id, request, code_secret=code_secret, now=now)


@router.post(
    "/claims",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(*_ISSUE, CouponTaken, CouponNotUsable, TermsMismatch),
)
def claim(
    request: NewClaim,
    session: Transaction,
    reader: Reading,
    code_secret: CodeSecret,
    now: Now,
) -> CouponView:
    """A customer takes a coupon: a fresh one, or the one whose short code they have."""
    operator_id = reader.caller.operator_id
    with guesses.watched_text(reader.door, reader.caller, request.short_code, request.id):
        return issuing.claim(session, operator_id, request, code_secret=code_secret, now=now)


@router.post(
    "/revocations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, CouponNotUsable),
)
def revoke(
    request: NewRevocation,
    session: Transaction,
    operator_id: OperatorId,
    code_secret: CodeSecret,
    now: Now,
) -> CouponView:
    """Withdraw a coupon for good. What was redeemed before stays redeemed."""
    return coupons.revoke(session, operator_id, request, code_secret=code_secret, now=now)


@router.post(
    "/transfers",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        RequestReused,
        Unknown,
        CouponTaken,
        CouponNotUsable,
        HolderSuspended,
        HolderKeyRequired,
        HolderKeyInvalid,
    ),
)
def transfer(
    request: NewTransfer,
    session: Transaction,
    operator_id: OperatorId,
    code_secret: CodeSecret,
    now: Now,
) -> CouponView:
    """Hand a coupon on to another customer."""
    return coupons.transfer(session, operator_id, request, code_secret=code_secret, now=now)


@router.post(
    "/holder-keys",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        RequestReused,
        Unknown,
        CouponTaken,
        CouponNotUsable,
        HolderSuspended,
        TooManyHolderKeys,
        PasscodeNeeded,
        HolderKeyInvalid,
    ),
)
def rebind(
    request: NewHolderKey,
    session: Transaction,
    operator_id: OperatorId,
    code_secret: CodeSecret,
    now: Now,
) -> CouponView:
    """Bind a coupon to another phone."""
    return coupons.rebind(session, operator_id, request, code_secret=code_secret, now=now)


class CouponPage(Page, Sought):
    """Which coupons, and where the list goes on."""


@router.get("/coupons", responses=can_fail_with(Unknown))
def all_coupons(
    page: Annotated[CouponPage, Query()],
    session: Looking,
    reader: Reading,
    code_secret: ReadersSecret,
    now: Now,
) -> list[CouponView]:
    """Coupons as they stand. A short code that nobody has is a guess, and counted as one."""
    with guesses.watched_text(reader.door, reader.caller, page.short_code, None):
        return finding.found_coupons(
            session,
            reader.caller.operator_id,
            Sought(**page.model_dump(exclude={"after", "most"})),
            after=page.after,
            most=page.most,
            code_secret=code_secret,
            now=now,
        )


@router.get("/coupons/{coupon_id}", responses=can_fail_with(Unknown))
def one_coupon(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    code_secret: ReadersSecret,
    now: Now,
) -> CouponView:
    return coupons.coupon_view(session, operator_id, coupon_id, code_secret=code_secret, now=now)


@router.get("/coupons/{coupon_id}/story", responses=can_fail_with(Unknown))
def story(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    code_secret: ReadersSecret,
    now: Now,
) -> StoryView:
    """Everything that happened to a coupon, oldest first."""
    return coupons.story(session, operator_id, coupon_id, code_secret=code_secret, now=now)


@router.get("/coupons/{coupon_id}/token", responses=can_fail_with(*_SHOW))
def token(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
) -> TokenView:
    """Sign the coupon for a phone. Each call signs anew; all of them are the same coupon."""
    return coupons.token(session, operator_id, coupon_id, keys, code_secret=code_secret, now=now)


@router.get(
    "/coupons/{coupon_id}/qr.png",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}}},
        **can_fail_with(*_SHOW, LiveCodeRequired),
    },
)
def qr_png(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
) -> Response:
    """The code as a picture for a screen. A coupon bound to a phone is drawn by the phone."""
    picture = printing.qr_png(
        session, operator_id, coupon_id, keys, code_secret=code_secret, now=now
    )
    return Response(picture, media_type="image/png")


@router.get(
    "/coupons/{coupon_id}/qr.svg",
    response_class=Response,
    responses={
        200: {"content": {"image/svg+xml": {}}},
        **can_fail_with(*_SHOW, LiveCodeRequired),
    },
)
def qr_svg(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
) -> Response:
    """The code as a drawing of any size."""
    drawing = printing.qr_svg(
        session, operator_id, coupon_id, keys, code_secret=code_secret, now=now
    )
    return Response(drawing, media_type="image/svg+xml")
