// What a terminal may decide without the server, and what the judge needs to know for it. The same
// questions in the same order as coupon_engine/validation/alone.py, and each policy's worst case
// stands there.
//
// A coupon is asked twice before it is judged like any other: what its code and the terminal's own
// knowledge say (`beforeProof`), and, once the phone's proof has been looked at, what the campaign
// lets a terminal decide (`afterProof`). What is left of the allowance is asked last
// (`overAllowance`).

import type { Basket } from "./baskets.ts";
import { ONLINE_CLASS, type Bundle, type BundleCampaign, type BundleOffer, type OfflinePolicy } from "./bundle.ts";
import type { Applied, Case, StoreFacts } from "./facts.ts";
import { isoText, ofSecond } from "./moments.ts";
import type { Terms } from "./offers.ts";
import { unpackedPolicy, type Policy } from "./policy.ts";
import { reason, type Reason } from "./refusals.ts";
import { couponIdOf, type CouponFields } from "./token.ts";

const LONGEST_ACTIVATION = 2 * 3_600_000;

/** What an offline policy asks of a terminal before it may decide. */
interface Decidable {
  forThisStore?: boolean; // the code names this store
  asAuthority?: boolean; // and this terminal is the only one that decides there
  endsWithin?: number;
  isProvisional: boolean; // somebody else may have accepted the same coupon, earlier
}

const IN_STORE = { forThisStore: true, asAuthority: true, isProvisional: false };

const DECIDABLE: Record<OfflinePolicy, Decidable | null> = {
  online_only: null,
  store_bound: IN_STORE,
  activated: { ...IN_STORE, endsWithin: LONGEST_ACTIVATION },
  device_quota: { isProvisional: true },
  campaign_escrow: { isProvisional: true },
};

/** A terminal in its store, under its lease. */
export interface Place {
  store: StoreFacts;
  storeNumber: number;
  isAuthority: boolean;
  decidesUntil: number; // the lease's end, or that of what it was told, if that is earlier
}

/** One coupon at a terminal without the server, and all that is known of it there. */
export interface Alone {
  fields: CouponFields; // well signed: `token.read`
  place: Place;
  campaign: BundleCampaign | null; // null: no terminal may judge it
  now: number;
  isListed: boolean | null; // in the status list; null: there is none that still counts
  redeemedAt: number | null; // as this terminal itself remembers
  isClockBehind: boolean;
}

type Check = (alone: Alone) => Reason | null;

/** Return where the terminal stands that this bundle is for, and until when it may decide. */
export function placeOf(bundle: Bundle): Place {
  return {
    store: { id: bundle.store_id, zone: bundle.store_zone },
    storeNumber: bundle.store_number,
    isAuthority: bundle.is_authority,
    decidesUntil: ofSecond(Math.min(bundle.lease_until, bundle.exp)),
  };
}

export function campaignOf(bundle: Bundle, number: number): BundleCampaign | null {
  return bundle.campaigns.find((each) => each.number === number) ?? null;
}

/** Return what the code's quota class names, if terminals are told of it. */
export function offerOf({ campaign, fields }: Alone): BundleOffer | null {
  const { quotaClass } = unpackedPolicy(fields.off);
  if (campaign === null || quotaClass === ONLINE_CLASS) return null;
  return campaign.offers.find((each) => each.quota_class === quotaClass) ?? null;
}

/** Say whether all that this offer asks can be known at a counter without the record. */
export function canBeJudgedAlone({ benefit, conditions, limits, uses }: Terms): boolean {
  return !(
    conditions.segments.length ||
    conditions.first_purchase_only ||
    limits.some((rule) => rule.of === "redeem") ||
    uses > 1 ||
    benefit.kind === "gift_balance"
  );
}

/** Return the offline policy that the bits of a code spell. */
export function policyIn(policy: Policy): OfflinePolicy {
  return policy.activationRequired ? "activated" : policy.offline;
}

/** May an earlier redemption of the same coupon still come in from elsewhere? */
export function isProvisional(policy: OfflinePolicy): boolean {
  return DECIDABLE[policy]?.isProvisional ?? true;
}

/** Return why the coupon does not work, as far as its code and this terminal can tell. */
export function beforeProof(alone: Alone): Reason | null {
  return first(alone, BEFORE_PROOF);
}

/** Return why no terminal, or not this one, may decide. Nothing against it: `caseOf`. */
export function afterProof(alone: Alone): Reason | null {
  return first(alone, AFTER_PROOF);
}

interface AtCounter {
  basket: Basket | null;
  applied?: Applied[];
  hasBasketChanged?: boolean;
}

