// The digits that phones are asked for, and how many wrong answers are heard. Forgotten with the
// tab.

const MOST_TRIES = 3;
const PAUSE_MS = 60_000;
const ANSWERED_WITHIN_MS = 5 * 60_000;
const MOST_CHALLENGES = 1_000;

interface Challenge {
  digits: string;
  askedAt: number;
  pausedUntil: number;
  before: Set<string>; // hashes of what was shown before
  tries: Set<string>; // of what was shown since, and is no answer
}

export class Challenges {
  #of = new Map<string, Challenge>();

  /** Return the digits that count now, if this coupon's phone was asked for any. */
  open(couponId: string, now: number): string | null {
    return this.#found(couponId, now)?.digits ?? null;
  }

  /** Return the digits to show, choosing them the first time, or when the old ones are old. */
  digits(couponId: string, now: number): string {
    return this.open(couponId, now) ?? this.#choose(couponId, now, []).digits;
  }

  /** Return for how many seconds nothing is an answer. */
  pauseLeft(couponId: string, now: number): number {
    const pausedUntil = this.#of.get(couponId)?.pausedUntil ?? 0;
    return pausedUntil <= now ? 0 : Math.ceil((pausedUntil - now) / 1_000);
  }

  /**
   * Count what is no answer, and return for how many seconds nothing is one now. What was shown
   * before anything was asked is no try, nor what a camera only sees again.
   */
  wrong(couponId: string, shownHash: string, now: number): number {
    const found = this.#found(couponId, now);
    if (!found) {
      this.#choose(couponId, now, [shownHash]);
      return 0;
    }
    if (!found.before.has(shownHash)) found.tries.add(shownHash);
    if (found.tries.size < MOST_TRIES) return 0;
    this.#choose(couponId, now, [...found.before, ...found.tries]).pausedUntil = now + PAUSE_MS;
    return this.pauseLeft(couponId, now);
  }

  #found(couponId: string, now: number): Challenge | null {
    const found = this.#of.get(couponId);
    return found && now < found.askedAt + ANSWERED_WITHIN_MS ? found : null;
  }

  #choose(couponId: string, now: number, before: string[]): Challenge {
    const [chance] = crypto.getRandomValues(new Uint32Array(1));
    const digits = String(chance! % 10_000).padStart(4, "0");
    const chosen = { digits, askedAt: now, pausedUntil: 0, before: new Set(before), tries: new Set<string>() };
    this.#of.delete(couponId); // so that it comes last
    this.#of.set(couponId, chosen);
    for (const oldest of this.#of.keys()) {
      if (this.#of.size <= MOST_CHALLENGES) break;
      this.#of.delete(oldest);
    }
    return chosen;
  }
}
