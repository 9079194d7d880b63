"""The world before the first coupon is shown: parties, places, campaigns, offers, coupons, codes.

Everything goes through the API's doors, with its clock at the hour at which it happened.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session

from bench.demo.asking import Asker
from bench.demo.journey import CURRENCY, ZONE, Campaign, Journey, Offer, Redemption
from bench.demo.serving import Clock
from coupon_engine import operators
from schemas.campaigns import (
    Move,
    NewBatch,
    NewCampaign,
    NewCustomer,
    NewCustomers,
    NewMerchant,
    NewMove,
    NewOffer,
    NewOperator,
    NewStore,
)
from schemas.coupons import NewCoupons
from schemas.keys import KeyMove, NewKey, NewKeyMove
from schemas.money import in_words
from schemas.offers import AmountOff, BuyXGetY, Conditions, FreeItem, Terms, Title, Validity

# No coupon here can take off more, the free items included.
MOST_OFF_MINOR = 2_000

Held = tuple[int, int, int]
"""One coupon by the data's names: campaign, coupon number, household."""


class Kind(IntEnum):
    """What an id is for; no two things of the demo share one."""

    OPERATOR = 1
    MERCHANT = 2
    STORE = 3
    HOUSEHOLD = 4
    CAMPAIGN = 5
    OFFER = 6
    BATCH = 7
    REDEMPTION = 8
    KEY = 9
    APPROVAL = 10
    ISSUE = 11
    KEY_MOVE = 12
    HOUSEHOLDS = 13


def id_of(kind: Kind, number: int, at: datetime) -> UUID:
    """Return a UUIDv7 that a second run would make again, as whoever asks again must."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | kind << 64 | 0b10 << 62 | number)


class Code(NamedTuple):
    """What a phone shows for a coupon."""

    coupon_id: UUID
    text: str


@dataclass
class Staged:
    """What the replay has to know of the world, by the data's own names."""

    stores: dict[int, UUID] = field(default_factory=dict)
    customers: dict[int, UUID] = field(default_factory=dict)
    batches: dict[tuple[int, int], UUID] = field(default_factory=dict)
    codes: dict[Held, Code] = field(default_factory=dict)


def held(r: Redemption) -> Held:
    return r.offer.campaign_id, r.offer.coupon_upc, r.household_id


def enter(session: Session, at: datetime) -> str:
    """Make the operator and return its API key, as the command line does for a new one."""
    asked = NewOperator(id=id_of(Kind.OPERATOR, 1, at), slug="grocer", name="The grocer")
    operator = operators.create_operator(session, asked, now=at)
    return operators.create_api_key(session, operator.id, "demo", now=at).api_key


def first_hour(journey: Journey) -> datetime:
    return min(campaign.starts_at for campaign in journey.campaigns)


def last_hour(journey: Journey) -> datetime:
    return max(campaign.ends_at for campaign in journey.campaigns)


def open_shops(asker: Asker, journey: Journey, at: datetime) -> Staged:
    """Make the key that signs, the merchant, its stores, and the households as customers."""
    staged = Staged()
    key = asker.create("/v1/keys", NewKey(id=id_of(Kind.KEY, 1, at)))
    use = NewKeyMove(
        id=id_of(Kind.KEY_MOVE, 1, at), kid=key["kid"], move=KeyMove.USE, reason="the first"
    )
    asker.create("/v1/key-moves", use)
    merchant = NewMerchant(id=id_of(Kind.MERCHANT, 1, at), name="The grocer")
    asker.create("/v1/merchants", merchant)
    for number in journey.stores:
        store = NewStore(
            id=id_of(Kind.STORE, number, at),
            merchant_id=merchant.id,
            name=f"Store {number}",
            zone=ZONE,
        )
        asker.create("/v1/stores", store)
        staged.stores[number] = store.id
    households = sorted({one for campaign in journey.campaigns for one in campaign.households})
    staged.customers = {number: id_of(Kind.HOUSEHOLD, number, at) for number in households}
    customers = tuple(
        NewCustomer(id=id, ref=f"household {number}") for number, id in staged.customers.items()
    )
    asked = NewCustomers(id=id_of(Kind.HOUSEHOLDS, 1, at), customers=customers)
    asker.create("/v1/customers", asked)
    return staged


