"""Redeeming: many counters, one transaction, each with its own answer.

    asked before?  ->  lock coupons  ->  judge  ->  lock limits  ->  judge them  ->  write

The locks are taken in one order everywhere (coupons, first-time buyers, receipts, limits; each by
key), so batches wait for each other but never in a ring.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlmodel import Session

from coupon_engine import answers, breaker, bulk, desk, events, leaks, limits, redeemed, rows
from coupon_engine.acting import SYSTEM
from coupon_engine.database import Crossed
from coupon_engine.desk import Desk, OnDesk
from coupon_engine.errors import CouponError, CouponRefused, RequestReused, Unknown
from coupon_engine.tables import (
    Answer,
    Coupon,
    Hold,
    HoldClaim,
    Receipt,
    Redemption,
)
from coupon_engine.validation.ceilings import under
from coupon_engine.validation.facts import Discount
from coupon_engine.validation.judge import judge
from coupon_engine.validation.showing import Shown
from coupon_engine.validation.wording import refusal
from schemas.access import Actor
from schemas.campaigns import Stops
from schemas.redemptions import (
    HoldState,
    NewRedemption,
    RedemptionState,
    RedemptionView,
)
from schemas.refusals import Reason, Refusal, Why

VERB = "redeem"

# `cleared` comes with time, the others by a decision: an upload's, a counter's.
MOVES: Mapping[RedemptionState, frozenset[RedemptionState]] = {
    RedemptionState.PROVISIONAL: frozenset({RedemptionState.ACCEPTED, RedemptionState.DISPUTED}),
    RedemptionState.ACCEPTED: frozenset({RedemptionState.REVERSED, RedemptionState.CLEARED}),
    RedemptionState.DISPUTED: frozenset(),
    RedemptionState.REVERSED: frozenset(),
    RedemptionState.CLEARED: frozenset(),
}
NO_CURRENCY = "XXX"  # ISO 4217 for where none is meant


@dataclass(frozen=True, slots=True)
class Presented:
    """One request, and what its code turned out to be."""

    request: NewRedemption
    shown: Shown
    actor: Actor = SYSTEM  # a batch has many: each is named on its own rows


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one asker: the body of a `RedemptionView`, or the no to raise."""

    body: str | None
    error: CouponError | None


def redeem(
    session: Session, operator_id: UUID, presented: Presented, *, now: datetime
) -> RedemptionView:
    """Spend a coupon: a batch of one.

    Raises:
        CouponRefused: The judge says no; the refusal says why and what would help.
        RequestReused: This id was used for another request.
        Unknown: No such store, or no such terminal in it.
    """
    (outcome,) = redeem_many(session, operator_id, [presented], now=now)
    if outcome.error:
        raise outcome.error
    assert outcome.body is not None
    return RedemptionView.model_validate_json(outcome.body)


def redeem_many(
    session: Session, operator_id: UUID, batch: Sequence[Presented], *, now: datetime
) -> list[Outcome]:
    """Spend coupons of one operator, in the order in which they arrived.

    One no never harms a neighbour. A repeated id gets its first answer before anything is judged,
    a refusal as well. Takes the same handful of statements whatever the size of the batch.

    Raises:
        Crossed: Somebody wrote an answer under one of these ids meanwhile; run again.
    """
    prints = [answers.fingerprint(VERB, each.request) for each in batch]
    earlier = answers.given(session, operator_id, {each.request.id for each in batch})
    outcomes: dict[int, Outcome] = {}
    fresh: dict[UUID, int] = {}
    repeats: list[int] = []
    for at, each in enumerate(batch):
        if first := earlier.get(each.request.id):
            outcomes[at] = _repeated(first, prints[at])
        elif each.request.id in fresh:
            repeats.append(at)
        else:
            fresh[each.request.id] = at

    if fresh:
        asked = {at: batch[at] for at in fresh.values()}
        decided = _decide(session, operator_id, asked, prints, now=now)
        outcomes |= decided
    for at in repeats:
        first_at = fresh[batch[at].request.id]
        same = prints[at] == prints[first_at]
        outcomes[at] = outcomes[first_at] if same else Outcome(None, RequestReused())
    return [outcomes[at] for at in range(len(batch))]


