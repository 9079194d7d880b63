// What a terminal keeps: one IndexedDB for one terminal, in one tab at a time.
//
// A transaction closes when it waits for anything but itself. So whatever takes time (signing,
// hashing, the network) is done before, and only rows are read and written inside.

import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction, type StoreNames } from "idb";
import type { Bytes } from "../bytes.ts";
import type { Basket } from "./baskets.ts";
import type { Applied } from "./facts.ts";
import type { AnswerView } from "./journals.ts";

/** Another tab holds the file. Two would not see what the other has spent. */
export class JournalInUse extends Error {
  override name = "JournalInUse";
}

export interface EntryRow {
  seq: number;
  hash: string;
  jwt: string;
  ts: number;
  answer?: AnswerView;
}

export interface SpentRow {
  jti: string;
  id: string;
  seq: number;
  ts: number;
  until: number;
  ask: string;
  answer: unknown;
  heardAt: number | null;
}

export interface UsedRow {
  leaseId: string;
  campaignId: string;
  count: number;
  minor: number;
}

export interface ReceiptRow {
  orderRef: string;
  seq: number;
  ts: number;
  basket: Basket | null;
  applied: Applied | null;
}

export interface ListRow {
  cmp: number;
  shard: number;
  ver: number;
  iat: number;
  exp: number;
  bits: Bytes;
}

export interface Tables extends DBSchema {
  kept: { key: string; value: unknown };
  entry: { key: number; value: EntryRow };
  spent: { key: string; value: SpentRow; indexes: { id: string; seq: number } };
  used: { key: [leaseId: string, campaignId: string]; value: UsedRow };
  receipt: { key: [orderRef: string, seq: number]; value: ReceiptRow };
  list: { key: [cmp: number, shard: number]; value: ListRow };
}

export type Writing = IDBPTransaction<Tables, StoreNames<Tables>[], "readwrite">;

const VERSION = 1;
const STORES: StoreNames<Tables>[] = ["kept", "entry", "spent", "used", "receipt", "list"];

export class TerminalFile {
  readonly rows: IDBPDatabase<Tables>;
  #release: Release;

  constructor(rows: IDBPDatabase<Tables>, release: Release) {
    this.rows = rows;
    this.#release = release;
  }

  /** Do all of this or nothing. It is on disk when this is done. */
  async write<T>(work: (writing: Writing) => Promise<T>): Promise<T> {
    const writing = this.rows.transaction(STORES, "readwrite", { durability: "strict" });
    try {
      const done = await work(writing);
      await writing.done;
      return done;
    } catch (error) {
      writing.done.catch(() => undefined); // it is the same error, or that we have ended it
      try {
        writing.abort();
      } catch {
        // It has ended by itself.
      }
      throw error;
    }
  }

  /** Let another tab have it, when this is done. */
  close(): Promise<void> {
    this.rows.close();
    return this.#release();
  }
}

/** Open the file of this name for this tab alone. Throws `JournalInUse`. */
export async function opened(name: string): Promise<TerminalFile> {
  const release = await held(name);
  try {
    const rows = await openDB<Tables>(name, VERSION, { upgrade: (database) => made(database) });
    return new TerminalFile(rows, release);
  } catch (error) {
    await release();
    throw error;
  }
}

function made(database: IDBPDatabase<Tables>): void {
  database.createObjectStore("kept");
  database.createObjectStore("entry", { keyPath: "seq" });
  const spent = database.createObjectStore("spent", { keyPath: "jti" });
  spent.createIndex("id", "id", { unique: true });
  spent.createIndex("seq", "seq");
  database.createObjectStore("used", { keyPath: ["leaseId", "campaignId"] });
  database.createObjectStore("receipt", { keyPath: ["orderRef", "seq"] });
  database.createObjectStore("list", { keyPath: ["cmp", "shard"] });
}

type Release = () => Promise<void>;

/** Hold the lock of this name until the returned function is called, or the tab is closed. */
function held(name: string): Promise<Release> {
  return new Promise((resolve, reject) => {
    const request = navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock === null) throw new JournalInUse(`another tab holds ${name}`);
      return new Promise<void>((letGo) => {
        resolve(async () => {
          letGo();
          await request;
        });
      });
    });
    request.catch(reject);
  });
}
