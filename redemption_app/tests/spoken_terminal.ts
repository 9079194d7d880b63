// A terminal of the browser's kind that a program speaks with, a line of JSON at a time: it has the
// same code, keys and database as the counter app, and no page. For the tests in Python.

import "fake-indexeddb/auto";
import { createInterface } from "node:readline";
import type { Basket } from "../shared/counter/baskets.ts";
import type { PublicKey } from "../shared/counter/bundle.ts";
import { opened } from "../shared/counter/opening.ts";
import { ES256 } from "../shared/device_key.ts";

interface Identity {
  server_url: string;
  terminal_id: string;
  store_id: string;
  server_key: PublicKey;
  private_key: JsonWebKey;
}

interface Scan {
  text: string;
  basket: Basket | null;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const identity = (await nextLine()) as Identity;
const { terminal, syncing, close } = await opened({
  serverUrl: identity.server_url,
  terminalId: identity.terminal_id,
  storeId: identity.store_id,
  serverKey: identity.server_key,
  key: await keyPair(identity.private_key),
});
const { journal } = terminal.counter;
terminal.patienceMs = 20_000; // a crowded machine is no outage

const answers: Record<string, (said: never) => Promise<unknown>> = {
  redeem: async ({ text, basket }: Scan) => terminal.redeem(text, { basket, orderRef: null }),
  round: () => syncing.round(),
  unsent: () => journal.unsent(1_000),
  answer_to: (seq: number) => journal.answerTo(seq),
  flaws: () => journal.check(),
};

tell("ready");
for (;;) {
  const asked = (await nextLine()) as Record<string, never> | null;
  if (asked === null) break;
  const [[name, said]] = Object.entries(asked) as [[string, never]];
  tell(await answers[name]!(said));
}
await close();

async function nextLine(): Promise<unknown> {
  const { value, done } = await lines.next();
  return done ? null : JSON.parse(value);
}

function tell(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
}

/** Make of a key that a test knows one that nobody can read. */
async function keyPair(jwk: JsonWebKey): Promise<CryptoKeyPair> {
  const { d: _, ...open } = jwk;
  return {
    privateKey: await crypto.subtle.importKey("jwk", jwk, ES256, false, ["sign"]),
    publicKey: await crypto.subtle.importKey("jwk", open, ES256, true, ["verify"]),
  };
}
