"""Judging alone: from the text that was shown to a verdict, and on disk before it is told.

The order of questions is that of `validation/alone.py`: what the code says, what the terminal knows
of it, the phone's proof, what the campaign lets a terminal decide; then the judge that the server
has as well; last the allowance. Every no is written down with the hash of what was shown, never
with the text. All forgeries sound alike.
"""

import hashlib
import math
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from coupon_engine.errors import RequestReused
from coupon_engine.validation import alone as asking
from coupon_engine.validation.alone import Alone
from coupon_engine.validation.discounts import takes_units
from coupon_engine.validation.facts import Applied, Discount
from coupon_engine.validation.judge import judge
from coupon_engine.validation.short_code import is_short_code
from coupon_engine.validation.token import Token, claimed, looks_like_a_coupon, read
from coupon_engine.validation.token_refused import (
    BadHolderSignature,
    ChallengeRequired,
    ClockAhead,
    LiveCodeRequired,
    Stale,
    TokenRefused,
    UnknownKey,
)
from coupon_engine.validation.wording import refusal as worded
from scanner.terminal.clock import GuardedClock, Reading
from scanner.terminal.holdings import Holdings
from scanner.terminal.journal import (
    AllowanceUsedUp,
    AlreadySpent,
    EntryTooLong,
    Finding,
    Journal,
    OpenReceipt,
    Spending,
    Spent,
    Taking,
)
from schemas.baskets import Basket, LineDiscount
from schemas.ids import new_id
from schemas.journals import EntryKind, Mode
from schemas.offers import Title
from schemas.offline import Bundle, BundleOffer
from schemas.refusals import Reason, Refusal, Why
from schemas.token import ANYWHERE, CouponFields

MOST_TRIES = 3
PAUSE = timedelta(seconds=60)
ANSWERED_WITHIN = timedelta(minutes=5)
MOST_CHALLENGES = 1_000

_UNPROVEN = (BadHolderSignature, ChallengeRequired, ClockAhead, LiveCodeRequired, Stale)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Yes. It is in the journal, and the server will hear of it."""

    id: UUID
    coupon_id: UUID
    offer_id: UUID
    title: Title
    discount_minor: int
    currency: str
    lines: tuple[LineDiscount, ...]
    is_provisional: bool  # an earlier redemption of the same coupon may still come in


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why; with the digits to show, where the phone has to answer some."""

    id: UUID
    coupon_id: UUID | None
    refusal: Refusal
    challenge: str | None = None


Verdict = Accepted | Refused


