// The journal: all that a terminal did, each entry signed, chained to the one before, and on disk.
//
// One transaction writes the entry, remembers the coupon as spent and takes from the allowance. It
// is durable when `append` is done, so nothing that a cashier has seen is lost with the tab. What
// the server has not acknowledged is never removed.
//
// Signing takes time, and a transaction closes while it waits. So an entry is signed first, and
// written only if the chain still ends where it did.

import { base64url, hex, sha256, utf8 } from "../bytes.ts";
import { signed } from "../device_key.ts";
import type { Allowance } from "./alone.ts";
import type { PublicKey } from "./bundle.ts";
import type { Finding } from "./checking.ts";
import type { Look } from "./clock.ts";
import {
  acknowledgement,
  FIRST_PREV,
  LONGEST_ENTRY,
  type Acknowledgement,
  type AnswerView,
  type Entry,
  type EntryAnswer,
  type EntryKind,
  type Mode,
  type Said,
} from "./journals.ts";
import { importKey, saidIn, signingInput, verifyTyped } from "./jwt.ts";
import * as ledger from "./ledger.ts";
import type { OpenReceipt, Spending, Taking } from "./ledger.ts";
import { ofSecond } from "./moments.ts";
import { Misshapen } from "./shapes.ts";
import type { EntryRow, SpentRow, TerminalFile, UsedRow, Writing } from "./terminal_file.ts";
import { TokenRefused } from "./token_refused.ts";
import { Turns } from "./turns.ts";

/** No server would take it, so it must not be promised. Nothing was written. */
export class EntryTooLong extends Error {
  override name = "EntryTooLong";
}

/** The file belongs to another terminal. */
export class JournalOfAnother extends Error {
  override name = "JournalOfAnother";
}

/** Somebody else has written into the file, which the lock should have kept out. */
export class JournalMoved extends Error {
  override name = "JournalMoved";
}

/** It is not the server's word about this journal. Nothing was removed or changed. */
export class AcknowledgementRefused extends Error {
  override name = "AcknowledgementRefused";
}

/** The server has entries that this file does not know: an older copy was put back. */
export class JournalRolledBack extends AcknowledgementRefused {
  override name = "JournalRolledBack";
}

/** Where the chain ends. */
export interface Last {
  seq: number;
  hash: string;
  ts: number; // 0 before the first entry
}

// The server has the redemption itself, and its coupon as used up by it.
const ON_RECORD: EntryAnswer[] = ["provisional", "accepted", "duplicate_of_self"];
const START: Last = { seq: 0, hash: FIRST_PREV, ts: 0 };

/** One terminal's journal in its file. */
export class Journal {
  last: Last;
  /** The latest that was taken, without its answers. */
  acknowledgement: Acknowledgement | null;
  #file: TerminalFile;
  #key: CryptoKeyPair;
  #terminalId: string;
  #turns = new Turns();

  private constructor(
    file: TerminalFile,
    key: CryptoKeyPair,
    terminalId: string,
    last: Last,
    heard: Acknowledgement | null,
  ) {
    this.#file = file;
    this.#key = key;
    this.#terminalId = terminalId;
    this.last = last;
    this.acknowledgement = heard;
  }

  /** Go on with the journal in this file, or begin one. Throws `JournalOfAnother`. */
  static async open(file: TerminalFile, key: CryptoKeyPair, terminalId: string): Promise<Journal> {
    const kept = await file.rows.get("kept", "terminal");
    if (kept !== undefined && kept !== terminalId) throw new JournalOfAnother("another terminal's journal");
    if (kept === undefined) await file.write((writing) => writing.objectStore("kept").put(terminalId, "terminal"));
    const row = await lastRow(file.rows.transaction("entry").store);
    const heard = (await file.rows.get("kept", "acknowledgement")) as Acknowledgement | undefined;
    const last = row ? { seq: row.seq, hash: row.hash, ts: row.ts } : START;
    return new Journal(file, key, terminalId, last, heard ?? null);
  }

  /** Up to which entry the server has everything. */
  get acknowledgedSeq(): number {
    return this.acknowledgement?.seq ?? 0;
  }

  /** How many entries wait to be uploaded. */
  get waiting(): number {
    return this.last.seq - this.acknowledgedSeq;
  }

