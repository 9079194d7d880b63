"""The operator's signing keys."""

from fastapi import APIRouter, status

from api.deps import ForgetRing, Looking, Now, OperatorId, Passphrase, Transaction
from api.problems import can_fail_with
from coupon_engine import keys
from coupon_engine.errors import (
    KeyTooYoung,
    MoveNotAllowed,
    NoFreeLetter,
    RequestReused,
    Unknown,
)
from schemas.keys import KeyView, NewKey, NewKeyMove

router = APIRouter(tags=["Keys"])


@router.post(
    "/keys",
    status_code=status.HTTP_201_CREATED,
    dependencies=[ForgetRing],
    responses=can_fail_with(RequestReused, NoFreeLetter),
)
def publish(
    request: NewKey,
    session: Transaction,
    operator_id: OperatorId,
    passphrase: Passphrase,
    now: Now,
) -> KeyView:
    """Make a key and let the world know it. Nothing is signed with it yet."""
    return keys.publish(session, operator_id, request, passphrase=passphrase, now=now)


@router.get("/keys", responses=can_fail_with())
def all_keys(session: Looking, operator_id: OperatorId) -> list[KeyView]:
    return keys.key_views(session, operator_id)


@router.post(
    "/key-moves",
    status_code=status.HTTP_201_CREATED,
    dependencies=[ForgetRing],
    responses=can_fail_with(RequestReused, Unknown, MoveNotAllowed, KeyTooYoung),
)
def decide_key(
    request: NewKeyMove, session: Transaction, operator_id: OperatorId, now: Now
) -> KeyView:
    """Take a key into use, stop signing with it, or retire it for good."""
    return keys.decide_key(session, operator_id, request, now=now)
