"""What is on record when a journal comes in: leases, whose journals are awaited, what stands.

Nothing is decided or written here, see claims.py.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import bulk, desk
from coupon_engine.desk import Desk
from coupon_engine.offers import terms_of
from coupon_engine.offline.hearing import (
    IN_ONE_STORE,
    Lease,
    Link,
    Rules,
    Used,
    as_applied,
    reach_of,
)
from coupon_engine.offline.order import Awaited, Claim, Horizon, Reach
from coupon_engine.tables import Terminal
from coupon_engine.validation.facts import Applied, StoreFacts
from schemas.redemptions import RedemptionState

MOST_DECIDED = 1_000  # coupons in one transaction; the rest in the next
LONGEST_RECEIPT = timedelta(days=1)  # so long coupons are added to one basket


@dataclass(frozen=True, slots=True)
class Standing:
    """A redemption that counts, or may yet. `holder_key` is of the phone that showed the code."""

    claim: Claim
    minor: int
    holder_key: bytes | None
    is_new: bool = False


def own_leases(session: Session, terminal: Terminal, links: Iterable[Link]) -> dict[UUID, Lease]:
    """Return the terminal's open leases, and those that these entries name."""
    named = {link.entry.lease for link in links if link.entry and link.entry.lease}
    rows = bulk.read(
        session,
        _OWN_LEASES,
        {"operator_id": terminal.operator_id, "terminal_id": terminal.id, "named": list(named)},
    )
    own: dict[UUID, Lease] = {}
    for row in rows:
        lease = own.setdefault(
            row.id,
            Lease(
                id=row.id,
                number=row.number,
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                is_open=row.closed_at is None,
                is_authority=row.is_authority,
                store=StoreFacts(row.store_id, row.zone),
                store_number=row.store_number,
            ),
        )
        if row.campaign_id:
            lease.allowances[row.campaign_id] = Used(
                row.max_count, row.max_minor, row.used_count, row.used_minor
            )
    return own


@dataclass(slots=True)
class OpenLease:
    """A lease of anybody's that is open, for one campaign."""

    lease_id: UUID
    terminal_id: UUID
    reach: Reach
    until: datetime


@dataclass(slots=True)
class OpenLeases:
    """Whose journals are awaited."""

    leases: list[OpenLease]

    def come_in(self, terminal_id: UUID, until: datetime | None, closing: set[UUID]) -> None:
        """Count what has just come in of one terminal, and is not written yet."""
        self.leases = [each for each in self.leases if each.lease_id not in closing]
        for each in self.leases:
            if each.terminal_id == terminal_id and until is not None:
                each.until = max(each.until, until)

    def horizon(self, now: datetime) -> Horizon:
        awaited: dict[Reach, list[Awaited]] = {}
        for each in self.leases:
            awaited.setdefault(each.reach, []).append(Awaited(each.terminal_id, each.until))
        return Horizon(now, awaited)


def open_leases(session: Session, operator_id: UUID, campaigns: Collection[UUID]) -> OpenLeases:
    """Return the open leases that allow something of these campaigns.

    Of a terminal that was revoked, or whose journal has forked, nothing is paid any more, so
    nobody waits for it.
    """
    rows = bulk.read(session, _AWAITED, {"operator_id": operator_id, "campaigns": list(campaigns)})
    return OpenLeases(
        [
            OpenLease(
                row.id,
                row.terminal_id,
                reach_of(row.campaign_id, row.offline, row.store_id),
                row.until,
            )
            for row in rows
            if row.is_authority or row.offline not in IN_ONE_STORE
        ]
    )


def waiting(session: Session, operator_id: UUID) -> list[Any]:
    """Return which terminals have redemptions of which campaigns that are not decided."""
    return bulk.read(session, _WAITING, {"operator_id": operator_id})


