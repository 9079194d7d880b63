// The guarded clock: it never goes behind what the terminal knows to be past.
//
// What is known to be past is the latest instant that the server has signed, or that stands in the
// journal, and what has gone by since on a clock that nobody can set. Winding the terminal's clock
// back brings no expired coupon back to life; winding it on ends the lease.

const MOST_BEHIND_MS = 120_000;

/** One look at the clock. */
export interface Look {
  now: number;
  tMin: number; // the latest instant known to be past
  behindMs: number; // by how much the terminal's own clock is behind that
}

/** Too far to trust it: somebody has to look, and only the server decides meanwhile. */
export function isBehind({ behindMs }: Look): boolean {
  return behindMs > MOST_BEHIND_MS;
}

/** `wall` is the terminal's clock; `steady` counts milliseconds and cannot be set. */
export class GuardedClock {
  #wall: () => number;
  #steady: () => number;
  #past = 0;
  #learntAt = 0;

  constructor(wall: () => number = Date.now, steady: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#steady = steady;
  }

  /** Know that this instant is past. An earlier one than is known teaches nothing. */
  learn(past: number): void {
    if (past > this.#tMin()) [this.#past, this.#learntAt] = [past, this.#steady()];
  }

  read(): Look {
    const [wall, tMin] = [this.#wall(), this.#tMin()];
    return { now: Math.max(wall, tMin), tMin, behindMs: Math.max(0, tMin - wall) };
  }

  #tMin(): number {
    return this.#past && this.#past + Math.max(0, this.#steady() - this.#learntAt);
  }
}
