"""A terminal as the server sees it: a key, a lease, and a journal that says what a test wants."""

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK
from pydantic import TypeAdapter
from sqlmodel import Session

from coupon_engine import coupons, issuing, operators
from coupon_engine.offline import journals, leases, server_keys
from coupon_engine.tables import Terminal
from coupon_engine.validation.issuer_keys import KeyRing, public_jwk
from coupon_engine.validation.token import Typ, presentation_text, sign_typed, verify_typed
from schemas.campaigns import CampaignView, NewTerminal, StoreView
from schemas.coupons import CouponView, HolderKey, NewCoupon, TokenView
from schemas.journals import FIRST_PREV, Acknowledgement, AnswerView, NewUpload
from schemas.offline import LeaseView, NewLease
from tests import make
from tests.make import NOON, PASSPHRASE, Shop

ONE = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
_ACKNOWLEDGEMENT = TypeAdapter(Acknowledgement)


@dataclass
class Offline:
    """A shop whose coupons terminals may judge alone."""

    at: Shop
    ring: KeyRing
    campaign: CampaignView
    batch_id: UUID
    coupons: list[CouponView]
    codes: list[str]


def world(session: Session, *, many: int = 1, terms: Any = None, **campaign: Any) -> Offline:
    at = make.shop(session)
    ring = make.signing_key(session, at, now=NOON - timedelta(days=7))
    asked: dict[str, Any] = {"offline": "device_quota", "offline_count": 20, **campaign}
    running = make.campaign(session, at, now=NOON - HOUR, **asked)
    batch = make.batch(session, at, make.offer(session, at, running, **(terms or {})))
    made = [make.coupon(session, at, batch) for _ in range(many)]
    codes = [make.code(session, at, each, ring) for each in made]
    return Offline(at, ring, running, batch.id, made, codes)


