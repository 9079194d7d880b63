"""Who decides about a coupon: the server, else the hub of the store, else this terminal alone.

One request with one id goes from one to the next. If the server had heard it after all, it finds
in our journal that both were the same redemption. A no of the server or of the hub is final.

What others have decided is written into the journal too: the ledger knows the coupon then, should
the network go away.
"""

import hashlib
import math
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from threading import Lock, RLock
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from coupon_engine.errors import RequestReused
from coupon_engine.validation.alone import campaign_of
from coupon_engine.validation.token import claimed
from scanner.terminal.hub import ForStore, HubAsked, HubAway
from scanner.terminal.journal import EntryTooLong
from scanner.terminal.judging import Accepted, Counter
from scanner.terminal.ledger import Spending
from scanner.terminal.seat import Seat, Seated
from scanner.terminal.server import Away, SaysNo, Server
from scanner.terminal.showing import Decider, Screen, Slip, accepted, refused, slipped
from schemas.baskets import Basket
from schemas.campaigns import Level
from schemas.ids import new_id
from schemas.journals import EntryKind, Mode
from schemas.offers import Title
from schemas.redemptions import RedemptionView
from schemas.refusals import Refusal, Why
from schemas.token import CouponFields

PATIENCE_SECONDS = 2.5  # a cashier waits no longer before the terminal decides
TRIES_AGAIN_SECONDS = 30.0  # so long nobody waits for a server that has just been away
MOST_OPEN = 1_000
# The server knows us no more: revoked, another device in our place, or a journal that has forked.
DISOWNED = frozenset(("not_signed_in", "terminal_frozen"))
LONGEST_REMEMBERED = timedelta(days=3_660)


class ShiftOver(Exception):
    """The server takes the cashier's shift for ended, so it has not heard the request."""


