"""Reversing: a redemption taken back, exactly, until its undo window closes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import acting, desk, events, limits
from coupon_engine.answers import answered
from coupon_engine.coupons import is_used_up
from coupon_engine.errors import (
    AlreadyReversed,
    LineUnknown,
    NotAllowed,
    SecondPersonNeeded,
    StillProvisional,
    UndoWindowClosed,
    Unknown,
)
from coupon_engine.redemption import MOVES, state_of
from coupon_engine.rows import found, locked
from coupon_engine.tables import Coupon, Event, Receipt, Redemption, Reversal
from schemas.access import Actor, ActorKind
from schemas.baskets import LineDiscount
from schemas.redemptions import NewReversal, RedemptionState, ReversalView

# More than this, of one redemption, takes two people: who gave it and who takes it back.
VOID_ALONE_MINOR = 5_000


@answered(ReversalView)
def reverse(
    session: Session,
    operator_id: UUID,
    request: NewReversal,
    *,
    store_ids: frozenset[UUID] | None = None,
    now: datetime,
) -> ReversalView:
    """Take a redemption back, whole or by line. Nothing is spread again over the lines that stay.

    Money returns to the very limits it came from. When the last of the discount is back, the use
    returns as well: the coupon works again while it is in date.

    `store_ids` are the stores that the asker is tied to, if any. A terminal's cashier is named by
    their shift, a person by their sign-in; a program may tell who it was.

    Raises:
        Unknown: No such redemption, or in another store.
        NotAllowed: Another cashier is named.
        StillProvisional: A terminal made it alone, and it is not decided whether it counts.
        UndoWindowClosed: It has cleared, or it was disputed; only an adjustment can correct it now.
        AlreadyReversed: All of it, or one of these lines, was taken back before.
        LineUnknown: The redemption gave nothing on one of these lines.
        SecondPersonNeeded: So much is taken back by somebody else than whoever redeemed it.
    """
    redemption = found(session, Redemption, operator_id, request.redemption_id)
    if store_ids is not None and redemption.store_id not in store_ids:
        raise Unknown("redemption", redemption.id)
    coupon = locked(session, Coupon, operator_id, redemption.coupon_id)
    redemption = locked(session, Redemption, operator_id, request.redemption_id)
    state = state_of(redemption, now)
    if state is RedemptionState.REVERSED:
        raise AlreadyReversed
    if state is RedemptionState.PROVISIONAL:
        raise StillProvisional
    if RedemptionState.REVERSED not in MOVES[state]:
        raise UndoWindowClosed(redemption.undo_until)

    lines = _lines_to_return(session, redemption, request.lines)
    minor = (
        redemption.discount_minor - redemption.reversed_minor
        if request.lines is None
        else sum(line.discount_minor for line in lines)
    )
    redemption.reversed_minor += minor
    actor = acting.actor_of(session)
    cashier = _named(actor, request.cashier)
    if redemption.reversed_minor > VOID_ALONE_MINOR and not _is_somebody_else(
        session, redemption, actor, cashier
    ):
        raise SecondPersonNeeded(alone_minor=VOID_ALONE_MINOR)
    is_whole = redemption.reversed_minor == redemption.discount_minor
    if is_whole:
        redemption.reversed_at = now
    if coupon.balance_minor is not None:
        coupon.spent_minor -= minor
    elif is_whole:
        coupon.uses_count -= 1
    reversal = Reversal(
        operator_id=operator_id,
        id=request.id,
        redemption_id=redemption.id,
        reversed_at=now,
        reason=request.reason,
        cashier=cashier,
        lines=desk.lines_as_json(lines),
        discount_minor=minor,
        is_whole=is_whole,
    )
    session.add_all([coupon, redemption, reversal])
    session.flush()
    _return_to_receipt(session, redemption, lines, minor, is_whole=is_whole)
    limits.give_back(session, operator_id, redemption.limit_keys, count=int(is_whole), minor=minor)
    _tell(session, reversal, redemption, now)
    return ReversalView(
        id=reversal.id,
        redemption_id=redemption.id,
        coupon_id=coupon.id,
        reversed_at=now,
        reason=reversal.reason,
        cashier=reversal.cashier,
        lines=tuple(lines),
        discount_minor=minor,
        currency=redemption.currency,
        is_whole=is_whole,
        coupon_is_usable=coupon.revoked_at is None
        and now < coupon.valid_until
        and not is_used_up(coupon),
    )


def _named(actor: Actor, told: str | None) -> str | None:
    match actor.kind:
        case ActorKind.TERMINAL:
            own = actor.cashier
        case ActorKind.PERSON:
            own = actor.name
        case _:
            return told
    if told not in (None, own):
        raise NotAllowed
    return own


def _is_somebody_else(
    session: Session, redemption: Redemption, actor: Actor, cashier: str | None
) -> bool:
    """Is it certain that two people are at work? One name at two desks is taken for one person.

    A terminal where nobody has signed in is nobody. A program that names no cashier acts by
    itself; where it names one, the name counts.
    """
    event = session.exec(
        select(Event).where(
            col(Event.operator_id) == redemption.operator_id,
            col(Event.subject_id) == redemption.coupon_id,
            col(Event.kind).in_(("coupon_redeemed", "redeemed_offline")),
            col(Event.data)["redemption_id"].astext == str(redemption.id),
        )
    ).one()
    redeemed_by = Actor.model_validate(event.actor)
    redeemed_by_nobody = redeemed_by.kind is ActorKind.TERMINAL and redemption.cashier is None
    if actor.kind is ActorKind.TERMINAL and (cashier is None or redeemed_by_nobody):
        return False
    return _names(actor, cashier).isdisjoint(_names(redeemed_by, redemption.cashier))


def _names(actor: Actor, cashier: str | None) -> set[str]:
    """Return the people behind an act, by account and by name."""
    names = {cashier.casefold()} if cashier else set[str]()
    if actor.kind is ActorKind.PERSON:
        names |= {actor.id, actor.name.casefold()}
    return names


def _lines_to_return(
    session: Session, redemption: Redemption, wanted: Sequence[int] | None
) -> list[LineDiscount]:
    given = {line.line: line for line in desk.lines_from_json(redemption.lines)}
    back = {
        line.line
        for earlier in session.exec(
            select(Reversal).where(
                col(Reversal.operator_id) == redemption.operator_id,
                col(Reversal.redemption_id) == redemption.id,
            )
        )
        for line in desk.lines_from_json(earlier.lines)
    }
    if wanted is None:
        return [line for number, line in given.items() if number not in back]
    if unknown := [number for number in wanted if number not in given]:
        raise LineUnknown(lines=unknown)
    if twice := [number for number in wanted if number in back]:
        raise AlreadyReversed(lines=twice)
    return [given[number] for number in wanted]


def _return_to_receipt(
    session: Session,
    redemption: Redemption,
    lines: Sequence[LineDiscount],
    minor: int,
    *,
    is_whole: bool,
) -> None:
    """Let coupons of the same basket that come later see what is left of this one."""
    if redemption.order_ref is None:
        return
    receipt = session.get(
        Receipt,
        (redemption.operator_id, redemption.store_id, redemption.order_ref),
        with_for_update={"key_share": True},
        populate_existing=True,
    )
    if receipt is None:
        return
    back = {line.line for line in lines}
    receipt.discount_minor -= minor
    receipt.applied = [
        {
            **each,
            "discount_minor": each["discount_minor"] - minor,
            "lines": [line for line in each["lines"] if line["line"] not in back],
        }
        if each["redemption_id"] == str(redemption.id)
        else each
        for each in receipt.applied
        if not (is_whole and each["redemption_id"] == str(redemption.id))
    ]
    session.add(receipt)
    session.flush()


def _tell(session: Session, reversal: Reversal, redemption: Redemption, now: datetime) -> None:
    events.record(
        session,
        events.happened(
            "redemption_reversed",
            redemption.coupon_id,
            operator_id=redemption.operator_id,
            campaign_id=redemption.campaign_id,
            at=now,
            data={
                "reversal_id": reversal.id,
                "redemption_id": redemption.id,
                "reason": reversal.reason,
                "cashier": reversal.cashier,
                "discount_minor": reversal.discount_minor,
                "is_whole": reversal.is_whole,
            },
        ),
    )
