"""The facts of one batch of requests at the counters, gathered in as many statements as kinds.

A desk is laid once for a batch. What is accepted at it changes the facts for the requests after,
so two requests for one coupon in one batch are judged like two that came an hour apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import bulk, limits
from coupon_engine.errors import Unknown
from coupon_engine.offers import terms_of
from coupon_engine.validation.discounts import takes_units
from coupon_engine.validation.facts import (
    Applied,
    CampaignFacts,
    Case,
    CouponFacts,
    CustomerFacts,
    Discount,
    StoreFacts,
)
from coupon_engine.validation.showing import Shown
from schemas.baskets import Basket, LineDiscount
from schemas.campaigns import CampaignState, Stops
from schemas.offers import LimitOf, LimitRule, Terms
from schemas.redemptions import AtCounter
from schemas.refusals import Why

LOCK_COUPONS = "FOR NO KEY UPDATE OF coupon"
LOCK_RECEIPTS = "FOR NO KEY UPDATE OF receipt"

ReceiptKey = tuple[UUID, str]


@dataclass(slots=True)
class OnDesk:
    """One coupon with all that belongs to it."""

    row: Any  # as `_COUPONS` selects it
    facts: CouponFacts
    campaign: CampaignFacts
    terms: Terms
    campaign_limits: tuple[LimitRule, ...]


@dataclass(slots=True)
class OpenReceipt:
    """A basket that coupons share."""

    currency: str
    basket_hash: str
    basket_minor: int
    discount_minor: int
    applied: tuple[Applied, ...]
    is_new: bool
    is_touched: bool = False


class Desk:
    """What the record says about the coupons, places, people and baskets of a batch."""

    def __init__(
        self,
        operator_id: UUID,
        coupons: dict[UUID, OnDesk],
        by_code: dict[bytes, UUID],
        stores: dict[UUID, StoreFacts],
        terminals: set[tuple[UUID, UUID]],
        customers: dict[UUID, CustomerFacts],
        receipts: dict[ReceiptKey, OpenReceipt],
    ) -> None:
        self.operator_id = operator_id
        self.coupons = coupons
        self.stores = stores
        self.terminals = terminals
        self.receipts = receipts
        self._by_code = by_code
        self._customers = customers

    def find(self, shown: Shown, *, now: datetime) -> OnDesk | Why:
        """Return the coupon that was shown, or why the record does not know it so."""
        if shown.refused is not None:
            return shown.refused
        if shown.code_hash is not None:
            coupon_id = self._by_code.get(shown.code_hash)
            if coupon_id is None:
                return Why.SHORT_CODE_UNKNOWN
            return _unless_given(self.coupons[coupon_id], now)
        assert shown.coupon_id is not None
        coupon = self.coupons.get(shown.coupon_id)
        if coupon is None or coupon.row.number != shown.campaign_number:
            return Why.COUPON_UNKNOWN
        if coupon.row.holder_key != shown.holder_key:
            # Bound to another phone since, or bound at all: the older code has had its day.
            return Why.LIVE_CODE_REQUIRED if shown.holder_key is None else Why.SUPERSEDED
        if shown.position not in (None, coupon.row.position, coupon.row.activated_position):
            return Why.SUPERSEDED  # handed on since
        return _unless_given(coupon, now)

    def case(self, coupon: OnDesk, ask: AtCounter, *, hold_id: UUID | None, now: datetime) -> Case:
        """Return everything the judge may know of this request."""
        receipt = self.receipts.get((ask.store_id, ask.order_ref)) if ask.order_ref else None
        changed = (
            receipt is not None
            and bool(receipt.applied)
            and ask.basket is not None
            and receipt.basket_hash != basket_hash(ask.basket)
        )
        customer_id = coupon.facts.customer_id
        return Case(
            coupon=coupon.facts,
            campaign=coupon.campaign,
            offer_id=coupon.row.offer_id,
            terms=coupon.terms,
            store=self.stores[ask.store_id],
            customer=self._customers.get(customer_id) if customer_id else None,
            basket=ask.basket,
            applied=receipt.applied if receipt else (),
            spend_minor=ask.spend_minor,
            hold_id=hold_id,
            now=now,
            has_basket_changed=changed,
        )

    def ceilings(self, coupon: OnDesk, store_id: UUID, *, now: datetime) -> list[limits.Ceiling]:
        """Return every limit that one use of this coupon at this store comes under."""
        row, zone = coupon.row, coupon.campaign.zone
        ceilings = [limits.of_campaign(row.campaign_id, LimitOf.REDEEM)]
        if row.batch_is_limited:
            ceilings.append(limits.of_batch(row.batch_id, row.campaign_id, LimitOf.REDEEM))
        if row.customer_id:
            ceilings.append(
                limits.of_customer(row.campaign_id, row.customer_id, row.max_per_customer)
            )
        for place, owner_id, rules in (
            ("campaign", row.campaign_id, coupon.campaign_limits),
            ("offer", row.family_id, coupon.terms.limits),
        ):
            if rules:
                ceilings += limits.of_rules(
                    rules,
                    LimitOf.REDEEM,
                    place=place,
                    owner_id=owner_id,
                    campaign_id=row.campaign_id,
                    store_id=store_id,
                    customer_id=row.customer_id,
                    zone=zone,
                    now=now,
                )
        return ceilings

    def accept(
        self, coupon: OnDesk, ask: AtCounter, discount: Discount, *, redemption_id: UUID
    ) -> None:
        """Let what was accepted count for the requests after it."""
        facts = coupon.facts
        is_gift = coupon.row.balance_minor is not None
        coupon.facts = replace(
            facts,
            uses_count=facts.uses_count + (not is_gift),
            spent_minor=facts.spent_minor + (discount.minor if is_gift else 0),
            held_by=None,
            held_until=None,
        )
        customer = self._customers.get(facts.customer_id) if facts.customer_id else None
        if customer:
            self._customers[customer.id] = replace(customer, has_purchased=True)
        if ask.order_ref and ask.basket:
            self._apply(coupon, ask.order_ref, ask, ask.basket, discount, redemption_id)

    def _apply(
        self,
        coupon: OnDesk,
        order_ref: str,
        ask: AtCounter,
        basket: Basket,
        discount: Discount,
        redemption_id: UUID,
    ) -> None:
        receipt = self.receipts.get((ask.store_id, order_ref))
        if receipt is None or not receipt.applied:
            # Where every coupon was taken back, the basket may be another one by now.
            receipt = OpenReceipt(
                currency=basket.currency,
                basket_hash=basket_hash(basket),
                basket_minor=basket.amount_minor,
                discount_minor=0,
                applied=(),
                is_new=receipt is None,
            )
            self.receipts[ask.store_id, order_ref] = receipt
        conditions = coupon.terms.conditions
        receipt.is_touched = True
        receipt.discount_minor += discount.minor
        receipt.applied += (
            Applied(
                redemption_id=redemption_id,
                offer_id=coupon.row.offer_id,
                exclusivity_groups=frozenset(conditions.exclusivity_groups),
                stacking_order=conditions.stacking_order,
                discount_minor=discount.minor,
                lines=discount.lines,
                by_unit=takes_units(coupon.terms.benefit),
            ),
        )


def lay(
    session: Session,
    operator_id: UUID,
    asks: Sequence[tuple[AtCounter, Shown]],
    *,
    is_locked: bool,
) -> Desk:
    """Gather the facts for these requests.

    With `is_locked` coupons, first-time buyers and receipts are locked, in this order and by key,
    so that nothing judged can change before it is written.
    """
    stores, terminals = _places(session, operator_id, [ask for ask, _ in asks])
    rows = _coupon_rows(session, operator_id, [shown for _, shown in asks], is_locked=is_locked)
    terms = terms_of(session, operator_id, {row.offer_id for row in rows})
    of_campaigns = {row.campaign_id: row.limits for row in rows}
    rules = {
        id: tuple(LimitRule.model_validate(rule) for rule in limits)
        for id, limits in of_campaigns.items()
    }
    return Desk(
        operator_id,
        coupons={
            row.id: _on_desk(row, terms[row.offer_id], rules[row.campaign_id]) for row in rows
        },
        by_code={bytes(row.code_hash): row.id for row in rows if row.code_hash},
        stores=stores,
        terminals=terminals,
        customers=_customers(session, operator_id, rows, terms, is_locked=is_locked),
        receipts=_receipts(session, operator_id, [ask for ask, _ in asks], is_locked=is_locked),
    )


def found(table: Desk, ask: AtCounter, shown: Shown, *, now: datetime) -> OnDesk | Why:
    """Return the coupon that was shown at a counter of ours.

    Raises:
        Unknown: No such store, or no such terminal in it.
    """
    if ask.store_id not in table.stores:
        raise Unknown("store", ask.store_id)
    if ask.terminal_id and (ask.store_id, ask.terminal_id) not in table.terminals:
        raise Unknown("terminal", ask.terminal_id)
    return table.find(shown, now=now)


def _unless_given(coupon: OnDesk, now: datetime) -> OnDesk | Why:
    """Let no code name a coupon that waits for a friend of its holder: it is nobody's just now."""
    given_until = coupon.row.given_until
    return coupon if given_until is None or given_until <= now else Why.GIVEN


