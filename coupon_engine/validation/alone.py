"""What a terminal may decide without the server, and what the judge needs to know for it.

A coupon is asked twice before it is judged like any other: what its code and the terminal's own
knowledge say (`before_proof`), and, once the phone's proof has been looked at, what the campaign
lets a terminal decide (`after_proof`). What is left of the allowance is asked last, when it is
known what the coupon takes off (`over_allowance`). The server asks the same of what a terminal has
uploaded, at the entry's own time.

    policy            needs                                                      at worst is lost
    online_only       the server                                                 nothing
    store_bound       a code for this store, the store's authority               nothing *
    activated         the same, and a code that ends within two hours            nothing *
    device_quota      nothing more                                    each terminal's allowance
    campaign_escrow   nothing more                                    nothing over the ceiling
    *                 but what the server lets be spent elsewhere before it hears of it

All of them need a lease that runs, a clock that is not behind, a status list that still counts,
and something left of the allowance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from coupon_engine.validation.facts import (
    Applied,
    CampaignFacts,
    Case,
    CouponFacts,
    StoreFacts,
)
from schemas.baskets import Basket
from schemas.campaigns import Level, OfflinePolicy, Stops
from schemas.offers import GiftBalance, LimitOf, Terms
from schemas.offline import ONLINE_CLASS, Bundle, BundleCampaign, BundleOffer
from schemas.refusals import Reason, Why
from schemas.token import CouponFields, Policy

LONGEST_ACTIVATION = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Decidable:
    """What an offline policy asks of a terminal before it may decide."""

    for_this_store: bool = False  # the code names this store
    as_authority: bool = False  # and this terminal is the only one that decides there
    ends_within: timedelta | None = None
    is_provisional: bool = True  # somebody else may have accepted the same coupon, earlier


DECIDABLE: Mapping[OfflinePolicy, Decidable | None] = {
    OfflinePolicy.ONLINE_ONLY: None,
    OfflinePolicy.STORE_BOUND: Decidable(
        for_this_store=True, as_authority=True, is_provisional=False
    ),
    OfflinePolicy.ACTIVATED: Decidable(
        for_this_store=True,
        as_authority=True,
        ends_within=LONGEST_ACTIVATION,
        is_provisional=False,
    ),
    OfflinePolicy.DEVICE_QUOTA: Decidable(),
    OfflinePolicy.CAMPAIGN_ESCROW: Decidable(),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A terminal in its store, under its lease."""

    store: StoreFacts
    store_number: int
    is_authority: bool
    decides_until: datetime  # the lease's end, or that of what it was told, if that is earlier


@dataclass(frozen=True, slots=True)
class Alone:
    """One coupon at a terminal without the server, and all that is known of it there."""

    fields: CouponFields  # well signed: `token.read`
    place: Place
    campaign: BundleCampaign | None  # None: no terminal may judge it
    now: datetime
    is_listed: bool | None = False  # in the status list; None: there is none that still counts
    redeemed_at: datetime | None = None  # as this terminal itself remembers
    is_clock_behind: bool = False

    @property
    def offer(self) -> BundleOffer | None:
        """Return what the code's quota class names, if terminals are told of it."""
        quota_class = self.fields.policy.quota_class
        if self.campaign is None or quota_class == ONLINE_CLASS:
            return None
        offers = self.campaign.offers
        return next((each for each in offers if each.quota_class == quota_class), None)


def place_of(bundle: Bundle) -> Place:
    """Return where the terminal stands that this bundle is for, and until when it may decide."""
    return Place(
        store=StoreFacts(bundle.store_id, bundle.store_zone),
        store_number=bundle.store_number,
        is_authority=bundle.is_authority,
        decides_until=_instant(min(bundle.lease_until, bundle.exp)),
    )


def campaign_of(bundle: Bundle, number: int) -> BundleCampaign | None:
    return next((each for each in bundle.campaigns if each.number == number), None)


def can_be_judged_alone(terms: Terms) -> bool:
    """Say whether all that this offer asks can be known at a counter without the record."""
    conditions = terms.conditions
    return not (
        conditions.segments
        or conditions.first_purchase_only
        or any(rule.of is LimitOf.REDEEM for rule in terms.limits)
        or terms.uses > 1
        or isinstance(terms.benefit, GiftBalance)
    )


def policy_in(policy: Policy) -> OfflinePolicy:
    """Return the offline policy that the bits of a code spell."""
    return OfflinePolicy.ACTIVATED if policy.activation_required else policy.offline


def is_provisional(policy: OfflinePolicy) -> bool:
    """May an earlier redemption of the same coupon still come in from elsewhere?"""
    decidable = DECIDABLE[policy]
    return decidable is None or decidable.is_provisional


def before_proof(alone: Alone) -> Reason | None:
    """Return why the coupon does not work, as far as its code and this terminal can tell."""
    return _first(alone, BEFORE_PROOF)


def after_proof(alone: Alone) -> Reason | None:
    """Return why no terminal, or not this one, may decide. Nothing against it: `case`."""
    return _first(alone, AFTER_PROOF)


