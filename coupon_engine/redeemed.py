"""A redemption as its row and its event tell it, whoever made it: a server, or a terminal alone."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from coupon_engine import desk
from coupon_engine.desk import OnDesk
from coupon_engine.validation.facts import Discount
from schemas.journals import Entry
from schemas.redemptions import NewRedemption, RedemptionState


def row_of(
    operator_id: UUID,
    coupon: OnDesk,
    asked: NewRedemption | Entry,
    discount: Discount,
    *,
    use_no: int,
    store_id: UUID,
    terminal_id: UUID | None,
    hold_id: UUID | None = None,
    decided: RedemptionState,
    limit_keys: list[str],
    evidence: str | None,
    redeemed_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    """Return the row. Its undo window begins now, also where it was redeemed before."""
    row = coupon.row
    return {
        "operator_id": operator_id,
        "id": asked.id,
        "coupon_id": row.id,
        "use_no": use_no,
        "campaign_id": row.campaign_id,
        "batch_id": row.batch_id,
        "offer_id": row.offer_id,
        "customer_id": row.customer_id,
        "store_id": store_id,
        "terminal_id": terminal_id,
        "cashier": asked.cashier,
        "order_ref": asked.order_ref,
        "hold_id": hold_id,
        "redeemed_at": redeemed_at,
        "undo_until": now + timedelta(seconds=coupon.terms.undo_seconds),
        "decided": decided,
        "currency": coupon.campaign.currency,
        "basket_minor": asked.basket.amount_minor if asked.basket else 0,
        "discount_minor": discount.minor,
        "reversed_minor": 0,
        "lines": desk.lines_as_json(discount.lines),
        "limit_keys": limit_keys,
        "evidence": evidence,
    }


def told_of(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what its event says in the coupon's story."""
    return {"redemption_id": row["id"], **{name: row[name] for name in _TOLD}, **more}


_TOLD = (
    "use_no",
    "store_id",
    "terminal_id",
    "cashier",
    "order_ref",
    "basket_minor",
    "discount_minor",
    "currency",
)
