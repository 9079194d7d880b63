// A terminal for tests: real keys, a database in memory, and a clock that a test can set.

import { GuardedClock } from "../shared/counter/clock.ts";
import { Holdings, type Holder } from "../shared/counter/holdings.ts";
import { Journal } from "../shared/counter/journal.ts";
import { Counter } from "../shared/counter/judging.ts";
import { opened as openedFile, type TerminalFile } from "../shared/counter/terminal_file.ts";

export interface Hands {
  wall: number;
  steady: number;
}

export type OpenCounter = Counter & { file: TerminalFile; close(): Promise<void> };

interface Opening {
  holder: Holder;
  key: CryptoKeyPair;
  hands: Hands;
  name?: string;
}

let made = 0;

export async function opened({ holder, key, hands, name = `terminal ${(made += 1)}` }: Opening): Promise<OpenCounter> {
  const file = await openedFile(name);
  const holdings = await Holdings.open(file, holder);
  const journal = await Journal.open(file, key, holder.terminalId);
  const clock = new GuardedClock(() => hands.wall, () => hands.steady);
  const counter = await Counter.open(holdings, journal, clock);
  return Object.assign(counter, { file, close: () => file.close() });
}
