"""What the world may see without a key: the public halves of all signing keys."""

from typing import Any

from fastapi import APIRouter

from api.deps import Looking
from coupon_engine import keys

router = APIRouter(prefix="/.well-known", tags=["Keys"])


@router.get("/jwks.json")
def jwks(session: Looking) -> dict[str, list[dict[str, Any]]]:
    """Every public key that still verifies coupons (RFC 7517)."""
    return keys.jwks(session)
