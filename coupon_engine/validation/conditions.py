"""Every condition of a coupon, each a small function from a case to the reason that it is not met.

`ORDER` is the order in which they are asked and told: the coupon itself, its campaign, the place,
the hour, the person, the basket, the other coupons. The first reason decides the code.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from coupon_engine.validation.discounts import count_of, gift_left, scope_of, units_in_scope
from coupon_engine.validation.facts import Applied, Case
from coupon_engine.validation.windows import is_open, next_opening
from schemas.base import Json
from schemas.campaigns import Stops
from schemas.offers import AmountOff, BuyXGetY, FixedPrice, FreeItem, GiftBalance
from schemas.refusals import Reason, Why

_TOLD_FOR = timedelta(hours=24)


def unmet(case: Case) -> list[Reason]:
    """Return the reason of every condition that this case does not meet, in order."""
    return [reason for condition in ORDER if (reason := condition(case)) is not None]


# The coupon itself.


def coupon_is_revoked(case: Case) -> Reason | None:
    if not case.coupon.is_revoked:
        return None
    return _reason(Why.REVOKED, "coupon.revoked")


def nobody_holds_it(case: Case) -> Reason | None:
    if case.coupon.is_claimed:
        return None
    return _reason(Why.UNCLAIMED, "coupon.claimed")


def not_yet_valid(case: Case) -> Reason | None:
    if case.coupon.valid_from <= case.now:
        return None
    return _reason(Why.NOT_YET, "validity.from", {"from": _text(case.coupon.valid_from)})


def expired(case: Case) -> Reason | None:
    if case.now < case.coupon.valid_until:
        return None
    return _reason(Why.EXPIRED, "validity.until", {"until": _text(case.coupon.valid_until)})


def all_uses_made(case: Case) -> Reason | None:
    """A gift balance has no number of uses: it ends when it is empty."""
    uses, terms = case.coupon.uses_count, case.terms
    if uses < terms.uses or isinstance(terms.benefit, GiftBalance):
        return None
    needs: Json = {"uses": terms.uses}
    last = case.coupon.last_redeemed_at
    if last is not None and case.now - last <= _TOLD_FOR:
        needs["at"] = _text(last)
    return _reason(Why.ALREADY_REDEEMED, "uses", needs)


def balance_is_empty(case: Case) -> Reason | None:
    benefit = case.terms.benefit
    if not isinstance(benefit, GiftBalance) or gift_left(benefit, case) > 0:
        return None
    return _reason(Why.BALANCE_EMPTY, "benefit.balance_minor")


def held_by_another(case: Case) -> Reason | None:
    coupon = case.coupon
    if coupon.held_until is None or coupon.held_until <= case.now:
        return None
    if case.hold_id is not None and coupon.held_by == case.hold_id:
        return None
    return _reason(Why.HELD, "coupon.held", {"until": _text(coupon.held_until)})


def holder_is_suspended(case: Case) -> Reason | None:
    if not case.coupon.is_holder_suspended:
        return None
    return _reason(Why.SUSPENDED, "coupon.holder_key")


# The campaign.


def campaign_is_not_live(case: Case) -> Reason | None:
    if case.campaign.is_live:
        return None
    return _reason(Why.CAMPAIGN_NOT_RUNNING, "campaign.state")


def campaign_is_paused(case: Case) -> Reason | None:
    """A pause of issuing alone leaves coupons that are out as good as they were."""
    if case.campaign.stops is not Stops.ISSUING_AND_REDEEMING:
        return None
    return _reason(Why.CAMPAIGN_PAUSED, "campaign.stops")


def campaign_has_ended(case: Case) -> Reason | None:
    if not case.campaign.has_ended_for_good:
        return None
    return _reason(Why.CAMPAIGN_ENDED, "campaign.ended")


def batch_is_revoked(case: Case) -> Reason | None:
    if not case.campaign.is_batch_revoked:
        return None
    return _reason(Why.REVOKED, "batch.revoked")


# The place and the hour.


def bound_to_another_store(case: Case) -> Reason | None:
    if case.coupon.store_id in (None, case.store.id):
        return None
    return _reason(Why.WRONG_STORE, "coupon.store_id")


def active_elsewhere(case: Case) -> Reason | None:
    coupon = case.coupon
    if coupon.activated_until is None or coupon.activated_until <= case.now:
        return None
    if coupon.activated_store_id == case.store.id:
        return None
    until = {"until": _text(coupon.activated_until)}
    return _reason(Why.SUSPENDED, "coupon.activated", until)


def store_not_listed(case: Case) -> Reason | None:
    conditions = case.terms.conditions
    if not conditions.stores or case.store.id in scope_of(conditions).stores:
        return None
    return _reason(Why.WRONG_STORE, "conditions.stores")


def outside_hours(case: Case) -> Reason | None:
    hours = case.terms.conditions.hours
    if not hours or is_open(hours, case.now.astimezone(ZoneInfo(case.store.zone))):
        return None
    opening = next_opening(hours, case.now, case.store.zone)
    needs: Json = {} if opening is None else {"from": _text(opening)}
    return _reason(Why.OUTSIDE_HOURS, "conditions.hours", needs)


# The person.


def somebody_elses(case: Case) -> Reason | None:
    """Where both are known, the customer at the counter is the one who holds the coupon."""
    holder, customer = case.coupon.customer_id, case.customer
    if holder is None or customer is None or holder == customer.id:
        return None
    return _reason(Why.WRONG_CUSTOMER, "coupon.customer_id")


def not_in_segment(case: Case) -> Reason | None:
    """A customer whom nobody knows is in no segment."""
    segments = case.terms.conditions.segments
    if not segments or (
        case.customer is not None and not case.customer.segments.isdisjoint(segments)
    ):
        return None
    return _reason(Why.WRONG_SEGMENT, "conditions.segments", {"any_of": list(segments)})


def not_first_purchase(case: Case) -> Reason | None:
    """That a purchase is the first must be known; of an unknown customer it is not."""
    if not case.terms.conditions.first_purchase_only or (
        case.customer is not None and not case.customer.has_purchased
    ):
        return None
    return _reason(Why.NOT_FIRST_PURCHASE, "conditions.first_purchase_only")


# The basket.


def basket_missing(case: Case) -> Reason | None:
    """Only a sum off everything, alone and from nothing on, can be told without the basket."""
    if case.basket is not None:
        return None
    conditions, benefit = case.terms.conditions, case.terms.benefit
    is_told = isinstance(benefit, AmountOff) or (
        isinstance(benefit, GiftBalance) and case.spend_minor is not None
    )
    asks_more = (
        conditions.minimum_basket_minor
        or conditions.minimum_units > 1
        or conditions.products
        or conditions.categories
    )
    if is_told and not asks_more and not case.applied:
        return None
    return _reason(Why.BASKET_REQUIRED, "basket")


def basket_has_changed(case: Case) -> Reason | None:
    """What earlier coupons took off lines that are no longer there cannot be told."""
    if not case.has_basket_changed:
        return None
    return _reason(Why.BASKET_CHANGED, "basket.order_ref")


def lines_missing(case: Case) -> Reason | None:
    if case.basket is None or case.basket.lines:
        return None
    conditions = case.terms.conditions
    if (
        conditions.minimum_units > 1
        or conditions.products
        or conditions.categories
        or isinstance(case.terms.benefit, FixedPrice | FreeItem | BuyXGetY)
    ):
        return _reason(Why.LINES_REQUIRED, "basket.lines")
    return None


def other_currency(case: Case) -> Reason | None:
    if case.basket is None or case.basket.currency == case.campaign.currency:
        return None
    return _reason(Why.WRONG_CURRENCY, "campaign.currency", {"currency": case.campaign.currency})


def below_minimum(case: Case) -> Reason | None:
    """The whole basket counts, in scope or not, before any coupon."""
    minimum, basket = case.terms.conditions.minimum_basket_minor, case.basket
    if not minimum or basket is None or basket.currency != case.campaign.currency:
        return None
    missing = minimum - basket.amount_minor
    if missing <= 0:
        return None
    return _reason(
        Why.BELOW_MINIMUM,
        "conditions.minimum_basket_minor",
        {"add_minor": missing, "currency": case.campaign.currency},
    )


def nothing_in_scope(case: Case) -> Reason | None:
    if case.basket is None or not case.basket.lines:
        return None
    scope = scope_of(case.terms.conditions)
    if scope.is_everything or any(scope.has(line) for line in case.basket.lines):
        return None
    rule = "conditions.products" if case.terms.conditions.products else "conditions.categories"
    benefit = case.terms.benefit
    units = case.terms.conditions.minimum_units
    if isinstance(benefit, BuyXGetY):
        units = max(units, benefit.buy + benefit.get)
    return _reason(Why.NO_MATCHING_ITEM, rule, {"add_units": units})


def below_minimum_units(case: Case) -> Reason | None:
    """Every unit in scope counts, before any coupon."""
    minimum, basket = case.terms.conditions.minimum_units, case.basket
    if minimum == 1 or basket is None or not basket.lines:
        return None
    scope = scope_of(case.terms.conditions)
    units = sum(line.quantity for line in basket.lines if scope.has(line))
    if units == 0 or units >= minimum:
        return None
    rule = "conditions.minimum_units"
    return _reason(Why.TOO_FEW_ITEMS, rule, {"add_units": minimum - units})


def too_few_items(case: Case) -> Reason | None:
    """Units that an earlier coupon has made free are not bought, and do not count."""
    benefit, basket = case.terms.benefit, case.basket
    if not isinstance(benefit, BuyXGetY) or basket is None or not basket.lines:
        return None
    scope = scope_of(case.terms.conditions)
    missing = benefit.buy + benefit.get - count_of(units_in_scope(case, basket))
    if missing <= 0 or not any(scope.has(line) for line in basket.lines):
        return None
    return _reason(Why.TOO_FEW_ITEMS, "benefit.buy", {"add_units": missing})


# The other coupons of this basket.


def shares_a_group(case: Case) -> Reason | None:
    """An offer that is in a group does not combine with itself either; one in none does."""
    groups = case.terms.conditions.exclusivity_groups
    if not groups or not case.applied:
        return None
    rivals = [one for one in case.applied if not one.exclusivity_groups.isdisjoint(groups)]
    if not rivals:
        return None
    return _reason(Why.NOT_COMBINABLE, "conditions.exclusivity_groups", _reverse(rivals))


def comes_too_late(case: Case) -> Reason | None:
    order = case.terms.conditions.stacking_order
    later = [one for one in case.applied if one.stacking_order > order]
    if not later:
        return None
    return _reason(Why.STACKING_ORDER, "conditions.stacking_order", _reverse(later))


Condition = Callable[[Case], Reason | None]

ORDER: tuple[Condition, ...] = (
    coupon_is_revoked,
    nobody_holds_it,
    not_yet_valid,
    expired,
    all_uses_made,
    balance_is_empty,
    held_by_another,
    holder_is_suspended,
    campaign_is_not_live,
    campaign_is_paused,
    campaign_has_ended,
    batch_is_revoked,
    bound_to_another_store,
    active_elsewhere,
    store_not_listed,
    outside_hours,
    somebody_elses,
    not_in_segment,
    not_first_purchase,
    basket_missing,
    basket_has_changed,
    lines_missing,
    other_currency,
    below_minimum,
    nothing_in_scope,
    below_minimum_units,
    too_few_items,
    shares_a_group,
    comes_too_late,
)


def _reason(code: Why, rule: str, needs: Json | None = None) -> Reason:
    return Reason(code=code, rule=rule, needs=needs or {})


def _text(instant: datetime) -> str:
    return instant.isoformat()


def _reverse(applied: list[Applied]) -> Json:
    return {"reverse": [str(one.redemption_id) for one in applied]}