def left_of(coupon: OnDesk) -> tuple[int, int | None]:
    """Return how often the coupon still works, and what is left of a gift balance."""
    if coupon.row.balance_minor is not None:
        balance_minor = coupon.row.balance_minor - coupon.facts.spent_minor
        return int(balance_minor > 0), balance_minor
    return coupon.row.uses - coupon.facts.uses_count, None


def basket_hash(basket: Basket) -> str:
    """Return what tells one basket from another: its lines, or its total where it has none."""
    told = basket.model_copy(update={"total_minor": None}) if basket.lines else basket
    return sha256(told.model_dump_json().encode()).hexdigest()


def applied_as_json(applied: Iterable[Applied]) -> list[dict[str, Any]]:
    """Return the coupons of a receipt as its row keeps them."""
    return [
        {
            "redemption_id": each.redemption_id,
            "offer_id": each.offer_id,
            "exclusivity_groups": sorted(each.exclusivity_groups),
            "stacking_order": each.stacking_order,
            "discount_minor": each.discount_minor,
            "lines": lines_as_json(each.lines),
            "by_unit": each.by_unit,
        }
        for each in applied
    ]


def applied_from_json(applied: Iterable[dict[str, Any]]) -> tuple[Applied, ...]:
    """Undo `applied_as_json`."""
    return tuple(
        Applied(
            redemption_id=UUID(each["redemption_id"]),
            offer_id=UUID(each["offer_id"]),
            exclusivity_groups=frozenset(each["exclusivity_groups"]),
            stacking_order=each["stacking_order"],
            discount_minor=each["discount_minor"],
            lines=lines_from_json(each["lines"]),
            by_unit=each["by_unit"],
        )
        for each in applied
    )