/** Return what the judge needs to know. `afterProof` has found nothing against it. */
export function caseOf(alone: Alone, { basket, applied = [], hasBasketChanged = false }: AtCounter): Case {
  const { campaign, fields, place, now } = alone;
  const offer = offerOf(alone);
  if (campaign === null || offer === null) throw new Error("afterProof was not asked");
  return {
    coupon: {
      id: couponIdOf(fields),
      customerId: null,
      storeId: fields.sto ? place.store.id : null,
      validFrom: ofSecond(fields.nbf),
      validUntil: ofSecond(fields.exp),
      usesCount: 0,
      spentMinor: 0,
      isClaimed: true,
      isRevoked: false,
      heldBy: null,
      heldUntil: null,
      lastRedeemedAt: null,
      activatedStoreId: null,
      activatedUntil: null,
      isHolderSuspended: false,
    },
    campaign: {
      id: campaign.id,
      currency: campaign.currency,
      zone: campaign.zone,
      isLive: campaign.is_live,
      stops: campaign.is_paused ? "issuing_and_redeeming" : null,
      hasEndedForGood: campaign.has_ended_for_good,
      isBatchRevoked: false,
    },
    offerId: offer.id,
    terms: offer.terms,
    store: place.store,
    customer: null,
    basket,
    applied,
    spendMinor: null,
    holdId: null,
    now,
    hasBasketChanged,
  };
}

export interface Allowance {
  maxCount: number;
  maxMinor: number;
  usedCount: number;
  usedMinor: number;
}

/** Return which half of a lease's allowance one more redemption, worth so much, would break. */
export function overAllowance({ maxCount, maxMinor, usedCount, usedMinor }: Allowance, minor: number): Reason | null {
  if (usedCount + 1 > maxCount) return reason("quota_reached", "allowance.max_count");
  if (usedMinor + minor > maxMinor) return reason("quota_reached", "allowance.max_minor");
  return null;
}

// What the code and the terminal's own knowledge say.

const notYetValid: Check = ({ fields, now }) => {
  const validFrom = ofSecond(fields.nbf);
  return validFrom <= now ? null : reason("not_yet", "validity.from", { from: isoText(validFrom) });
};

const expired: Check = ({ fields, now }) => {
  const validUntil = ofSecond(fields.exp);
  return now < validUntil ? null : reason("expired", "validity.until", { until: isoText(validUntil) });
};

const boundToAnotherStore: Check = ({ fields, place }) =>
  fields.sto === 0 || fields.sto === place.storeNumber ? null : reason("wrong_store", "coupon.store_id");

/**
 * One bit tells that it does not work, not why; most often it was used. A coupon that has to be
 * activated and is shown without is most often active elsewhere.
 */
const onTheList: Check = ({ fields, isListed }) => {
  if (!isListed) return null;
  const isUnbound = unpackedPolicy(fields.off).activationRequired && fields.sto === 0;
  return reason(isUnbound ? "suspended" : "already_redeemed", "status_list");
};

const redeemedHere: Check = ({ redeemedAt }) =>
  redeemedAt === null ? null : reason("already_redeemed", "ledger", { at: isoText(redeemedAt) });

// What the campaign lets a terminal decide.

const leaseIsOver: Check = ({ now, place }) =>
  now < place.decidesUntil ? null : reason("lease_expired", "lease.until");

const clockIsBehind: Check = ({ isClockBehind }) => (isClockBehind ? online("clock") : null);

/** Whether a changing code is the newest, only the server knows. */
const changesWithTime: Check = ({ fields }) => (unpackedPolicy(fields.off).level === "L2" ? online("level") : null);

const usedMoreThanOnce: Check = ({ fields }) => (unpackedPolicy(fields.off).multiUse ? online("uses") : null);

/** The terminal has not the campaign, or not the offer; or the record is needed to judge it. */
const notToldOfIt: Check = (alone) => {
  const offer = offerOf(alone);
  return offer !== null && canBeJudgedAlone(offer.terms) ? null : online("offer");
};

/** The code and the bundle must agree: a campaign that was made stricter is stricter at once. */
const policySaysNo: Check = ({ campaign, fields, now, place }) => {
  const policy = policyIn(unpackedPolicy(fields.off));
  const decidable = DECIDABLE[policy];
  if (decidable === null || campaign?.offline !== policy) return online("offline");
  if (decidable.forThisStore && fields.sto !== place.storeNumber) return online("offline.store");
  if (decidable.asAuthority && !place.isAuthority) return online("offline.authority");
  const { endsWithin } = decidable;
  if (endsWithin !== undefined && ofSecond(fields.exp) - now > endsWithin) return online("offline.activation");
  return null;
};

const listIsMissing: Check = ({ isListed }) => (isListed === null ? online("status_list") : null);

const BEFORE_PROOF: Check[] = [notYetValid, expired, boundToAnotherStore, onTheList, redeemedHere];
const AFTER_PROOF: Check[] = [
  leaseIsOver,
  clockIsBehind,
  changesWithTime,
  usedMoreThanOnce,
  notToldOfIt,
  policySaysNo,
  listIsMissing,
];

function first(alone: Alone, checks: Check[]): Reason | null {
  for (const check of checks) {
    const found = check(alone);
    if (found) return found;
  }
  return null;
}

function online(rule: string): Reason {
  return reason("online_required", rule);
}
