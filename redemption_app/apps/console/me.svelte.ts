// Who is signed in here, and everything that is asked of the server in their name.

import { answer, client, Problem, type Schema } from "../../shared/api/client.ts";

export type Me = Schema["MeView"];
export type Role = Me["role"];

class SignedIn {
  /** Undefined until the server has said; null when nobody is signed in. */
  me = $state.raw<Me | null | undefined>(undefined);
  /** Set while a request waits until somebody has confirmed who they are. */
  confirming = $state.raw<{ done: (isConfirmed: boolean) => void } | undefined>(undefined);
  /** Why the server could not be asked who is signed in. */
  problem = $state.raw<Problem | undefined>(undefined);
  #asked: Promise<boolean> | undefined;

  /** Ask the server who is signed in: after a sign-in, a step-up, and whatever else changes the cookie. */
  async look(): Promise<void> {
    try {
      this.me = await answer(api.GET("/v1/me"));
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Problem && !error.isUnheard) this.me = null;
      else this.problem = error as Problem;
    }
  }

  /** Ask for a confirmation; requests that wait at the same time share one dialog. */
  confirm(): Promise<boolean> {
    this.#asked ??= new Promise<boolean>((resolve) => {
      this.confirming = { done: resolve };
    }).finally(() => {
      this.confirming = undefined;
      this.#asked = undefined;
    });
    return this.#asked;
  }

  forget(): void {
    this.me = null;
  }

  is(...roles: Role[]): boolean {
    return this.me != null && roles.includes(this.me.role);
  }
}

export const signedIn = new SignedIn();
export const api = client({ csrf: () => signedIn.me?.csrf, patienceMs: 30_000 });

type Asked<Data> = Promise<{ data?: Data; error?: unknown; response: Response }>;

/**
 * Return what the server answers. Where it wants a confirmation first, a dialog comes up and the
 * request is repeated; it has the same id, so nothing is done twice.
 */
export async function ask<Data>(asking: () => Asked<Data>): Promise<Data> {
  try {
    return await answer(asking());
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not_signed_in") signedIn.forget();
    if (error.code !== "step_up_needed" || !(await signedIn.confirm())) throw error;
  }
  return answer(asking());
}