def lines_as_json(lines: Iterable[LineDiscount]) -> list[dict[str, int]]:
    return [{"line": each.line, "discount_minor": each.discount_minor} for each in lines]


def lines_from_json(lines: Iterable[dict[str, int]]) -> tuple[LineDiscount, ...]:
    return tuple(LineDiscount(**each) for each in lines)


def _places(
    session: Session, operator_id: UUID, asks: Sequence[AtCounter]
) -> tuple[dict[UUID, StoreFacts], set[tuple[UUID, UUID]]]:
    """Return the stores of these requests, and which of their terminals stands in which."""
    rows = bulk.read(
        session,
        _PLACES,
        {
            "operator_id": operator_id,
            "stores": list({ask.store_id for ask in asks}),
            "terminals": list({ask.terminal_id for ask in asks if ask.terminal_id}),
        },
    )
    stores: dict[UUID, StoreFacts] = {}
    terminals: set[tuple[UUID, UUID]] = set()
    for row in rows:
        stores[row.id] = StoreFacts(row.id, row.zone)
        if row.terminal_id:
            terminals.add((row.id, row.terminal_id))
    return stores, terminals


def _coupon_rows(
    session: Session, operator_id: UUID, shown: Sequence[Shown], *, is_locked: bool
) -> Sequence[Any]:
    ids = {each.coupon_id for each in shown if each.coupon_id}
    hashes = {each.code_hash for each in shown if each.code_hash}
    which = "id = ANY(%(ids)s)"
    if hashes:
        which = f"({which} OR code_hash = ANY(%(hashes)s))"
    return bulk.read(
        session,
        _COUPONS.format(which=which, lock=LOCK_COUPONS if is_locked else ""),
        {"operator_id": operator_id, "ids": list(ids), "hashes": list(hashes)},
    )


