"""Batches: counted lots of one offer version."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from api.deps import CodeSecret, Keys, Looking, Now, OperatorId, Page, Paging, Transaction
from api.problems import can_fail_with
from coupon_engine import batches, printing
from coupon_engine.drawing import CannotPrint
from coupon_engine.errors import (
    CouponNotUsable,
    HolderKeyRequired,
    MoveNotAllowed,
    NoSigningKey,
    OfferSuperseded,
    RequestReused,
    TermsMismatch,
    Unknown,
)
from coupon_engine.validation.token_refused import LiveCodeRequired
from schemas.campaigns import BatchView, NewBatch, NewBatchMove
from schemas.money import Language

router = APIRouter(tags=["Batches"])


@router.post(
    "/batches",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, OfferSuperseded, TermsMismatch),
)
def create_batch(
    request: NewBatch, session: Transaction, operator_id: OperatorId, now: Now
) -> BatchView:
    return batches.create_batch(session, operator_id, request, now=now)


class BatchPage(Page):
    """Which batches."""

    campaign_id: UUID | None = None


@router.get("/batches", responses=can_fail_with())
def all_batches(
    page: Annotated[BatchPage, Query()], session: Looking, operator_id: OperatorId, now: Now
) -> list[BatchView]:
    return batches.batch_views(session, operator_id, **page.model_dump(), now=now)


@router.get("/batches/{batch_id}", responses=can_fail_with(Unknown))
def one_batch(batch_id: UUID, session: Looking, operator_id: OperatorId, now: Now) -> BatchView:
    return batches.batch_view(session, operator_id, batch_id, now=now)


@router.get(
    "/batches/{batch_id}/sheet.pdf",
    response_class=Response,
    responses={
        200: {"content": {"application/pdf": {}}},
        **can_fail_with(
            Unknown,
            NoSigningKey,
            CouponNotUsable,
            HolderKeyRequired,
            LiveCodeRequired,
            CannotPrint,
        ),
    },
)
def sheet(
    batch_id: UUID,
    page: Paging,
    session: Looking,
    operator_id: OperatorId,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
    language: Language = "en",
) -> Response:
    """Coupons to print and cut up, eight to an A4 page."""
    pdf = printing.sheet(
        session,
        operator_id,
        batch_id,
        keys,
        language=language,
        after=page.after,
        most=page.most,
        code_secret=code_secret,
        now=now,
    )
    return Response(pdf, media_type="application/pdf")


@router.post(
    "/batch-moves",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown, MoveNotAllowed),
)
def decide_batch(
    request: NewBatchMove, session: Transaction, operator_id: OperatorId, now: Now
) -> BatchView:
    """Pause, resume, close or revoke. Coupons that are out stay valid unless told not to."""
    return batches.decide_batch(session, operator_id, request, now=now)