class Counter:
    """Redeems at one terminal without the server. From many threads: one after the other."""

    def __init__(self, holdings: Holdings, journal: Journal, clock: GuardedClock) -> None:
        """Look through the journal first: on one that is not whole nothing is decided alone."""
        self.holdings = holdings
        self.journal = journal
        self.clock = clock
        self.findings: list[Finding] = journal.check(every_signature=False)
        self._challenges = _Challenges()
        self._lock = RLock()
        self._was_behind = False
        self.look()

    def look(self) -> Reading:
        """Read the guarded clock, which knows what the server and the journal have said."""
        if (heard_at := self.holdings.heard_at) is not None:
            self.clock.learn(heard_at)
        if ts := self.journal.last.ts:
            self.clock.learn(_instant(ts))
        return self.clock.read()

    def redeem(
        self,
        text: str,
        *,
        basket: Basket | None = None,
        order_ref: str | None = None,
        cashier: str | None = None,
        challenge: str | None = None,
        id: UUID | None = None,
        asked_by: UUID | None = None,
    ) -> Verdict:
        """Redeem what was shown, or say why not.

        A yes is on disk before this returns. The same id with the same coupon and basket gets the
        first yes again. `asked_by` is another terminal of the store, for which this one decides.

        Raises:
            RequestReused: This id was used for another coupon or basket.
        """
        with self._lock:
            at = self.look()
            self._notice(at)
            ask = _Ask(
                text=text.strip(),  # a wedge scanner ends with a newline
                basket=basket,
                order_ref=order_ref,
                cashier=cashier,
                challenge=challenge,
                id=id or new_id(at.now),
                asked_by=asked_by,
            )
            return self._answer(ask, at)

    def digits(self, coupon_id: UUID) -> str:
        """Return the four digits that this coupon's phone has to answer here."""
        with self._lock:
            return self._challenges.digits(coupon_id, self.look().now)

    def _notice(self, at: Reading) -> None:
        """Write down, once, that the terminal's clock is behind what it knows to be past."""
        if at.is_behind and not self._was_behind and not self.findings:
            with suppress(sqlite3.Error):
                self.journal.append(
                    EntryKind.CLOCK,
                    Mode.OFFLINE,
                    at=at,
                    store=self.holdings.store_id,
                    ver=self.holdings.bundle.ver if self.holdings.bundle else 0,
                    note={"behind_seconds": int(at.behind.total_seconds())},
                )
        self._was_behind = at.is_behind

    def _answer(self, ask: "_Ask", at: Reading) -> Verdict:
        bundle = self.holdings.bundle
        try:
            fields = self._read(ask, bundle, at)
        except _No as no:
            return self._refuse(ask, at, no.reason)
        ask.fields = fields
        assert bundle is not None
        if (again := self._again(ask)) is not None:
            return again
        facts = self._facts(fields, bundle, at)
        if reason := asking.before_proof(facts):
            return self._refuse(ask, at, reason)
        try:
            self._prove(ask, at)
        except _No as no:
            return self._refuse(ask, at, no.reason, challenge=no.challenge)
        if reason := self._unsound() or asking.after_proof(facts):
            return self._refuse(ask, at, reason)
        return self._judge(ask, facts, bundle, at)

    def _read(self, ask: "_Ask", bundle: Bundle | None, at: Reading) -> CouponFields:
        """Return what the issuer has signed. The phone's proof may be wrong: `ask.unproven`.

        Raises:
            _No: Nothing that a terminal may judge.
        """
        if is_short_code(ask.text):
            raise _No(_reason(Why.ONLINE_REQUIRED, "code"))
        if not looks_like_a_coupon(ask.text):
            raise _No(_reason(Why.NOT_A_COUPON, "code"))
        if bundle is None:
            raise _No(_reason(Why.LEASE_EXPIRED, "bundle"))
        try:
            return self._token(ask, at).fields
        except _UNPROVEN as unproven:
            # These come last: the issuer's signature holds, and what it says may be asked first.
            ask.unproven = unproven
            fields = claimed(ask.text)
            assert fields is not None
            return fields
        except UnknownKey:
            if at.now >= asking.place_of(bundle).decides_until:  # a newer bundle may know it
                raise _No(_reason(Why.LEASE_EXPIRED, "bundle.keys")) from None
            raise _No(_reason(Why.UNKNOWN_KEY, "code")) from None
        except TokenRefused as refused:
            raise _No(_reason(Why(refused.code), "code")) from None

    def _token(self, ask: "_Ask", at: Reading, nonce: str = "") -> Token:
        return read(ask.text, self.holdings.ring, now=at.now, audiences=(ANYWHERE,), nonce=nonce)

    def _facts(self, fields: CouponFields, bundle: Bundle, at: Reading) -> Alone:
        spent = self.journal.spent(UUID(bytes=fields.jti))
        return Alone(
            fields=fields,
            place=asking.place_of(bundle),
            campaign=asking.campaign_of(bundle, fields.cmp),
            now=at.now,
            is_listed=self.holdings.status(fields.cmp, fields.idx, now=at.now),
            redeemed_at=spent.at if spent else None,
            is_clock_behind=at.is_behind,
        )

    def _prove(self, ask: "_Ask", at: Reading) -> None:
        """Look at what reading has found out about the phone's proof, and at its digits.

        Raises:
            _No: It does not hold, or not here and now.
        """
        assert ask.fields is not None
        if ask.unproven is None:
            return
        coupon_id = UUID(bytes=ask.fields.jti)
        is_challenged = isinstance(ask.unproven, ChallengeRequired)
        if is_challenged and (wait := self._challenges.pause_left(coupon_id, at.now)):
            raise self._asks_for_digits(coupon_id, at, wait_seconds=wait)
        digits = self._challenges.open(coupon_id, at.now) or ask.challenge
        if digits and self._has_answered(ask, digits, at):
            ask.nonce = digits
            return
        if is_challenged:
            wait = self._challenges.wrong(coupon_id, _hash(ask.text), at.now)
            raise self._asks_for_digits(coupon_id, at, wait_seconds=wait)
        raise _No(_reason(Why(ask.unproven.code), "code", **ask.unproven.details))

    def _has_answered(self, ask: "_Ask", digits: str, at: Reading) -> bool:
        """Has the phone signed these digits? Then its clock does not matter."""
        try:
            self._token(ask, at, nonce=digits)
        except TokenRefused:
            return False
        return True

    def _asks_for_digits(self, coupon_id: UUID, at: Reading, *, wait_seconds: int) -> "_No":
        digits = self._challenges.digits(coupon_id, at.now)
        needs: dict[str, Any] = {"challenge": digits}
        if wait_seconds:
            needs["wait_seconds"] = wait_seconds
        return _No(_reason(Why.CHALLENGE_REQUIRED, "code", **needs), challenge=digits)

    def _unsound(self) -> Reason | None:
        """A journal that is not whole cannot say what was spent."""
        return _reason(Why.ONLINE_REQUIRED, "journal") if self.findings else None

    def _again(self, ask: "_Ask") -> Verdict | None:
        """Return the first yes to this very ask, if there was one."""
        first = self.journal.redeemed(ask.id)
        if first is None or not first.answer:
            return None
        if first.ask != ask.print:
            raise RequestReused
        return _ACCEPTED.validate_json(first.answer)

    def _judge(self, ask: "_Ask", facts: Alone, bundle: Bundle, at: Reading) -> Verdict:
        receipt = self.journal.receipt(ask.order_ref) if ask.order_ref else None
        if reason := _receipt_in_the_way(ask, receipt):
            return self._refuse(ask, at, reason)
        applied = receipt.applied or () if receipt else ()
        changed = bool(receipt and applied) and not _is_same(receipt, ask.basket)
        case = asking.case(facts, basket=ask.basket, applied=applied, has_basket_changed=changed)
        verdict = judge(case)
        if isinstance(verdict, Refusal):
            return self._refuse(ask, at, verdict)
        return self._accept(ask, facts, bundle, verdict, at)

    def _accept(
        self, ask: "_Ask", facts: Alone, bundle: Bundle, discount: Discount, at: Reading
    ) -> Verdict:
        campaign, offer, fields = facts.campaign, facts.offer, facts.fields
        assert campaign is not None
        assert offer is not None
        coupon_id = UUID(bytes=fields.jti)
        yes = Accepted(
            id=ask.id,
            coupon_id=coupon_id,
            offer_id=offer.id,
            title=offer.terms.title,
            discount_minor=discount.minor,
            currency=campaign.currency,
            lines=discount.lines,
            is_provisional=asking.is_provisional(campaign.offline),
        )
        spending = Spending(
            jti=coupon_id,
            id=ask.id,
            until=_instant(fields.exp * 1000),
            taking=Taking(
                lease_id=bundle.lease_id,
                campaign_id=campaign.id,
                minor=discount.minor,
                max_count=campaign.max_count,
                max_minor=campaign.max_minor,
            ),
            ask=ask.print,
            answer=_ACCEPTED.dump_json(yes).decode(),
            order_ref=ask.order_ref,
            basket=ask.basket,
            applied=_applied(ask.id, offer, discount),
        )
        try:
            self.journal.append(
                EntryKind.REDEEMED,
                ask.mode,
                at=at,
                spending=spending,
                **self._said(ask),
                shown=ask.text,
                challenge=ask.nonce,
                offer=offer.id,
                order_ref=ask.order_ref,
                basket=ask.basket,
                currency=campaign.currency,
                discount_minor=discount.minor,
                lines=discount.lines,
            )
        except AlreadySpent as already:
            return self._refuse(ask, at, _spent_reason(already.spent))
        except AllowanceUsedUp as used_up:
            return self._refuse(ask, at, _reason(Why.QUOTA_REACHED, used_up.rule))
        except EntryTooLong:
            return self._refuse(ask, at, _reason(Why.ONLINE_REQUIRED, "basket.lines"))
        except sqlite3.Error:  # no room, or a broken disk: what is not written is not promised
            return self._refuse(ask, at, _reason(Why.ONLINE_REQUIRED, "journal"))
        return yes

    def _refuse(
        self, ask: "_Ask", at: Reading, no: Reason | Refusal, *, challenge: str | None = None
    ) -> Refused:
        bundle = self.holdings.bundle
        refusal = no
        if isinstance(refusal, Reason):
            zone = bundle.store_zone if bundle else "UTC"
            refusal = worded([refusal], currency=None, zone=zone, now=at.now)
        if not self.findings:  # on a journal that is not whole nothing is built
            self._write_down(ask, at, refusal)
        coupon_id = UUID(bytes=ask.fields.jti) if ask.fields else None
        return Refused(ask.id, coupon_id, refusal, challenge)

    def _write_down(self, ask: "_Ask", at: Reading, refusal: Refusal) -> None:
        try:
            self.journal.append(
                EntryKind.REFUSED,
                ask.mode,
                at=at,
                **self._said(ask),
                shown_hash=_hash(ask.text),
                why=refusal.code,
                note={"rule": refusal.reasons[0].rule},
            )
        except sqlite3.Error:
            return  # a no stands without its entry; a yes would not

    def _said(self, ask: "_Ask") -> dict[str, Any]:
        """Return what every entry about a scan says."""
        bundle, fields = self.holdings.bundle, ask.fields
        said: dict[str, Any] = {
            "store": self.holdings.store_id,
            "ver": bundle.ver if bundle else 0,
            "lease": bundle.lease_id if bundle else None,
            "cashier": ask.cashier,
            "asked_by": ask.asked_by,
            "id": ask.id,
        }
        if fields is not None:
            said["jti"], said["cmp"] = UUID(bytes=fields.jti), fields.cmp
            said["list_ver"] = self.holdings.list_ver_for(fields.cmp, fields.idx)
        return said


