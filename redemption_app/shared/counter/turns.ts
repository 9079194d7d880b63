// One after the other: what must not overlap waits for its turn.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Do this when everything before is done, whether that went well or not. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
