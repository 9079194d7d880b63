"""Ways in for programs. Only a person who owns the place makes or closes one."""

from fastapi import APIRouter, status

from api.deps import Looking, OpenNow, OperatorId, Transaction
from api.problems import can_fail_with
from coupon_engine import api_keys
from coupon_engine.errors import RequestReused, TooManyKeys, Unknown
from schemas.api_keys import ApiKeyMade, ApiKeyView, NewApiKey, NewApiKeyRevocation

router = APIRouter(tags=["API keys"])


@router.post(
    "/api-keys",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, TooManyKeys, Unknown),
)
def make_api_key(
    request: NewApiKey, session: Transaction, operator_id: OperatorId, now: OpenNow
) -> ApiKeyMade:
    """Make a key. It is in this answer and never again, not even for a repeat of the same id."""
    return api_keys.make_api_key(session, operator_id, request, now=now)


@router.get("/api-keys", responses=can_fail_with())
def every_api_key(session: Looking, operator_id: OperatorId) -> list[ApiKeyView]:
    """Every key there ever was, the sandbox's as well. None is shown."""
    return api_keys.api_key_views(session, operator_id)


@router.post(
    "/api-key-revocations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def revoke(
    request: NewApiKeyRevocation, session: Transaction, operator_id: OperatorId, now: OpenNow
) -> ApiKeyView:
    """Close a way in, for good. Servers that know the key forget it within seconds."""
    return api_keys.revoke(session, operator_id, request, now=now)
