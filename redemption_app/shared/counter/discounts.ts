// What a coupon takes off, to the minor unit. One pure function for each kind of benefit.
//
// The base is what earlier coupons of the same basket have left of each line in scope. A discount
// on several lines is divided in proportion to what is left of them, largest remainder first; no
// line ever falls below nought. A basket without lines gets a discount without lines.

import { amountOf, amountOfLine, linesOf, type Basket, type Line } from "./baskets.ts";
import type { Applied, Case, Discount } from "./facts.ts";
import { part, split } from "./money.ts";
import type { Benefit, Conditions } from "./offers.ts";

/** Return what this coupon takes off the basket, assuming that its conditions are met. */
export function discountOf(one: Case): Discount {
  const { basket } = one;
  const { benefit } = one.terms;
  if (basket === null) return { minor: sumOff(one), lines: [] };
  if (!linesOf(basket).length) return { minor: offAmount(one, leftOfTotal(basket, one.applied)), lines: [] };
  switch (benefit.kind) {
    case "amount_off":
    case "percent_off":
    case "gift_balance":
      return overLines(one, basket);
    case "fixed_price":
    case "free_item":
    case "buy_x_get_y":
      return onUnits(benefit, unitsInScope(one, basket));
  }
}

// A part or a sum of what is left, over all lines in scope.

function overLines(one: Case, basket: Basket): Discount {
  const scope = scopeOf(one.terms.conditions);
  const lines = linesOf(basket);
  const left = leftOfLines(basket, one.applied).map((amount, at) => (scope.has(lines[at]!) ? amount : 0));
  const minor = offAmount(one, sum(left));
  return discount(split(minor, left).map((share, line) => [line, share]));
}

/** Return how much comes off this amount; a kind that takes units has none to take. */
function offAmount(one: Case, left: number): number {
  const { benefit } = one.terms;
  switch (benefit.kind) {
    case "percent_off": {
      const minor = part(left, benefit.percent_off_bp);
      return benefit.cap_minor === null ? minor : Math.min(minor, benefit.cap_minor);
    }
    case "amount_off":
      return Math.min(left, benefit.amount_minor);
    case "gift_balance":
      return Math.min(left, one.spendMinor ?? left, giftLeft(one));
    default:
      return 0;
  }
}

function sumOff(one: Case): number {
  const { benefit } = one.terms;
  if (benefit.kind === "amount_off") return benefit.amount_minor;
  if (benefit.kind === "gift_balance") return Math.min(one.spendMinor ?? 0, giftLeft(one));
  return 0;
}

export function giftLeft(one: Case): number {
  const { benefit } = one.terms;
  return benefit.kind === "gift_balance" ? Math.max(0, benefit.balance_minor - one.coupon.spentMinor) : 0;
}

// Whole units, one price each.

type OnUnits = Extract<Benefit, { kind: "fixed_price" | "free_item" | "buy_x_get_y" }>;

/** Does it take whole units, or a part of every line in scope? */
export function takesUnits(benefit: Benefit): benefit is OnUnits {
  return benefit.kind === "fixed_price" || benefit.kind === "free_item" || benefit.kind === "buy_x_get_y";
}

/** So many units of one line of which the same amount is left. */
export interface Units {
  line: number;
  left: number;
  count: number;
}

function onUnits(benefit: OnUnits, units: Units[]): Discount {
  switch (benefit.kind) {
    case "free_item":
      return discount(dearest(units, benefit.quantity).map((run) => [run.line, run.left * run.count]));
    case "fixed_price": {
      const dearer = units.filter((run) => run.left > benefit.price_minor);
      const chosen = dearest(dearer, benefit.quantity);
      return discount(chosen.map((run) => [run.line, (run.left - benefit.price_minor) * run.count]));
    }
    case "buy_x_get_y": {
      const groups = Math.min(benefit.times, Math.floor(countOf(units) / (benefit.buy + benefit.get)));
      const chosen = cheapest(units, groups * benefit.get);
      return discount(chosen.map((run) => [run.line, part(run.left, benefit.percent_off_bp) * run.count]));
    }
  }
}

function dearest(units: Units[], quantity: number): Units[] {
  return first(byLeft(units, -1), quantity);
}

function cheapest(units: Units[], quantity: number): Units[] {
  return first(byLeft(units, 1), quantity);
}

/** Sort by what is left; the sort is stable, so of equals the earlier line comes first. */
function byLeft(units: Units[], way: 1 | -1): Units[] {
  return units.toSorted((one, other) => way * (one.left - other.left));
}

function first(units: Units[], quantity: number): Units[] {
  const chosen: Units[] = [];
  for (const run of units) {
    if (quantity === 0) break;
    const count = Math.min(run.count, quantity);
    chosen.push({ ...run, count });
    quantity -= count;
  }
  return chosen;
}

