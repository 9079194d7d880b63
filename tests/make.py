"""One builder for each thing. Each makes something valid and takes only what a test cares about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlmodel import Session

from coupon_engine import (
    acting,
    approving,
    batches,
    campaigns,
    coupons,
    issuing,
    keys,
    offers,
    operators,
)
from coupon_engine.offline import leases
from coupon_engine.people import passwords, sign_ins
from coupon_engine.redemption import Presented
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account
from coupon_engine.validation.issuer_keys import KeyRing
from coupon_engine.validation.showing import Shown, shown
from schemas.access import AT_A_STORE, Actor, ActorKind, Role
from schemas.approvals import NewApproval
from schemas.baskets import Basket, Line
from schemas.campaigns import (
    BatchView,
    CampaignView,
    Ceiling,
    CeilingView,
    NewBatch,
    NewCampaign,
    NewCeiling,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOffer,
    NewOperator,
    NewStore,
    NewTerminal,
    OfferView,
    StoreView,
    TerminalView,
)
from schemas.coupons import CouponView, NewCoupon
from schemas.ids import new_id
from schemas.keys import KeyMove, NewKey, NewKeyMove
from schemas.offers import AmountOff, Benefit, Conditions, Terms, Title, Validity
from schemas.offline import LeaseView, NewLease
from schemas.redemptions import NewHold, NewRedemption

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
SECRET = b"a secret of tests"
PASSPHRASE = b"a passphrase of tests"
VAULT = Vault.under(PASSPHRASE)
PASSWORD = "seven blue umbrellas"
ISSUER = "https://coupons.test"
SECOND_PERSON = Actor(kind=ActorKind.PERSON, id="second", name="Bea", role=Role.APPROVER)


@dataclass(frozen=True)
class Shop:
    """One operator with a merchant, a store and a terminal, ready to run campaigns."""

    operator_id: UUID
    slug: str
    store: StoreView
    terminal: TerminalView


def an_id(now: datetime = NOON) -> UUID:
    return new_id(now)


def shop(session: Session, *, zone: str = "Europe/Berlin", now: datetime = NOON) -> Shop:
    slug = f"shop-{an_id().hex[-12:]}"
    operator = operators.create_operator(
        session, NewOperator(id=an_id(), slug=slug, name="Acme"), now=now
    )
    merchant = operators.create_merchant(
        session, operator.id, NewMerchant(id=an_id(), name="Corner shop"), now=now
    )
    store = another_store(session, operator.id, merchant.id, zone=zone, now=now)
    terminal = operators.create_terminal(
        session, operator.id, NewTerminal(id=an_id(), store_id=store.id, name="Till 1"), now=now
    )
    return Shop(operator.id, slug, store, terminal)


def another_store(
    session: Session,
    operator_id: UUID,
    merchant_id: UUID,
    *,
    zone: str = "Europe/Berlin",
    now: datetime = NOON,
) -> StoreView:
    return operators.create_store(
        session,
        operator_id,
        NewStore(id=an_id(), merchant_id=merchant_id, name="Main street", zone=zone),
        now=now,
    )


def customer(session: Session, at: Shop, *, now: datetime = NOON, **more: Any) -> UUID:
    asked: dict[str, Any] = {"id": an_id(), "ref": f"c-{an_id().hex}"}
    one = NewCustomer(**{**asked, **more})
    operators.create_customers(
        session, at.operator_id, NewCustomers(id=an_id(), customers=(one,)), now=now
    )
    return one.id


def person(
    session: Session,
    at: Shop,
    role: Role = Role.OWNER,
    *,
    password: str | None = PASSWORD,
    now: datetime = NOON,
    **more: Any,
) -> Account:
    """Somebody who works for the operator, with a password and no second factor yet."""
    asked: dict[str, Any] = {
        "id": an_id(),
        "email": f"p-{an_id().hex}@example.com",
        "name": "Ann",
        "store_ids": [at.store.id] if role in AT_A_STORE else [],
    }
    account = Account(
        **{**asked, **more},
        operator_id=at.operator_id,
        role=role,
        password_hash=_kept(password) if password else None,
        created_at=now,
    )
    session.add(account)
    session.flush()
    return account


@cache
def _kept(password: str) -> str:
    return passwords.hash_of(password)


def signed_in(
    session: Session, account: Account, *methods: str, now: datetime = NOON
) -> sign_ins.Opened:
    """A sign-in of this person, a whole one unless told otherwise; whoever acts goes on acting."""
    before = acting.actor_of(session)
    opened = sign_ins.open_sign_in(
        session,
        account,
        methods=methods or ("password", "totp"),
        address="192.0.2.0/24",
        agent="A browser",
        now=now,
    )
    acting.enter(session, account.operator_id, before)
    return opened


def campaign(session: Session, at: Shop, *, now: datetime = NOON, **more: Any) -> CampaignView:
    """A running campaign with more budget than most tests spend, approved by a second person."""
    asked: dict[str, Any] = {
        "id": an_id(),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": now - timedelta(days=1),
        "ends_at": now + timedelta(days=60),
        "budget_minor": 1_000_000,
        "max_redemptions": 10_000,
        "max_issued": 2_000_000,
    }
    made = campaigns.create_campaign(
        session, at.operator_id, NewCampaign(**{**asked, **more}), now=now
    )
    return approved(session, at, made.id, now=now)


def approved(
    session: Session,
    at: Shop,
    campaign_id: UUID,
    *,
    by: Actor = SECOND_PERSON,
    now: datetime = NOON,
) -> CampaignView:
    """Let somebody else look at the campaign as it stands, and say yes."""
    seen = approving.diff(session, at.operator_id, campaign_id, now=now).fingerprint
    asked = NewApproval(id=an_id(), campaign_id=campaign_id, seen=seen, reason="ready")
    first_person = acting.actor_of(session)
    acting.enter(session, at.operator_id, by)
    approving.approve(session, at.operator_id, asked, now=now)
    acting.enter(session, at.operator_id, first_person)
    return campaigns.campaign_view(session, at.operator_id, campaign_id, now=now)


def moved(
    session: Session, at: Shop, of: CampaignView, ceiling: Ceiling, current: int, target: int
) -> CeilingView:
    """A ceiling of the campaign that somebody wants to see moved."""
    asked = NewCeiling(
        id=an_id(),
        campaign_id=of.id,
        ceiling=ceiling,
        current=current,
        target=target,
        reason="told",
    )
    return campaigns.move_ceiling(session, at.operator_id, asked, now=NOON)


def terms(benefit: Benefit | None = None, **more: Any) -> Terms:
    """Two euros off anything, for a month."""
    asked: dict[str, Any] = {
        "title": Title(en="2 EUR off", zh="立减2欧元"),
        "benefit": benefit or AmountOff(amount_minor=200),
        "conditions": Conditions(),
        "validity": Validity(days_after_issue=30),
    }
    return Terms(**{**asked, **more})


def offer(
    session: Session,
    at: Shop,
    of: CampaignView | None = None,
    *,
    now: datetime = NOON,
    **more: Any,
) -> OfferView:
    of = of or campaign(session, at, now=now)
    return offers.create_offer(
        session,
        at.operator_id,
        NewOffer(id=an_id(), campaign_id=of.id, terms=terms(**more)),
        now=now,
    )


def batch(
    session: Session,
    at: Shop,
    of: OfferView | None = None,
    *,
    now: datetime = NOON,
    **more: Any,
) -> BatchView:
    """A batch that a second person has approved with its offer."""
    of = of or offer(session, at, now=now)
    asked: dict[str, Any] = {"id": an_id(), "offer_id": of.id, "name": "First", "size": 1_000_000}
    made = batches.create_batch(session, at.operator_id, NewBatch(**{**asked, **more}), now=now)
    approved(session, at, of.campaign_id, now=now)
    return made


def coupon(
    session: Session,
    at: Shop,
    of: BatchView | None = None,
    *,
    now: datetime = NOON,
    **more: Any,
) -> CouponView:
    of = of or batch(session, at, now=now)
    return issuing.issue(
        session,
        at.operator_id,
        NewCoupon(id=an_id(), batch_id=of.id, **more),
        code_secret=SECRET,
        now=now,
    )


def signing_key(session: Session, at: Shop, *, now: datetime = NOON) -> KeyRing:
    """The shop's first key, in use."""
    made = keys.publish(session, at.operator_id, NewKey(id=an_id()), passphrase=PASSPHRASE, now=now)
    keys.decide_key(
        session,
        at.operator_id,
        NewKeyMove(id=an_id(), kid=made.kid, move=KeyMove.USE, reason="first"),
        now=now,
    )
    return keys.ring(session, at.operator_id, issuer_url=ISSUER, passphrase=PASSPHRASE)