class Terminal:
    """Decides at one counter, and for the store's other terminals if this one is the hub.

    From many threads at once. `steady` counts seconds.
    """

    def __init__(
        self,
        server: Server,
        counter: Counter,
        *,
        id: UUID,
        store_id: UUID,
        steady: Callable[[], float],
        hub: HubAsked | None = None,
        seat: Seat | None = None,
    ) -> None:
        self.id = id
        self.counter = counter
        self.seat = seat
        self.is_disowned = False  # the server has said that we are none of its terminals
        self._server = server
        self._store_id = store_id
        self._steady = steady
        self._hub = hub
        self._turn = RLock()
        self._away_until: float | None = None
        self._open = _Open()

    @property
    def is_online(self) -> bool:
        """Did the server answer when it was asked last?"""
        return self._away_until is None

    def redeem(
        self,
        code: str,
        *,
        basket: Basket | None = None,
        order_ref: str | None = None,
        cashier: str | None = None,
    ) -> Screen:
        """Let whoever can be reached decide, and return what to show.

        The same code shown again after nobody knows what became of it is the same request. Where
        there are cashiers, one of them must have signed in; `cashier` is a name where there are
        none.
        """
        seated = self.seated
        if seated is None and self.has_cashiers:
            return slipped(Slip.NOBODY_SITS)
        fields = claimed(code)
        try:
            request = ForStore(
                id=new_id(self.counter.look().now),
                code=code,
                store_id=self._store_id,
                terminal_id=self.id,
                basket=basket,
                order_ref=order_ref,
                cashier=seated.name if seated else cashier,
                cashier_id=seated.cashier_id if seated else None,
                challenge=self._digits(fields),
            )
        except ValidationError:
            return slipped(Slip.NOT_UNDERSTOOD)
        return self._decide(request, fields)

    @property
    def has_cashiers(self) -> bool:
        """Are there cashiers at this store, so that somebody has to sign in?"""
        return self.seat is not None and bool(self.seat.cashiers)

    @property
    def seated(self) -> Seated | None:
        """Return the cashier who has signed in here, if any has."""
        return self.seat.seated(self.counter.look().now) if self.seat else None

    def sit(self, cashier_id: UUID, pin: str) -> Seated:
        """Let a cashier sign in, by the server's word or, while it is away, by the terminal's own.

        Raises:
            PinRefused: Not this cashier's PIN, or wrong too often.
        """
        assert self.seat is not None
        return self.seat.sit(cashier_id, pin, now=self.counter.look().now, is_alone=self._is_away)

    def leave(self) -> None:
        """Let the cashier who has signed in sign out."""
        if self.seat is not None:
            self.seat.leave(now=self.counter.look().now, is_alone=self._is_away)

    def redeem_for(self, request: ForStore, asked_by: UUID) -> Screen:
        """Decide as the hub, at another terminal's asking. The same id gets the same answer.

        The server is not asked: whoever asks us has just tried, and its request may be there.
        """
        if self.is_disowned:
            return slipped(Slip.NOT_PAIRED)
        with self._turn:
            return self._alone(request, asked_by=asked_by)

    @contextmanager
    def nobody_redeems(self) -> Generator[None]:
        """Keep everybody waiting, while what a terminal judges by changes."""
        with self._turn:
            yield

    def heard(self, *, is_online: bool) -> None:
        """Know whether the server answers: it was asked for something else."""
        self._away_until = None if is_online else self._steady() + TRIES_AGAIN_SECONDS

    def stay_alone(self) -> None:
        """Ask the server nothing any more."""
        self._away_until = math.inf

    @property
    def _is_away(self) -> bool:
        """Was the server away a moment ago, so that nobody waits for it again?"""
        return not self.is_online and self._steady() < (self._away_until or 0)

    def _decide(self, request: ForStore, fields: CouponFields | None) -> Screen:
        key = _key(request, fields)
        if self._is_away:
            screen = self._without_the_server(request)
        else:
            try:
                screen = self._by_server(request, key, fields)
            except ShiftOver:
                return slipped(Slip.NOBODY_SITS)
            except Away:
                self.heard(is_online=False)
                self._open.remember(key, request)
                screen = self._without_the_server(request)
        if screen.is_accepted:
            self._open.forget(key)
        return screen

    # The server.

    def _by_server(self, request: ForStore, key: str, fields: CouponFields | None) -> Screen:
        """Ask the server, first what became of an earlier request for the same coupon.

        Raises:
            Away: It cannot be reached, or not soon enough.
            ShiftOver: The cashier's shift has ended there.
        """
        if (earlier := self._open.of(key)) is not None:
            if _is_same(earlier, request):
                request = earlier
            elif (view := self._became_of(earlier)) is not None:
                self._open.forget(key)
                return self._remember_yes(request, view, fields)
        try:
            view = self._posted(request)
        except SaysNo as no:
            return self._said_no(no, request, key, fields)
        self._open.forget(key)
        return self._remember_yes(request, view, fields)

    def _posted(self, request: ForStore) -> RedemptionView:
        seated = self.seated
        shift = seated.secret if seated and seated.cashier_id == request.cashier_id else None
        body = request.model_dump_json(exclude_defaults=True, exclude={"cashier_id"})
        try:
            answer = self._server.ask(
                "POST", "/v1/redemptions", body=body, shift=shift, patience_seconds=PATIENCE_SECONDS
            )
        except SaysNo as no:
            if shift is None or no.status != HTTPStatus.UNAUTHORIZED:
                raise
            # The shift or the terminal: which of the two, the next request without a shift tells.
            assert self.seat is not None
            self.seat.is_over(shift)
            raise ShiftOver from None
        self.heard(is_online=True)
        try:
            return RedemptionView.model_validate_json(answer.content)
        except ValidationError:
            raise Away("an answer that is not the server's") from None

    def _became_of(self, request: ForStore) -> RedemptionView | None:
        path = f"/v1/redemptions/{request.id}"
        try:
            answer = self._server.ask("GET", path, patience_seconds=PATIENCE_SECONDS)
            return RedemptionView.model_validate_json(answer.content)
        except (SaysNo, ValidationError):
            return None

    def _said_no(
        self, no: SaysNo, request: ForStore, key: str, fields: CouponFields | None
    ) -> Screen:
        self.heard(is_online=True)
        self.is_disowned = no.code in DISOWNED
        refusal = _refusal_in(no.problem)
        if refusal is None:
            slip = SLIP_OF.get(HTTPStatus(no.status), Slip.ASK_AGAIN)
            if slip is Slip.ASK_AGAIN:
                self._open.remember(key, request)
            return slipped(slip)
        self._open.forget(key)
        self._note(
            EntryKind.REFUSED, request, fields, shown_hash=_hash(request.code), why=refusal.code
        )
        return refused(
            refusal,
            decided_by=Decider.SERVER,
            redemption_id=request.id,
            coupon_id=UUID(bytes=fields.jti) if fields else None,
            challenge=request.challenge if refusal.code is Why.CHALLENGE_REQUIRED else None,
        )

    def _remember_yes(
        self, request: ForStore, view: RedemptionView, fields: CouponFields | None
    ) -> Screen:
        title = self._title(fields, view.offer_id)
        screen = accepted(
            redemption_id=view.id,
            coupon_id=view.coupon_id,
            discount_minor=view.discount_minor,
            currency=view.currency,
            decided_by=Decider.SERVER,
            title=title,
            lines=view.lines,
        )
        is_over = view.uses_left == 0 and not view.balance_minor
        self._remember(request, screen, fields, is_over=is_over, offer=view.offer_id)
        return screen

    # Without the server.

    def _without_the_server(self, request: ForStore) -> Screen:
        if self.is_disowned:
            return slipped(Slip.NOT_PAIRED)
        bundle = self.counter.holdings.bundle
        if self._hub is not None and bundle is not None and bundle.hub_id not in (None, self.id):
            key = next(
                (each.public_key for each in bundle.terminals if each.id == bundle.hub_id), None
            )
            if key is not None:
                with suppress(HubAway):
                    asked = request.model_copy(update={"challenge": None})  # it has its own digits
                    screen = self._hub.redeem(asked, bundle.hub_id, key, bundle.hub_url)
                    return self._heard_from_hub(request, screen, bundle.hub_id)
        with self._turn:
            return self._alone(request)

    def _heard_from_hub(self, request: ForStore, screen: Screen, hub_id: UUID) -> Screen:
        fields = claimed(request.code)
        if screen.is_accepted:
            # Without `asked_by`: the entry by which it is paid is the hub's own.
            self._remember(request, screen, fields, mode=Mode.HUB, note={"hub": str(hub_id)})
        return screen

    def _alone(self, request: ForStore, *, asked_by: UUID | None = None) -> Screen:
        decided_by = Decider.TERMINAL if asked_by is None else Decider.HUB
        try:
            verdict = self.counter.redeem(
                request.code,
                id=request.id,
                basket=request.basket,
                order_ref=request.order_ref,
                cashier=request.cashier,
                cashier_id=request.cashier_id,
                asked_by=asked_by,
            )
        except RequestReused:
            return slipped(Slip.ASK_AGAIN)
        if isinstance(verdict, Accepted):
            return accepted(
                redemption_id=verdict.id,
                coupon_id=verdict.coupon_id,
                discount_minor=verdict.discount_minor,
                currency=verdict.currency,
                decided_by=decided_by,
                title=verdict.title,
                lines=verdict.lines,
                is_provisional=verdict.is_provisional,
            )
        return refused(
            verdict.refusal,
            decided_by=decided_by,
            redemption_id=verdict.id,
            coupon_id=verdict.coupon_id,
            challenge=verdict.challenge,
        )

    # What others have decided.

    def _remember(
        self,
        request: ForStore,
        screen: Screen,
        fields: CouponFields | None,
        *,
        mode: Mode = Mode.ONLINE,
        is_over: bool = True,
        **more: Any,
    ) -> None:
        assert screen.coupon_id is not None
        assert screen.redemption_id is not None
        until = _until(fields, self.counter)
        spending = Spending(
            jti=screen.coupon_id,
            id=screen.redemption_id,
            until=until,
            order_ref=request.order_ref,
            basket=request.basket,
            is_over=is_over,
        )
        self._note(
            EntryKind.REDEEMED,
            request.model_copy(update={"id": screen.redemption_id}),
            fields,
            mode=mode,
            spending=spending,
            currency=screen.currency,
            discount_minor=screen.discount_minor,
            **{"jti": screen.coupon_id, **more},
        )

    def _note(
        self,
        kind: EntryKind,
        request: ForStore,
        fields: CouponFields | None,
        *,
        mode: Mode = Mode.ONLINE,
        **said: Any,
    ) -> None:
        """Write down what somebody else has decided; that stands, even if we cannot write it."""
        bundle = self.counter.holdings.bundle
        if fields is not None:
            said = {"jti": UUID(bytes=fields.jti), "cmp": fields.cmp, **said}
        with self._turn, suppress(sqlite3.Error, EntryTooLong):
            if self.counter.findings:
                return
            self.counter.journal.append(
                kind,
                mode,
                at=self.counter.look(),
                store=self._store_id,
                ver=bundle.ver if bundle else 0,
                lease=bundle.lease_id if bundle else None,
                id=request.id,
                cashier=request.cashier,
                cashier_id=request.cashier_id,
                order_ref=request.order_ref,
                **said,
            )

    def _title(self, fields: CouponFields | None, offer_id: UUID) -> Title | None:
        bundle = self.counter.holdings.bundle
        campaign = campaign_of(bundle, fields.cmp) if bundle and fields else None
        offers = campaign.offers if campaign else ()
        return next((each.terms.title for each in offers if each.id == offer_id), None)

    def _digits(self, fields: CouponFields | None) -> str | None:
        """Return the digits that the phone of this coupon must answer, if it must."""
        if fields is None or fields.policy.level is not Level.CHALLENGED:
            return None
        return self.counter.digits(UUID(bytes=fields.jti))


