// Amounts as people type them, and whole minor units as the server counts them.

import { placesOf } from "../../shared/currency.ts";

/** Return `12.50` for 1250 EUR. */
export function typed(minor: number, currency: string): string {
  const digits = placesOf(currency);
  return (minor / 10 ** digits).toFixed(digits);
}

/** Read `12.5`, `12,50` or `12` as 1250 EUR; undefined where it is no amount. Never by a float. */
export function minorOf(text: string, currency: string): number | undefined {
  const found = /^(\d{1,10})(?:[.,](\d*))?$/.exec(text.trim().replace(/[\s']/g, ""));
  const digits = placesOf(currency);
  if (!found || (found[2]?.length ?? 0) > digits) return undefined;
  return Number(`${found[1]}${(found[2] ?? "").padEnd(digits, "0")}`);
}

/** Read `12.5` % as 1250 basis points. */
export function basisPointsOf(text: string): number | undefined {
  const found = /^(\d{1,3})(?:[.,](\d{0,2}))?$/.exec(text.trim());
  if (!found) return undefined;
  return Number(`${found[1]}${(found[2] ?? "").padEnd(2, "0")}`);
}

export const CURRENCIES = ["EUR", "USD", "CNY", "GBP", "JPY", "CHF", "HKD", "SGD", "KRW", "TWD", "AUD", "CAD"];
