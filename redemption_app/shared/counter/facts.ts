// All that the judge may know. Whoever asks gathers it; the judge opens nothing. Moments are
// milliseconds since 1970.

import type { Basket, LineDiscount } from "./baskets.ts";
import type { Terms } from "./offers.ts";

/** One coupon as the record (or a signed token, offline) shows it. */
export interface CouponFacts {
  id: string;
  customerId: string | null;
  storeId: string | null;
  validFrom: number;
  validUntil: number;
  usesCount: number;
  spentMinor: number;
  isClaimed: boolean;
  isRevoked: boolean;
  heldBy: string | null;
  heldUntil: number | null;
  lastRedeemedAt: number | null; // told to the cashier who asks why
  activatedStoreId: string | null; // the only store where it works until then
  activatedUntil: number | null;
  isHolderSuspended: boolean; // the phone that it is bound to, for too many disputes
}

export interface CampaignFacts {
  id: string;
  currency: string;
  zone: string;
  isLive: boolean; // somebody has approved it
  stops: "issuing" | "issuing_and_redeeming" | null; // what a pause stops, if one is on
  hasEndedForGood: boolean; // ended, and coupons already out do not stay valid
  isBatchRevoked: boolean; // the batch was withdrawn with its coupons
}

export interface StoreFacts {
  id: string;
  zone: string;
}

export interface CustomerFacts {
  id: string;
  segments: string[];
  hasPurchased: boolean;
}

/** A coupon that this basket already had. */
export interface Applied {
  redemptionId: string;
  offerId: string;
  exclusivityGroups: string[];
  stackingOrder: number;
  discountMinor: number;
  lines: LineDiscount[];
  byUnit: boolean; // it took whole units, as a free item does, not a part of every one
}

/** One coupon at one counter at one moment. */
export interface Case {
  coupon: CouponFacts;
  campaign: CampaignFacts;
  offerId: string;
  terms: Terms;
  store: StoreFacts;
  customer: CustomerFacts | null;
  basket: Basket | null;
  applied: Applied[];
  spendMinor: number | null;
  holdId: string | null;
  now: number;
  hasBasketChanged: boolean; // since the first coupon of this receipt
}

/** What the coupon takes off: the sum, and its lines where the basket has lines. */
export interface Discount {
  minor: number;
  lines: LineDiscount[];
}
