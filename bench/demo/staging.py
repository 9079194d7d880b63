"""The world before the first coupon is shown: parties, places, campaigns, offers, coupons.

Everything is made by the engine's verbs, at the hour at which it happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from sqlmodel import Session, col, select

from bench.demo.journey import CURRENCY, ZONE, Campaign, Journey, Offer, Redemption
from bench.shop import approve
from coupon_engine import api_keys, batches, campaigns, issuing, keys, offers, operators
from coupon_engine.tables import Coupon
from schemas.campaigns import (
    NewBatch,
    NewCampaign,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewOffer,
    NewOperator,
    NewStore,
)
from schemas.coupons import NewCoupons
from schemas.keys import KeyMove, NewKey, NewKeyMove
from schemas.money import in_words
from schemas.offers import AmountOff, BuyXGetY, Conditions, FreeItem, Terms, Title, Validity

# More than any coupon here takes off, a free item included: the budgets are finite, not tight.
BUDGET_MINOR_A_COUPON = 2_000

Held = tuple[int, int, int]
"""One coupon by the data's names: campaign, coupon number, household."""


class Kind(IntEnum):
    """What an id is for, so that no two things of the demo share one."""

    OPERATOR = 1
    KEY = 2
    KEY_MOVE = 3
    MERCHANT = 4
    STORE = 5
    CUSTOMERS = 6
    CUSTOMER = 7
    CAMPAIGN = 8
    APPROVAL = 9
    OFFER = 10
    BATCH = 11
    ISSUE = 12
    REDEMPTION = 13


def id_of(kind: Kind, number: int, at: datetime) -> UUID:
    """Return a UUIDv7 that whoever starts over makes again, as one who asks again must."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | kind << 64 | 0b10 << 62 | number)


@dataclass
class World:
    """What was made, by the data's own names."""

    operator_id: UUID
    api_key: str
    stores: dict[int, UUID]
    customers: dict[int, UUID]
    coupons: dict[Held, UUID] = field(default_factory=dict)


def first_hour(journey: Journey) -> datetime:
    return min(campaign.starts_at for campaign in journey.campaigns)


def last_hour(journey: Journey) -> datetime:
    return max(campaign.ends_at for campaign in journey.campaigns)


def held(r: Redemption) -> Held:
    return r.offer.campaign_id, r.offer.coupon_upc, r.household_id


def open_shops(session: Session, journey: Journey, *, passphrase: bytes, now: datetime) -> World:
    """Make the operator with its key, the merchant, its stores, the households as customers."""
    operator = operators.create_operator(
        session,
        NewOperator(id=id_of(Kind.OPERATOR, 1, now), slug="grocer", name="The grocer"),
        now=now,
    )
    # The replay is longer than any key lives; one that is made at its end opens all of it.
    api_key = api_keys.create_api_key(
        session, operator.id, "replay", now=last_hour(journey)
    ).api_key
    key = keys.publish(
        session, operator.id, NewKey(id=id_of(Kind.KEY, 1, now)), passphrase=passphrase, now=now
    )
    keys.decide_key(
        session,
        operator.id,
        NewKeyMove(
            id=id_of(Kind.KEY_MOVE, 1, now), kid=key.kid, move=KeyMove.USE, reason="the first"
        ),
        now=now,
    )
    return World(
        operator_id=operator.id,
        api_key=api_key,
        stores=_stores(session, operator.id, journey.stores, now),
        customers=_customers(session, operator.id, journey.campaigns, now),
    )


def _stores(
    session: Session, operator_id: UUID, numbers: Sequence[int], now: datetime
) -> dict[int, UUID]:
    merchant = operators.create_merchant(
        session,
        operator_id,
        NewMerchant(id=id_of(Kind.MERCHANT, 1, now), name="The grocer"),
        now=now,
    )
    made = {
        number: NewStore(
            id=id_of(Kind.STORE, number, now),
            merchant_id=merchant.id,
            name=f"Store {number}",
            zone=ZONE,
        )
        for number in numbers
    }
    for store in made.values():
        operators.create_store(session, operator_id, store, now=now)
    return {number: store.id for number, store in made.items()}


def _customers(
    session: Session, operator_id: UUID, mailed: Iterable[Campaign], now: datetime
) -> dict[int, UUID]:
    households = sorted({household for campaign in mailed for household in campaign.households})
    customers = tuple(
        NewCustomer(id=id_of(Kind.CUSTOMER, household, now), ref=f"household {household}")
        for household in households
    )
    asked = NewCustomers(id=id_of(Kind.CUSTOMERS, 1, now), customers=customers)
    operators.create_customers(session, operator_id, asked, now=now)
    return dict(zip(households, (customer.id for customer in customers), strict=True))


