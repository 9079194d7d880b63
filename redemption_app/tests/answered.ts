// What the judge says to a case, as tests/vectors/judge.json tells it.

import type { Case } from "../shared/counter/facts.ts";
import { isRefusal, judge } from "../shared/counter/judge.ts";

export function answered(one: Case): object {
  const verdict = judge(one);
  if (!isRefusal(verdict)) return { discount: verdict };
  const { reasons, customer, cashier } = verdict;
  return {
    reasons,
    customer: [customer.en, customer.zh].map(unspaced),
    cashier: [cashier.en, cashier.zh].map(unspaced),
  };
}

/** Browsers set a space between a currency's letters and the amount, and the server none. */
export function unspaced(text: string): string {
  return text.replaceAll("\u00a0", "");
}