def _decide(
    session: Session,
    operator_id: UUID,
    asked: Mapping[int, Presented],
    prints: Sequence[str],
    *,
    now: datetime,
) -> dict[int, Outcome]:
    table = desk.lay(
        session,
        operator_id,
        [(each.request, each.shown) for each in asked.values()],
        is_locked=True,
    )
    found = {at: _found(table, each, now) for at, each in asked.items()}
    early = _judged_alone(table, asked, found, now=now)
    ceilings = {
        at: table.ceilings(coupon, asked[at].request.store_id, now=now)
        for at, coupon in found.items()
        if isinstance(coupon, OnDesk) and not isinstance(early.get(at), Refusal)
    }
    holds = [each.request.hold_id for each in asked.values() if each.request.hold_id]
    locked = limits.locked(
        session,
        operator_id,
        [ceiling for each in ceilings.values() for ceiling in each],
        now=now,
        holds=holds,
    )

    writing = _Writing(operator_id, table, locked, now)
    outcomes: dict[int, Outcome] = {}
    for at, each in asked.items():
        coupon = found[at]
        if isinstance(coupon, OnDesk):
            verdict = early.get(at) or _judge(table, coupon, each, now=now)
            if isinstance(verdict, Discount):
                facts = locked.facts(ceilings[at], hold_id=_own_hold(each, coupon))
                if reasons := under(facts, verdict.minor):
                    verdict = _no(coupon, reasons, now)
            if isinstance(verdict, Discount):
                outcomes[at] = writing.accept(each, coupon, verdict, ceilings[at], prints[at])
            else:
                outcomes[at] = writing.refuse(each, CouponRefused(verdict), coupon, prints[at])
        else:
            outcomes[at] = writing.refuse(each, coupon, None, prints[at])
    writing.write(session)
    _watch(session, operator_id, found, outcomes, locked, now=now)
    return outcomes


def _watch(
    session: Session,
    operator_id: UUID,
    found: Mapping[int, OnDesk | CouponError],
    outcomes: Mapping[int, Outcome],
    locked: limits.Locked,
    *,
    now: datetime,
) -> None:
    """Sound the alarms. A batch in which all is well sends nothing for it."""
    campaign_of = {
        each.facts.id: each.campaign.id for each in found.values() if isinstance(each, OnDesk)
    }
    again = [
        each.facts.id
        for at, each in found.items()
        if isinstance(each, OnDesk) and _is_spent_again(outcomes[at].error)
    ]
    leaks.notice(session, operator_id, again, campaign_of, now=now)
    for campaign_id, facts in locked.of_campaigns().items():
        if breaker.has_spent_too_fast(facts):
            counted = {
                "minute_minor": facts.minute_minor,
                "most_minor_in_a_minute": facts.max_minor_per_minute,
            }
            stops = Stops.ISSUING_AND_REDEEMING
            breaker.trip(session, operator_id, campaign_id, stops, counted, now=now)


def _is_spent_again(error: CouponError | None) -> bool:
    return isinstance(error, CouponRefused) and error.refusal.code is Why.ALREADY_REDEEMED


def redemption_view(
    session: Session,
    operator_id: UUID,
    redemption_id: UUID,
    *,
    stores: Collection[UUID] | None = None,
    now: datetime,
) -> RedemptionView:
    """Return a redemption as it stands now, which may be after its first answer.

    `stores` are the only ones whose redemptions the asker may see; None means all.

    Raises:
        Unknown: No such redemption, or not for this asker.
    """
    row = rows.found(session, Redemption, operator_id, redemption_id)
    if stores is not None and row.store_id not in stores:
        raise Unknown("redemption", redemption_id)
    coupon = rows.found(session, Coupon, operator_id, row.coupon_id)
    balance_minor = None
    uses_left = coupon.uses - coupon.uses_count
    if coupon.balance_minor is not None:
        balance_minor = coupon.balance_minor - coupon.spent_minor
        uses_left = int(balance_minor > 0)
    return RedemptionView(
        **{name: getattr(row, name) for name in _SHOWN},
        state=state_of(row, now),
        uses_left=uses_left,
        balance_minor=balance_minor,
    )


def state_of(redemption: Redemption, now: datetime) -> RedemptionState:
    """Return what was decided, and what time has made of it."""
    if redemption.reversed_at:
        return RedemptionState.REVERSED
    decided = RedemptionState(redemption.decided)
    if decided is RedemptionState.ACCEPTED and now >= redemption.undo_until:
        return RedemptionState.CLEARED
    return decided


