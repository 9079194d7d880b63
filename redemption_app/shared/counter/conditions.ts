// Every condition of a coupon, each a small function from a case to the reason that it is not met.
//
// `ORDER` is the order in which they are asked and told: the coupon itself, its campaign, the place,
// the hour, the person, the basket, the other coupons. The first reason decides the code.

import { amountOf, linesOf } from "./baskets.ts";
import { countOf, giftLeft, scopeOf, takesUnits, unitsInScope } from "./discounts.ts";
import type { Applied, Case } from "./facts.ts";
import { isoText } from "./moments.ts";
import { reason, type Needs, type Reason } from "./refusals.ts";
import { A_DAY, isOpen, localOf, nextOpening } from "./windows.ts";

const TOLD_FOR = A_DAY;

type Condition = (one: Case) => Reason | null;

/** Return the reason of every condition that this case does not meet, in order. */
export function unmet(one: Case): Reason[] {
  return ORDER.map((condition) => condition(one)).filter((found) => found !== null);
}

// The coupon itself.

const couponIsRevoked: Condition = ({ coupon }) => (coupon.isRevoked ? reason("revoked", "coupon.revoked") : null);

const nobodyHoldsIt: Condition = ({ coupon }) => (coupon.isClaimed ? null : reason("unclaimed", "coupon.claimed"));

const notYetValid: Condition = ({ coupon, now }) =>
  coupon.validFrom <= now ? null : reason("not_yet", "validity.from", { from: isoText(coupon.validFrom) });

const expired: Condition = ({ coupon, now }) =>
  now < coupon.validUntil ? null : reason("expired", "validity.until", { until: isoText(coupon.validUntil) });

/** A gift balance has no number of uses: it ends when it is empty. */
const allUsesMade: Condition = ({ coupon, terms, now }) => {
  if (coupon.usesCount < terms.uses || terms.benefit.kind === "gift_balance") return null;
  const last = coupon.lastRedeemedAt;
  const at: Needs = last !== null && now - last <= TOLD_FOR ? { at: isoText(last) } : {};
  return reason("already_redeemed", "uses", { uses: terms.uses, ...at });
};

const balanceIsEmpty: Condition = (one) =>
  one.terms.benefit.kind !== "gift_balance" || giftLeft(one) > 0
    ? null
    : reason("balance_empty", "benefit.balance_minor");

const heldByAnother: Condition = ({ coupon, holdId, now }) => {
  if (coupon.heldUntil === null || coupon.heldUntil <= now) return null;
  if (holdId !== null && coupon.heldBy === holdId) return null;
  return reason("held", "coupon.held", { until: isoText(coupon.heldUntil) });
};

const holderIsSuspended: Condition = ({ coupon }) =>
  coupon.isHolderSuspended ? reason("suspended", "coupon.holder_key") : null;

// The campaign.

const campaignIsNotLive: Condition = ({ campaign }) =>
  campaign.isLive ? null : reason("campaign_not_running", "campaign.state");

/** A pause of issuing alone leaves coupons that are out as good as they were. */
const campaignIsPaused: Condition = ({ campaign }) =>
  campaign.stops === "issuing_and_redeeming" ? reason("campaign_paused", "campaign.stops") : null;

const campaignHasEnded: Condition = ({ campaign }) =>
  campaign.hasEndedForGood ? reason("campaign_ended", "campaign.ended") : null;

const batchIsRevoked: Condition = ({ campaign }) =>
  campaign.isBatchRevoked ? reason("revoked", "batch.revoked") : null;

// The place and the hour.

const boundToAnotherStore: Condition = ({ coupon, store }) =>
  coupon.storeId === null || coupon.storeId === store.id ? null : reason("wrong_store", "coupon.store_id");

const activeElsewhere: Condition = ({ coupon, store, now }) => {
  if (coupon.activatedUntil === null || coupon.activatedUntil <= now) return null;
  if (coupon.activatedStoreId === store.id) return null;
  return reason("suspended", "coupon.activated", { until: isoText(coupon.activatedUntil) });
};

const storeNotListed: Condition = ({ terms, store }) =>
  !terms.conditions.stores.length || scopeOf(terms.conditions).hasStore(store.id)
    ? null
    : reason("wrong_store", "conditions.stores");

const outsideHours: Condition = ({ terms, store, now }) => {
  const { hours } = terms.conditions;
  if (!hours.length || isOpen(hours, localOf(now, store.zone))) return null;
  const opening = nextOpening(hours, now, store.zone);
  return reason("outside_hours", "conditions.hours", opening === null ? {} : { from: isoText(opening) });
};

// The person.

/** Where both are known, the customer at the counter is the one who holds the coupon. */
const somebodyElses: Condition = ({ coupon, customer }) =>
  coupon.customerId === null || customer === null || coupon.customerId === customer.id
    ? null
    : reason("wrong_customer", "coupon.customer_id");

/** A customer whom nobody knows is in no segment. */
const notInSegment: Condition = ({ terms, customer }) => {
  const { segments } = terms.conditions;
  if (!segments.length || customer?.segments.some((segment) => segments.includes(segment))) return null;
  return reason("wrong_segment", "conditions.segments", { any_of: segments });
};