def _on_desk(row: Any, terms: Terms, rules: tuple[LimitRule, ...]) -> OnDesk:
    is_gift = row.balance_minor is not None
    facts = CouponFacts(
        id=row.id,
        customer_id=row.customer_id,
        store_id=row.store_id,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        uses_count=row.uses_count,
        spent_minor=row.spent_minor if is_gift else 0,
        is_claimed=row.customer_id is not None or not row.needs_claim,
        is_revoked=row.revoked_at is not None,
        held_by=row.held_by,
        held_until=row.held_until,
        last_redeemed_at=row.last_redeemed_at,
        activated_store_id=row.activated_store_id,
        activated_until=row.activated_until,
        is_holder_suspended=row.holder_suspended_at is not None,
    )
    stops_redeeming = row.stops == Stops.ISSUING_AND_REDEEMING
    campaign = CampaignFacts(
        id=row.campaign_id,
        currency=row.currency,
        zone=row.zone,
        is_live=row.decided in _LIVE,
        stops=Stops(row.stops) if row.stops and row.decided == CampaignState.PAUSED else None,
        has_ended_for_good=row.decided in _OVER and stops_redeeming,
        is_batch_revoked=row.batch_decided == "revoked" and not row.coupons_stay_valid,
    )
    return OnDesk(row, facts, campaign, terms, rules)


def _customers(
    session: Session,
    operator_id: UUID,
    rows: Sequence[Any],
    terms: Mapping[UUID, Terms],
    *,
    is_locked: bool,
) -> dict[UUID, CustomerFacts]:
    """Return who holds these coupons. Whether they have bought is asked only where it matters."""
    customers = {
        row.customer_id: CustomerFacts(row.customer_id, frozenset(row.segments), row.has_purchased)
        for row in rows
        if row.customer_id
    }
    asked = [
        row.customer_id
        for row in rows
        if row.customer_id and terms[row.offer_id].conditions.first_purchase_only
    ]
    if asked:
        named = {"operator_id": operator_id, "ids": asked}
        if is_locked:
            # Two first purchases of one customer at once: one of them is first.
            bulk.read(session, LOCK_CUSTOMERS, named)
        for row in bulk.read(session, _BUYERS, named):
            customers[row.customer_id] = replace(customers[row.customer_id], has_purchased=True)
    return customers


def _receipts(
    session: Session, operator_id: UUID, asks: Sequence[AtCounter], *, is_locked: bool
) -> dict[ReceiptKey, OpenReceipt]:
    wanted = sorted({(ask.store_id, ask.order_ref) for ask in asks if ask.order_ref})
    if not wanted:
        return {}
    named = {
        "operator_id": operator_id,
        "stores": [store for store, _ in wanted],
        "orders": [order for _, order in wanted],
    }
    connection = session.connection()
    if is_locked:
        connection.exec_driver_sql(_LOCK_ORDERS, named).all()
    rows = connection.exec_driver_sql(f"{_RECEIPTS} {LOCK_RECEIPTS if is_locked else ''}", named)
    return {
        (row.store_id, row.order_ref): OpenReceipt(
            currency=row.currency,
            basket_hash=row.basket_hash,
            basket_minor=row.basket_minor,
            discount_minor=row.discount_minor,
            applied=applied_from_json(row.applied),
            is_new=False,
        )
        for row in rows
    }


# An archived draft never had a coupon; any other archived campaign goes on as it ended.
_OVER = {CampaignState.ENDED, CampaignState.ARCHIVED}
_LIVE = {CampaignState.APPROVED, CampaignState.PAUSED, *_OVER}

