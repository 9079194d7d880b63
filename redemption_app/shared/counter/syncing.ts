// Both ways, whenever the network is there: what was done alone goes up, what to know comes down.
//
//     up      entries in the order of their numbers, in portions; the acknowledgement comes back
//     lease   renewed when half of it is over; its entry is the first that is made under it
//     down    the bundle if it has changed, each status list, mostly as what has changed of it
//     told    what became of entries whose answer was still open
//
// Each step may fail by itself, and what it would have done the next round does. Entries leave the
// journal when the server has signed that it has them, and never because it says no.

import { newId } from "../ids.ts";
import type { ListNamed, PublicKey } from "./bundle.ts";
import { DISOWNED, type Terminal } from "./deciding.ts";
import { HoldingRefused } from "./holdings.ts";
import { AcknowledgementRefused, JournalRolledBack } from "./journal.ts";
import { uploadView } from "./journals.ts";
import { ofSecond } from "./moments.ts";
import { Away, SaysNo, type Server } from "./server.ts";
import { A_DAY } from "./windows.ts";

const LEASE_SECONDS = 24 * 3_600;
const AUTHORITY_ASKED_EVERY_MS = 15 * 60_000;
const MOST_ENTRIES = 200; // in one portion
const MOST_LETTERS = 512 * 1_024; // of entries in one portion
const KEPT_FOR_MS = 35 * A_DAY; // entries that are answered for good; longer than a month's books
const TOO_LARGE = 413;
const NOT_MODIFIED = 304;

export type Step = "up" | "lease" | "bundle" | "lists" | "told";

/** What one round came to; `failed` says why, for the log. */
export interface Round {
  done: Step[];
  failed: Partial<Record<Step, string>>;
  isReached: boolean; // has the server answered at all?
}

/** Keeps one terminal and the server of one mind, as far as the network allows. */
export class Syncing {
  #server: Server;
  #terminal: Terminal;
  #serverKey: PublicKey;
  #wantsAuthority: boolean;
  #mark: string | null = null; // the bundle's ETag
  #leaseAsked: object | null = null;
  #leaseAskedAt = -Infinity;
  #prunedAt = 0;
  #answersAfter = 0;

  constructor(server: Server, terminal: Terminal, serverKey: PublicKey, { wantsAuthority = false } = {}) {
    this.#server = server;
    this.#terminal = terminal;
    this.#serverKey = serverKey;
    this.#wantsAuthority = wantsAuthority;
  }

  /** Do all that is to be done now. One round at a time. */
  async round(): Promise<Round> {
    const round: Round = { done: [], failed: {}, isReached: false };
    const { heard } = this.#server;
    let isDisowned = false;
    for (const [step, work] of this.#steps()) {
      try {
        await work();
        round.done.push(step);
      } catch (error) {
        round.failed[step] = String(error);
        isDisowned = error instanceof SaysNo && DISOWNED.includes(error.problem.code);
        if (error instanceof JournalRolledBack) this.#distrust();
        if (error instanceof Away || isDisowned) break; // the others would only wait as long
      }
    }
    round.isReached = this.#server.heard > heard;
    this.#terminal.heard(round.isReached);
    if (round.isReached) this.#terminal.isDisowned = isDisowned;
    return round;
  }