def launch(
    asker: Asker,
    clock: Clock,
    journey: Journey,
    staged: Staged,
    advance: Callable[[int], object],
) -> None:
    """Make every campaign at its start, and issue every coupon that was sent."""
    offers: defaultdict[int, list[tuple[int, Offer]]] = defaultdict(list)
    for number, offer in enumerate(journey.offers, start=1):
        offers[offer.campaign_id].append((number, offer))
    for campaign in sorted(journey.campaigns, key=lambda each: (each.starts_at, each.campaign_id)):
        clock.now = campaign.starts_at
        own = offers[campaign.campaign_id]
        campaign_id = _start(asker, campaign, [offer for _, offer in own])
        for number, offer in own:
            _issue(asker, campaign, campaign_id, number, offer, staged)
            advance(len(offer.sent_to))


def _start(asker: Asker, campaign: Campaign, offers: Sequence[Offer]) -> UUID:
    many = sum(len(offer.sent_to) for offer in offers)
    at = campaign.starts_at
    asked = NewCampaign(
        id=id_of(Kind.CAMPAIGN, campaign.campaign_id, at),
        name=f"Campaign {campaign.campaign_id}, {campaign.kind.lower()}",
        currency=CURRENCY,
        zone=ZONE,
        starts_at=at,
        ends_at=campaign.ends_at,
        budget_minor=many * MOST_OFF_MINOR,
        max_redemptions=many,
        max_issued=many,
    )
    asker.create("/v1/campaigns", asked)
    approval = NewMove(
        id=id_of(Kind.APPROVAL, campaign.campaign_id, at),
        campaign_id=asked.id,
        move=Move.APPROVE,
        reason="it was sent",
    )
    asker.create("/v1/moves", approval)
    return asked.id


def _issue(
    asker: Asker, campaign: Campaign, campaign_id: UUID, number: int, offer: Offer, staged: Staged
) -> None:
    at = campaign.starts_at
    asked = NewOffer(
        id=id_of(Kind.OFFER, number, at), campaign_id=campaign_id, terms=terms(campaign, offer)
    )
    asker.create("/v1/offers", asked)
    batch = NewBatch(
        id=id_of(Kind.BATCH, number, at),
        offer_id=asked.id,
        name=f"Coupon {offer.coupon_upc}",
        size=len(offer.sent_to),
    )
    asker.create("/v1/batches", batch)
    coupons = NewCoupons(
        id=id_of(Kind.ISSUE, number, at),
        batch_id=batch.id,
        customer_ids=tuple(staged.customers[household] for household in offer.sent_to),
    )
    asker.create("/v1/issues", coupons)
    staged.batches[campaign.campaign_id, offer.coupon_upc] = batch.id


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
            en, zh = (in_words(minor, CURRENCY, language) for language in ("en", "zh"))
            many = offer.units > 1
            return Title(
                en=f"{en} off {offer.units}" if many else f"{en} off",
                zh=f"{offer.units}件立减{zh}" if many else f"立减{zh}",
            )
        case FreeItem():
            return Title(en="One free", zh="免费一件")
        case BuyXGetY(buy=buy):
            return Title(en=f"Buy {buy}, get one free", zh=f"买{buy}件送1件")


def codes(
    asker: Asker,
    clock: Clock,
    journey: Journey,
    staged: Staged,
    advance: Callable[[int], object],
) -> None:
    """Let each phone fetch the code that it will show; it keeps it, and needs no network later."""
    starts = {campaign.campaign_id: campaign.starts_at for campaign in journey.campaigns}
    for r in sorted(journey.redemptions, key=lambda r: starts[r.offer.campaign_id]):
        if r.is_repeat:
            continue
        clock.now = starts[r.offer.campaign_id]
        batch_id = staged.batches[r.offer.campaign_id, r.offer.coupon_upc]
        (coupon,) = asker.get(
            "/v1/coupons", batch_id=batch_id, customer_id=staged.customers[r.household_id]
        )
        token = asker.get(f"/v1/coupons/{coupon['id']}/token")
        staged.codes[held(r)] = Code(UUID(coupon["id"]), token["text"])
        advance(1)
