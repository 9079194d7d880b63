"""The questions to each entry of a journal that has come in; the first that it fails decides.

What a counter had to ask when it was alone is asked again, of the same judge, at the entry's own
time, and with what it could know then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from coupon_engine.desk import Desk, OnDesk
from coupon_engine.offline.order import Reach
from coupon_engine.tables import Terminal
from coupon_engine.validation import alone, token
from coupon_engine.validation.alone import Alone, Place
from coupon_engine.validation.discounts import takes_units
from coupon_engine.validation.facts import Applied, StoreFacts
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.judge import judge
from coupon_engine.validation.short_code import is_short_code
from coupon_engine.validation.token import Token
from coupon_engine.validation.token_refused import (
    BadHolderSignature,
    ChallengeRequired,
    ClockAhead,
    LiveCodeRequired,
    Stale,
    TokenRefused,
)
from schemas.baskets import LineDiscount
from schemas.campaigns import OfflinePolicy
from schemas.journals import Entry, EntryAnswer, EntryKind, Mode, Rejection
from schemas.offers import LimitOf, Terms
from schemas.offline import LATEST_UPLOAD_SECONDS, BundleCampaign, BundleOffer, Liable
from schemas.refusals import Reason, Refusal, Why
from schemas.token import ANYWHERE

LATEST_UPLOAD = timedelta(seconds=LATEST_UPLOAD_SECONDS)
# A list tells what was so when it was read, but for what was being written just then.
LIST_MISSES = timedelta(seconds=30)
IN_ONE_STORE = (OfflinePolicy.STORE_BOUND, OfflinePolicy.ACTIVATED)
_UNPROVEN = (BadHolderSignature, ChallengeRequired, ClockAhead, LiveCodeRequired, Stale)
_LAST_SECOND = 253_402_300_799  # 9999-12-31, the last a datetime can hold

A = EntryAnswer


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in its place in the chain, when it happened, and what is wrong with it."""

    seq: int
    at: datetime
    entry: Entry | None  # None: signed, and not readable
    fault: Rejection | None = None


@dataclass(slots=True)
class Verdict:
    """What becomes of an entry, by the names of its row's columns."""

    answer: EntryAnswer
    reason: Rejection | None = None
    why: Why | None = None
    winner_id: UUID | None = None
    liable: Liable | None = None
    coupon_id: UUID | None = None
    campaign_id: UUID | None = None
    redemption_id: UUID | None = None
    decided_at: datetime | None = None
    holder_key: bytes | None = None  # of the phone that showed it


def is_claim(entry: Entry) -> bool:
    """Has this terminal itself decided that a coupon is redeemed?

    What the server, or the hub, decided at its asking the terminal only remembers.
    """
    if entry.kind is not EntryKind.REDEEMED:
        return False
    return entry.mode is Mode.OFFLINE or (entry.mode is Mode.HUB and entry.asked_by is not None)


@dataclass(slots=True)
class Lease:
    """One of the terminal's leases, and what it has given away of each campaign."""

    id: UUID
    number: int
    starts_at: datetime
    ends_at: datetime
    is_open: bool
    is_authority: bool
    store: StoreFacts
    store_number: int
    allowances: dict[UUID, "Used"] = field(default_factory=dict[UUID, "Used"])

    @property
    def place(self) -> Place:
        return Place(self.store, self.store_number, self.is_authority, self.ends_at)


