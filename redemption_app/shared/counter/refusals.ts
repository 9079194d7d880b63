// No, and why. Codes never change: phones in the field know them.

import type wording from "./wording.json";

/** Why a coupon does not work. */
export type Why = keyof (typeof wording)["cashier"];

/** One sentence in both languages. */
export interface Sentences {
  en: string;
  zh: string;
}

export type Needs = Record<string, string | number | string[]>;

/** One rule that was not met: where it stands, and what would make it pass. */
export interface Reason {
  code: Why;
  rule: string;
  needs: Needs;
}

/** A whole no: the first reason decides the code, the others are told as well. */
export interface Refusal {
  code: Why;
  reasons: Reason[];
  customer: Sentences;
  cashier: Sentences;
}

export function reason(code: Why, rule: string, needs: Needs = {}): Reason {
  return { code, rule, needs };
}
