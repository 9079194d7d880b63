"""Looking: would these coupons work? Nothing is locked, nothing is written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlmodel import Session

from coupon_engine import desk, limits
from coupon_engine.desk import Desk, OnDesk
from coupon_engine.errors import Unknown
from coupon_engine.redemption import code_refusal
from coupon_engine.validation.ceilings import under
from coupon_engine.validation.facts import Discount
from coupon_engine.validation.judge import judge
from coupon_engine.validation.showing import Shown
from coupon_engine.validation.wording import refusal
from schemas.redemptions import (
    Acceptance,
    AtCounter,
    NewValidation,
    Refused,
    ValidationView,
    Verdict,
)
from schemas.refusals import Refusal, Why

# All coupons of one question share a basket, whether or not the till has numbered it.
_UNNUMBERED = "this basket"


def validate(
    session: Session,
    operator_id: UUID,
    request: NewValidation,
    shown: Sequence[Shown],
    *,
    now: datetime,
) -> ValidationView:
    """Say what each coupon would take off this basket, in the order in which to redeem them.

    `shown` are the request's codes, read, in their order. A yes is no promise: that is a hold.

    Raises:
        Unknown: No such store.
    """
    asks = [
        (
            AtCounter(
                code=code,
                store_id=request.store_id,
                basket=request.basket,
                order_ref=request.order_ref or (_UNNUMBERED if request.basket else None),
                spend_minor=request.spend_minor,
            ),
            each,
        )
        for code, each in zip(request.codes, shown, strict=True)
    ]
    table = desk.lay(session, operator_id, asks, is_locked=False)
    if request.store_id not in table.stores:
        raise Unknown("store", request.store_id)
    found = [(ask, table.find(each, now=now)) for ask, each in asks]
    verdicts: list[Verdict] = [
        Refused(coupon_id=None, refusal=code_refusal(each, now=now))
        for _, each in found
        if isinstance(each, Why)
    ]
    coupons = [(ask, each) for ask, each in found if isinstance(each, OnDesk)]
    coupons.sort(key=lambda one: one[1].terms.conditions.stacking_order)
    verdicts = [
        *(_verdict(session, table, ask, coupon, now=now) for ask, coupon in coupons),
        *verdicts,
    ]
    total = sum(each.discount_minor for each in verdicts if isinstance(each, Acceptance))
    return ValidationView(verdicts=tuple(verdicts), discount_minor=total)


def _verdict(
    session: Session, table: Desk, ask: AtCounter, coupon: OnDesk, *, now: datetime
) -> Verdict:
    verdict = judge(table.case(coupon, ask, hold_id=None, now=now))
    if isinstance(verdict, Discount):
        ceilings = table.ceilings(coupon, ask.store_id, now=now)
        standing = limits.seen(session, table.operator_id, ceilings, now=now)
        if reasons := under(standing, verdict.minor):
            verdict = refusal(
                reasons, currency=coupon.campaign.currency, zone=coupon.campaign.zone, now=now
            )
    if isinstance(verdict, Refusal):
        return Refused(coupon_id=coupon.row.id, refusal=verdict)
    table.accept(coupon, ask, verdict, redemption_id=uuid4())
    return acceptance(coupon, verdict)


def acceptance(coupon: OnDesk, discount: Discount) -> Acceptance:
    """Return the yes: what the coupon gives, and what it has left after."""
    uses_left, balance_minor = desk.left_of(coupon)
    return Acceptance(
        coupon_id=coupon.row.id,
        offer_id=coupon.row.offer_id,
        title=coupon.terms.title,
        discount_minor=discount.minor,
        currency=coupon.campaign.currency,
        lines=discount.lines,
        uses_left=uses_left,
        balance_minor=balance_minor,
    )