def case(
    alone: Alone,
    *,
    basket: Basket | None,
    applied: tuple[Applied, ...] = (),
    has_basket_changed: bool = False,
) -> Case:
    """Return what the judge needs to know. `after_proof` has found nothing against it."""
    campaign, offer, fields = alone.campaign, alone.offer, alone.fields
    assert campaign is not None
    assert offer is not None
    return Case(
        coupon=CouponFacts(
            id=UUID(bytes=fields.jti),
            customer_id=None,
            store_id=alone.place.store.id if fields.sto else None,
            valid_from=_instant(fields.nbf),
            valid_until=_instant(fields.exp),
            uses_count=0,
            spent_minor=0,
            is_claimed=True,
            is_revoked=False,
        ),
        campaign=CampaignFacts(
            id=campaign.id,
            currency=campaign.currency,
            zone=campaign.zone,
            is_live=campaign.is_live,
            stops=Stops.ISSUING_AND_REDEEMING if campaign.is_paused else None,
            has_ended_for_good=campaign.has_ended_for_good,
            is_batch_revoked=False,
        ),
        offer_id=offer.id,
        terms=offer.terms,
        store=alone.place.store,
        customer=None,
        basket=basket,
        applied=applied,
        spend_minor=None,
        hold_id=None,
        now=alone.now,
        has_basket_changed=has_basket_changed,
    )


def over_allowance(
    *, max_count: int, max_minor: int, used_count: int, used_minor: int, minor: int
) -> Reason | None:
    """Return which half of a lease's allowance one more redemption, worth so much, would break."""
    if used_count + 1 > max_count:
        return _reason(Why.QUOTA_REACHED, "allowance.max_count")
    if used_minor + minor > max_minor:
        return _reason(Why.QUOTA_REACHED, "allowance.max_minor")
    return None


# What the code and the terminal's own knowledge say.


def not_yet_valid(alone: Alone) -> Reason | None:
    valid_from = _instant(alone.fields.nbf)
    if valid_from <= alone.now:
        return None
    return _reason(Why.NOT_YET, "validity.from", **{"from": valid_from.isoformat()})


def expired(alone: Alone) -> Reason | None:
    valid_until = _instant(alone.fields.exp)
    if alone.now < valid_until:
        return None
    return _reason(Why.EXPIRED, "validity.until", until=valid_until.isoformat())


def bound_to_another_store(alone: Alone) -> Reason | None:
    if alone.fields.sto in (0, alone.place.store_number):
        return None
    return _reason(Why.WRONG_STORE, "coupon.store_id")


def on_the_list(alone: Alone) -> Reason | None:
    """One bit tells that it does not work, not why; most often it was used.

    A coupon that has to be activated and is shown without is most often active elsewhere.
    """
    if not alone.is_listed:
        return None
    is_unbound = alone.fields.policy.activation_required and alone.fields.sto == 0
    return _reason(Why.SUSPENDED if is_unbound else Why.ALREADY_REDEEMED, "status_list")


def redeemed_here(alone: Alone) -> Reason | None:
    if alone.redeemed_at is None:
        return None
    at = alone.redeemed_at.isoformat()
    return _reason(Why.ALREADY_REDEEMED, "ledger", at=at)


# What the campaign lets a terminal decide.


def lease_is_over(alone: Alone) -> Reason | None:
    if alone.now < alone.place.decides_until:
        return None
    return _reason(Why.LEASE_EXPIRED, "lease.until")


def clock_is_behind(alone: Alone) -> Reason | None:
    return _online("clock") if alone.is_clock_behind else None


def changes_with_time(alone: Alone) -> Reason | None:
    """Whether a changing code is the newest, only the server knows."""
    return _online("level") if alone.fields.policy.level is Level.ROTATING else None


def used_more_than_once(alone: Alone) -> Reason | None:
    return _online("uses") if alone.fields.policy.multi_use else None


def not_told_of_it(alone: Alone) -> Reason | None:
    """The terminal has not the campaign, or not the offer; or the record is needed to judge it."""
    if alone.offer is None or not can_be_judged_alone(alone.offer.terms):
        return _online("offer")
    return None


def policy_says_no(alone: Alone) -> Reason | None:
    """The code and the bundle must agree: a campaign that was made stricter is stricter at once."""
    policy = policy_in(alone.fields.policy)
    decidable = DECIDABLE[policy]
    if decidable is None or alone.campaign is None or alone.campaign.offline is not policy:
        return _online("offline")
    if decidable.for_this_store and alone.fields.sto != alone.place.store_number:
        return _online("offline.store")
    if decidable.as_authority and not alone.place.is_authority:
        return _online("offline.authority")
    ends_within = decidable.ends_within
    if ends_within is not None and _instant(alone.fields.exp) - alone.now > ends_within:
        return _online("offline.activation")
    return None


def list_is_missing(alone: Alone) -> Reason | None:
    return _online("status_list") if alone.is_listed is None else None


Check = Callable[[Alone], Reason | None]

BEFORE_PROOF: tuple[Check, ...] = (
    not_yet_valid,
    expired,
    bound_to_another_store,
    on_the_list,
    redeemed_here,
)
AFTER_PROOF: tuple[Check, ...] = (
    lease_is_over,
    clock_is_behind,
    changes_with_time,
    used_more_than_once,
    not_told_of_it,
    policy_says_no,
    list_is_missing,
)


def _first(alone: Alone, checks: tuple[Check, ...]) -> Reason | None:
    return next((reason for check in checks if (reason := check(alone)) is not None), None)


def _online(rule: str) -> Reason:
    return _reason(Why.ONLINE_REQUIRED, rule)


def _reason(code: Why, rule: str, **needs: str) -> Reason:
    return Reason(code=code, rule=rule, needs={**needs})


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