SLIP_OF: Mapping[HTTPStatus, Slip] = {
    HTTPStatus.UNAUTHORIZED: Slip.NOT_PAIRED,
    HTTPStatus.FORBIDDEN: Slip.NOT_PAIRED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Slip.NOT_UNDERSTOOD,
    HTTPStatus.UNPROCESSABLE_ENTITY: Slip.NOT_UNDERSTOOD,
    HTTPStatus.TOO_MANY_REQUESTS: Slip.TOO_MANY_TRIES,
}
"""What a no of the server means that is about no coupon. Any other: nobody knows yet."""


class _Open:
    """Requests of which nobody knows what became, the newest for each coupon.

    Forgotten with the process: a code that is shown after that is a new request, and the coupon's
    own row at the server still lets it be spent once only.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, ForStore] = OrderedDict()
        self._lock = Lock()

    def of(self, key: str) -> ForStore | None:
        with self._lock:
            return self._of.get(key)

    def remember(self, key: str, request: ForStore) -> None:
        with self._lock:
            self._of[key] = request
            self._of.move_to_end(key)
            while len(self._of) > MOST_OPEN:
                self._of.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._of.pop(key, None)


def _key(request: ForStore, fields: CouponFields | None) -> str:
    """Name the coupon that a request is about: a phone shows another text each time."""
    return fields.jti.hex() if fields else _hash(request.code)


def _is_same(earlier: ForStore, request: ForStore) -> bool:
    return earlier.model_copy(update={"id": request.id}) == request


def _until(fields: CouponFields | None, counter: Counter) -> datetime:
    """Return how long the ledger has to know a coupon; what a short code hides may last longest."""
    if fields is None:
        return counter.look().now + LONGEST_REMEMBERED
    return datetime.fromtimestamp(fields.exp, UTC)


def _refusal_in(problem: Mapping[str, Any]) -> Refusal | None:
    try:
        return Refusal.model_validate(problem["refusal"])
    except (KeyError, ValidationError):
        return None


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()
