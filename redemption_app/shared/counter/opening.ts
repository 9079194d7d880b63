// A paired terminal, put together: its file, what it holds, its journal, its clock, and the server.
//
// All that judging alone needs hangs on this module and on nothing that draws the first screen. So
// an app loads it by `import()`, and the page stands before it is there; the service worker keeps it
// like everything else.

import { GuardedClock } from "./clock.ts";
import type { PublicKey } from "./bundle.ts";
import { Terminal } from "./deciding.ts";
import { Holdings } from "./holdings.ts";
import { Journal } from "./journal.ts";
import { Counter } from "./judging.ts";
import { Server } from "./server.ts";
import { Syncing } from "./syncing.ts";
import { opened as openedFile } from "./terminal_file.ts";

/** What a paired terminal knows of itself. */
export interface Identity {
  serverUrl: string;
  terminalId: string;
  storeId: string;
  serverKey: PublicKey;
  key: CryptoKeyPair;
}

export interface Opened {
  terminal: Terminal;
  syncing: Syncing;
  /** Let another tab have it, when this is done. */
  close(): Promise<void>;
}

/** Open this terminal in this tab alone. Throws `JournalInUse` or `JournalOfAnother`. */
export async function opened(identity: Identity, { wantsAuthority = false } = {}): Promise<Opened> {
  const { terminalId, storeId, serverKey, serverUrl, key } = identity;
  const file = await openedFile(`counterfoil terminal ${terminalId}`);
  try {
    const holdings = await Holdings.open(file, { serverKey, terminalId, storeId });
    const journal = await Journal.open(file, key, terminalId);
    const counter = await Counter.open(holdings, journal, new GuardedClock());
    const server = new Server({ id: terminalId, key }, serverUrl);
    const terminal = new Terminal(server, counter, terminalId);
    const syncing = new Syncing(server, terminal, serverKey, { wantsAuthority });
    return { terminal, syncing, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}