def launch(
    session: Session,
    world: World,
    campaign: Campaign,
    own: Sequence[Offer],
    *,
    code_secret: bytes,
    now: datetime,
) -> None:
    """Make one campaign with its offers, approve it, and issue every coupon that was sent."""
    campaign_id = _drafted(session, world, campaign, own, now)
    coupon_of: dict[UUID, int] = {}
    lots: list[NewCoupons] = []
    for nth, offer in enumerate(own):
        number = campaign.campaign_id << 16 | nth
        asked = NewOffer(
            id=id_of(Kind.OFFER, number, now), campaign_id=campaign_id, terms=terms(campaign, offer)
        )
        offers.create_offer(session, world.operator_id, asked, now=now)
        batch = NewBatch(
            id=id_of(Kind.BATCH, number, now),
            offer_id=asked.id,
            name=f"Coupon {offer.coupon_upc}",
            size=len(offer.sent_to),
        )
        batches.create_batch(session, world.operator_id, batch, now=now)
        coupons = NewCoupons(
            id=id_of(Kind.ISSUE, number, now),
            batch_id=batch.id,
            customer_ids=tuple(world.customers[household] for household in offer.sent_to),
        )
        lots.append(coupons)
        coupon_of[batch.id] = offer.coupon_upc
    approval_id = id_of(Kind.APPROVAL, campaign.campaign_id, now)
    approve(session, world.operator_id, campaign_id, approval_id, now=now)
    for lot in lots:
        issuing.issue_many(session, world.operator_id, lot, code_secret=code_secret, now=now)
    _remember(session, world, campaign, campaign_id, coupon_of)


def _drafted(
    session: Session, world: World, campaign: Campaign, own: Sequence[Offer], now: datetime
) -> UUID:
    many = sum(len(offer.sent_to) for offer in own)
    asked = NewCampaign(
        id=id_of(Kind.CAMPAIGN, campaign.campaign_id, now),
        name=f"Campaign {campaign.campaign_id} ({campaign.kind})",
        currency=CURRENCY,
        zone=ZONE,
        starts_at=campaign.starts_at,
        ends_at=campaign.ends_at,
        budget_minor=many * BUDGET_MINOR_A_COUPON,
        max_redemptions=many,
        max_issued=many,
    )
    campaigns.create_campaign(session, world.operator_id, asked, now=now)
    return asked.id


def _remember(
    session: Session,
    world: World,
    campaign: Campaign,
    campaign_id: UUID,
    coupon_of: dict[UUID, int],
) -> None:
    household_of = {id: household for household, id in world.customers.items()}
    issued = session.exec(
        select(Coupon.id, Coupon.batch_id, Coupon.customer_id).where(
            col(Coupon.operator_id) == world.operator_id, col(Coupon.campaign_id) == campaign_id
        )
    )
    for id, batch_id, customer_id in issued:
        assert customer_id is not None
        upc, household = coupon_of[batch_id], household_of[customer_id]
        world.coupons[campaign.campaign_id, upc, household] = id


def terms(campaign: Campaign, offer: Offer) -> Terms:
    """Return what the coupon promises, as the loader read it or assumed it."""
    # A deal like "buy two, get one" says by itself how many units it needs.
    units = 1 if isinstance(offer.benefit, BuyXGetY) else offer.units
    return Terms(
        title=_title(offer),
        benefit=offer.benefit,
        conditions=Conditions(products=offer.products, minimum_units=units),
        validity=Validity(starts_at=campaign.starts_at, ends_at=campaign.ends_at),
    )


def _title(offer: Offer) -> Title:
    match offer.benefit:
        case AmountOff(amount_minor=minor):
            en, zh = in_words(minor, CURRENCY, "en"), in_words(minor, CURRENCY, "zh")
            if offer.units > 1:
                return Title(en=f"{en} off {offer.units}", zh=f"{offer.units}件立减{zh}")
            return Title(en=f"{en} off", zh=f"立减{zh}")
        case FreeItem():
            return Title(en="One free", zh="免费一件")
        case BuyXGetY(buy=buy):
            return Title(en=f"Buy {buy}, get one free", zh=f"买{buy}件送1件")
