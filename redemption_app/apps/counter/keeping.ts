// What this device keeps of being a terminal: who it is, who sits at it, what was taken back here.
// What it has redeemed stands in its journal, in a database of its own.

import { openDB, type IDBPDatabase } from "idb";
import type { PublicKey } from "../../shared/counter/bundle.ts";

/** Who this terminal is, once it is paired. The private half of its key can be read by nobody. */
export interface Identity {
  terminalId: string;
  storeId: string;
  name: string;
  serverKey: PublicKey;
  key: CryptoKeyPair;
}

/** A set-up code that was read, and waits for the manager. */
export interface Pairing {
  secret: string;
  key: CryptoKeyPair;
}

export interface Named {
  id: string;
  name: string;
}

/** A cashier at this terminal, with the secret of the shift. */
export interface Seat {
  cashierId: string;
  name: string;
  shiftId: string;
  secret: string;
  until: number;
}

/** What was given back of one redemption. */
export type TakenBack = Record<string, number>;

interface Notes {
  identity: Identity;
  pairing: Pairing;
  cashiers: Named[];
  seat: Seat;
  takenBack: TakenBack;
}

let opened: Promise<IDBPDatabase> | undefined;

function database(): Promise<IDBPDatabase> {
  opened ??= openDB("counterfoil counter", 1, { upgrade: (made) => void made.createObjectStore("notes") });
  return opened;
}

export async function noted<Name extends keyof Notes>(name: Name): Promise<Notes[Name] | undefined> {
  return (await database()).get("notes", name);
}

export async function note<Name extends keyof Notes>(name: Name, value: Notes[Name]): Promise<void> {
  await (await database()).put("notes", value, name);
}

export async function forget(name: keyof Notes): Promise<void> {
  await (await database()).delete("notes", name);
}

/** Be nobody's terminal any more, and keep nothing of having been one. */
export async function forgetAll(): Promise<void> {
  await (await database()).clear("notes");
}