def code(session: Session, at: Shop, of: CouponView, ring: KeyRing, *, now: datetime = NOON) -> str:
    """What the phone of a static coupon shows."""
    text = coupons.token(session, at.operator_id, of.id, ring, code_secret=SECRET, now=now).text
    assert text is not None
    return text


def basket(*prices_minor: int, currency: str = "EUR") -> Basket:
    """A basket of single things at these prices; 10.00 if none is given."""
    lines = tuple(
        Line(product=f"p{number}", quantity=1, unit_price_minor=price)
        for number, price in enumerate(prices_minor or (1_000,))
    )
    return Basket(currency=currency, lines=lines)


def of_coupon(coupon: CouponView, campaign: CampaignView | None = None) -> Shown:
    """A verified code of this coupon, for tests that care nothing about pictures and keys."""
    number = campaign.number if campaign else 1
    return Shown(coupon_id=coupon.id, campaign_number=number)


def request(at: Shop, coupon: CouponView, **more: Any) -> Presented:
    """A counter's request to redeem this coupon."""
    asked: dict[str, Any] = {
        "id": an_id(),
        "code": f"coupon {coupon.id}",
        "store_id": at.store.id,
        "terminal_id": at.terminal.id,
        "basket": basket(),
    }
    of = more.pop("of", None)
    return Presented(NewRedemption(**{**asked, **more}), of_coupon(coupon, of))


def hold_request(at: Shop, coupon: CouponView, **more: Any) -> NewHold:
    asked: dict[str, Any] = {
        "id": an_id(),
        "code": f"coupon {coupon.id}",
        "store_id": at.store.id,
        "basket": basket(),
    }
    return NewHold(**{**asked, **more})


def read(text: str, ring: KeyRing, *, now: datetime = NOON) -> Shown:
    return shown(text, ring, pepper=SECRET, challenge=None, now=now)


def lease(session: Session, at: Shop, *, now: datetime = NOON, **more: Any) -> LeaseView:
    """A lease of the shop's own terminal, or of another that is named."""
    terminal_id = more.pop("terminal_id", at.terminal.id)
    asked: dict[str, Any] = {"id": an_id(now), **more}
    request = NewLease(**asked)
    return leases.grant(session, at.operator_id, terminal_id, request, now=now)


def another_terminal(
    session: Session, at: Shop, *, store_id: UUID | None = None, now: datetime = NOON
) -> TerminalView:
    request = NewTerminal(id=an_id(now), store_id=store_id or at.store.id, name="Till 2")
    return operators.create_terminal(session, at.operator_id, request, now=now)