@dataclass
class Device:
    """One paired terminal and its journal. Entries are what it signs, true or not."""

    of: Offline
    id: UUID
    store: StoreView
    key: EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(_CURVE))
    lease: LeaseView | None = None
    seq: int = 0
    prev: str = FIRST_PREV
    ts: datetime = NOON
    journal: list[str] = field(default_factory=list[str])

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def leases(self, session: Session, *, now: datetime = NOON, **more: Any) -> LeaseView:
        """Get a lease, and write the entry that says so."""
        asked: dict[str, Any] = {"id": make.an_id(now), **more}
        request = NewLease(**asked)
        self.lease = leases.grant(session, self.of.at.operator_id, self.id, request, now=now)
        self.writes("leased", at=now)
        return self.lease

    def writes(self, kind: str | None = None, *, at: datetime | None = None, **claims: Any) -> str:
        """Add an entry that goes on from the one before, unless told otherwise."""
        self.ts = at or self.ts + ONE
        self.seq += 1
        said: dict[str, Any] = {
            "dev": str(self.id),
            "seq": self.seq,
            "prev": self.prev,
            "ts": millis(self.ts),
            "t_min": millis(self.ts) - 1_000,
            "kind": kind,
            "mode": "offline",
            "lease": str(self.lease.id) if self.lease else None,
            "ver": 1,
            "list_ver": millis(NOON - HOUR),
            "store": str(self.store.id),
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return self.adds(sign_typed(said, self.key, Typ.JOURNAL))

    def adds(self, jwt: str) -> str:
        self.prev = sha256(jwt.encode()).hexdigest()
        self.journal.append(jwt)
        return jwt

    def redeems(self, number: int = 0, *, at: datetime | None = None, **claims: Any) -> UUID:
        """Accept one of the coupons for two euros off ten, and return the redemption's id."""
        coupon = self.of.coupons[number]
        id = make.an_id(at or self.ts)
        said: dict[str, Any] = {
            "kind": "redeemed",
            "id": str(id),
            "jti": str(coupon.id),
            "cmp": self.of.campaign.number,
            "shown": self.of.codes[number],
            "basket": {"currency": "EUR", "total_minor": 1_000},
            "currency": "EUR",
            "discount_minor": 200,
            **claims,
        }
        self.writes(at=at, **said)
        return id

    def uploads(
        self,
        session: Session,
        entries: Sequence[str] | None = None,
        *,
        now: datetime | None = None,
        **more: Any,
    ) -> Acknowledgement:
        """Send these entries, or the whole journal, and return what the server says of them."""
        return self.uploaded(session, entries, now=now, **more)[0]

    def uploaded(
        self,
        session: Session,
        entries: Sequence[str] | None = None,
        *,
        now: datetime | None = None,
        **more: Any,
    ) -> tuple[Acknowledgement, tuple[int, ...]]:
        now = now or self.ts + ONE
        request = NewUpload(
            id=make.an_id(now), entries=tuple(self.journal if entries is None else entries), **more
        )
        view = journals.receive(
            session,
            self.of.at.operator_id,
            self.id,
            request,
            ring=self.of.ring,
            passphrase=PASSPHRASE,
            now=now,
        )
        return self.read(session, view.acknowledgement), view.unread

    def hears(
        self, session: Session, *, after: datetime | None = None, now: datetime | None = None
    ) -> Acknowledgement:
        told = journals.acknowledgement(
            session,
            self.of.at.operator_id,
            self.id,
            after=int(after.timestamp()) if after else 0,
            passphrase=PASSPHRASE,
            now=now or self.ts + ONE,
        )
        return self.read(session, told)

    def read(self, session: Session, told: str) -> Acknowledgement:
        """Believe nothing that the operator's server key has not signed for this terminal."""
        key = server_keys.public(
            session, self.of.at.operator_id, passphrase=PASSPHRASE, now=self.ts
        )
        claims = verify_typed(told, PyJWK(key, "ES256"), Typ.ACKNOWLEDGEMENT)
        acknowledged = _ACKNOWLEDGEMENT.validate_python(claims)
        assert acknowledged.dev == self.id
        return acknowledged


def device(session: Session, of: Offline, *, store: StoreView | None = None) -> Device:
    """One more terminal of the shop, paired."""
    store = store or of.at.store
    made = operators.create_terminal(
        session,
        of.at.operator_id,
        NewTerminal(id=make.an_id(), store_id=store.id, name="Till"),
        now=NOON,
    )
    one = Device(of, made.id, store)
    row = session.get_one(Terminal, (of.at.operator_id, made.id))
    row.public_key, row.paired_at = one.public_key, NOON
    session.add(row)
    session.flush()
    return one


class Phone:
    """A phone with the coupons of a shop, bound to its key."""

    def __init__(self, session: Session, level: str, *, many: int = 1) -> None:
        self.key = ec.generate_private_key(_CURVE)
        of = world(session, many=0, level=level)
        own = [self.gets(session, of) for _ in range(many)]
        self.views = [
            coupons.token(
                session, of.at.operator_id, each.id, of.ring, code_secret=make.SECRET, now=NOON
            )
            for each in own
        ]
        self.of = replace(of, coupons=own, codes=[""] * many)

    def gets(self, session: Session, of: Offline, **more: Any) -> CouponView:
        asked: dict[str, Any] = {
            "id": make.an_id(),
            "batch_id": of.batch_id,
            "holder_key": self.holder_key,
        }
        request = NewCoupon(**{**asked, **more})
        return issuing.issue(
            session, of.at.operator_id, request, code_secret=make.SECRET, now=NOON - HOUR
        )

    @property
    def holder_key(self) -> HolderKey:
        jwk = public_jwk(self.key)
        return HolderKey(x=jwk["x"], y=jwk["y"])

    @property
    def view(self) -> TokenView:
        return self.views[0]

    def shows(
        self,
        number: int = 0,
        *,
        at: datetime = NOON + MINUTE,
        nonce: str = "",
        key: EllipticCurvePrivateKey | None = None,
    ) -> str:
        view = self.views[number]
        assert view.head is not None
        return presentation_text(
            view.jwt,
            urlsafe_b64decode(view.head + "=" * (-len(view.head) % 4)),
            view.letter,
            key or self.key,
            at=at,
            audience=view.audience,
            nonce=nonce,
        )

    def till(self, session: Session) -> Device:
        one = device(session, self.of)
        one.leases(session)
        return one


def answers(acknowledged: Acknowledgement) -> dict[int, AnswerView]:
    return {each.seq: each for each in acknowledged.answers}


def words(answers: Iterable[AnswerView]) -> list[str]:
    """Return what was said in short, such as "accepted" or "rejected: clock"."""
    return [f"{each.answer}: {each.reason}" if each.reason else each.answer for each in answers]


def millis(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


_CURVE = ec.SECP256R1()