_PLACES = """
    SELECT store.id, store.zone, terminal.id AS terminal_id
    FROM store LEFT JOIN terminal
      ON terminal.operator_id = store.operator_id AND terminal.store_id = store.id
      AND terminal.id = ANY(%(terminals)s)
    WHERE store.operator_id = %(operator_id)s AND store.id = ANY(%(stores)s)
"""
# Each row is found by its key, one table after the other. Joined in one go, a plan made while the
# tables were small would look through a whole campaign for one coupon.
_COUPONS = """
    WITH coupon AS MATERIALIZED (
        SELECT * FROM coupon WHERE operator_id = %(operator_id)s AND {which}
        ORDER BY id {lock}
    )
    SELECT coupon.id, coupon.position, coupon.activated_position, coupon.campaign_id,
           coupon.batch_id, coupon.offer_id, coupon.customer_id,
           coupon.store_id, coupon.issued_at, coupon.valid_from, coupon.valid_until, coupon.uses,
           coupon.uses_count, coupon.last_use_no, coupon.balance_minor, coupon.spent_minor,
           coupon.holder_key, coupon.code_hash, coupon.held_by, coupon.held_until,
           coupon.last_redeemed_at, coupon.revoked_at, coupon.activated_store_id,
           coupon.activated_until, coupon.given_until,
           campaign.number, campaign.currency, campaign.zone, campaign.decided, campaign.stops,
           campaign.limits, campaign.max_per_customer,
           offer.family_id,
           batch.decided AS batch_decided, batch.coupons_stay_valid, batch.needs_claim,
           batch.max_redemptions IS NOT NULL OR batch.budget_minor IS NOT NULL AS batch_is_limited,
           customer.segments, customer.has_purchased,
           holder.suspended_at AS holder_suspended_at
    FROM coupon
    JOIN LATERAL (
        SELECT * FROM campaign
        WHERE operator_id = %(operator_id)s AND id = coupon.campaign_id LIMIT 1
    ) AS campaign ON true
    JOIN LATERAL (
        SELECT * FROM offer
        WHERE operator_id = %(operator_id)s AND id = coupon.offer_id LIMIT 1
    ) AS offer ON true
    JOIN LATERAL (
        SELECT * FROM batch
        WHERE operator_id = %(operator_id)s AND id = coupon.batch_id LIMIT 1
    ) AS batch ON true
    LEFT JOIN LATERAL (
        SELECT * FROM customer
        WHERE operator_id = %(operator_id)s AND id = coupon.customer_id LIMIT 1
    ) AS customer ON true
    LEFT JOIN LATERAL (
        SELECT suspended_at FROM disputed_holder
        WHERE operator_id = %(operator_id)s AND holder_key = coupon.holder_key LIMIT 1
    ) AS holder ON true
"""
LOCK_CUSTOMERS = """
    SELECT id FROM customer WHERE operator_id = %(operator_id)s AND id = ANY(%(ids)s)
    ORDER BY id FOR NO KEY UPDATE
"""
_BUYERS = """
    SELECT DISTINCT customer_id FROM redemption
    WHERE operator_id = %(operator_id)s AND customer_id = ANY(%(ids)s) AND reversed_at IS NULL
"""
# A receipt that nobody has written yet cannot be locked as a row; its number can.
_LOCK_ORDERS = """
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(
            concat_ws('/', %(operator_id)s::uuid, store_id, order_ref), 0) AS key
        FROM unnest(%(stores)s::uuid[], %(orders)s::text[]) AS wanted (store_id, order_ref)
        ORDER BY key
    ) AS keys
"""
_RECEIPTS = """
    SELECT receipt.* FROM receipt
    JOIN unnest(%(stores)s::uuid[], %(orders)s::text[]) AS wanted (store_id, order_ref)
      ON receipt.store_id = wanted.store_id AND receipt.order_ref = wanted.order_ref
    WHERE receipt.operator_id = %(operator_id)s
    ORDER BY receipt.store_id, receipt.order_ref
"""
