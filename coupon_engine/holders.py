"""Phones whose coupons were spent twice: their keys are suspended until a person has looked.

A terminal without a network cannot know what another one has accepted. Whoever lives on that is
found when the journals come in: each redemption that ends disputed is held against the key that
showed it. Which ones end so does not depend on the order of the journals, so neither does the
count. A person who lifts a suspension forgives what was known by then, and nothing that comes.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.answers import answered
from coupon_engine.errors import HolderSuspended, MoveNotAllowed
from coupon_engine.rows import found, locked, some
from coupon_engine.tables import Coupon, DisputedHolder, Wallet
from schemas.disputes import DisputedHolderView, NewLift
from schemas.ids import new_id

MOST_DISPUTES = 3
"""Once is a line that failed at the wrong moment; three times in a phone's life is a habit."""


def hold_against(
    session: Session, operator_id: UUID, disputed: Mapping[bytes, int], *, now: datetime
) -> None:
    """Count so many disputed redemptions against these keys, and suspend whom that is too many.

    The rows are written in the order of their keys: of two uploads that count against one key at
    once, the second sees what the first has counted.
    """
    if not disputed:
        return
    keys = sorted(disputed)
    counted = session.connection().execute(
        _COUNT,
        {
            "operator_id": operator_id,
            "ids": [new_id(now) for _ in keys],
            "keys": keys,
            "more": [disputed[key] for key in keys],
            "most": MOST_DISPUTES,
            "now": now,
        },
    )
    for row in counted.all():
        before = row.standing - disputed[bytes(row.holder_key)]
        if row.standing >= MOST_DISPUTES > before:
            _tell(session, "holder_suspended", operator_id, row.id, now, disputed=row.count)


@answered(DisputedHolderView)
def lift(
    session: Session, operator_id: UUID, request: NewLift, *, now: datetime
) -> DisputedHolderView:
    """Let a suspended key's coupons work again, until as many more are disputed.

    Raises:
        Unknown: No such key was ever in a dispute.
        MoveNotAllowed: It is not suspended.
    """
    holder = locked(session, DisputedHolder, operator_id, request.holder_id)
    if holder.suspended_at is None:
        raise MoveNotAllowed(state="active", move="lift", allowed=[])
    before = holder.suspended_at
    holder.suspended_at, holder.lifted_at = None, now
    holder.forgiven_count = holder.disputed_count
    session.add(holder)
    session.flush()
    told: dict[str, Any] = {
        "reason": request.reason,
        "before": {"suspended_at": before},
        "after": {"suspended_at": None},
    }
    _tell(session, "holder_lifted", operator_id, holder.id, now, **told)
    return _view(session, holder)


def views(
    session: Session, operator_id: UUID, *, coupon_id: UUID | None, after: UUID | None, most: int
) -> list[DisputedHolderView]:
    """Return the keys that were in disputes, or the one of this coupon.

    Raises:
        Unknown: No such coupon.
    """
    which = None
    if coupon_id:
        key = found(session, Coupon, operator_id, coupon_id).holder_key
        which = col(DisputedHolder.holder_key) == key
    rows = some(session, DisputedHolder, operator_id, which, after=after, most=most)
    return [_view(session, row) for row in rows]


def refuse_suspended(session: Session, coupon: Coupon) -> None:
    """Let pass whatever is bound to no phone, or to one that is not suspended.

    Raises:
        HolderSuspended: Too many redemptions by this phone were disputed.
    """
    if coupon.holder_key is None:
        return
    holder = session.exec(
        select(DisputedHolder)
        .where(
            col(DisputedHolder.operator_id) == coupon.operator_id,
            col(DisputedHolder.holder_key) == coupon.holder_key,
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    if holder is not None and holder.suspended_at is not None:
        raise HolderSuspended


def _view(session: Session, row: DisputedHolder) -> DisputedHolderView:
    wallet_id = session.exec(
        select(Wallet.id).where(
            col(Wallet.operator_id) == row.operator_id,
            col(Wallet.public_key) == row.holder_key,
            col(Wallet.ended_at).is_(None),
        )
    ).one_or_none()
    return DisputedHolderView(
        id=row.id,
        holder_key=urlsafe_b64encode(row.holder_key).decode(),
        wallet_id=wallet_id,
        disputed=row.disputed_count,
        forgiven=row.forgiven_count,
        suspended_at=row.suspended_at,
        lifted_at=row.lifted_at,
    )


def _tell(
    session: Session, kind: str, operator_id: UUID, holder_id: UUID, now: datetime, **data: Any
) -> None:
    events.record(
        session,
        events.happened(
            kind, holder_id, operator_id=operator_id, campaign_id=None, at=now, data=data
        ),
    )


_COUNT = text("""
    INSERT INTO disputed_holder AS known (operator_id, id, holder_key, disputed_count, suspended_at)
    SELECT :operator_id, id, key, more, CASE WHEN more >= :most THEN CAST(:now AS timestamptz) END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS bytea[]), CAST(:more AS int[]))
      AS disputed (id, key, more)
    ORDER BY key
    ON CONFLICT (operator_id, holder_key) DO UPDATE SET
        disputed_count = known.disputed_count + excluded.disputed_count,
        suspended_at = CASE
            WHEN known.suspended_at IS NULL AND :most <=
                known.disputed_count + excluded.disputed_count - known.forgiven_count
            THEN CAST(:now AS timestamptz) ELSE known.suspended_at END
    RETURNING id, holder_key, disputed_count AS count, disputed_count - forgiven_count AS standing
""")
