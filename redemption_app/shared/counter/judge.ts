// Would this coupon work, here, now, for this basket? The same answer as on the server: both sides
// read tests/vectors/judge.json.

import { unmet } from "./conditions.ts";
import { discountOf } from "./discounts.ts";
import type { Case, Discount } from "./facts.ts";
import { reason, type Reason, type Refusal } from "./refusals.ts";
import { refusal } from "./wording.ts";

/**
 * Say what the coupon takes off, or why it does not work. A refusal tells every condition that is
 * not met. A coupon that would take nothing off is refused, so that nobody spends it for nothing.
 */
export function judge(one: Case): Discount | Refusal {
  const reasons = unmet(one);
  if (reasons.length) return no(one, reasons);
  const discount = discountOf(one);
  return discount.minor ? discount : no(one, [reason("nothing_to_discount", "benefit")]);
}

export function isRefusal(verdict: Discount | Refusal): verdict is Refusal {
  return "code" in verdict;
}

function no({ campaign, store, now }: Case, reasons: Reason[]): Refusal {
  return refusal(reasons, { currency: campaign.currency, zone: store.zone, now });
}
