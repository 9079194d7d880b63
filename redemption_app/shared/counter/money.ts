// Money: whole minor units, the two ways they are divided, and how they are written.

import { placesOf } from "../currency.ts";
import type { Language } from "../language.svelte.ts";

const LOCALES = { en: "en-US", zh: "zh-Hans-CN" } as const;
const ALL = 10_000n;

/** Return this part of an amount, half a minor unit rounded up. */
export function part(minor: number, basisPoints: number): number {
  // The product may be ten times what a number holds exactly.
  return Number((BigInt(minor) * BigInt(basisPoints) + ALL / 2n) / ALL);
}

/**
 * Divide an amount by weights, largest remainder first, earlier lines before later ones. The parts
 * always add up. Where all weights are nought, so are all parts, and the amount must be.
 */
export function split(minor: number, weights: readonly number[]): number[] {
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  if (whole === 0) return weights.map(() => 0);
  const shares = weights.map((weight, at) => {
    const product = BigInt(minor) * BigInt(weight);
    return { at, minor: Number(product / BigInt(whole)), rest: Number(product % BigInt(whole)) };
  });
  let odd = minor - shares.reduce((sum, share) => sum + share.minor, 0);
  const parts = shares.map((share) => share.minor);
  for (const share of shares.toSorted((one, other) => other.rest - one.rest || one.at - other.at)) {
    if (odd-- <= 0) break;
    parts[share.at]! += 1;
  }
  return parts;
}

/** Return an amount as a person of this language writes it. */
export function inWords(minor: number, currency: string, language: Language): string {
  const digits = placesOf(currency);
  return new Intl.NumberFormat(LOCALES[language], {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(minor / 10 ** digits);
}
