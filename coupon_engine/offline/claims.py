"""Judged second: what becomes of coupons that a terminal redeemed alone.

What was honoured at a counter was honoured, so each redemption that may be paid becomes a row and
its coupon is used up at once. Which of several counts is decided as soon as nobody can bring an
earlier one (`order.py`): then, and only then, it is accepted or disputed, for good.

Locks are taken in one order: the terminal, its leases, coupons, limit rows, holder keys, each by
key. Whoever holds a terminal is the only one who touches its leases and their allowances.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import bulk, desk, events, holders, limits, redeemed
from coupon_engine.acting import SYSTEM
from coupon_engine.desk import Desk
from coupon_engine.offline import dispute_shares, leases, on_record
from coupon_engine.offline.hearing import Hearing, Lease, Link, Verdict, is_claim, older, read
from coupon_engine.offline.on_record import Standing
from coupon_engine.offline.order import Claim, Decision, Horizon, decide, first
from coupon_engine.tables import Allowance, Coupon, JournalEntry, Redemption, Terminal
from coupon_engine.validation.facts import Discount
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown
from coupon_engine.validation.token import Token
from coupon_engine.validation.token_refused import TokenRefused
from schemas.access import Actor, ActorKind, Role
from schemas.journals import Entry, EntryAnswer, EntryKind
from schemas.offers import LimitOf
from schemas.offline import Liable
from schemas.redemptions import AtCounter, RedemptionState

A = EntryAnswer


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts by the entries' numbers, and the terminals with newly disputed redemptions."""

    verdicts: Mapping[int, Verdict]
    disputed_at: AbstractSet[UUID]


def judge(
    session: Session, terminal: Terminal, links: Sequence[Link], *, ring: KeyRing, now: datetime
) -> Judged:
    """Say what becomes of these entries, which follow in order on all that came before them.

    What it decides about entries of earlier uploads, of any terminal, it writes; the verdicts on
    these entries the caller writes with them. The caller holds the terminal.
    """
    coupons_shown = {
        link.seq: read(link.entry, ring, at=link.at)
        for link in links
        if link.entry and is_claim(link.entry)
    }
    own = on_record.own_leases(session, terminal, links)
    closing = _replaced(own, links)
    campaigns = {id for lease in own.values() for id in lease.allowances}
    awaited = on_record.open_leases(session, terminal.operator_id, campaigns)
    awaited.come_in(terminal.id, links[-1].at if links else None, closing)
    shown = [each for each in coupons_shown.values() if isinstance(each, Token)]
    round_ = _Round(session, terminal.operator_id, awaited.horizon(now), shown)
    verdicts = round_.hear(terminal, links, coupons_shown, own)
    round_.end(closing={id for each in closing for id in own[each].allowances})
    for lease_id in sorted(closing):
        leases.close(session, terminal.operator_id, lease_id, now=now)
    return Judged(verdicts, round_.disputed_at)


def decide_due(session: Session, operator_id: UUID, *, now: datetime) -> int:
    """Decide what was provisional and can be decided by now; return how many redemptions it was.

    Uploads do this for what they complete. This is for what time completes, and for uploads that
    crossed: each of them may have waited for the other. Nothing is lost if it is called twice.
    """
    campaigns = {row.campaign_id for row in on_record.waiting(session, operator_id)}
    awaited = on_record.open_leases(session, operator_id, campaigns)
    round_ = _Round(session, operator_id, awaited.horizon(now), ())
    decided = round_.end()
    dispute_shares.watch(session, operator_id, round_.disputed_at, now=now)
    return decided


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
        ids = {each.coupon_id for each in shown} | on_record.decidable(
            session, operator_id, horizon
        )
        self._table = _desk(session, operator_id, ids)
        self._rules = on_record.rules_of(session, operator_id, self._table)
        self._standing = on_record.standing(session, operator_id, ids, self._rules)
        self._verdicts: dict[UUID, Verdict] = {}
        self._redemptions: dict[UUID, dict[str, Any]] = {}
        self._use_nos: dict[UUID, int] = {}
        self._events: list[dict[str, Any]] = []
        self._leases: Mapping[UUID, Lease] = {}
        self.disputed_at: set[UUID] = set()

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
            coupon_of=on_record.redeemed_before(self._session, self._operator_id, links),
            online_at=self._online_at(),
            applied=on_record.applied_before(self._session, terminal, links),
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
        standing = Standing(claim, entry.discount_minor, verdict.holder_key, is_new=True)
        self._standing.setdefault(row.id, []).append(standing)
        verdict.redemption_id = entry.id
        self._verdicts[entry.id] = verdict
        redemption = self._redemptions[entry.id] = redeemed.row_of(
            self._operator_id,
            coupon,
            entry,
            Discount(entry.discount_minor, entry.lines),
            use_no=use_no,
            store_id=terminal.store_id,
            terminal_id=terminal.id,
            decided=RedemptionState.PROVISIONAL,
            limit_keys=[limits.campaign_key(row.campaign_id, LimitOf.REDEEM)],
            evidence=entry.shown,
            redeemed_at=link.at,
            now=self._now,
        )
        actor = Actor(
            kind=ActorKind.TERMINAL,
            id=str(terminal.id),
            name=terminal.name,
            role=Role.TERMINAL,
            cashier=entry.cashier,
        )
        data = redeemed.told_of(
            redemption, seq=link.seq, asked_by=entry.asked_by, lease_id=entry.lease
        )
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
        disputed = [every[id] for id, each in decisions.items() if each.winner_id]
        self.disputed_at |= {each.claim.terminal_id for each in disputed}
        against = Counter(each.holder_key for each in disputed if each.holder_key)
        holders.hold_against(self._session, self._operator_id, against, now=self._now)
        return len(decisions)

    def _keys(
        self,
        each: Standing,
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
        each: Standing,
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

    def _ceiling(self, each: Standing) -> limits.Ceiling | None:
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


def _replaced(own: Mapping[UUID, Lease], links: Iterable[Link]) -> set[UUID]:
    """Return the open leases of which these entries say that there will be nothing more."""
    return {
        each.id
        for link in links
        if link.entry and link.entry.kind is EntryKind.LEASED and link.fault is None
        for each in older(own, link.entry.lease)
        if each.is_open
    }


def _desk(session: Session, operator_id: UUID, coupon_ids: Iterable[UUID]) -> Desk:
    """Lock these coupons, as whoever redeems does."""
    nowhere = AtCounter(code="-", store_id=operator_id)
    asks = [(nowhere, Shown(coupon_id=id)) for id in sorted(coupon_ids)]
    return desk.lay(session, operator_id, asks, is_locked=True)


def _key(each: Standing) -> str:
    return limits.campaign_key(each.claim.reach.campaign_id, LimitOf.REDEEM)


def _sums(unpaid: Iterable[Standing]) -> dict[str, tuple[int, int]]:
    """Return what goes back to the budgets: a merchant bears it."""
    sums: dict[str, tuple[int, int]] = {}
    for each in unpaid:
        count, minor = sums.get(_key(each), (0, 0))
        sums[_key(each)] = (count - 1, minor - each.minor)
    return sums
