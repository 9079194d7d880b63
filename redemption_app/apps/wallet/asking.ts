// What this phone asks of the server: signed by its own key, in the server's time.

import { answer, client, Problem, type Api } from "../../shared/api/client.ts";
import { base64url, utf8 } from "../../shared/bytes.ts";
import { compressed, signed } from "../../shared/device_key.ts";
import { clockWatch, learnClock, serverNow } from "./clock.ts";
import { forget, keepWallet, walletAt, type KeptWallet } from "./keeping.ts";

export type Ask<Data> = (api: Api) => Promise<{ data?: Data; error?: unknown; response: Response }>;

const apis = new Map<string, Api>();

/**
 * Return what the server answers to this phone, which introduces itself first where it must. Asks
 * a second time where the no came from a wrong clock: the first answer has told the right one.
 */
export async function asked<Data>(operator: string, ask: Ask<Data>): Promise<Data> {
  await introduced(operator);
  return inTime(() => answer(ask(apiOf(operator))));
}

/** Return the wallet as the server knows it, and make it known if it is not. */
export async function introduced(operator: string): Promise<KeptWallet> {
  const wallet = await walletAt(operator);
  if (wallet.id !== null) return wallet;
  const known = { ...wallet, id: await idOf(wallet) };
  await keepWallet(known);
  return known;
}

async function idOf({ operator, key }: KeptWallet): Promise<string> {
  try {
    return (await inTime(() => register(operator, key))).id;
  } catch (error) {
    // Where a link names an operator that is none, nothing stays behind.
    if (error instanceof Problem && (error.status === 404 || error.status === 422)) await forget(operator);
    throw error;
  }
}

async function register(operator: string, key: CryptoKeyPair): Promise<{ id: string }> {
  const holderKey = await compressed(key);
  const seconds = Math.floor(serverNow() / 1_000);
  const proof = await signed(key, utf8(`counterfoil wallet 1\n${operator}\n${holderKey}\n${seconds}`));
  const body = {
    operator,
    holder_key: holderKey,
    at: new Date(seconds * 1_000).toISOString(),
    proof: base64url(proof),
  };
  return answer(apiOf(operator).POST("/v1/wallets", { body }));
}

async function inTime<Data>(ask: () => Promise<Data>): Promise<Data> {
  const hasLearned = clockWatch();
  try {
    return await ask();
  } catch (error) {
    const isOfTheClock = error instanceof Problem && (error.status === 401 || error.code === "proof_invalid");
    if (!isOfTheClock || !hasLearned()) throw error;
    return ask();
  }
}

function apiOf(operator: string): Api {
  const known = apis.get(operator);
  if (known) return known;
  const made = client({
    now: serverNow,
    async signer() {
      const { id, key } = await walletAt(operator);
      return id === null ? undefined : { id, key };
    },
  });
  made.use({
    onResponse({ response }) {
      learnClock(response.headers.get("Date"));
    },
  });
  apis.set(operator, made);
  return made;
}