def _repeated(first: answers.Given, fingerprint: str) -> Outcome:
    if first.fingerprint != fingerprint:
        return Outcome(None, RequestReused())
    if first.is_refusal:
        return Outcome(None, answers.error_from(first.body))
    return Outcome(first.body, None)


def _found(table: Desk, each: Presented, now: datetime) -> OnDesk | CouponError:
    try:
        coupon = desk.found(table, each.request, each.shown, now=now)
    except Unknown as unknown:
        return unknown
    return coupon if isinstance(coupon, OnDesk) else CouponRefused(code_refusal(coupon, now=now))


def code_refusal(why: Why, *, now: datetime) -> Refusal:
    """Return the no to a code that names no coupon of ours."""
    reason = Reason(code=why, rule="code", needs={})
    return refusal([reason], currency=NO_CURRENCY, zone="UTC", now=now)


def _judged_alone(
    table: Desk,
    asked: Mapping[int, Presented],
    found: Mapping[int, OnDesk | CouponError],
    *,
    now: datetime,
) -> dict[int, Discount | Refusal]:
    """Judge, before the hot rows are locked, every request that no neighbour can change."""
    things = {
        at: list(_things(asked[at], coupon))
        for at, coupon in found.items()
        if isinstance(coupon, OnDesk)
    }
    shared = Counter(thing for each in things.values() for thing in each)
    return {
        at: _judge(table, coupon, asked[at], now=now)
        for at, coupon in found.items()
        if isinstance(coupon, OnDesk) and all(shared[thing] == 1 for thing in things[at])
    }


def _things(each: Presented, coupon: OnDesk) -> Iterable[object]:
    yield coupon.facts.id
    if coupon.facts.customer_id:
        yield coupon.facts.customer_id
    if each.request.order_ref:
        yield each.request.store_id, each.request.order_ref


def _judge(table: Desk, coupon: OnDesk, each: Presented, *, now: datetime) -> Discount | Refusal:
    return judge(table.case(coupon, each.request, hold_id=each.request.hold_id, now=now))


def _own_hold(each: Presented, coupon: OnDesk) -> UUID | None:
    """Return the hold that keeps this very coupon; another coupon's promise opens nothing."""
    hold_id = each.request.hold_id
    return hold_id if hold_id == coupon.facts.held_by else None


def _no(coupon: OnDesk, reasons: Sequence[Reason], now: datetime) -> Refusal:
    campaign = coupon.campaign
    return refusal(reasons, currency=campaign.currency, zone=campaign.zone, now=now)


