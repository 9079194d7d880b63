// Every no in words, for the customer and the cashier. The sentences are those of the server, in
// `wording.json` (`poe counter-wording`); only the facts in them are put into words here.

import type { Language } from "../language.svelte.ts";
import { inWords } from "./money.ts";
import type { Reason, Refusal, Sentences } from "./refusals.ts";
import { A_DAY, localOf, midnightOf } from "./windows.ts";
import wording from "./wording.json" with { type: "json" };

type Both = readonly string[]; // in English and in Chinese
type Exact = Record<string, [fact: string, sentence: Both]>;

export interface Told {
  currency: string | null; // amounts are told in it, and not without one
  zone: string; // times are told on its clock
  now: number;
}

/** Word a refusal; the first reason decides its code and its sentences. */
export function refusal(reasons: Reason[], told: Told): Refusal {
  const first = reasons[0]!;
  return {
    code: first.code,
    reasons,
    customer: sentences(first, wording.customer, wording.customer_exact as unknown as Exact, told),
    cashier: sentences(first, wording.cashier, wording.cashier_exact as unknown as Exact, told),
  };
}

export function both(texts: Both): Sentences {
  return { en: texts[0]!, zh: texts[1]! };
}

/** Put facts into a sentence: `{name}` stands for one. */
export function filled(sentence: string, facts: Record<string, string>): string {
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => facts[name]!);
}

function sentences(first: Reason, plain: Record<string, Both>, exact: Exact, told: Told): Sentences {
  const found = exact[first.code];
  const value = found && first.needs[found[0]];
  const fact = found && value ? inLanguages(found[0], value, told) : null;
  if (!found || !fact) return both(plain[first.code]!);
  const [name, sentence] = found;
  return { en: filled(sentence[0]!, { [name]: fact.en }), zh: filled(sentence[1]!, { [name]: fact.zh }) };
}

// A fact as a person says it.

/** Return a fact in words; null where it is for programs alone. */
function inLanguages(name: string, value: Reason["needs"][string], told: Told): Sentences | null {
  const say = (inLanguage: (language: Language) => string) => ({ en: inLanguage("en"), zh: inLanguage("zh") });
  switch (name) {
    case "add_minor":
    case "left_minor":
      return told.currency === null ? null : say((language) => inWords(Number(value), told.currency!, language));
    case "from":
    case "until":
    case "at":
      return say((language) => momentInWords(Date.parse(String(value)), language, told, name === "until"));
    case "add_units":
    case "currency":
    case "challenge":
      return say(() => String(value));
    default:
      return null;
  }
}

/** Tell a time of this zone. An end at midnight is 24:00 of the day that it ends. */
function momentInWords(instant: number, language: Language, { zone, now }: Told, isEnd: boolean): string {
  const local = localOf(instant, zone);
  const today = midnightOf(localOf(now, zone));
  if (isEnd && local === midnightOf(local)) return `${dayInWords(local - A_DAY, language, today)} 24:00`;
  return `${dayInWords(midnightOf(local), language, today)} ${new Date(local).toISOString().slice(11, 16)}`;
}

function dayInWords(day: number, language: Language, today: number): string {
  const away = (day - today) / A_DAY;
  if (Math.abs(away) <= 1) return (wording.near as Both[])[away + 1]![language === "en" ? 0 : 1]!;
  const style: Intl.DateTimeFormatOptions =
    Math.abs(away) < 7
      ? { weekday: language === "en" ? "long" : "short" }
      : { month: "long", day: "numeric", ...(isSameYear(day, today) ? {} : { year: "numeric" }) };
  const written = new Intl.DateTimeFormat(LOCALES[language], { ...style, timeZone: "UTC" }).format(day);
  return language === "en" && Math.abs(away) >= 7 ? `${written},` : written;
}

function isSameYear(one: number, other: number): boolean {
  return new Date(one).getUTCFullYear() === new Date(other).getUTCFullYear();
}

const LOCALES = { en: "en-US", zh: "zh-Hans-CN" } as const;