@dataclass(slots=True)
class Used:
    max_count: int
    max_minor: int
    used_count: int
    used_minor: int
    is_touched: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How these campaigns let terminals decide, and how codes name their offers."""

    offline_of: Mapping[UUID, str]
    quota_class_of: Mapping[UUID, int]

    def reach(self, campaign_id: UUID, store_id: UUID) -> Reach:
        return reach_of(campaign_id, self.offline_of[campaign_id], store_id)

    def told_of(self, coupon: OnDesk) -> BundleCampaign | None:
        """Return what a terminal was told of this coupon's campaign, with its own offer alone.

        A pause that it had not heard of is nothing against it: the allowance bounds what it costs.
        """
        row = coupon.row
        needs_record = row.batch_is_limited or any(
            rule.of is LimitOf.REDEEM for rule in coupon.campaign_limits
        )
        if needs_record:
            return None
        offer = BundleOffer(
            quota_class=self.quota_class_of[row.offer_id], id=row.offer_id, terms=coupon.terms
        )
        return BundleCampaign(
            number=row.number,
            id=row.campaign_id,
            currency=row.currency,
            zone=row.zone,
            offline=OfflinePolicy(self.offline_of[row.campaign_id]),
            is_live=True,
            is_paused=False,
            has_ended_for_good=False,
            offers=(offer,),
            max_count=0,
            max_minor=0,
        )


class Hearing:
    """The questions to one entry, one after the other; the first that it fails decides."""

    def __init__(
        self,
        terminal: Terminal,
        table: Desk,
        rules: Rules,
        own: Mapping[UUID, Lease],
        *,
        coupon_of: dict[UUID, UUID],
        online_at: Mapping[UUID, datetime],
        applied: dict[str, tuple[Applied, ...]],
        now: datetime,
    ) -> None:
        self._terminal = terminal
        self._table = table
        self._rules = rules
        self._leases = own
        self._coupon_of = coupon_of
        self._online_at = online_at
        self._applied = applied
        self._now = now

    def judge(self, link: Link, shown: Token | TokenRefused | None) -> Verdict:
        entry = link.entry
        if entry is None:
            return _rejected(link.fault or Rejection.UNREADABLE)
        if entry.kind is EntryKind.LEASED and link.fault is None:
            for each in older(self._leases, entry.lease):
                each.is_open = False
        if entry.kind is not EntryKind.REDEEMED:
            return Verdict(A.NOTED)
        if entry.id is not None and (known := self._coupon_of.get(entry.id)):
            if known != entry.jti:
                return _rejected(Rejection.ID_TAKEN)
            return Verdict(A.DUPLICATE_OF_SELF, winner_id=entry.id)
        if shown is None:
            return Verdict(A.NOTED)
        if link.fault:
            return _rejected(link.fault)
        if self._terminal.revoked_at is not None:
            return _rejected(Rejection.AFTER_REVOCATION)
        if entry.shown is not None and is_short_code(entry.shown):
            return _rejected(Rejection.NOT_OFFLINE, Why.ONLINE_REQUIRED)
        if isinstance(shown, TokenRefused):
            return _not_shown(shown)
        return self._judge_coupon(link, entry, shown)

    def _judge_coupon(self, link: Link, entry: Entry, shown: Token) -> Verdict:
        coupon = self._table.coupons.get(shown.coupon_id)
        verdict = self._judge_use(link, entry, shown, coupon)
        if coupon is not None:
            verdict.coupon_id, verdict.campaign_id = coupon.row.id, coupon.row.campaign_id
        return verdict

    def _judge_use(self, link: Link, entry: Entry, shown: Token, coupon: OnDesk | None) -> Verdict:
        if (
            coupon is None
            or coupon.row.number != shown.fields.cmp
            or entry.id is None
            or entry.discount_minor is None
            or (entry.jti, entry.cmp) != (shown.coupon_id, shown.fields.cmp)
        ):
            return _rejected(Rejection.FORGED)
        lease = self._leases.get(entry.lease) if entry.lease else None
        if lease is None:
            return _rejected(Rejection.NO_LEASE)
        if self._now >= lease.ends_at + LATEST_UPLOAD:
            return _rejected(Rejection.TOO_LATE)
        # A terminal knows the lease's beginning to the second.
        if not lease.is_open or link.at < lease.starts_at.replace(microsecond=0):
            return _rejected(Rejection.NO_LEASE)
        if entry.store != lease.store.id:
            return _rejected(Rejection.NOT_DUE, Why.WRONG_STORE)
        if verdict := self._judge_facts(link, entry, shown, coupon, lease):
            return verdict
        used = lease.allowances.get(coupon.row.campaign_id)
        if used is None or alone.over_allowance(
            max_count=used.max_count,
            max_minor=used.max_minor,
            used_count=used.used_count,
            used_minor=used.used_minor,
            minor=entry.discount_minor,
        ):
            return _rejected(Rejection.OVER_ALLOWANCE, Why.QUOTA_REACHED)
        used.used_count += 1
        used.used_minor += entry.discount_minor
        used.is_touched = True
        self._coupon_of[entry.id] = shown.coupon_id
        if entry.order_ref:
            one = as_applied(
                entry.id, coupon.row.offer_id, coupon.terms, entry.lines, entry.discount_minor
            )
            before = self._applied.get(entry.order_ref, ())
            self._applied[entry.order_ref] = (*before, one)
        liable = Liable.MERCHANT if self._was_told(entry, shown.coupon_id) else None
        return Verdict(A.PROVISIONAL, liable=liable, holder_key=shown.fields.holder_key)

    def _judge_facts(
        self, link: Link, entry: Entry, shown: Token, coupon: OnDesk, lease: Lease
    ) -> Verdict | None:
        """Ask what the terminal had to ask, with what it knew, at the entry's own time."""
        case = Alone(
            fields=shown.fields,
            place=lease.place,
            campaign=self._rules.told_of(coupon),
            now=link.at,
        )
        if reason := alone.before_proof(case):
            return _rejected(Rejection.NOT_DUE, reason.code)
        if reason := alone.after_proof(case):
            return _rejected(_not_alone(reason), reason.code)
        revoked_at = coupon.row.revoked_at
        if revoked_at is not None and revoked_at + LIST_MISSES <= _list_time(entry):
            return _rejected(Rejection.NOT_DUE, Why.REVOKED)
        applied = self._applied.get(entry.order_ref, ()) if entry.order_ref else ()
        discount = judge(alone.case(case, basket=entry.basket, applied=applied))
        if isinstance(discount, Refusal):
            return _rejected(Rejection.NOT_DUE, discount.code)
        if (
            entry.discount_minor != discount.minor
            or entry.lines != discount.lines
            or entry.currency not in (None, coupon.row.currency)
        ):
            return _rejected(Rejection.NOT_DUE)
        return None

    def _was_told(self, entry: Entry, coupon_id: UUID) -> bool:
        """Had its status list said that the coupon was used up?"""
        redeemed_at = self._online_at.get(coupon_id)
        return redeemed_at is not None and redeemed_at + LIST_MISSES <= _list_time(entry)


