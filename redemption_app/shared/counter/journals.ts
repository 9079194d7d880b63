// What a terminal did while it was alone, entry by entry, and what the server says to each.

import { count, uuid } from "./numbers.ts";
import type { Basket, LineDiscount } from "./baskets.ts";
import type { Why } from "./refusals.ts";
import { like, list, maybe, one, record, text, whole, type Of } from "./shapes.ts";

export const LONGEST_ENTRY = 16_384;
export const FIRST_PREV = "0".repeat(64); // what the first entry says came before it

export type EntryKind = "redeemed" | "refused" | "leased" | "clock";

/** How a redemption was judged: by the server, or by the terminal alone. */
export type Mode = "online" | "offline";

/** What an entry tells besides its place in the chain. */
export interface Said {
  lease?: string | undefined;
  ver: number; // of the bundle by which it was judged; 0 is none
  list_ver?: number; // of the status list by which it was judged
  store: string;
  cashier?: string | undefined;
  cashier_id?: string | undefined;
  id?: string; // of the redemption: the asker's own
  jti?: string;
  cmp?: number;
  offer?: string;
  shown?: string; // what the phone showed: the evidence
  shown_hash?: string; // of what was shown, for a no
  challenge?: string | undefined;
  order_ref?: string | undefined;
  basket?: Basket | undefined;
  currency?: string;
  discount_minor?: number;
  lines?: LineDiscount[];
  why?: Why;
  note?: Record<string, unknown>;
}

/** One line of a terminal's journal: claims of a `journal+jwt` signed by the device. */
export interface Entry extends Said {
  dev: string;
  seq: number;
  prev: string; // SHA-256 of the JWT of the entry before
  ts: number;
  t_min: number; // the latest instant that the terminal knew to be past
  kind: EntryKind;
  mode: Mode;
}

const entryAnswer = one(
  "provisional", "accepted", "duplicate_of_self", "disputed", "unproven", "rejected", "noted",
); // prettier-ignore

/** The server's word on one entry. Only `provisional` changes later, once, into one of the others. */
const answerView = record(
  { seq: count, answer: entryAnswer },
  { reason: maybe(text), why: maybe(text), winner_id: maybe(uuid), liable: maybe(text) },
);

const gapView = record({ first_seq: count, last_seq: count, noticed_at: text });

/** Claims of an `ack+jwt`: up to `seq` everything is safe with the server. */
export const acknowledgement = record({
  dev: uuid,
  seq: count,
  hash: like(/^[0-9a-f]{64}$/),
  iat: whole(0, Number.MAX_SAFE_INTEGER),
  gaps: list(gapView),
  answers: list(answerView),
});

/** What the server answers to an upload. */
export const uploadView = record({ id: uuid, acknowledgement: text, unread: list(count) });

export type EntryAnswer = Of<typeof entryAnswer>;
export type AnswerView = Of<typeof answerView>;
export type Acknowledgement = Of<typeof acknowledgement>;

