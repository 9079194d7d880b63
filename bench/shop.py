"""A shop with one hot campaign: all that is redeemed or issued here comes out of one budget."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from coupon_engine import (
    acting,
    apart,
    api_keys,
    approving,
    batches,
    campaigns,
    coupons,
    embedded,
    issuing,
    keys,
    offers,
    operators,
)
from coupon_engine.database import assert_durable, open_engine, transaction
from coupon_engine.migrating import migrate
from coupon_engine.settings import Settings
from coupon_engine.tables import Campaign, Coupon
from coupon_engine.validation.issuer_keys import KeyRing
from schemas.access import Actor, ActorKind, Role
from schemas.approvals import NewApproval
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.baskets import Basket, Line
from schemas.campaigns import (
    NewBatch,
    NewCampaign,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOffer,
    NewOperator,
    NewStore,
    NewTerminal,
)
from schemas.coupons import NewCoupons
from schemas.ids import new_id
from schemas.keys import KeyMove, NewKey, NewKeyMove
from schemas.offers import AmountOff, Terms, Title, Validity
from schemas.redemptions import NewRedemption

ISSUER = "https://coupons.example"
PASSPHRASE = "opens the keys of a bench only"  # noqa: S105 (it guards nothing)
CODE_SECRET = "keys the short codes of a bench only"  # noqa: S105 (it guards nothing)

BASKET = Basket(
    currency="EUR",
    lines=(
        Line(product="4006381333931", category="stationery", quantity=2, unit_price_minor=150),
        Line(product="4000417025005", category="sweets", quantity=1, unit_price_minor=119),
        Line(product="4008400404127", category="sweets", quantity=3, unit_price_minor=299),
    ),
)
SECOND_PERSON = Actor(kind=ActorKind.PERSON, id="second", name="Bea", role=Role.APPROVER)
DISCOUNT_MINOR = 200
CUSTOMERS = 2_000


@dataclass(frozen=True)
class Shop:
    """One operator with a store, a campaign that nothing exhausts, and customers."""

    operator_id: UUID
    store_id: UUID
    terminal_id: UUID
    campaign_id: UUID
    customer_ids: tuple[UUID, ...]
    api_key: str
    ring: KeyRing


@dataclass(frozen=True)
class Database:
    """A server of its own, with the rights to set things up and with those that a door has."""

    settings: Settings
    engine: Engine
    limited: Engine


@contextmanager
def durable_database() -> Generator[Database]:
    """Start an empty PostgreSQL as production has it: an answer given survives a power cut."""
    with ExitStack() as closing:
        server = closing.enter_context(embedded.temporary())
        engine = open_engine(server.url)
        closing.callback(engine.dispose)
        assert_durable(engine)
        migrate(engine)
        limited = open_engine(server.url, role=apart.ROLE)
        closing.callback(limited.dispose)
        yield Database(_settings(server.url), engine, limited)


def open_shop(engine: Engine, *, slug: str = "bench", now: datetime) -> Shop:
    with transaction(engine) as session:
        operator = operators.create_operator(
            session, NewOperator(id=new_id(now), slug=slug, name="Bench"), now=now
        )
        at = operator.id
        merchant = operators.create_merchant(
            session, at, NewMerchant(id=new_id(now), name="Corner shop"), now=now
        )
        store = operators.create_store(
            session,
            at,
            NewStore(id=new_id(now), merchant_id=merchant.id, name="Here", zone="Europe/Berlin"),
            now=now,
        )
        terminal = operators.create_terminal(
            session, at, NewTerminal(id=new_id(now), store_id=store.id, name="Till 1"), now=now
        )
        customers = [
            NewCustomer(id=new_id(now), ref=f"customer {number}", has_purchased=True)
            for number in range(CUSTOMERS)
        ]
        operators.create_customers(
            session, at, NewCustomers(id=new_id(now), customers=tuple(customers)), now=now
        )
        return Shop(
            operator_id=at,
            store_id=store.id,
            terminal_id=terminal.id,
            campaign_id=_campaign(session, at, now=now),
            customer_ids=tuple(each.id for each in customers),
            api_key=api_keys.create_api_key(session, at, "bench", now=now).api_key,
            ring=_signing_key(session, at, now=now),
        )


def new_batch(
    engine: Engine, shop: Shop, *, now: datetime, uses: int = 1, has_short_codes: bool = False
) -> UUID:
    """Make a batch of a new offer, from which coupons may come at once."""
    terms = Terms(
        title=Title(en="2 EUR off", zh="立减2欧元"),
        benefit=AmountOff(amount_minor=DISCOUNT_MINOR),
        validity=Validity(days_after_issue=30),
        uses=uses,
    )
    offer = NewOffer(id=new_id(now), campaign_id=shop.campaign_id, terms=terms)
    batch = NewBatch(
        id=new_id(now),
        offer_id=offer.id,
        name="A batch",
        size=MOST_COUNT,
        has_short_codes=has_short_codes,
    )
    with transaction(engine) as session:
        offers.create_offer(session, shop.operator_id, offer, now=now)
        batches.create_batch(session, shop.operator_id, batch, now=now)
        approve(session, shop.operator_id, shop.campaign_id, new_id(now), now=now)
    return batch.id


def approve(
    session: Session, operator_id: UUID, campaign_id: UUID, id: UUID, *, now: datetime
) -> None:
    """Let a second person say yes to the campaign as it stands."""
    seen = approving.diff(session, operator_id, campaign_id, now=now).fingerprint
    asked = NewApproval(id=id, campaign_id=campaign_id, seen=seen, reason="ready")
    first_person = acting.actor_of(session)
    acting.enter(session, operator_id, SECOND_PERSON)
    approving.approve(session, operator_id, asked, now=now)
    acting.enter(session, operator_id, first_person)


def new_coupons(
    engine: Engine, shop: Shop, batch_id: UUID, many: int, *, now: datetime
) -> list[UUID]:
    """Issue so many coupons, each to a customer, and return their ids."""
    before = set(unused(engine, batch_id))
    while many > 0:
        holders = shop.customer_ids[:many]
        with transaction(engine) as session:
            issuing.issue_many(
                session,
                shop.operator_id,
                NewCoupons(id=new_id(now), batch_id=batch_id, customer_ids=holders),
                code_secret=CODE_SECRET.encode(),
                now=now,
            )
        many -= len(holders)
    return [id for id in unused(engine, batch_id) if id not in before]


def unused(engine: Engine, batch_id: UUID) -> list[UUID]:
    """Return the coupons of a batch that nobody has redeemed yet, oldest first."""
    query = select(Coupon.id).where(col(Coupon.batch_id) == batch_id, col(Coupon.uses_count) == 0)
    with Session(engine) as session:
        return list(session.exec(query.order_by(col(Coupon.id))))


def campaign_number(engine: Engine, shop: Shop) -> int:
    with Session(engine) as session:
        campaign = session.get_one(Campaign, (shop.operator_id, shop.campaign_id))
        return campaign.number


def request(shop: Shop, code: str, *, now: datetime) -> NewRedemption:
    """What a till sends: the code, its place, and the basket."""
    return NewRedemption(
        id=new_id(now),
        code=code,
        store_id=shop.store_id,
        terminal_id=shop.terminal_id,
        cashier="Ann",
        basket=BASKET,
    )


def codes(engine: Engine, shop: Shop, coupon_ids: Sequence[UUID], *, now: datetime) -> list[str]:
    """Return what the phones show: each a CP1 text, really signed."""
    with Session(engine) as session:
        # One read puts them all in the session; signing then asks the database nothing.
        held = session.exec(select(Coupon).where(col(Coupon.id).in_(coupon_ids))).all()
        assert len(held) == len(coupon_ids)
        texts: list[str] = []
        for id in coupon_ids:
            token = coupons.token(
                session, shop.operator_id, id, shop.ring, code_secret=CODE_SECRET.encode(), now=now
            )
            assert token.text is not None
            texts.append(token.text)
        return texts


def _settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        issuer_url=ISSUER,
        key_passphrase=SecretStr(PASSPHRASE),
        short_code_secret=SecretStr(CODE_SECRET),
    )


def _campaign(session: Session, at: UUID, *, now: datetime) -> UUID:
    campaign = campaigns.create_campaign(
        session,
        at,
        NewCampaign(
            id=new_id(now),
            name="Everybody comes at once",
            currency="EUR",
            zone="Europe/Berlin",
            starts_at=now - timedelta(days=1),
            ends_at=now + timedelta(days=60),
            budget_minor=MOST_MINOR,
            max_redemptions=MOST_COUNT,
            max_issued=MOST_COUNT,
            max_per_minute=MOST_COUNT,
            max_per_customer=MOST_COUNT,
            planned_per_minute=MOST_COUNT,
        ),
        now=now,
    )
    approve(session, at, campaign.id, new_id(now), now=now)
    return campaign.id


def _signing_key(session: Session, at: UUID, *, now: datetime) -> KeyRing:
    passphrase = PASSPHRASE.encode()
    made = keys.publish(session, at, NewKey(id=new_id(now)), passphrase=passphrase, now=now)
    move = NewKeyMove(id=new_id(now), kid=made.kid, move=KeyMove.USE, reason="the first")
    keys.decide_key(session, at, move, now=now)
    return keys.ring(session, at, issuer_url=ISSUER, passphrase=passphrase)