export function countOf(units: Units[]): number {
  return sum(units.map((run) => run.count));
}

/** Return the units in scope that still cost something; what is free already is not bought. */
export function unitsInScope(one: Case, basket: Basket): Units[] {
  const scope = scopeOf(one.terms.conditions);
  const lines = linesOf(basket);
  return leftOfUnits(basket, one.applied)
    .filter((_, at) => scope.has(lines[at]!))
    .flat()
    .filter((run) => run.left);
}

/**
 * Return each line's units and what is left of each of them. A coupon that took whole units took
 * the dearest ones. Any other took from all alike, and what it left is shared evenly.
 */
function leftOfUnits(basket: Basket, applied: Applied[]): Units[][] {
  const lines = linesOf(basket).map((line, at) => [{ line: at, left: line.unit_price_minor, count: line.quantity }]);
  let left = linesOf(basket).map(amountOfLine);
  for (const earlier of applied) {
    const after = afterOne(left, earlier);
    after.forEach((rest, at) => {
      const taken = left[at]! - rest;
      if (taken > 0) lines[at] = earlier.byUnit ? withoutDearest(lines[at]!, taken) : evenly(lines[at]!, rest);
    });
    left = after;
  }
  return lines;
}

/** Take this much off a line's units, each whole before the next, dearest first. */
function withoutDearest(runs: Units[], taken: number): Units[] {
  const kept: Units[] = [];
  for (const run of byLeft(runs, -1)) {
    if (!run.left) continue;
    const whole = Math.min(run.count, Math.floor(taken / run.left));
    taken -= whole * run.left;
    let rest = run.count - whole;
    if (rest && taken) {
      kept.push({ line: run.line, left: run.left - taken, count: 1 });
      [taken, rest] = [0, rest - 1];
    }
    if (rest) kept.push({ line: run.line, left: run.left, count: rest });
  }
  return kept;
}

/** Share what is left of a line among its units. */
function evenly(runs: Units[], left: number): Units[] {
  const line = runs[0]!.line;
  const count = countOf(runs);
  const odd = left % count;
  const each = (left - odd) / count;
  return [
    { line, left: each + 1, count: odd },
    { line, left: each, count: count - odd },
  ].filter((run) => run.count);
}

// What earlier coupons have left.

function leftOfTotal(basket: Basket, applied: Applied[]): number {
  return Math.max(0, amountOf(basket) - sum(applied.map((earlier) => earlier.discountMinor)));
}

function leftOfLines(basket: Basket, applied: Applied[]): number[] {
  return applied.reduce(afterOne, linesOf(basket).map(amountOfLine));
}

/** Take an earlier discount off, by its lines; what names no line here comes off all alike. */
function afterOne(left: number[], earlier: Applied): number[] {
  const after = [...left];
  let unplaced = earlier.discountMinor;
  for (const off of earlier.lines) {
    if (off.line >= after.length) continue;
    const taken = Math.min(off.discount_minor, after[off.line]!, unplaced);
    after[off.line]! -= taken;
    unplaced -= taken;
  }
  if (!unplaced) return after;
  const shares = split(Math.min(unplaced, sum(after)), after);
  return after.map((amount, at) => amount - shares[at]!);
}

/** Return the discount that these parts of lines add up to; a line may come more than once. */
function discount(parts: [line: number, minor: number][]): Discount {
  const byLine = new Map<number, number>();
  for (const [line, minor] of parts) {
    if (minor) byLine.set(line, (byLine.get(line) ?? 0) + minor);
  }
  const lines = [...byLine].sort(([one], [other]) => one - other);
  return {
    minor: sum([...byLine.values()]),
    lines: lines.map(([line, minor]) => ({ line, discount_minor: minor })),
  };
}

// What an offer is for.

/** The products, categories and stores of an offer, for looking up. */
export interface Scope {
  isEverything: boolean;
  has(line: Line): boolean;
  hasStore(id: string): boolean;
}

const scopes = new WeakMap<Conditions, Scope>();

/** Return the scope of an offer; keep its `Terms`, for a scope is made once for each object. */
export function scopeOf(conditions: Conditions): Scope {
  const known = scopes.get(conditions);
  if (known) return known;
  const scope = newScope(conditions);
  scopes.set(conditions, scope);
  return scope;
}

function newScope(conditions: Conditions): Scope {
  const products = new Set(conditions.products);
  const categories = new Set(conditions.categories);
  const stores = new Set(conditions.stores);
  const isEverything = !products.size && !categories.size;
  return {
    isEverything,
    has: ({ product, category }) =>
      isEverything || products.has(product) || (category != null && categories.has(category)),
    hasStore: (id) => stores.has(id),
  };
}

function sum(numbers: number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}
