// An offer's terms as the builder's fields hold them, and as the server reads them.

import type { Schema } from "../../shared/api/client.ts";
import { basisPointsOf } from "./minor.ts";
import { instant, onTheWall } from "./zoned.ts";

export type Terms = Schema["Terms"];
export type Kind = Terms["benefit"]["kind"];

export const KINDS = ["amount_off", "percent_off", "fixed_price", "free_item", "buy_x_get_y", "gift_balance"] as const;
export const WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

export interface Fields {
  titleEn: string;
  titleZh: string;
  kind: Kind;
  amount: number | undefined;
  percent: string;
  cap: number | undefined;
  quantity: number;
  buy: number;
  get: number;
  times: number;
  uses: number;
  minimumBasket: number | undefined;
  minimumUnits: number;
  products: string;
  categories: string;
  stores: string[];
  hours: { weekdays: Weekday[]; from: string; until: string }[];
  firstOnly: boolean;
  segments: string;
  groups: string;
  validDays: number | null;
  validUntil: string;
  waitDays: number;
  perCustomer: number | null;
  undoMinutes: number;
  /** What the builder has no field for stays as it was. */
  kept: { limits: NonNullable<Terms["limits"]>; stacking: number; startsAt: string | null };
}

export function fresh(): Fields {
  return {
    titleEn: "",
    titleZh: "",
    kind: "amount_off",
    amount: undefined,
    percent: "10",
    cap: undefined,
    quantity: 1,
    buy: 2,
    get: 1,
    times: 1,
    uses: 1,
    minimumBasket: undefined,
    minimumUnits: 1,
    products: "",
    categories: "",
    stores: [],
    hours: [],
    firstOnly: false,
    segments: "",
    groups: "",
    validDays: 30,
    validUntil: "",
    waitDays: 0,
    perCustomer: null,
    undoMinutes: 60,
    kept: { limits: [], stacking: 500, startsAt: null },
  };
}

/** Return the fields of terms that are there already. */
export function fieldsOf(terms: Terms, zone: string): Fields {
  const { benefit, validity } = terms;
  const conditions: Partial<NonNullable<Terms["conditions"]>> = terms.conditions ?? {};
  const fields = fresh();
  fields.titleEn = terms.title.en;
  fields.titleZh = terms.title.zh;
  fields.kind = benefit.kind as Kind;
  if (benefit.kind === "amount_off") fields.amount = benefit.amount_minor;
  if (benefit.kind === "gift_balance") fields.amount = benefit.balance_minor;
  if (benefit.kind === "fixed_price") fields.amount = benefit.price_minor;
  if (benefit.kind === "percent_off") fields.cap = benefit.cap_minor ?? undefined;
  if ("percent_off_bp" in benefit) fields.percent = String((benefit.percent_off_bp ?? 10_000) / 100);
  if ("quantity" in benefit) fields.quantity = benefit.quantity ?? 1;
  if (benefit.kind === "buy_x_get_y") {
    [fields.buy, fields.get, fields.times] = [benefit.buy, benefit.get ?? 1, benefit.times ?? 1];
  }
  fields.uses = terms.uses ?? 1;
  fields.minimumBasket = conditions.minimum_basket_minor || undefined;
  fields.minimumUnits = conditions.minimum_units ?? 1;
  fields.products = (conditions.products ?? []).join("\n");
  fields.categories = (conditions.categories ?? []).join("\n");
  fields.stores = [...(conditions.stores ?? [])];
  fields.hours = (conditions.hours ?? []).map((each) => ({
    weekdays: [...each.weekdays] as Weekday[],
    from: (each.from_time ?? "00:00").slice(0, 5),
    until: (each.until_time ?? "00:00").slice(0, 5),
  }));
  fields.firstOnly = conditions.first_purchase_only ?? false;
  fields.segments = (conditions.segments ?? []).join("\n");
  fields.groups = (conditions.exclusivity_groups ?? []).join("\n");
  fields.validDays = validity.days_after_issue ?? null;
  fields.validUntil = validity.ends_at ? onTheWall(new Date(validity.ends_at), zone) : "";
  fields.waitDays = validity.wait_days ?? 0;
  const limits = terms.limits ?? [];
  fields.perCustomer = limits.find(isPerCustomer)?.max_count ?? null;
  fields.undoMinutes = Math.round((terms.undo_seconds ?? 3_600) / 60);
  fields.kept = {
    limits: limits.filter((rule) => !isPerCustomer(rule)),
    stacking: conditions.stacking_order ?? 500,
    startsAt: validity.starts_at ?? null,
  };
  return fields;
}

/** Return the terms that the fields describe, or undefined while something is missing. */
export function termsOf(fields: Fields, zone: string): Terms | undefined {
  const benefit = benefitOf(fields);
  if (!benefit || !fields.titleEn.trim() || !fields.titleZh.trim()) return undefined;
  if (!fields.validDays && !fields.validUntil) return undefined;
  const perCustomer = fields.perCustomer
    ? [{ of: "redeem", per: "customer", period: "ever", max_count: fields.perCustomer } as const]
    : [];
  return {
    title: { en: fields.titleEn, zh: fields.titleZh },
    benefit,
    uses: fields.kind === "gift_balance" ? 1 : fields.uses,
    conditions: {
      minimum_basket_minor: fields.minimumBasket ?? 0,
      minimum_units: fields.minimumUnits,
      products: lines(fields.products),
      categories: lines(fields.categories),
      stores: fields.stores,
      hours: fields.hours
        .filter((each) => each.weekdays.length)
        .map((each) => ({ weekdays: each.weekdays, from_time: each.from, until_time: each.until })),
      first_purchase_only: fields.firstOnly,
      segments: lines(fields.segments),
      exclusivity_groups: lines(fields.groups),
      stacking_order: fields.kept.stacking,
    },
    validity: {
      starts_at: fields.kept.startsAt,
      ends_at: fields.validUntil ? instant(fields.validUntil, zone).toISOString() : null,
      wait_days: fields.waitDays,
      days_after_issue: fields.validDays || null,
    },
    limits: [...fields.kept.limits, ...perCustomer],
    undo_seconds: fields.undoMinutes * 60,
  } as Terms;
}

export function lines(text: string): string[] {
  return [...new Set(text.split("\n").map((line) => line.trim()))].filter(Boolean);
}

function benefitOf(fields: Fields): Terms["benefit"] | undefined {
  const { kind, amount, quantity } = fields;
  const part = basisPointsOf(fields.percent);
  switch (kind) {
    case "amount_off":
      return amount ? { kind, amount_minor: amount } : undefined;
    case "gift_balance":
      return amount ? { kind, balance_minor: amount } : undefined;
    case "fixed_price":
      return amount === undefined ? undefined : { kind, price_minor: amount, quantity };
    case "free_item":
      return { kind, quantity };
    case "percent_off":
      return part ? { kind, percent_off_bp: part, cap_minor: fields.cap ?? null } : undefined;
    case "buy_x_get_y":
      return part ? { kind, buy: fields.buy, get: fields.get, percent_off_bp: part, times: fields.times } : undefined;
  }
}

type Rule = NonNullable<Terms["limits"]>[number];

function isPerCustomer(rule: Rule): boolean {
  return rule.of !== "issue" && rule.per === "customer" && (rule.period ?? "ever") === "ever" && !rule.max_minor;
}