class _Writing:
    """All rows of one batch, gathered while it is judged and written in one statement."""

    def __init__(
        self, operator_id: UUID, table: Desk, locked: limits.Locked, now: datetime
    ) -> None:
        self._operator_id = operator_id
        self._table = table
        self._locked = locked
        self._now = now
        self._redemptions: list[dict[str, Any]] = []
        self._use_nos: dict[UUID, int] = {}
        self._answers: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._committed_holds: list[UUID] = []

    def accept(
        self,
        each: Presented,
        coupon: OnDesk,
        discount: Discount,
        ceilings: Sequence[limits.Ceiling],
        fingerprint: str,
    ) -> Outcome:
        request, row = each.request, coupon.row
        use_no = 1 + (self._use_nos[row.id] if row.id in self._use_nos else int(row.last_use_no))
        self._use_nos[row.id] = use_no
        hold_id = _own_hold(each, coupon)
        if hold_id:
            self._committed_holds.append(hold_id)
        self._locked.take(ceilings, discount.minor, hold_id=hold_id)
        self._table.accept(coupon, request, discount, redemption_id=request.id)

        redemption = redeemed.row_of(
            self._operator_id,
            coupon,
            request,
            discount,
            use_no=use_no,
            store_id=request.store_id,
            terminal_id=request.terminal_id,
            hold_id=hold_id,
            decided=RedemptionState.ACCEPTED,
            limit_keys=[each.key for each in ceilings],
            evidence=each.shown.evidence,
            redeemed_at=self._now,
            now=self._now,
        )
        self._redemptions.append(redemption)
        self._events.append(
            events.happened(
                "coupon_redeemed",
                row.id,
                operator_id=self._operator_id,
                campaign_id=row.campaign_id,
                at=self._now,
                actor=each.actor,
                data=redeemed.told_of(redemption),
            )
        )
        body = body_of(redemption, coupon)
        self._answer(request, fingerprint, body, is_refusal=False)
        return Outcome(body, None)

    def refuse(
        self, each: Presented, error: CouponError, coupon: OnDesk | None, fingerprint: str
    ) -> Outcome:
        error.is_answered = True
        self._answer(each.request, fingerprint, answers.body_of(error), is_refusal=True)
        if coupon and isinstance(error, CouponRefused):
            self._events.append(
                events.happened(
                    "redemption_refused",
                    coupon.row.id,
                    operator_id=self._operator_id,
                    campaign_id=coupon.row.campaign_id,
                    at=self._now,
                    actor=each.actor,
                    data={
                        "request_id": each.request.id,
                        "code": error.refusal.code,
                        "store_id": each.request.store_id,
                        "terminal_id": each.request.terminal_id,
                        "cashier": each.request.cashier,
                    },
                )
            )
        return Outcome(None, error)

    def _answer(
        self, request: NewRedemption, fingerprint: str, body: str, *, is_refusal: bool
    ) -> None:
        self._answers.append(
            {
                "operator_id": self._operator_id,
                "id": request.id,
                "verb": VERB,
                "fingerprint": fingerprint,
                "is_refusal": is_refusal,
                "body": body,
                "at": self._now,
            }
        )

    def write(self, session: Session) -> None:
        self._answers.sort(key=lambda row: row["id"])
        written = bulk.write(
            session,
            self._locked.changes(),
            bulk.Update(Coupon, self._coupons()),
            bulk.Insert(Redemption, self._redemptions),
            *self._receipts(),
            *self._holds(),
            *events.changes(self._events),
            bulk.Insert(Answer, self._answers, unless_there=True),
        )
        if written != len(self._answers):
            raise Crossed

    def _coupons(self) -> list[dict[str, Any]]:
        coupons = self._table.coupons
        return [
            {
                "operator_id": self._operator_id,
                "id": id,
                "uses_count": coupons[id].facts.uses_count,
                "last_use_no": use_no,
                "spent_minor": coupons[id].facts.spent_minor,
                "last_redeemed_at": self._now,
                "held_by": None,
                "held_until": None,
            }
            for id, use_no in sorted(self._use_nos.items())
        ]

    def _receipts(self) -> Iterable[bulk.Change]:
        touched = {
            key: receipt for key, receipt in self._table.receipts.items() if receipt.is_touched
        }
        rows = [
            (
                receipt.is_new,
                {
                    "operator_id": self._operator_id,
                    "store_id": store_id,
                    "order_ref": order_ref,
                    "currency": receipt.currency,
                    "basket_hash": receipt.basket_hash,
                    "basket_minor": receipt.basket_minor,
                    "discount_minor": receipt.discount_minor,
                    "applied": desk.applied_as_json(receipt.applied),
                },
            )
            for (store_id, order_ref), receipt in sorted(touched.items())
        ]
        yield bulk.Insert(
            Receipt, [{**row, "created_at": self._now} for is_new, row in rows if is_new]
        )
        yield bulk.Update(
            Receipt,
            [row for is_new, row in rows if not is_new],
            key=("operator_id", "store_id", "order_ref"),
        )

    def _holds(self) -> Iterable[bulk.Change]:
        rows = [
            {"operator_id": self._operator_id, "id": id, "decided": HoldState.COMMITTED}
            for id in self._committed_holds
        ]
        claims = [{"operator_id": self._operator_id, "hold_id": id} for id in self._committed_holds]
        yield bulk.Update(Hold, rows)
        yield bulk.Delete(HoldClaim, claims, key=("operator_id", "hold_id"))


def body_of(redemption: Mapping[str, Any], coupon: OnDesk) -> str:
    """Return the answer to whoever asked: the row as written, and what the coupon has left.

    It is what a `RedemptionView` of these would write, without checking everything once more.
    """
    uses_left, balance_minor = desk.left_of(coupon)
    shown = {
        **redemption,
        "state": RedemptionState.ACCEPTED,
        "uses_left": uses_left,
        "balance_minor": balance_minor,
    }
    return to_json({name: shown[name] for name in RedemptionView.model_fields}).decode()


_SHOWN = [
    name
    for name in RedemptionView.model_fields
    if name not in ("state", "uses_left", "balance_minor")
]
