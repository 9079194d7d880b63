// What a screen has asked for: not there yet, there, or why not.

import { untrack } from "svelte";
import { Problem } from "../../shared/api/client.ts";

export class Asked<Value> {
  value = $state.raw<Value | undefined>(undefined);
  problem = $state.raw<Problem | undefined>(undefined);
  isBusy = $state(false);
  #asking: () => Promise<Value>;
  #turn = 0;

  constructor(asking: () => Promise<Value>) {
    this.#asking = asking;
  }

  again = (): Promise<void> => this.take(this.#asking());

  /** Wait for an answer. Of two that are on their way only the later one counts. */
  async take(answer: Promise<Value>): Promise<void> {
    const turn = (this.#turn += 1);
    this.isBusy = true;
    try {
      const value = await answer;
      if (turn === this.#turn) [this.value, this.problem] = [value, undefined];
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    } finally {
      if (turn === this.#turn) this.isBusy = false;
    }
  }
}

/** Ask now, and again whenever something that `asking` reads before its first wait has changed. */
export function asked<Value>(asking: () => Promise<Value>): Asked<Value> {
  const made = new Asked(asking);
  $effect(() => {
    // What the request itself reads is tracked; what comes of it is not.
    const first = asking();
    untrack(() => void made.take(first));
  });
  return made;
}

export function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, "broken", String(error));
}