  /**
   * Sign and write one entry. It is on disk when this is done. With `spending`, coupon and allowance
   * are taken in the same transaction. Throws `AlreadySpent`, `AllowanceUsedUp`, `EntryTooLong`, or
   * what the browser says if it cannot be written.
   */
  append(kind: EntryKind, mode: Mode, at: Look, said: Said, spending: Spending | null = null): Promise<Entry> {
    return this.#turns.take(async () => {
      const { last } = this;
      const entry: Entry = {
        dev: this.#terminalId,
        seq: last.seq + 1,
        prev: last.hash,
        ts: Math.max(Math.floor(at.now), last.ts),
        t_min: Math.floor(at.tMin),
        kind,
        mode,
        ...said,
      };
      const jwt = await this.#signed(entry);
      if (jwt.length > LONGEST_ENTRY) throw new EntryTooLong("the basket is longer than an entry may be");
      const row = { seq: entry.seq, hash: await hashOf(jwt), jwt, ts: entry.ts };
      await this.#file.write(async (writing) => {
        const rows = writing.objectStore("entry");
        if (((await lastRow(rows))?.hash ?? FIRST_PREV) !== last.hash) throw new JournalMoved("written by another");
        if (spending) await ledger.spend(writing, entry, spending);
        await rows.add(row);
        if (kind === "leased") await writing.objectStore("kept").put(said.lease, "leased");
      });
      this.last = { seq: row.seq, hash: row.hash, ts: row.ts };
      return entry;
    });
  }

  /** Return the first entries that the server has not acknowledged, in order. */
  async unsent(most: number): Promise<string[]> {
    const after = IDBKeyRange.lowerBound(this.acknowledgedSeq, true);
    return (await this.#file.rows.getAll("entry", after, most)).map((row) => row.jwt);
  }

  /**
   * Take the server's word: entries up to there are safe, and what became of some of them. One that
   * is older than another that was taken changes nothing. Throws `JournalRolledBack` or
   * `AcknowledgementRefused`.
   */
  async acknowledged(ackJwt: string, serverKey: PublicKey): Promise<Acknowledgement> {
    const heard = await acknowledgementIn(ackJwt, serverKey);
    if (heard.dev !== this.#terminalId) throw new AcknowledgementRefused("for another terminal");
    return this.#turns.take(async () => {
      const earlier = this.acknowledgement;
      if (earlier && (heard.seq < earlier.seq || (heard.seq === earlier.seq && heard.iat < earlier.iat))) {
        return earlier;
      }
      if (heard.seq > this.last.seq) throw new JournalRolledBack("the server has entries that are not in this file");
      if (heard.hash !== (await this.hashAt(heard.seq))) throw new AcknowledgementRefused("about another chain");
      const bare = { ...heard, answers: [] };
      await this.#file.write(async (writing) => {
        for (const answer of heard.answers) {
          await keepAnswer(writing, answer);
          // Behind a gap an entry waits, and the server has not looked at its coupon.
          if (ON_RECORD.includes(answer.answer) && answer.seq <= heard.seq) {
            await ledger.hear(writing, answer.seq, ofSecond(heard.iat));
          }
        }
        await writing.objectStore("kept").put(bare, "acknowledgement");
      });
      this.acknowledgement = bare;
      return heard;
    });
  }

  /** Return the lease whose entry was written last. */
  leased(): Promise<unknown> {
    return this.#file.rows.get("kept", "leased");
  }

  /** Return what became of an entry, if the server has said so. */
  async answerTo(seq: number): Promise<AnswerView | null> {
    return (await this.#file.rows.get("entry", seq))?.answer ?? null;
  }

  /** Return what this terminal knows of a coupon that was redeemed here. */
  async spent(jti: string): Promise<SpentRow | null> {
    return (await this.#file.rows.get("spent", jti)) ?? null;
  }

  /** Return the redemption that was accepted here under this id. */
  async redeemed(id: string): Promise<SpentRow | null> {
    return (await this.#file.rows.getFromIndex("spent", "id", id)) ?? null;
  }

  /** Return how often and how much this lease has given away of a campaign. */
  used(leaseId: string, campaignId: string): Promise<UsedRow> {
    return ledger.usedOf(this.#file, leaseId, campaignId);
  }

  /** Return what this redemption's lease may give away of its campaign, and what it has. */
  async allowance(taking: Taking): Promise<Allowance> {
    return ledger.allowanceOf(taking, await this.used(taking.leaseId, taking.campaignId));
  }

  /** Return the basket that coupons have shared here under this number. */
  receipt(orderRef: string): Promise<OpenReceipt | null> {
    return ledger.receiptOf(this.#file, orderRef);
  }

  /** Return the newest entries, the last one first: what the cashier looks back at. */
  async newest(most: number): Promise<{ said: Entry; answer: AnswerView | null }[]> {
    const found: { said: Entry; answer: AnswerView | null }[] = [];
    let row = await this.#file.rows.transaction("entry").store.openCursor(null, "prev");
    for (; row && found.length < most; row = await row.continue()) {
      found.push({ said: saidIn(row.value.jwt) as unknown as Entry, answer: row.value.answer ?? null });
    }
    return found;
  }

  /**
   * Remove what the server has acknowledged and answered for good, and return how many. Only from
   * the beginning of the chain, so that the rest still hangs together. A spent coupon stays in the
   * ledger until it would have ended.
   */
  prune(before: number): Promise<number> {
    return this.#turns.take(() =>
      this.#file.write(async (writing) => {
        const rows = writing.objectStore("entry");
        let gone = 0;
        let end: EntryRow | null = null;
        for (let row = await rows.openCursor(); row; row = await row.continue()) {
          if (await this.#isNeeded(writing, row.value, before)) break;
          end = row.value;
          gone += 1;
          await row.delete();
        }
        if (end) await writing.objectStore("kept").put({ seq: end.seq, hash: end.hash }, "pruned");
        await ledger.prune(writing, (end?.seq ?? 0) + 1, before);
        return gone;
      }),
    );
  }

  /** Is this entry needed still? The last one always is, for the chain. */
  async #isNeeded(writing: Writing, { seq, ts, answer }: EntryRow, before: number): Promise<boolean> {
    if (seq > this.acknowledgedSeq || seq === this.last.seq || ts >= before) return true;
    if (answer) return answer.answer === "provisional";
    return (await writing.objectStore("spent").index("seq").count(seq)) > 0;
  }

  /**
   * Go through the whole journal and return what is wrong with it; nothing is none. The chain holds
   * all entries together by their hashes, so the last one's signature vouches for all before.
   */
  async check(): Promise<Finding[]> {
    const rows = await this.#file.rows.getAll("entry");
    return [...(await this.#chainFlaws(rows)), ...(await this.#ledgerFlaws(rows))];
  }

  async #chainFlaws(rows: EntryRow[]): Promise<Finding[]> {
    const findings: Finding[] = [];
    const find = (seq: number, flaw: Finding["flaw"]) => findings.push({ seq, flaw });
    let [seq, prev] = await this.#pruned();
    for (const { seq: at, hash, jwt } of rows) {
      const said = saidIn(jwt);
      const named = await hashOf(jwt);
      if (at !== seq + 1) find(seq + 1, "missing");
      if (at === rows.at(-1)!.seq && !(await this.#isOurs(jwt))) find(at, "signature");
      if (said.dev !== this.#terminalId) find(at, "other_terminal");
      const isLinked = said.seq === at && said.prev === prev;
      if (named !== hash || (at === seq + 1 && !isLinked)) find(at, "chain");
      [seq, prev] = [at, named];
    }
    if (this.acknowledgedSeq > seq) find(this.acknowledgedSeq, "older_copy");
    return findings;
  }

  /** Every coupon that was accepted here is in the ledger as long as its entry is. */
  async #ledgerFlaws(rows: EntryRow[]): Promise<Finding[]> {
    const known = new Set<unknown>(await this.#file.rows.getAllKeys("spent"));
    return rows
      .filter(({ jwt }) => {
        const { kind, mode, jti } = saidIn(jwt);
        return kind === "redeemed" && mode !== "online" && !known.has(jti);
      })
      .map(({ seq }) => ({ seq, flaw: "ledger" }));
  }

  /** Return by what the entry after this one names it; null where nobody knows any more. */
  async hashAt(seq: number): Promise<string | null> {
    const [pruned, hash] = await this.#pruned();
    if (seq === pruned) return hash;
    return (await this.#file.rows.get("entry", seq))?.hash ?? null;
  }

  /** Return the last entry that was removed, and its hash. */
  async #pruned(): Promise<[seq: number, hash: string]> {
    const kept = (await this.#file.rows.get("kept", "pruned")) as Last | undefined;
    return kept ? [kept.seq, kept.hash] : [0, FIRST_PREV];
  }

  async #isOurs(jwt: string): Promise<boolean> {
    try {
      await verifyTyped(jwt, this.#key.publicKey, "journal+jwt");
      return true;
    } catch {
      return false;
    }
  }

  async #signed(entry: Entry): Promise<string> {
    const signing = signingInput({ alg: "ES256", typ: "journal+jwt" }, entry);
    return `${signing}.${base64url(await signed(this.#key, utf8(signing)))}`;
  }
}

/** Return by what the next entry names this one. */
export async function hashOf(jwt: string): Promise<string> {
  return hex(await sha256(utf8(jwt)));
}

interface Entries {
  openCursor(query: null, direction: "prev"): Promise<{ value: EntryRow } | null>;
}

async function lastRow(rows: Entries): Promise<EntryRow | undefined> {
  return (await rows.openCursor(null, "prev"))?.value;
}

/** Keep an answer. What was answered for good is not answered otherwise later. */
async function keepAnswer(writing: Writing, answer: AnswerView): Promise<void> {
  const rows = writing.objectStore("entry");
  const row = await rows.get(answer.seq);
  if (row && (!row.answer || row.answer.answer === "provisional")) await rows.put({ ...row, answer });
}

async function acknowledgementIn(ackJwt: string, serverKey: PublicKey): Promise<Acknowledgement> {
  try {
    return acknowledgement(await verifyTyped(ackJwt, await importKey(serverKey), "ack+jwt"));
  } catch (error) {
    if (error instanceof TokenRefused) throw new AcknowledgementRefused(`not signed by our server: ${error.code}`);
    if (error instanceof Misshapen) throw new AcknowledgementRefused("not one that this version understands");
    throw error;
  }
}
