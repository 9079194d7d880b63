"""Judged second: what becomes of coupons that a terminal redeemed alone.

What was honoured at a counter was honoured, so each redemption that may be paid becomes a row and
its coupon is used up at once. Which of several counts is decided as soon as nobody can bring an
earlier one (`order.py`): then, and only then, it is accepted or disputed, for good.

Locks are taken in one order: the terminal, its leases, coupons by key, limit rows by key. Whoever
holds a terminal is the only one who touches its leases and their allowances.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import bulk, desk, events, limits
from coupon_engine.acting import SYSTEM
from coupon_engine.desk import Desk
from coupon_engine.offers import terms_of
from coupon_engine.offline import leases
from coupon_engine.offline.hearing import (
    IN_ONE_STORE,
    Hearing,
    Lease,
    Link,
    Rules,
    Used,
    Verdict,
    as_applied,
    is_claim,
    older,
    reach_of,
    read,
)
from coupon_engine.offline.order import Awaited, Claim, Decision, Horizon, Reach, decide, first
from coupon_engine.tables import Allowance, Coupon, JournalEntry, Redemption, Terminal
from coupon_engine.validation.facts import Applied, StoreFacts
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown
from coupon_engine.validation.token import Token
from coupon_engine.validation.token_refused import TokenRefused
from schemas.access import Actor, ActorKind, Role
from schemas.journals import Entry, EntryAnswer, EntryKind
from schemas.offers import LimitOf
from schemas.offline import Liable
from schemas.redemptions import AtCounter, RedemptionState

MOST_DECIDED = 1_000  # coupons in one transaction; the rest in the next
LONGEST_RECEIPT = timedelta(days=1)  # so long coupons are added to one basket

A = EntryAnswer


def judge(
    session: Session, terminal: Terminal, links: Sequence[Link], *, ring: KeyRing, now: datetime
) -> Mapping[int, Verdict]:
    """Say what becomes of these entries, which follow in order on all that came before them.

    What it decides about entries of earlier uploads, of any terminal, it writes; the verdicts on
    these entries the caller writes with them. The caller holds the terminal.
    """
    coupons_shown = {
        link.seq: read(link.entry, ring, at=link.at)
        for link in links
        if link.entry and is_claim(link.entry)
    }
    own = _own_leases(session, terminal, links)
    closing = _replaced(own, links)
    campaigns = {id for lease in own.values() for id in lease.allowances}
    awaited = _awaited(session, terminal.operator_id, campaigns)
    awaited.come_in(terminal.id, links[-1].at if links else None, closing)
    shown = [each for each in coupons_shown.values() if isinstance(each, Token)]
    round_ = _Round(session, terminal.operator_id, awaited.horizon(now), shown)
    verdicts = round_.hear(terminal, links, coupons_shown, own)
    round_.end(closing={id for each in closing for id in own[each].allowances})
    for lease_id in sorted(closing):
        leases.close(session, terminal.operator_id, lease_id, now=now)
    return verdicts


def decide_due(session: Session, operator_id: UUID, *, now: datetime) -> int:
    """Decide what was provisional and can be decided by now; return how many redemptions it was.

    Uploads do this for what they complete. This is for what time completes, and for uploads that
    crossed: each of them may have waited for the other. Nothing is lost if it is called twice.
    """
    campaigns = {row.campaign_id for row in _waiting(session, operator_id)}
    awaited = _awaited(session, operator_id, campaigns)
    return _Round(session, operator_id, awaited.horizon(now), ()).end()


@dataclass(frozen=True, slots=True)
class _Standing:
    """A redemption that counts, or may yet."""

    claim: Claim
    minor: int
    is_new: bool = False


class _Round:
    """One transaction's worth of judging: what is heard, then what follows from it.

    Whose journals are awaited is read first and what stands last, under the coupons' locks. So no
    redemption of a journal that is taken for complete can be missing.
    """

    def __init__(
        self, session: Session, operator_id: UUID, horizon: Horizon, shown: Iterable[Token]
    ) -> None:
        self._session = session
        self._operator_id = operator_id
        self._horizon = horizon
        self._now = horizon.now
        ids = {each.coupon_id for each in shown} | _decidable(session, operator_id, horizon)
        self._table = _desk(session, operator_id, ids)
        self._rules = _rules(session, operator_id, self._table)
        self._standing = _standing(session, operator_id, ids, self._rules)
        self._verdicts: dict[UUID, Verdict] = {}
        self._redemptions: dict[UUID, dict[str, Any]] = {}
        self._use_nos: dict[UUID, int] = {}
        self._events: list[dict[str, Any]] = []
        self._leases: Mapping[UUID, Lease] = {}

    def hear(
        self,
        terminal: Terminal,
        links: Sequence[Link],
        coupons_shown: Mapping[int, Token | TokenRefused],
        own: Mapping[UUID, Lease],
    ) -> dict[int, Verdict]:
        """Go through the entries in order and write down every redemption that may be paid."""
        self._leases = own
        hearing = Hearing(
            terminal,
            self._table,
            self._rules,
            own,
            coupon_of=_redeemed(self._session, self._operator_id, links),
            online_at=self._online_at(),
            applied=_applied(self._session, terminal, links),
            now=self._now,
        )
        verdicts: dict[int, Verdict] = {}
        for link in links:
            verdict = verdicts[link.seq] = hearing.judge(link, coupons_shown.get(link.seq))
            if verdict.answer is A.PROVISIONAL:
                assert link.entry is not None
                self._claim(terminal, link, link.entry, verdict)
            else:
                verdict.decided_at = self._now
                if verdict.answer in (A.REJECTED, A.UNPROVEN):
                    verdict.liable = Liable.MERCHANT
                    self._tell_rejected(terminal, link, verdict)
        return verdicts

    def _claim(self, terminal: Terminal, link: Link, entry: Entry, verdict: Verdict) -> None:
        assert entry.id is not None
        assert entry.jti is not None
        assert entry.discount_minor is not None
        coupon = self._table.coupons[entry.jti]
        row = coupon.row
        use_no = self._use_nos[row.id] = self._use_nos.get(row.id, int(row.last_use_no)) + 1
        claim = Claim(
            id=entry.id,
            coupon_id=row.id,
            reach=self._rules.reach(row.campaign_id, terminal.store_id),
            at=link.at,
            terminal_id=terminal.id,
            seq=link.seq,
        )
        standing = _Standing(claim, entry.discount_minor, is_new=True)
        self._standing.setdefault(row.id, []).append(standing)
        verdict.redemption_id = entry.id
        self._verdicts[entry.id] = verdict
        self._redemptions[entry.id] = {
            "operator_id": self._operator_id,
            "id": entry.id,
            "coupon_id": row.id,
            "use_no": use_no,
            "campaign_id": row.campaign_id,
            "batch_id": row.batch_id,
            "offer_id": row.offer_id,
            "customer_id": row.customer_id,
            "store_id": terminal.store_id,
            "terminal_id": terminal.id,
            "cashier": entry.cashier,
            "order_ref": entry.order_ref,
            "hold_id": None,
            "redeemed_at": link.at,
            "undo_until": self._now + timedelta(seconds=coupon.terms.undo_seconds),
            "decided": RedemptionState.PROVISIONAL,
            "currency": row.currency,
            "basket_minor": entry.basket.amount_minor if entry.basket else 0,
            "discount_minor": entry.discount_minor,
            "reversed_minor": 0,
            "lines": desk.lines_as_json(entry.lines),
            "limit_keys": [limits.campaign_key(row.campaign_id, LimitOf.REDEEM)],
            "evidence": entry.shown,
        }
        actor = Actor(
            kind=ActorKind.TERMINAL,
            id=str(terminal.id),
            name=terminal.name,
            role=Role.TERMINAL,
            cashier=entry.cashier,
        )
        data = {
            "redemption_id": entry.id,
            "use_no": use_no,
            "store_id": terminal.store_id,
            "terminal_id": terminal.id,
            "seq": link.seq,
            "asked_by": entry.asked_by,
            "lease_id": entry.lease,
            "cashier": entry.cashier,
            "order_ref": entry.order_ref,
            "basket_minor": self._redemptions[entry.id]["basket_minor"],
            "discount_minor": entry.discount_minor,
            "currency": row.currency,
        }
        self._tell("redeemed_offline", row.id, row.campaign_id, data, at=link.at, actor=actor)

    def end(self, *, closing: Iterable[UUID] = ()) -> int:
        """Decide all that can be decided, and write everything. Return how many were decided.

        `closing` are campaigns whose limit rows are needed afterwards: they are locked in turn.
        """
        every = {
            each.claim.id: each
            for some in self._standing.values()
            if not all(each.claim.is_final for each in some)
            for each in some
        }
        decisions = {
            id: decision
            for id, decision in decide(
                [each.claim for each in every.values()], self._horizon
            ).items()
            if decision.state is not RedemptionState.PROVISIONAL
        }
        won = [every[id] for id, each in decisions.items() if each.winner_id is None]
        unpaid = [
            every[id]
            for id, each in decisions.items()
            if each.winner_id and self._liable(id) is Liable.MERCHANT
        ]
        ceiling_of = {each.claim.id: ceiling for each in won if (ceiling := self._ceiling(each))}
        own = {*closing, *(each.claim.reach.campaign_id for each in unpaid)}
        locked = limits.locked(
            self._session,
            self._operator_id,
            [*ceiling_of.values(), *(limits.of_campaign(id, LimitOf.REDEEM) for id in own)],
            now=self._now,
        )
        changed: list[dict[str, Any]] = []
        answered: list[dict[str, Any]] = []
        for id, decision in decisions.items():
            keys = self._keys(every[id], decision, ceiling_of.get(id), locked)
            self._decide(every[id], decision, keys, changed, answered)
        bulk.write(
            self._session,
            locked.changes(),
            bulk.Update(Coupon, self._coupons()),
            bulk.Insert(Redemption, list(self._redemptions.values())),
            bulk.Update(Redemption, changed),
            bulk.Update(JournalEntry, answered, key=("operator_id", "terminal_id", "seq")),
            bulk.Update(
                Allowance, self._allowances(), key=("operator_id", "lease_id", "campaign_id")
            ),
            *events.changes(self._events),
        )
        if unpaid:
            limits.set_aside(self._session, self._operator_id, _sums(unpaid))
        return len(decisions)

    def _keys(
        self,
        each: _Standing,
        decision: Decision,
        ceiling: limits.Ceiling | None,
        locked: limits.Locked,
    ) -> list[str]:
        """Return the limit rows that this redemption takes from.

        The customer's own ceiling could not be asked at the counter: it fills, and no more.
        """
        keys: list[str] = []
        if ceiling is not None:
            (facts,) = locked.facts([ceiling])
            if facts.used_count + facts.held_count < facts.max_count:
                locked.take([ceiling], each.minor, is_lot=True)
                keys.append(ceiling.key)
        if decision.winner_id is None or self._liable(each.claim.id) is Liable.CAMPAIGN:
            keys.append(_key(each))
        return keys

    def _decide(
        self,
        each: _Standing,
        decision: Decision,
        keys: list[str],
        changed: list[dict[str, Any]],
        answered: list[dict[str, Any]],
    ) -> None:
        claim, winner_id = each.claim, decision.winner_id
        liable = self._liable(claim.id) if winner_id else None
        coupon = self._table.coupons[claim.coupon_id]
        row = {
            "decided": decision.state,
            "undo_until": self._now + timedelta(seconds=coupon.terms.undo_seconds),
            "limit_keys": keys,
        }
        answer = {
            "answer": A(decision.state),
            "winner_id": winner_id,
            "liable": liable,
            "decided_at": self._now,
        }
        if each.is_new:
            self._redemptions[claim.id] |= row
            for name, value in answer.items():
                setattr(self._verdicts[claim.id], name, value)
        else:
            changed.append({"operator_id": self._operator_id, "id": claim.id, **row})
            answered.append(
                {
                    "operator_id": self._operator_id,
                    "terminal_id": claim.terminal_id,
                    "seq": claim.seq,
                    **answer,
                }
            )
        data = {
            "redemption_id": claim.id,
            "decided": decision.state,
            "winner_id": winner_id,
            "liable": liable,
            "terminal_id": claim.terminal_id,
            "seq": claim.seq,
            "discount_minor": each.minor,
        }
        campaign_id = claim.reach.campaign_id
        self._tell("redemption_decided", claim.coupon_id, campaign_id, data, at=self._now)

    def _liable(self, redemption_id: UUID) -> Liable:
        """Return who bears a disputed redemption: the merchant only if its terminal had been told.

        Its verdict says so from the start; what waited for others was not told of any.
        """
        verdict = self._verdicts.get(redemption_id)
        return (verdict and verdict.liable) or Liable.CAMPAIGN

    def _ceiling(self, each: _Standing) -> limits.Ceiling | None:
        row = self._table.coupons[each.claim.coupon_id].row
        if row.customer_id is None:
            return None
        return limits.of_customer(row.campaign_id, row.customer_id, row.max_per_customer)

    def _coupons(self) -> list[dict[str, Any]]:
        """Use coupons up at once, whichever of their redemptions will count."""
        return [
            {
                "operator_id": self._operator_id,
                "id": id,
                "uses_count": 1,
                "last_use_no": use_no,
                "last_redeemed_at": first([each.claim for each in self._standing[id]]).at,
            }
            for id, use_no in sorted(self._use_nos.items())
        ]

    def _online_at(self) -> dict[UUID, datetime]:
        """Return when coupons were redeemed online."""
        return {
            id: each.claim.at
            for id, some in self._standing.items()
            for each in some
            if each.claim.seq == 0
        }

    def _allowances(self) -> list[dict[str, Any]]:
        return [
            {
                "operator_id": self._operator_id,
                "lease_id": lease.id,
                "campaign_id": campaign_id,
                "used_count": used.used_count,
                "used_minor": used.used_minor,
            }
            for lease in self._leases.values()
            for campaign_id, used in lease.allowances.items()
            if used.is_touched
        ]

    def _tell_rejected(self, terminal: Terminal, link: Link, verdict: Verdict) -> None:
        entry = link.entry
        coupon = self._table.coupons.get(entry.jti) if entry and entry.jti else None
        self._tell(
            "entry_rejected",
            coupon.row.id if coupon else terminal.id,
            coupon.row.campaign_id if coupon else None,
            {
                "terminal_id": terminal.id,
                "store_id": terminal.store_id,
                "seq": link.seq,
                "answer": verdict.answer,
                "reason": verdict.reason,
                "why": verdict.why,
                "discount_minor": entry.discount_minor if entry else None,
            },
            at=link.at,
        )

    def _tell(
        self,
        kind: str,
        subject_id: UUID,
        campaign_id: UUID | None,
        data: Mapping[str, Any],
        *,
        at: datetime,
        actor: Actor = SYSTEM,
    ) -> None:
        self._events.append(
            events.happened(
                kind,
                subject_id,
                operator_id=self._operator_id,
                campaign_id=campaign_id,
                at=at,
                recorded_at=self._now,
                data=data,
                actor=actor,
            )
        )


def _own_leases(session: Session, terminal: Terminal, links: Iterable[Link]) -> dict[UUID, Lease]:
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


def _replaced(own: Mapping[UUID, Lease], links: Iterable[Link]) -> set[UUID]:
    """Return the open leases of which these entries say that there will be nothing more."""
    return {
        each.id
        for link in links
        if link.entry and link.entry.kind is EntryKind.LEASED and link.fault is None
        for each in older(own, link.entry.lease)
        if each.is_open
    }


@dataclass(slots=True)
class _Open:
    """A lease of anybody's that is open, for one campaign."""

    lease_id: UUID
    terminal_id: UUID
    reach: Reach
    until: datetime


