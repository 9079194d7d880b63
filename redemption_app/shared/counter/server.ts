// The server, as a terminal reaches it: signed requests, little patience, and what counts as away.
//
// A no of the server is a no, and never a reason to decide alone. Away is who does not answer, or is
// somebody else at the server's place: a proxy without its server, a portal that wants a sign-in.

import { withSignature, type Signer } from "../api/signing.ts";

const PATIENCE_MS = 30_000;
const GONE = [502, 503, 504]; // somebody answers in the server's place, or it is not ready
const UNAUTHORIZED = 401;
const NOT_MODIFIED = 304;
// The server hears no request whose time is further off than half a minute.
const MOST_OFF_MS = 20_000;

/** Nobody answers there. What was asked may have been heard all the same. */
export class Away extends Error {
  override name = "Away";
}

/** What the server tells beside a no (RFC 9457). */
export interface Told {
  code: string;
  refusal?: unknown;
}

/** The server itself has answered, and it is no. */
export class SaysNo extends Error {
  override name = "SaysNo";
  readonly status: number;
  readonly problem: Told;

  constructor(status: number, problem: Told) {
    super(`${status} ${problem.code}`);
    this.status = status;
    this.problem = problem;
  }
}

export interface Asked {
  body?: unknown;
  headers?: Record<string, string>;
  shift?: string | null; // the secret of the shift whose cashier asks
  patienceMs?: number;
}

export interface Answer {
  status: number;
  text: string;
  etag: string | null;
}

/** Asks as this terminal. */
export class Server {
  /** Answers, so far, that were the server's own. */
  heard = 0;
  #signer: Signer;
  #now: () => number;
  #fetch: typeof fetch;
  #origin: string;
  #offMs = 0;

  constructor(
    signer: Signer,
    origin: string,
    now: () => number = Date.now,
    fetching: typeof fetch = (...asked) => fetch(...asked),
  ) {
    this.#signer = signer;
    this.#origin = origin;
    this.#now = now;
    this.#fetch = fetching;
  }

  /**
   * Return the answer, if it is a yes; 304 is one. Throws `Away` or `SaysNo`. A terminal whose own
   * clock is wrong signs by the server's: that a request is heard does not hang on a battery.
   */
  async ask(method: "GET" | "POST", path: string, asked: Asked = {}): Promise<Answer> {
    let answer = await this.#sent(method, path, asked);
    if (answer.status === UNAUTHORIZED && this.#isSetBy(answer)) answer = await this.#sent(method, path, asked);
    const { status } = answer;
    if (GONE.includes(status)) throw new Away(`${status} from whoever stands before the server`);
    if (!answer.ok && status !== NOT_MODIFIED) {
      const problem = status < 400 ? null : await problemIn(answer);
      if (!problem) throw new Away(`${status}, and not in the server's words`);
      this.heard += 1;
      throw new SaysNo(status, problem);
    }
    const text = await orAway(answer.text());
    this.heard += 1;
    return { status, text, etag: answer.headers.get("etag") };
  }

  async #sent(method: string, path: string, asked: Asked): Promise<Response> {
    const { body, headers = {}, shift, patienceMs = PATIENCE_MS } = asked;
    const request = new Request(`${this.#origin}${path}`, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(shift ? { "Counterfoil-Shift": shift } : {}),
      },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: "manual",
      cache: "no-store",
    });
    const signed = await withSignature(request, this.#signer, this.#now() + this.#offMs);
    return orAway(this.#fetch(signed, { signal: AbortSignal.timeout(patienceMs) }));
  }

  /** Sign by the server's clock from now on; false if that is what we did already. */
  #isSetBy(answer: Response): boolean {
    const theirs = Date.parse(answer.headers.get("date") ?? "");
    if (!(Math.abs(theirs - this.#now() - this.#offMs) > MOST_OFF_MS)) return false;
    this.#offMs = theirs - this.#now();
    return true;
  }
}

async function orAway<T>(heard: Promise<T>): Promise<T> {
  try {
    return await heard;
  } catch (error) {
    throw new Away(String(error));
  }
}

/** Return the problem that our server's every no is; null if it is none. */
async function problemIn(answer: Response): Promise<Told | null> {
  if (answer.headers.get("content-type")?.split(";")[0] !== "application/problem+json") return null;
  try {
    const told: unknown = await answer.json();
    return typeof told === "object" && told !== null && "code" in told ? (told as Told) : null;
  } catch {
    return null;
  }
}
