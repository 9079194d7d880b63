// What a counter shows to a scan: a colour, a sign, a word and a sentence, in both languages. The
// words are those of scanner/terminal/showing.py, in `wording.json`.
//
// No meaning is in the colour alone. One sentence stands for every forgery: only the record tells
// them apart.

import type { Language } from "../language.svelte.ts";
import type { LineDiscount } from "./baskets.ts";
import type { Verdict } from "./judging.ts";
import { inWords } from "./money.ts";
import type { Title } from "./offers.ts";
import type { Refusal, Sentences, Why } from "./refusals.ts";
import { both, filled } from "./wording.ts";
import wording from "./wording.json" with { type: "json" };

export type Colour = keyof (typeof wording)["words"];

/** What stands beside the word, for whoever does not tell the colours apart. */
export type Sign = "tick" | "tick_and_cloud" | "exclamation" | "cross" | "question";

/** What is wrong before there is a coupon to judge, or with the terminal itself. */
export type Slip = keyof (typeof wording)["slips"];

export type Decider = "server" | "terminal";

/** All that is shown of one scan. */
export interface Screen {
  code: "ok" | "ok_offline" | Why | Slip;
  colour: Colour;
  sign: Sign;
  word: Sentences;
  cashier: Sentences;
  customer: Sentences;
  action: Sentences;
  decidedBy: Decider | null;
  redemptionId: string | null;
  couponId: string | null;
  discountMinor: number | null;
  currency: string | null;
  lines: LineDiscount[];
  isProvisional: boolean;
  challenge: string | null; // digits that the customer types
  firstUsedAt: number | null; // of a coupon that was used before, if that is known
}

export interface Yes {
  id: string;
  couponId: string;
  discountMinor: number;
  currency: string;
  title?: Title | null;
  lines?: LineDiscount[];
  isProvisional?: boolean;
}

export interface NoMore {
  id?: string | null;
  couponId?: string | null;
  challenge?: string | null;
}

export function isAccepted({ code }: Screen): boolean {
  return code === "ok" || code === "ok_offline";
}

/** Show what the terminal has decided alone. */
export function shown(verdict: Verdict): Screen {
  return "refusal" in verdict ? refused(verdict.refusal, "terminal", verdict) : accepted(verdict, "terminal");
}

/** Show a yes, and what it is worth. */
export function accepted(yes: Yes, decidedBy: Decider): Screen {
  const { discountMinor, currency, title = null } = yes;
  const isAlone = decidedBy !== "server";
  const say = (language: Language) => {
    const amount = inWords(discountMinor, currency, language);
    const sentence = (key: keyof (typeof wording)["yes"], facts: Record<string, string>) =>
      filled(wording.yes[key][language === "en" ? 0 : 1]!, facts);
    const benefit = title ? sentence("benefit", { title: title[language], amount }) : amount;
    const cashier = sentence("cashier", { benefit });
    return {
      cashier: isAlone ? sentence("alone", { yes: cashier }) : cashier,
      customer: sentence("customer", { amount }),
      action: sentence("action", { amount }),
    };
  };
  const [en, zh] = [say("en"), say("zh")];
  return {
    code: isAlone ? "ok_offline" : "ok",
    colour: "green",
    sign: isAlone ? "tick_and_cloud" : "tick",
    word: both(wording.words.green),
    cashier: { en: en.cashier, zh: zh.cashier },
    customer: { en: en.customer, zh: zh.customer },
    action: { en: en.action, zh: zh.action },
    decidedBy,
    redemptionId: yes.id,
    couponId: yes.couponId,
    discountMinor,
    currency,
    lines: yes.lines ?? [],
    isProvisional: yes.isProvisional ?? false,
    challenge: null,
    firstUsedAt: null,
  };
}

/** Show a no of the judge, by whomever it was asked. */
export function refused(refusal: Refusal, decidedBy: Decider, more: NoMore = {}): Screen {
  const { id = null, couponId = null, challenge = null } = more;
  return {
    ...no(refusal.code),
    cashier: refusal.cashier,
    customer: refusal.customer,
    decidedBy,
    redemptionId: id,
    couponId,
    challenge,
    firstUsedAt: firstUseIn(refusal),
  };
}

/** Show what is wrong where no coupon was judged. */
export function slipped(slip: Slip): Screen {
  return { ...no(slip), cashier: both(wording.slips[slip]), customer: both(wording.to_customer) };
}

export function colourOf(code: Why | Slip): Colour {
  if (code in wording.grey) return "grey";
  return code in wording.amber ? "amber" : "red";
}

function no(code: Why | Slip): Screen {
  const colour = colourOf(code);
  const actions: Record<string, string[]> = { ...wording.amber, ...wording.grey };
  const nothing = { en: "", zh: "" };
  return {
    code,
    colour,
    sign: wording.signs[colour] as Sign,
    word: both(wording.words[colour]),
    cashier: nothing,
    customer: nothing,
    action: both(actions[code] ?? wording.refuse),
    decidedBy: null,
    redemptionId: null,
    couponId: null,
    discountMinor: null,
    currency: null,
    lines: [],
    isProvisional: false,
    challenge: null,
    firstUsedAt: null,
  };
}

function firstUseIn({ code, reasons }: Refusal): number | null {
  const at = code === "already_redeemed" ? reasons[0]?.needs.at : undefined;
  return at === undefined ? null : Date.parse(String(at));
}