@dataclass(slots=True)
class _Awaited:
    """Whose journals are awaited."""

    leases: list[_Open]

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


def _awaited(session: Session, operator_id: UUID, campaigns: Collection[UUID]) -> _Awaited:
    """Return the open leases that allow something of these campaigns.

    Of a terminal that was revoked, or whose journal has forked, nothing is paid any more, so
    nobody waits for it.
    """
    rows = bulk.read(session, _AWAITED, {"operator_id": operator_id, "campaigns": list(campaigns)})
    return _Awaited(
        [
            _Open(
                row.id,
                row.terminal_id,
                reach_of(row.campaign_id, row.offline, row.store_id),
                row.until,
            )
            for row in rows
            if row.is_authority or row.offline not in IN_ONE_STORE
        ]
    )


def _waiting(session: Session, operator_id: UUID) -> list[Any]:
    """Return which terminals have redemptions of which campaigns that are not decided."""
    return bulk.read(session, _WAITING, {"operator_id": operator_id})


def _decidable(session: Session, operator_id: UUID, horizon: Horizon) -> set[UUID]:
    """Return the coupons of earlier uploads of which something can be decided by now."""
    bounds = [
        (
            row.campaign_id,
            row.terminal_id,
            horizon.bound(reach_of(row.campaign_id, row.offline, row.store_id)).of(row.terminal_id),
        )
        for row in _waiting(session, operator_id)
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


def _desk(session: Session, operator_id: UUID, coupon_ids: Iterable[UUID]) -> Desk:
    """Lock these coupons, as whoever redeems does."""
    nowhere = AtCounter(code="-", store_id=operator_id)
    asks = [(nowhere, Shown(coupon_id=id)) for id in sorted(coupon_ids)]
    return desk.lay(session, operator_id, asks, is_locked=True)


def _rules(session: Session, operator_id: UUID, table: Desk) -> Rules:
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


def _standing(
    session: Session, operator_id: UUID, coupon_ids: Collection[UUID], rules: Rules
) -> dict[UUID, list[_Standing]]:
    """Return the redemptions of these coupons that count, or may yet."""
    rows = bulk.read(session, _STANDING, {"operator_id": operator_id, "coupons": list(coupon_ids)})
    standing: dict[UUID, list[_Standing]] = {}
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
        standing.setdefault(row.coupon_id, []).append(_Standing(claim, row.discount_minor))
    return standing


def _redeemed(session: Session, operator_id: UUID, links: Iterable[Link]) -> dict[UUID, UUID]:
    """Return, for ids of redemptions that stand in the record already, their coupons."""
    ids = {link.entry.id for link in links if link.entry and link.entry.id}
    rows = bulk.read(session, _REDEEMED, {"operator_id": operator_id, "ids": list(ids)})
    return {row.id: row.coupon_id for row in rows}


def _applied(
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


def _key(each: _Standing) -> str:
    return limits.campaign_key(each.claim.reach.campaign_id, LimitOf.REDEEM)


def _sums(unpaid: Iterable[_Standing]) -> dict[str, tuple[int, int]]:
    """Return what goes back to the budgets: a merchant bears it."""
    sums: dict[str, tuple[int, int]] = {}
    for each in unpaid:
        count, minor = sums.get(_key(each), (0, 0))
        sums[_key(each)] = (count - 1, minor - each.minor)
    return sums


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
           entry.terminal_id, entry.seq
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