def decidable(session: Session, operator_id: UUID, horizon: Horizon) -> set[UUID]:
    """Return the coupons of earlier uploads of which something can be decided by now."""
    bounds = [
        (
            row.campaign_id,
            row.terminal_id,
            horizon.bound(reach_of(row.campaign_id, row.offline, row.store_id)).of(row.terminal_id),
        )
        for row in waiting(session, operator_id)
    ]
    if not bounds:
        return set()
    campaigns, terminals, untils = zip(*bounds, strict=True)
    rows = bulk.read(
        session,
        _DECIDABLE,
        {
            "operator_id": operator_id,
            "campaigns": list(campaigns),
            "terminals": list(terminals),
            "untils": list(untils),
            "most": MOST_DECIDED,
        },
    )
    return {row.coupon_id for row in rows}


def rules_of(session: Session, operator_id: UUID, table: Desk) -> Rules:
    rows = bulk.read(
        session,
        _RULES,
        {
            "operator_id": operator_id,
            "offers": list({each.row.offer_id for each in table.coupons.values()}),
        },
    )
    return Rules(
        {row.campaign_id: row.offline for row in rows}, {row.id: row.quota_class for row in rows}
    )


def standing(
    session: Session, operator_id: UUID, coupon_ids: Collection[UUID], rules: Rules
) -> dict[UUID, list[Standing]]:
    """Return the redemptions of these coupons that count, or may yet."""
    rows = bulk.read(session, _STANDING, {"operator_id": operator_id, "coupons": list(coupon_ids)})
    standing: dict[UUID, list[Standing]] = {}
    for row in rows:
        claim = Claim(
            id=row.id,
            coupon_id=row.coupon_id,
            reach=rules.reach(row.campaign_id, row.store_id),
            at=row.redeemed_at,
            terminal_id=row.terminal_id or _NOBODY,
            seq=row.seq or 0,
            is_final=row.decided == RedemptionState.ACCEPTED,
        )
        key = bytes(row.holder_key) if row.holder_key else None
        standing.setdefault(row.coupon_id, []).append(Standing(claim, row.discount_minor, key))
    return standing


def redeemed_before(session: Session, operator_id: UUID, links: Iterable[Link]) -> dict[UUID, UUID]:
    """Return, for ids of redemptions that stand in the record already, their coupons."""
    ids = {link.entry.id for link in links if link.entry and link.entry.id}
    rows = bulk.read(session, _REDEEMED, {"operator_id": operator_id, "ids": list(ids)})
    return {row.id: row.coupon_id for row in rows}


def applied_before(
    session: Session, terminal: Terminal, links: Sequence[Link]
) -> dict[str, tuple[Applied, ...]]:
    """Return what coupons of earlier uploads took off these receipts, as the counter saw it."""
    orders = {link.entry.order_ref for link in links if link.entry and link.entry.order_ref}
    if not orders:
        return {}
    rows = bulk.read(
        session,
        _SHARED,
        {
            "operator_id": terminal.operator_id,
            "store_id": terminal.store_id,
            "terminal_id": terminal.id,
            "orders": list(orders),
            "since": min(link.at for link in links) - LONGEST_RECEIPT,
        },
    )
    terms = terms_of(session, terminal.operator_id, {row.offer_id for row in rows})
    applied: dict[str, tuple[Applied, ...]] = {}
    for row in rows:
        lines = desk.lines_from_json(row.lines)
        one = as_applied(row.id, row.offer_id, terms[row.offer_id], lines, row.discount_minor)
        applied[row.order_ref] = (*applied.get(row.order_ref, ()), one)
    return applied


_NOBODY = UUID(int=0)

