"""What the world may see without a key: the public halves of all signing keys."""

from typing import Any

from fastapi import APIRouter

from api.deps import WorldLooking
from api.problems import can_break
from coupon_engine import keys
from coupon_engine.errors import Busy

router = APIRouter(prefix="/.well-known", tags=["Keys"])


@router.get("/jwks.json", responses=can_break(Busy))
def jwks(session: WorldLooking) -> dict[str, list[dict[str, Any]]]:
    """Every public key that still verifies coupons (RFC 7517)."""
    return keys.jwks(session)