@dataclass(slots=True)
class _Ask:
    """One redemption as it was asked for, and what reading it has shown."""

    text: str
    basket: Basket | None
    order_ref: str | None
    cashier: str | None
    challenge: str | None
    id: UUID
    asked_by: UUID | None
    fields: CouponFields | None = None
    unproven: TokenRefused | None = None
    nonce: str | None = None  # the digits that the phone has answered

    @property
    def mode(self) -> Mode:
        return Mode.OFFLINE if self.asked_by is None else Mode.HUB

    @property
    def print(self) -> str:
        """Tell this ask from another with the same id: by the coupon and the basket."""
        assert self.fields is not None
        basket = self.basket.model_dump_json() if self.basket else ""
        told = f"{self.fields.jti.hex()}/{self.order_ref or ''}/{basket}"
        return hashlib.sha256(told.encode()).hexdigest()


class _No(Exception):
    def __init__(self, reason: Reason, *, challenge: str | None = None) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.challenge = challenge


@dataclass(slots=True)
class _Challenge:
    digits: str
    asked_at: datetime
    paused_until: datetime | None = None
    before: set[str] = field(default_factory=set[str])  # hashes of what was shown before
    tries: set[str] = field(default_factory=set[str])  # of what was shown since, and is no answer


class _Challenges:
    """The digits that phones were asked for, a coupon each. Forgotten with the process."""

    def __init__(self) -> None:
        self._open: OrderedDict[UUID, _Challenge] = OrderedDict()

    def open(self, coupon_id: UUID, now: datetime) -> str | None:
        """Return the digits that count now, if this coupon's phone was asked for any."""
        found = self._found(coupon_id, now)
        return found.digits if found else None

    def digits(self, coupon_id: UUID, now: datetime) -> str:
        """Return the digits to show, choosing them the first time, or when the old ones are old."""
        return self.open(coupon_id, now) or self._choose(coupon_id, now).digits

    def pause_left(self, coupon_id: UUID, now: datetime) -> int:
        """Return for how many seconds nothing is an answer."""
        found = self._open.get(coupon_id)
        if found is None or found.paused_until is None or found.paused_until <= now:
            return 0
        return math.ceil((found.paused_until - now).total_seconds())

    def wrong(self, coupon_id: UUID, shown_hash: str, now: datetime) -> int:
        """Count what is no answer, and return for how many seconds nothing is one now.

        What was shown before anything was asked is no try, nor what a camera only sees again.
        """
        found = self._found(coupon_id, now)
        if found is None:
            self._choose(coupon_id, now, before={shown_hash})
            return 0
        if shown_hash not in found.before:
            found.tries.add(shown_hash)
        if len(found.tries) < MOST_TRIES:
            return 0
        again = self._choose(coupon_id, now, before=found.before | found.tries)
        again.paused_until = now + PAUSE
        return self.pause_left(coupon_id, now)

    def _found(self, coupon_id: UUID, now: datetime) -> _Challenge | None:
        found = self._open.get(coupon_id)
        return found if found and now < found.asked_at + ANSWERED_WITHIN else None

    def _choose(
        self, coupon_id: UUID, now: datetime, *, before: Collection[str] = ()
    ) -> _Challenge:
        chosen = _Challenge(f"{secrets.randbelow(10_000):04d}", now, before=set(before))
        self._open[coupon_id] = chosen
        self._open.move_to_end(coupon_id)
        while len(self._open) > MOST_CHALLENGES:
            self._open.popitem(last=False)
        return chosen