  *#steps(): Generator<[Step, () => Promise<void>]> {
    yield ["up", () => this.#upload()];
    if (this.#leaseIsWanted()) yield ["lease", () => this.#renew()];
    yield ["bundle", () => this.#learnBundle()];
    yield ["lists", () => this.#learnLists()];
    // Again: the entry that begins a lease ends the one before, and frees what it has not used.
    yield ["up", () => this.#upload()];
    yield ["told", () => this.#learnAnswers()];
  }

  // Up.

  /** Send what the server has not acknowledged, until nothing is left. */
  async #upload(): Promise<void> {
    const { journal } = this.#terminal.counter;
    let most = MOST_ENTRIES;
    for (;;) {
      const entries = portion(await journal.unsent(most));
      if (!entries.length) return;
      const before = journal.acknowledgedSeq;
      try {
        const answer = await this.#server.ask("POST", "/v1/journals", { body: { id: newId(this.#now()), entries } });
        const view = uploadView(JSON.parse(answer.text));
        await journal.acknowledged(view.acknowledgement, this.#serverKey);
      } catch (error) {
        const isTooMuch = error instanceof SaysNo && error.status === TOO_LARGE && entries.length > 1;
        if (!isTooMuch) throw error; // the entries stay where they are
        most = Math.floor(entries.length / 2);
        continue;
      }
      if (journal.acknowledgedSeq <= before) {
        throw new AcknowledgementRefused("nothing of what was sent is acknowledged");
      }
    }
  }

  /** Hear what became of entries whose answer was open. */
  async #learnAnswers(): Promise<void> {
    const { journal } = this.#terminal.counter;
    const answer = await this.#server.ask("GET", `/v1/journals/acknowledgement?after=${this.#answersAfter}`);
    const heard = await journal.acknowledged(answer.text.trim(), this.#serverKey);
    this.#answersAfter = Math.max(this.#answersAfter, heard.iat);
    if (this.#now() - this.#prunedAt < A_DAY) return;
    await journal.prune(this.#now() - KEPT_FOR_MS);
    this.#prunedAt = this.#now();
  }

  #distrust(): void {
    const { findings, journal } = this.#terminal.counter;
    if (!findings.length) findings.push({ seq: journal.last.seq, flaw: "older_copy" });
  }

  // The lease.

  #leaseIsWanted(): boolean {
    const { bundle } = this.#terminal.counter.holdings;
    if (bundle === null) return true;
    // Not every minute: while another terminal has it, each lease would be without.
    const mayAsk = this.#now() - this.#leaseAskedAt >= AUTHORITY_ASKED_EVERY_MS;
    if (this.#wantsAuthority && !bundle.is_authority && mayAsk) return true;
    return ofSecond(bundle.lease_until) - this.#now() < ofSecond(LEASE_SECONDS) / 2;
  }

  async #renew(): Promise<void> {
    this.#leaseAskedAt = this.#now();
    this.#leaseAsked ??= {
      id: newId(this.#now()),
      wants_authority: this.#wantsAuthority,
      lasts_seconds: LEASE_SECONDS,
    };
    try {
      await this.#server.ask("POST", "/v1/leases", { body: this.#leaseAsked });
    } catch (error) {
      // Its answer is no, for ever; the next is another lease.
      if (error instanceof SaysNo) this.#leaseAsked = null;
      throw error;
    }
    this.#leaseAsked = null;
    this.#mark = null;
  }

  // Down.

  async #learnBundle(): Promise<void> {
    const headers: Record<string, string> = this.#mark ? { "If-None-Match": this.#mark } : {};
    const answer = await this.#server.ask("GET", "/v1/bundle", { headers });
    if (answer.status !== NOT_MODIFIED) {
      await this.#terminal.counter.learnBundle(answer.text.trim());
      this.#mark = answer.etag;
    }
  }

  /** Ask for every list by itself: one that cannot be had stops no other. */
  async #learnLists(): Promise<void> {
    let wrong: unknown;
    for (const named of this.#terminal.counter.holdings.bundle?.lists ?? []) {
      try {
        await this.#learnList(named);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        wrong = error;
      }
    }
    if (wrong) throw wrong;
  }

  async #learnList({ cmp, shard }: ListNamed): Promise<void> {
    const { holdings } = this.#terminal.counter;
    const path = `/v1/status-lists/${cmp}/${shard}`;
    const learn = async (query: string) => {
      const answer = await this.#server.ask("GET", `${path}${query}`);
      await holdings.learnList(answer.text.trim(), this.#now());
    };
    const held = holdings.listVer(cmp, shard);
    if (!held) return learn("");
    try {
      await learn(`?since=${held}`);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await learn(""); // the whole list is good from any state
    }
  }

  #now(): number {
    return this.#terminal.counter.look().now;
  }
}

/** Return as many of the first as one request may weigh, and at least one. */
function portion(entries: string[]): string[] {
  let letters = 0;
  const end = entries.findIndex((entry, at) => (letters += entry.length) > MOST_LETTERS && at > 0);
  return end < 0 ? entries : entries.slice(0, end);
}

function isRefusal(error: unknown): boolean {
  return error instanceof HoldingRefused || error instanceof SaysNo;
}
