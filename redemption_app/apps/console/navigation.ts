// The screens, who has them, and the letter after `g` that opens each. The server decides what
// somebody may do; here is only what would be of no use to them.

import type { Role } from "./me.svelte.ts";
import type { words } from "./words/index.ts";

export interface Screen {
  path: string;
  title: Extract<keyof ReturnType<typeof words>, string>;
  letter: string;
  for: readonly Role[];
}

export const OFFICE: readonly Role[] = ["owner", "campaign_editor", "approver", "finance", "support", "auditor"];
const MEASURING: readonly Role[] = ["owner", "campaign_editor", "approver", "finance", "auditor"];

export const SCREENS: readonly Screen[] = [
  { path: "campaigns", title: "campaigns", letter: "c", for: [...OFFICE, "shop_manager"] },
  { path: "coupons", title: "coupons", letter: "k", for: OFFICE },
  { path: "places", title: "places", letter: "s", for: [...OFFICE, "shop_manager"] },
  { path: "customers", title: "customers", letter: "u", for: ["owner", "support", "auditor"] },
  { path: "imports", title: "imports", letter: "i", for: ["owner", "campaign_editor"] },
  { path: "reports", title: "reports", letter: "r", for: [...OFFICE, "shop_manager"] },
  { path: "lift", title: "lift", letter: "l", for: MEASURING },
  { path: "profit", title: "profit", letter: "p", for: MEASURING },
  { path: "statements", title: "statements", letter: "t", for: MEASURING },
  { path: "audit", title: "audit", letter: "a", for: ["owner", "auditor", "finance"] },
  { path: "people", title: "people", letter: "o", for: ["owner", "auditor"] },
  { path: "settings", title: "settings", letter: "e", for: [...OFFICE, "shop_manager", "cashier"] },
];

/** The roles that are tied to stores. */
export const AT_A_STORE: readonly Role[] = ["shop_manager", "cashier"];
export const ROLES: readonly Role[] = [...OFFICE, ...AT_A_STORE];

export function screensOf(role: Role): Screen[] {
  return SCREENS.filter((screen) => screen.for.includes(role));
}
