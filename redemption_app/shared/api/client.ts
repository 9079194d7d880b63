// The API, typed by its own OpenAPI document. Every no is a problem with a code that never changes.

import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { Language } from "../language.svelte.ts";
import { Problem } from "./problem.ts";
import { withSignature, type Signer } from "./signing.ts";
import type { components, paths } from "./types.d.ts";

export { Problem };
export type Api = Client<paths>;
export type Schema = components["schemas"];

export interface Asking {
  /** Signs each request; asked anew each time, since a wallet may not be made yet. */
  signer?: () => Promise<Signer | undefined>;
  /** Goes with every write of somebody who signed in. */
  csrf?: () => string | undefined;
  /** How long an answer may take. */
  patienceMs?: number;
  now?: () => number;
}

const PATIENCE_MS = 10_000;

export function client({ signer, csrf, patienceMs = PATIENCE_MS, now = Date.now }: Asking = {}): Api {
  const made = createClient<paths>({ baseUrl: location.origin, fetch: patient(patienceMs) });
  const asking: Middleware = {
    async onRequest({ request }) {
      const word = request.method === "GET" ? undefined : csrf?.();
      if (word) request.headers.set("X-CSRF-Token", word);
      const own = await signer?.();
      return own ? withSignature(request, own, now()) : request;
    },
  };
  made.use(asking);
  return made;
}

/** Return what the server answered, or throw its Problem. */
export async function answer<Data>(asked: Promise<{ data?: Data; error?: unknown; response: Response }>): Promise<Data> {
  let heard;
  try {
    heard = await asked;
  } catch (error) {
    throw new Problem(0, "unheard", String(error));
  }
  if (heard.error === undefined && heard.response.ok) return heard.data as Data;
  throw problemOf(heard.response.status, heard.error);
}

function problemOf(status: number, body: unknown): Problem {
  const said = body as {
    code?: string;
    detail?: string;
    details?: Record<string, unknown>;
    refusal?: { customer?: Record<Language, string> };
  } | null;
  return new Problem(status, said?.code ?? "unreadable", said?.detail ?? "", said?.refusal?.customer, said?.details);
}

function patient(patienceMs: number): (request: Request) => Promise<Response> {
  return (request) => fetch(request, { signal: AbortSignal.timeout(patienceMs) });
}
