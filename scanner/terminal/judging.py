"""Judging alone: from the text that was shown to a verdict, and on disk before it is told.

The order of questions is that of `validation/alone.py`: what the code says, what the terminal knows
of it, the phone's proof, what the campaign lets a terminal decide; then the judge that the server
has as well; last the allowance. Every no is written down with the hash of what was shown, never
with the text. All forgeries sound alike.
"""

import hashlib
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
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
from scanner.terminal.challenges import Challenges
from scanner.terminal.checking import Finding
from scanner.terminal.clock import GuardedClock, Reading
from scanner.terminal.holdings import Holdings
from scanner.terminal.journal import EntryTooLong, Journal
from scanner.terminal.ledger import (
    AllowanceUsedUp,
    AlreadySpent,
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

# A list tells what was so when it was read, but for what was being written just then, and servers
# of one house may be some seconds apart.
LIST_MISSES = timedelta(seconds=60)

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
        self._challenges = Challenges()
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
        cashier_id: UUID | None = None,
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
                cashier_id=cashier_id,
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
        coupon_id = UUID(bytes=fields.jti)
        is_listed = self.holdings.status(fields.cmp, fields.idx, now=at.now)
        spent = self.journal.spent(coupon_id)
        if spent and is_listed is False and self._was_reversed(spent, fields):
            spent = None
        return Alone(
            fields=fields,
            place=asking.place_of(bundle),
            campaign=asking.campaign_of(bundle, fields.cmp),
            now=at.now,
            is_listed=is_listed,
            redeemed_at=spent.at if spent else None,
            is_clock_behind=at.is_behind,
        )

    def _was_reversed(self, spent: Spent, fields: CouponFields) -> bool:
        """Does a list that is newer than the server's knowledge of it not have this redemption?

        Then it was taken back. All by the server's own clock: ours may be wrong.
        """
        if spent.heard_at is None:
            return False
        list_ver = self.holdings.list_ver_for(fields.cmp, fields.idx)
        return _instant(list_ver) > spent.heard_at + LIST_MISSES

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
            reversed_id=self._reversed_id(facts),
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

    def _reversed_id(self, facts: Alone) -> UUID | None:
        """Return the redemption in the ledger that was found to count no more."""
        spent = self.journal.spent(UUID(bytes=facts.fields.jti))
        return spent.id if spent and facts.redeemed_at is None else None

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
            "cashier_id": ask.cashier_id,
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
    cashier_id: UUID | None
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