def read(entry: Entry, ring: KeyRing, *, at: datetime) -> Token | TokenRefused:
    """Read again what the phone showed, as the counter had to read it at that moment."""
    try:
        if entry.shown is None:
            raise LiveCodeRequired
        text = entry.shown.strip()
        if text.startswith("eyJ"):
            return token.read_jwt(text, ring, now=at)
        return token.read(text, ring, now=at, audiences=(ANYWHERE,), nonce=entry.challenge or "")
    except TokenRefused as refused:
        return refused


def _not_shown(refused: TokenRefused) -> Verdict:
    why = Why(refused.code)
    if isinstance(refused, _UNPROVEN):
        return Verdict(A.UNPROVEN, why=why)
    return _rejected(Rejection.FORGED, why)


def rejected(reason: Rejection, *, now: datetime) -> Verdict:
    """Return what becomes of an entry that is not even looked at."""
    return Verdict(A.REJECTED, reason, liable=Liable.MERCHANT, decided_at=now)


def _rejected(reason: Rejection, why: Why | None = None) -> Verdict:
    return Verdict(A.REJECTED, reason, why)


def _not_alone(reason: Reason) -> Rejection:
    return Rejection.NO_LEASE if reason.code is Why.LEASE_EXPIRED else Rejection.NOT_OFFLINE


def moment_of(millis: int) -> datetime:
    """Return the instant that is so many milliseconds after the beginning of 1970."""
    return datetime.fromtimestamp(min(millis / 1000, _LAST_SECOND), UTC)


def _list_time(entry: Entry) -> datetime:
    """Return when the status list was read by which this was judged."""
    return moment_of(entry.list_ver)


def older(own: Mapping[UUID, Lease], lease_id: UUID | None) -> list[Lease]:
    new = own.get(lease_id) if lease_id else None
    return [each for each in own.values() if new and each.number < new.number]


def as_applied(
    id: UUID, offer_id: UUID, terms: Terms, lines: tuple[LineDiscount, ...], minor: int
) -> Applied:
    """Return a redemption as the coupons after it on the same receipt see it."""
    return Applied(
        redemption_id=id,
        offer_id=offer_id,
        exclusivity_groups=frozenset(terms.conditions.exclusivity_groups),
        stacking_order=terms.conditions.stacking_order,
        discount_minor=minor,
        lines=lines,
        by_unit=takes_units(terms.benefit),
    )


def reach_of(campaign_id: UUID, offline: str, store_id: UUID) -> Reach:
    return Reach(campaign_id, store_id if offline in IN_ONE_STORE else None)
