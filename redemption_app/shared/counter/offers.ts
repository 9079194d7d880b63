// An offer as a bundle tells it: what a coupon is worth, and when it works.

import { atLeastOne, basisPoints, minor, uuid } from "./numbers.ts";
import { flag, kinds, like, list, maybe, one, record, text, whole, type Of } from "./shapes.ts";

export const WEEKDAYS = [
  "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
] as const; // prettier-ignore

const benefit = kinds({
  amount_off: record({ kind: one("amount_off"), amount_minor: minor }),
  percent_off: record({ kind: one("percent_off"), percent_off_bp: basisPoints, cap_minor: maybe(minor) }),
  fixed_price: record({ kind: one("fixed_price"), price_minor: minor, quantity: atLeastOne }),
  free_item: record({ kind: one("free_item"), quantity: atLeastOne }),
  buy_x_get_y: record({
    kind: one("buy_x_get_y"),
    buy: atLeastOne,
    get: atLeastOne,
    percent_off_bp: basisPoints,
    times: atLeastOne,
  }),
  gift_balance: record({ kind: one("gift_balance"), balance_minor: minor }),
});

/** A local time in whole minutes, as `13:30:00`. */
const localTime = like(/^([01]\d|2[0-3]):[0-5]\d:00$/);

const openHours = record({ weekdays: list(one(...WEEKDAYS)), from_time: localTime, until_time: localTime });

const conditions = record({
  minimum_basket_minor: minor,
  minimum_units: atLeastOne,
  products: list(text),
  categories: list(text),
  stores: list(uuid),
  hours: list(openHours),
  first_purchase_only: flag,
  segments: list(text),
  exclusivity_groups: list(text),
  stacking_order: whole(0, 1_000),
});

const limit = record({
  of: one("issue", "redeem"),
  per: one("all", "store", "customer"),
  period: one("ever", "day", "week", "month"),
  max_count: atLeastOne,
  max_minor: maybe(minor),
});

const validity = record({
  starts_at: maybe(text),
  ends_at: maybe(text),
  wait_days: whole(0, 365),
  days_after_issue: maybe(whole(1, 3_660)),
});

export const title = record({ en: text, zh: text });

export const terms = record({
  title,
  benefit,
  uses: whole(1, 1_000),
  conditions,
  validity,
  limits: list(limit),
  undo_seconds: whole(0, 90 * 86_400),
});

export type Benefit = Of<typeof benefit>;
export type OpenHours = Of<typeof openHours>;
export type Conditions = Of<typeof conditions>;
export type Title = Of<typeof title>;
export type Terms = Of<typeof terms>;
