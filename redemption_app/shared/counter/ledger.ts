// The ledger: what has been spent here, and what the lease may still give away. Rows of the
// journal's file, written in the transaction that writes the entry.
//
// A coupon stays in the ledger until it would have ended, or until the server says that it works
// again: a status list that is newer than the server's knowledge of this redemption does not have
// it (a reversal).

import { overAllowance, type Allowance } from "./alone.ts";
import type { Basket } from "./baskets.ts";
import type { Applied } from "./facts.ts";
import type { Entry } from "./journals.ts";
import type { SpentRow, TerminalFile, UsedRow, Writing } from "./terminal_file.ts";

/** This coupon stands in the ledger. Nothing was written. */
export class AlreadySpent extends Error {
  override name = "AlreadySpent";
  readonly spent: SpentRow;

  constructor(spent: SpentRow) {
    super("this coupon was redeemed here");
    this.spent = spent;
  }
}

/** The lease allows no more of this campaign. Nothing was written. */
export class AllowanceUsedUp extends Error {
  override name = "AllowanceUsedUp";
  readonly rule: string;

  constructor(rule: string) {
    super(rule);
    this.rule = rule;
  }
}

/** So much of what a lease may give away of one campaign. */
export interface Taking {
  leaseId: string;
  campaignId: string;
  minor: number;
  maxCount: number;
  maxMinor: number;
}

/**
 * What an accepted redemption takes: the coupon, and a part of the lease's allowance. Without a
 * `taking` the server has accepted it, and the ledger only remembers the coupon.
 */
export interface Spending {
  jti: string;
  id: string;
  until: number; // when the coupon would have ended: so long the ledger keeps it
  taking: Taking | null;
  ask: string; // tells whether an id came again with the same contents
  answer: unknown; // as it was told, for whoever asks again with the same id
  isOver: boolean; // the coupon has no use left
  reversedId: string | null; // an earlier redemption here that counts no more
  orderRef: string | null;
  basket: Basket | null;
  applied: Applied | null;
}

/** A basket that coupons have shared here; `applied` is null where not all of them are known. */
export interface OpenReceipt {
  basket: Basket | null;
  applied: Applied[] | null;
}

/** Take coupon and allowance. Throws `AlreadySpent` or `AllowanceUsedUp`. */
export async function spend(writing: Writing, entry: Entry, spending: Spending): Promise<void> {
  const { jti, id, taking } = spending;
  const rows = writing.objectStore("spent");
  const same = await rows.index("id").get(id);
  if (taking) {
    const standing = [await rows.get(jti), same].find((row) => row && row.id !== spending.reversedId);
    if (standing) throw new AlreadySpent(standing);
    await take(writing, taking);
  }
  // What the server accepts, and what follows on a reversal, takes the place of what was before.
  if (spending.isOver && (taking || !same)) await rows.put(remembered(entry, spending));
  if (spending.orderRef !== null) {
    const { orderRef, basket, applied } = spending;
    await writing.objectStore("receipt").add({ orderRef, seq: entry.seq, ts: entry.ts, basket, applied });
  }
}

/** Know that the server has this entry's redemption; the first time counts. */
export async function hear(writing: Writing, seq: number, at: number): Promise<void> {
  const rows = writing.objectStore("spent");
  const row = await rows.index("seq").get(seq);
  if (row && row.heardAt === null) await rows.put({ ...row, heardAt: at });
}

/** Return the basket that coupons have shared here under this number. */
export async function receiptOf(file: TerminalFile, orderRef: string): Promise<OpenReceipt | null> {
  const rows = await file.rows.getAll("receipt", IDBKeyRange.bound([orderRef], [orderRef, []]));
  if (!rows.length) return null;
  const known = rows.map((row) => row.applied).filter((applied) => applied !== null);
  return {
    basket: rows.find((row) => row.basket)?.basket ?? null,
    applied: known.length === rows.length ? known : null,
  };
}

/** Return how often and how much this lease has given away of a campaign. */
export async function usedOf(file: TerminalFile, leaseId: string, campaignId: string): Promise<UsedRow> {
  return (await file.rows.get("used", [leaseId, campaignId])) ?? { leaseId, campaignId, count: 0, minor: 0 };
}

/** Let go of what no entry from `seq` on needs, and what no coupon can come back to. */
export async function prune(writing: Writing, seq: number, before: number): Promise<void> {
  for (let row = await writing.objectStore("spent").openCursor(); row; row = await row.continue()) {
    if (row.value.seq < seq && row.value.until < before) await row.delete();
  }
  for (let row = await writing.objectStore("receipt").openCursor(); row; row = await row.continue()) {
    if (row.value.seq < seq && row.value.ts < before) await row.delete();
  }
}

function remembered({ seq, ts }: Entry, { jti, id, until, ask, answer }: Spending): SpentRow {
  return { jti, id, seq, ts, until, ask, answer, heardAt: null };
}

/** Take one redemption out of the allowance, on what the file says now. */
async function take(writing: Writing, taking: Taking): Promise<void> {
  const { leaseId, campaignId, minor } = taking;
  const rows = writing.objectStore("used");
  const used = (await rows.get([leaseId, campaignId])) ?? { leaseId, campaignId, count: 0, minor: 0 };
  const over = overAllowance(allowanceOf(taking, used), minor);
  if (over) throw new AllowanceUsedUp(over.rule);
  await rows.put({ ...used, count: used.count + 1, minor: used.minor + minor });
}

/** Return what a lease may give away of a campaign, and what it has. */
export function allowanceOf({ maxCount, maxMinor }: Taking, { count, minor }: UsedRow): Allowance {
  return { maxCount, maxMinor, usedCount: count, usedMinor: minor };
}
