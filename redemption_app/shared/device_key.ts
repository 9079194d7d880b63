// The key of this phone or terminal: ECDSA on P-256. Its private half can be used here and never
// be read, by nobody, not even by us.

import { base64url, joined, type Bytes } from "./bytes.ts";

export const ES256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

export async function newKey(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ES256, false, ["sign", "verify"]);
}

/** Sign as ES256 does (RFC 7518 3.4): r and s, 64 bytes. */
export async function signed(key: CryptoKeyPair, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign(SIGNING, key.privateKey, message));
}

/** Return the public half as the 33 bytes of SEC 1, base64url: 44 letters. */
export async function compressed(key: CryptoKeyPair): Promise<string> {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key.publicKey));
  const isOdd = (raw[64] ?? 0) & 1;
  return base64url(joined(Uint8Array.of(2 + isOdd), raw.slice(1, 33)));
}
