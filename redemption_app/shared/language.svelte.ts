// English or Chinese: which one is spoken, and how numbers and moments are written in it.

import { placesOf } from "./currency.ts";

export type Language = "en" | "zh";

const KEPT_AS = "counterfoil language";

function first(): Language {
  const kept = localStorage.getItem(KEPT_AS);
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

class Spoken {
  now = $state.raw<Language>(first());

  speak(language: Language): void {
    this.now = language;
    localStorage.setItem(KEPT_AS, language);
    document.documentElement.lang = this.locale;
  }

  get locale(): string {
    return this.now === "zh" ? "zh-CN" : "en";
  }
}

export const spoken = new Spoken();
document.documentElement.lang = spoken.locale;

/** Return a function that gives the texts of the language that is spoken when it is asked. */
export function dictionary<Words>(words: Record<Language, Words>): () => Words {
  return () => words[spoken.now];
}

/** Return what the server has said in both languages in the one that is spoken. */
export function said(both: Record<Language, string>): string {
  return both[spoken.now];
}

/** Write whole minor units, such as 1250 EUR, as people do: €12.50. */
export function money(minor: number, currency: string): string {
  const digits = placesOf(currency);
  return new Intl.NumberFormat(spoken.locale, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(minor / 10 ** digits);
}

export function count(value: number): string {
  return new Intl.NumberFormat(spoken.locale).format(value);
}

export function day(at: Date, zone?: string): string {
  return moment(at, { dateStyle: "medium" }, zone);
}

export function time(at: Date, zone?: string): string {
  return moment(at, { timeStyle: "short" }, zone);
}

export function dayAndTime(at: Date, zone?: string): string {
  return moment(at, { dateStyle: "medium", timeStyle: "short" }, zone);
}

/** Say how far away a moment is, in the largest unit that is not nought: in 3 days, 2 小时前. */
export function fromNow(at: Date, now: Date): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
  const format = new Intl.RelativeTimeFormat(spoken.locale, { numeric: "auto" });
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return format.format(Math.trunc(seconds / length), unit);
  }
  return format.format(seconds, "second");
}

const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
] as const;

function moment(at: Date, style: Intl.DateTimeFormatOptions, zone?: string): string {
  const where = zone === undefined ? {} : { timeZone: zone };
  return new Intl.DateTimeFormat(spoken.locale, { ...style, ...where }).format(at);
}
