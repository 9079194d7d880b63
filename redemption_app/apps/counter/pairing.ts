// Becoming a terminal: the manager's set-up code gives a secret, a key is made here, and both
// screens show the same six digits before it opens anything. As scanner/identity.py does it.

import { answer, client, type Schema } from "../../shared/api/client.ts";
import { base64url, fromBase64url, hex, joined, sha256, utf8, type Bytes } from "../../shared/bytes.ts";
import type { PublicKey } from "../../shared/counter/bundle.ts";
import { compressed, newKey, signed } from "../../shared/device_key.ts";
import { forget, forgetAll, note, noted, type Identity, type Pairing } from "./keeping.ts";

export type State = Schema["PairingAnswerView"]["state"];

// Behind the secret stands the server's address. We ask whoever served this app, and nobody else:
// at another server the secret means nothing.
const TEXT = /^COUNTERFOIL:PAIR\/([A-Z2-7]{26})\/HTTPS?:\/\/\S+$/;

/** Is this a set-up code at all? */
export function isSetUp(text: string): boolean {
  return TEXT.test(text.trim());
}

/** Begin with what the set-up code says. The key is kept before anybody hears of it. */
export async function begin(text: string): Promise<Pairing> {
  const [, secret] = TEXT.exec(text.trim())!;
  const pairing = { secret: secret!, key: await newKey() };
  await note("pairing", pairing);
  return pairing;
}

/** Go on after the page was closed. */
export function begun(): Promise<Pairing | undefined> {
  return noted("pairing");
}

export async function stop(): Promise<void> {
  await forget("pairing");
}

/** Return what to show. Worked out here: what a server says it might say to anybody. */
export async function digitsOf({ secret, key }: Pairing): Promise<string> {
  const secretHash = await sha256(utf8(secret));
  const digest = await sha256(joined(utf8("counterfoil digits 1"), secretHash, await publicKeyOf(key)));
  return String(new DataView(digest.buffer).getBigUint64(0) % 1_000_000n).padStart(6, "0");
}

/** Send the key, or ask again how things stand; the identity once the manager has confirmed. */
export async function ask(pairing: Pairing): Promise<{ state: State; identity: Identity | undefined }> {
  const { secret, key } = pairing;
  const publicKey = await publicKeyOf(key);
  const proof = utf8(`counterfoil pairing 1\n${secret}\n${hex(publicKey)}`);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
  const body = {
    secret,
    public_key: { kty, crv, x, y } as Schema["HolderKey"],
    proof: base64url(await signed(key, proof)),
  };
  const view = await answer(client().POST("/v1/pairing-answers", { body }));
  if (view.state !== "confirmed" || !view.server_key) return { state: view.state, identity: undefined };
  const identity = {
    terminalId: view.terminal_id,
    storeId: view.store_id,
    name: view.name,
    serverKey: view.server_key as PublicKey,
    key,
  };
  await forgetAll();
  await note("identity", identity);
  // Otherwise a browser that needs room may take the journal.
  void navigator.storage?.persist?.();
  return { state: view.state, identity };
}

async function publicKeyOf(key: CryptoKeyPair): Promise<Bytes> {
  return fromBase64url(await compressed(key));
}
