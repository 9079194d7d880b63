// How a coupon stands at this moment, by the phone's own reckoning: what the server said may be days old.

import { day, dayAndTime, money } from "../../shared/language.svelte.ts";
import type { CouponView, KeptCoupon, KeptReceipt } from "./keeping.ts";
import { words } from "./words/index.ts";

export type Shelf = "usable" | "used" | "over";
export const SHELVES: readonly Shelf[] = ["usable", "used", "over"];

export interface Standing {
  says: string;
  /** `wait`: it ends soon, or works later. `no`: it works no more. */
  tone: "plain" | "wait" | "no";
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SOON_DAYS = 3;

export function shelfOf({ view }: KeptCoupon, now: number): Shelf {
  if (view.state === "redeemed") return "used";
  if (view.state === "revoked" || view.state === "expired" || isOver(view, now)) return "over";
  return "usable";
}

export function canShow(coupon: KeptCoupon, now: number): boolean {
  const { view } = coupon;
  return shelfOf(coupon, now) === "usable" && begins(view) <= now && !isGiven(view, now);
}

export function isGiven({ given_until }: CouponView, now: number): boolean {
  return given_until !== null && now < Date.parse(given_until);
}

export function isActivated({ activated_until }: CouponView, now: number): boolean {
  return activated_until !== null && now < Date.parse(activated_until);
}

/** Return the coupons of a shelf: what ends first comes first, what is over comes with the latest first. */
export function onShelf(shelf: Shelf, coupons: readonly KeptCoupon[], now: number): KeptCoupon[] {
  const found = coupons.filter((coupon) => shelfOf(coupon, now) === shelf);
  const sign = shelf === "usable" ? 1 : -1;
  return found.sort((one, other) => sign * one.view.valid_until.localeCompare(other.view.valid_until));
}

/** Say in a few words how a coupon stands. */
export function standing(coupon: KeptCoupon, now: number, last?: KeptReceipt): Standing {
  const t = words();
  const { view } = coupon;
  switch (shelfOf(coupon, now)) {
    case "used":
      return { says: last ? t.usedOn(day(new Date(last.redeemed_at), last.zone)) : t.wasUsed, tone: "no" };
    case "over":
      if (view.state === "revoked") return { says: t.withdrawn, tone: "no" };
      return { says: t.expired(lastDay(view)), tone: "no" };
    case "usable":
      if (isGiven(view, now)) return { says: t.given, tone: "wait" };
      if (view.state === "held") return { says: t.held, tone: "wait" };
      if (begins(view) > now) return { says: t.from(day(new Date(view.valid_from), view.zone)), tone: "wait" };
      if (coupon.isElsewhere) return { says: t.elsewhere, tone: "wait" };
      return left(Date.parse(view.valid_until) - now);
  }
}

/** Say what is left of a coupon that can be used in parts, if anything needs saying. */
export function leftOf(view: CouponView): string | undefined {
  if (view.balance_minor !== null) return words().balance(money(view.balance_minor, view.currency));
  if (view.uses > 1) return words().usesLeft(view.uses_left, view.uses);
  return undefined;
}

/** Say when a coupon works, with the clock of its shop. */
export function window({ valid_from, valid_until, zone }: CouponView, now: number): string[] {
  const t = words();
  const until = t.lastsUntil(dayAndTime(new Date(Date.parse(valid_until) - 1), zone));
  return Date.parse(valid_from) > now ? [t.from(dayAndTime(new Date(valid_from), zone)), until] : [until];
}

function begins({ valid_from }: CouponView): number {
  return Date.parse(valid_from);
}

function isOver({ valid_until }: CouponView, now: number): boolean {
  return Date.parse(valid_until) <= now;
}

/** An end at midnight belongs to the day that it ends. */
function lastDay({ valid_until, zone }: CouponView): string {
  return day(new Date(Date.parse(valid_until) - 1), zone);
}

function left(ms: number): Standing {
  const t = words();
  if (ms >= DAY_MS) {
    const days = Math.floor(ms / DAY_MS);
    return { says: t.daysLeft(days), tone: days < SOON_DAYS ? "wait" : "plain" };
  }
  if (ms >= HOUR_MS) return { says: t.hoursLeft(Math.floor(ms / HOUR_MS)), tone: "wait" };
  return { says: t.minutesLeft(Math.max(1, Math.floor(ms / 60_000))), tone: "wait" };
}
