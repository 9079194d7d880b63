// A no of the server. It stands apart from what asks, so that a page can know one before it asks anything.

import type { Language } from "../language.svelte.ts";

/** Why the server said no; status 0 where there was no server to say anything. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  /** What to tell a person, where the server knows. */
  readonly said: Record<Language, string> | undefined;
  /** What the server knows about this case, such as `tries_left`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    status: number,
    code: string,
    detail: string,
    said?: Record<Language, string>,
    details: Readonly<Record<string, unknown>> = {},
  ) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.said = said;
    this.details = details;
  }

  /** Nobody knows whether it was done: ask again later with the same id. */
  get isUnheard(): boolean {
    return this.status === 0 || this.status === 503 || this.status === 504;
  }
}
