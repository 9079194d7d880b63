// The server's time, as far as this phone knows it: its own clock may be wrong by hours.

import { note, noted } from "./keeping.ts";

const APART_MS = 5_000; // closer than this, two clocks are taken for one

let ahead = 0;

/** Begin with what was known before; it is learned anew from every answer. */
export async function recallClock(): Promise<void> {
  ahead = (await noted("clockAhead")) ?? 0;
}

export function serverNow(): number {
  return Date.now() + ahead;
}

/** Learn from the `Date` of an answer. */
export function learnClock(said: string | null): void {
  const difference = Date.parse(said ?? "") + 500 - Date.now(); // it says whole seconds
  if (Number.isNaN(difference)) return;
  const learned = Math.abs(difference) < APART_MS ? 0 : difference;
  if (Math.abs(learned - ahead) >= APART_MS) void note("clockAhead", learned);
  ahead = learned;
}

/** Tell, when it is asked later, whether the time was found to be another one meanwhile. */
export function clockWatch(): () => boolean {
  const before = ahead;
  return () => Math.abs(ahead - before) >= APART_MS;
}