def _receipt_in_the_way(ask: _Ask, receipt: OpenReceipt | None) -> Reason | None:
    """Coupons share a receipt only if each comes with its basket, and all of them are known."""
    if ask.order_ref and ask.basket is None:
        return _reason(Why.BASKET_REQUIRED, "basket")
    if receipt is not None and receipt.applied is None:
        return _reason(Why.ONLINE_REQUIRED, "basket.order_ref")
    return None


def _applied(redemption_id: UUID, offer: BundleOffer, discount: Discount) -> Applied:
    conditions = offer.terms.conditions
    return Applied(
        redemption_id=redemption_id,
        offer_id=offer.id,
        exclusivity_groups=frozenset(conditions.exclusivity_groups),
        stacking_order=conditions.stacking_order,
        discount_minor=discount.minor,
        lines=discount.lines,
        by_unit=takes_units(offer.terms.benefit),
    )


def _is_same(receipt: OpenReceipt | None, basket: Basket | None) -> bool:
    """Is it the basket of the receipt's first coupon? With lines the total is not told apart."""
    if receipt is None or receipt.basket is None or basket is None:
        return True
    first = receipt.basket
    if first.lines or basket.lines:
        return (first.currency, first.lines) == (basket.currency, basket.lines)
    return first == basket


def _spent_reason(spent: Spent) -> Reason:
    return _reason(Why.ALREADY_REDEEMED, "ledger", at=spent.at.isoformat())


def _reason(code: Why, rule: str, **needs: Any) -> Reason:
    return Reason(code=code, rule=rule, needs=needs)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _instant(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


_ACCEPTED = TypeAdapter(Accepted)