_OWN_LEASES = """
    SELECT lease.id, lease.number, lease.starts_at, lease.ends_at, lease.closed_at,
           lease.is_authority, lease.store_id, store.zone, store.number AS store_number,
           allowance.campaign_id, allowance.max_count, allowance.max_minor,
           allowance.used_count, allowance.used_minor
    FROM lease
    JOIN store ON store.operator_id = lease.operator_id AND store.id = lease.store_id
    LEFT JOIN allowance
      ON allowance.operator_id = lease.operator_id AND allowance.lease_id = lease.id
    WHERE lease.operator_id = %(operator_id)s AND lease.terminal_id = %(terminal_id)s
      AND (lease.closed_at IS NULL OR lease.id = ANY(%(named)s))
"""
# A lease begins when it is granted: nothing that is done under it can be earlier.
_AWAITED = """
    SELECT lease.id, lease.terminal_id, lease.store_id, lease.is_authority, allowance.campaign_id,
           campaign.offline, greatest(lease.starts_at, last.at) AS until
    FROM lease
    JOIN terminal
      ON terminal.operator_id = lease.operator_id AND terminal.id = lease.terminal_id
    JOIN allowance
      ON allowance.operator_id = lease.operator_id AND allowance.lease_id = lease.id
    JOIN campaign
      ON campaign.operator_id = lease.operator_id AND campaign.id = allowance.campaign_id
    LEFT JOIN journal_entry AS last
      ON last.operator_id = lease.operator_id AND last.terminal_id = lease.terminal_id
      AND last.seq = terminal.journal_seq
    WHERE lease.operator_id = %(operator_id)s AND lease.closed_at IS NULL
      AND terminal.revoked_at IS NULL AND terminal.frozen_at IS NULL
      AND allowance.campaign_id = ANY(%(campaigns)s)
"""
# From one pair to the next by the index: there may be a hundred thousand entries of few pairs.
_WAITING = """
    WITH RECURSIVE pair AS (
        (SELECT campaign_id, terminal_id FROM journal_entry
         WHERE operator_id = %(operator_id)s AND answer = 'provisional'
           AND redemption_id IS NOT NULL
         ORDER BY campaign_id, terminal_id LIMIT 1)
        UNION ALL
        SELECT next.campaign_id, next.terminal_id FROM pair, LATERAL (
            SELECT campaign_id, terminal_id FROM journal_entry
            WHERE operator_id = %(operator_id)s AND answer = 'provisional'
              AND redemption_id IS NOT NULL
              AND (campaign_id, terminal_id) > (pair.campaign_id, pair.terminal_id)
            ORDER BY campaign_id, terminal_id LIMIT 1
        ) AS next
    )
    SELECT pair.campaign_id, pair.terminal_id, campaign.offline, terminal.store_id
    FROM pair
    JOIN terminal ON terminal.operator_id = %(operator_id)s AND terminal.id = pair.terminal_id
    JOIN campaign ON campaign.operator_id = %(operator_id)s AND campaign.id = pair.campaign_id
"""
_DECIDABLE = """
    SELECT coupon_id FROM journal_entry
    JOIN unnest(%(campaigns)s::uuid[], %(terminals)s::uuid[], %(untils)s::timestamptz[])
      AS known (campaign_id, terminal_id, until)
      ON known.campaign_id = journal_entry.campaign_id
      AND known.terminal_id = journal_entry.terminal_id
    WHERE operator_id = %(operator_id)s AND answer = 'provisional' AND redemption_id IS NOT NULL
      AND at < known.until
    ORDER BY at LIMIT %(most)s
"""
_RULES = """
    SELECT offer.id, offer.quota_class, offer.campaign_id, campaign.offline
    FROM offer
    JOIN campaign
      ON campaign.operator_id = offer.operator_id AND campaign.id = offer.campaign_id
    WHERE offer.operator_id = %(operator_id)s AND offer.id = ANY(%(offers)s)
"""
_STANDING = """
    SELECT redemption.id, redemption.coupon_id, redemption.campaign_id, redemption.store_id,
           redemption.redeemed_at, redemption.decided, redemption.discount_minor,
           entry.terminal_id, entry.seq, entry.holder_key
    FROM redemption
    LEFT JOIN journal_entry AS entry
      ON entry.operator_id = redemption.operator_id AND entry.redemption_id = redemption.id
    WHERE redemption.operator_id = %(operator_id)s AND redemption.coupon_id = ANY(%(coupons)s)
      AND redemption.reversed_at IS NULL AND redemption.decided IN ('accepted', 'provisional')
"""
_REDEEMED = """
    SELECT id, coupon_id FROM redemption
    WHERE operator_id = %(operator_id)s AND id = ANY(%(ids)s)
"""
_SHARED = """
    SELECT id, order_ref, offer_id, lines, discount_minor FROM redemption
    WHERE operator_id = %(operator_id)s AND store_id = %(store_id)s AND redeemed_at >= %(since)s
      AND terminal_id = %(terminal_id)s AND order_ref = ANY(%(orders)s)
    ORDER BY redeemed_at, id
"""
