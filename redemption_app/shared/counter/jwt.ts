// Signed documents: JWTs with ES256, each of one kind. One is never taken for another, even under
// the same key.

import { base64url, fromBase64url, utf8, type Bytes } from "../bytes.ts";
import { ES256 } from "../device_key.ts";
import type { PublicKey } from "./bundle.ts";
import { TokenRefused } from "./token_refused.ts";

export type Typ = "coupon+jwt" | "kb+jwt" | "journal+jwt" | "statuslist+jwt" | "bundle+jwt" | "ack+jwt";

/** How long a document of a kind may be. */
const LONGEST: Record<Typ, number> = {
  "coupon+jwt": 4_096,
  "kb+jwt": 4_096,
  "journal+jwt": 16_384,
  "statuslist+jwt": 2 ** 18,
  "bundle+jwt": 2 ** 22,
  "ack+jwt": 2 ** 20,
};
const HEADERS = ["alg", "kid", "typ"];
const SIGNATURE_BYTES = 64;

export function importKey({ kty, crv, x, y }: PublicKey): Promise<CryptoKey> {
  return crypto.subtle.importKey("jwk", { kty, crv, x, y }, ES256, false, ["verify"]);
}

/**
 * Return the claims of a JWT of this kind, signed by this key. Times are not judged. Throws
 * `TokenRefused`: `malformed` or `bad_signature`.
 */
export async function verifyTyped(token: string, key: CryptoKey, typ: Typ): Promise<unknown> {
  if (token.length > LONGEST[typ]) throw new TokenRefused("malformed");
  const parts = token.split(".");
  const [header, payload, signature] = parts;
  if (parts.length !== 3) throw new TokenRefused("malformed");
  const said = asObject(parsed(header!));
  if (said.alg !== "ES256") throw new TokenRefused("bad_signature");
  const isKnown = Object.keys(said).every((name) => HEADERS.includes(name));
  if (said.typ !== typ || !isKnown) throw new TokenRefused("malformed");
  if (!(await verifies(key, bytesOf(signature!), `${header}.${payload}`))) throw new TokenRefused("bad_signature");
  return asObject(parsed(payload!));
}

export async function verifies(key: CryptoKey, signature: Bytes, signing: string): Promise<boolean> {
  if (signature.length !== SIGNATURE_BYTES) return false;
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, utf8(signing));
}

/** Return header and claims as they are signed; the order of names is part of the format. */
export function signingInput(header: object, claims: object): string {
  return `${segment(header)}.${segment(claims)}`;
}

/** Return what a signed document says, with no look at its signature; nothing if it is spoilt. */
export function saidIn(token: string): Record<string, unknown> {
  try {
    return asObject(parsed(token.split(".")[1] ?? ""));
  } catch {
    return {};
  }
}

function segment(value: object): string {
  return base64url(utf8(ascii(JSON.stringify(value))));
}

/** Escape what is not ASCII, as the Python half does. */
function ascii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function parsed(part: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(part)));
  } catch {
    throw new TokenRefused("malformed");
  }
}

function bytesOf(part: string): Bytes {
  try {
    return fromBase64url(part);
  } catch {
    throw new TokenRefused("malformed");
  }
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TokenRefused("malformed");
  return value as Record<string, unknown>;
}