/** That a purchase is the first must be known; of an unknown customer it is not. */
const notFirstPurchase: Condition = ({ terms, customer }) =>
  !terms.conditions.first_purchase_only || customer?.hasPurchased === false
    ? null
    : reason("not_first_purchase", "conditions.first_purchase_only");

// The basket.

/** Only a sum off everything, alone and from nothing on, can be told without the basket. */
const basketMissing: Condition = ({ basket, terms, applied, spendMinor }) => {
  if (basket !== null) return null;
  const { benefit, conditions } = terms;
  const isTold = benefit.kind === "amount_off" || (benefit.kind === "gift_balance" && spendMinor !== null);
  const asksMore =
    conditions.minimum_basket_minor ||
    conditions.minimum_units > 1 ||
    conditions.products.length ||
    conditions.categories.length;
  return isTold && !asksMore && !applied.length ? null : reason("basket_required", "basket");
};

/** What earlier coupons took off lines that are no longer there cannot be told. */
const basketHasChanged: Condition = ({ hasBasketChanged }) =>
  hasBasketChanged ? reason("basket_changed", "basket.order_ref") : null;

const linesMissing: Condition = ({ basket, terms }) => {
  if (basket === null || linesOf(basket).length) return null;
  const { conditions } = terms;
  const asksForThem =
    conditions.minimum_units > 1 ||
    conditions.products.length ||
    conditions.categories.length ||
    takesUnits(terms.benefit);
  return asksForThem ? reason("lines_required", "basket.lines") : null;
};

const otherCurrency: Condition = ({ basket, campaign: { currency } }) =>
  basket === null || basket.currency === currency ? null : reason("wrong_currency", "campaign.currency", { currency });

/** The whole basket counts, in scope or not, before any coupon. */
const belowMinimum: Condition = ({ basket, terms, campaign: { currency } }) => {
  const minimum = terms.conditions.minimum_basket_minor;
  if (!minimum || basket === null || basket.currency !== currency) return null;
  const missing = minimum - amountOf(basket);
  if (missing <= 0) return null;
  return reason("below_minimum", "conditions.minimum_basket_minor", { add_minor: missing, currency });
};

const nothingInScope: Condition = ({ basket, terms }) => {
  if (basket === null || !linesOf(basket).length) return null;
  const { benefit, conditions } = terms;
  const scope = scopeOf(conditions);
  if (scope.isEverything || linesOf(basket).some(scope.has)) return null;
  const rule = conditions.products.length ? "conditions.products" : "conditions.categories";
  const units =
    benefit.kind === "buy_x_get_y"
      ? Math.max(conditions.minimum_units, benefit.buy + benefit.get)
      : conditions.minimum_units;
  return reason("no_matching_item", rule, { add_units: units });
};

/** Every unit in scope counts, before any coupon. */
const belowMinimumUnits: Condition = ({ basket, terms }) => {
  const minimum = terms.conditions.minimum_units;
  if (minimum === 1 || basket === null || !linesOf(basket).length) return null;
  const scope = scopeOf(terms.conditions);
  const units = linesOf(basket).reduce((sum, line) => sum + (scope.has(line) ? line.quantity : 0), 0);
  if (units === 0 || units >= minimum) return null;
  return reason("too_few_items", "conditions.minimum_units", { add_units: minimum - units });
};

/** Units that an earlier coupon has made free are not bought, and do not count. */
const tooFewItems: Condition = (one) => {
  const { basket } = one;
  const { benefit, conditions } = one.terms;
  if (benefit.kind !== "buy_x_get_y" || basket === null || !linesOf(basket).length) return null;
  const missing = benefit.buy + benefit.get - countOf(unitsInScope(one, basket));
  if (missing <= 0 || !linesOf(basket).some(scopeOf(conditions).has)) return null;
  return reason("too_few_items", "benefit.buy", { add_units: missing });
};

// The other coupons of this basket.

/** An offer that is in a group does not combine with itself either; one in none does. */
const sharesAGroup: Condition = ({ terms, applied }) => {
  const groups = terms.conditions.exclusivity_groups;
  const rivals = applied.filter((each) => each.exclusivityGroups.some((group) => groups.includes(group)));
  if (!rivals.length) return null;
  return reason("not_combinable", "conditions.exclusivity_groups", reverse(rivals));
};

const comesTooLate: Condition = ({ terms, applied }) => {
  const later = applied.filter((each) => each.stackingOrder > terms.conditions.stacking_order);
  if (!later.length) return null;
  return reason("stacking_order", "conditions.stacking_order", reverse(later));
};

const ORDER: Condition[] = [
  couponIsRevoked,
  nobodyHoldsIt,
  notYetValid,
  expired,
  allUsesMade,
  balanceIsEmpty,
  heldByAnother,
  holderIsSuspended,
  campaignIsNotLive,
  campaignIsPaused,
  campaignHasEnded,
  batchIsRevoked,
  boundToAnotherStore,
  activeElsewhere,
  storeNotListed,
  outsideHours,
  somebodyElses,
  notInSegment,
  notFirstPurchase,
  basketMissing,
  basketHasChanged,
  linesMissing,
  otherCurrency,
  belowMinimum,
  nothingInScope,
  belowMinimumUnits,
  tooFewItems,
  sharesAGroup,
  comesTooLate,
];

function reverse(applied: Applied[]): Needs {
  return { reverse: applied.map((each) => each.redemptionId) };
}
