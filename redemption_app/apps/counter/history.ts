// What this terminal has done, as its own journal tells it, and taking one of these back.

import { newId } from "../../shared/ids.ts";
import type { AnswerView, Entry } from "../../shared/counter/journals.ts";
import type { Sentences } from "../../shared/counter/refusals.ts";
import { Away, SaysNo } from "../../shared/counter/server.ts";
import type { Schema } from "../../shared/api/client.ts";
import { counter } from "./counter.svelte.ts";
import { note, noted, type TakenBack } from "./keeping.ts";
import { inHand } from "./redeeming.ts";

const MOST_READ = 5_000; // more than a day has
// So long whoever redeemed it may take it back by themselves.
const ALONE_MS = 60_000;

export interface Done {
  id: string;
  at: number;
  title: Sentences | null;
  minor: number;
  currency: string;
  takenBackMinor: number;
  isAlone: boolean;
  isWaiting: boolean;
  answer: AnswerView["answer"] | undefined;
  cashier: string | undefined;
  orderRef: string | undefined;
  couponId: string | undefined;
}

export interface Total {
  title: Sentences | null;
  currency: string;
  count: number;
  minor: number;
}

export interface Told {
  done: Done[];
  totals: Total[];
  refusedToday: number;
}

/** Return what was redeemed here, the last one first, and what it comes to today. */
export async function history(now: number): Promise<Told> {
  const { journal } = inHand().terminal.counter;
  const entries = await journal.newest(MOST_READ);
  const takenBack = (await noted("takenBack")) ?? {};
  const done = entries
    .filter(({ said }) => said.kind === "redeemed" && said.id)
    .map(({ said, answer }) => doneBy(said, answer, takenBack, said.seq > journal.acknowledgedSeq));
  // The store's day, whatever day it is on this device.
  const days = new Intl.DateTimeFormat("en", { dateStyle: "short", ...(counter.zone && { timeZone: counter.zone }) });
  const isToday = (at: number) => days.format(at) === days.format(now);
  return {
    done,
    totals: totalsOf(done.filter(({ at }) => isToday(at))),
    refusedToday: entries.filter(({ said }) => said.kind === "refused" && isToday(said.ts)).length,
  };
}

function doneBy(said: Entry, answer: AnswerView | null, takenBack: TakenBack, isWaiting: boolean): Done {
  return {
    id: said.id!,
    at: said.ts,
    title: titleOf(said),
    minor: said.discount_minor ?? 0,
    currency: said.currency ?? "EUR",
    takenBackMinor: takenBack[said.id!] ?? 0,
    isAlone: said.mode === "offline",
    isWaiting,
    answer: answer?.answer,
    cashier: said.cashier,
    orderRef: said.order_ref,
    couponId: said.jti,
  };
}

function titleOf({ offer }: Entry): Sentences | null {
  const campaigns = inHand().terminal.counter.holdings.bundle?.campaigns ?? [];
  return campaigns.flatMap(({ offers }) => offers).find(({ id }) => id === offer)?.terms.title ?? null;
}

function totalsOf(done: readonly Done[]): Total[] {
  const totals = new Map<string, Total>();
  for (const { title, currency, minor, takenBackMinor } of done) {
    const key = `${title?.en} ${currency}`;
    const total = totals.get(key) ?? { title, currency, count: 0, minor: 0 };
    const isWhole = takenBackMinor >= minor && takenBackMinor > 0;
    totals.set(key, { ...total, count: total.count + Number(!isWhole), minor: total.minor + minor - takenBackMinor });
  }
  return [...totals.values()];
}

/** Why it is not taken back. */
export type Not = "away" | "isOver" | "wasTakenBack" | "provisional" | "second" | "notAllowed";

export class NotTakenBack extends Error {
  override name = "NotTakenBack";
  readonly why: Not;

  constructor(why: Not) {
    super(why);
    this.why = why;
  }
}

const NOT: Record<string, Not> = {
  already_reversed: "wasTakenBack",
  second_person_needed: "second",
  still_provisional: "provisional",
  undo_window_closed: "isOver",
};

/** Must somebody show their PIN before this one is taken back? */
export function needsPin({ at }: Done, now: number): boolean {
  return counter.cashiers.length > 0 && now - at > ALONE_MS;
}

/** Return until when it may be taken back. Throws `NotTakenBack`. */
export async function undoUntil({ id }: Done): Promise<number> {
  const view = (await asked("GET", `/v1/redemptions/${id}`)) as Schema["RedemptionView"];
  if (view.state === "reversed") {
    await remember(id, view.reversed_minor);
    throw new NotTakenBack("wasTakenBack");
  }
  return Date.parse(view.undo_until);
}

/** A wish to take it back. Its id stays the same, however often it is asked. */
export function newUndo(done: Done): { id: string; done: Done } {
  return { id: newId(), done };
}

/** Take it back, and return how much the customer owes again. Throws `NotTakenBack`. */
export async function takeBack({ id, done }: { id: string; done: Done }, reason: string): Promise<number> {
  const body = { id, redemption_id: done.id, reason };
  const view = (await asked("POST", "/v1/reversals", body)) as Schema["ReversalView"];
  await remember(done.id, view.discount_minor);
  if (counter.last?.redemptionId === done.id) counter.last = undefined;
  return view.discount_minor;
}

async function asked(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown> {
  const shift = counter.seat?.secret ?? null;
  try {
    const { text } = await inHand().server.ask(method, path, { ...(body ? { body } : {}), shift, patienceMs: 10_000 });
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof Away) throw new NotTakenBack("away");
    if (error instanceof SaysNo) throw new NotTakenBack(NOT[error.problem.code] ?? "notAllowed");
    throw error;
  }
}

async function remember(id: string, minor: number): Promise<void> {
  await note("takenBack", { ...(await noted("takenBack")), [id]: minor });
}
