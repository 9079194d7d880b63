// The code that a customer shows: from its text to verified fields. The format is written down in
// coupon_engine/validation/token.py; tests/vectors/token.json pins both halves.
//
//     CP1<K> base45(CBOR[jti, cmp, nbf, exp, off, sto, idx] issuer's 64 bytes)
//     CP2<K> base45(CBOR[jti, cmp, nbf, exp, off, sto, idx, holder_key, iat] issuer's 64 holder's 64)
//
// The code carries field values and signatures; the reader rebuilds the very JWTs that were signed.
// So nothing in a picture can choose an algorithm, a key or an address. One coupon has many texts:
// count by `jti`, never by text.

import { base64url, hex, sha256, utf8, type Bytes } from "../bytes.ts";
import { fromBase45 } from "./base45.ts";
import { flatArray } from "./flat_cbor.ts";
import { isInScope, type IssuerKey, type KeyRing } from "./issuer_keys.ts";
import { importKey, signingInput, verifies } from "./jwt.ts";
import { LAST_SECOND, MOST_NUMBER } from "./numbers.ts";
import { expanded } from "./point.ts";
import { needsHolder, unpackedPolicy, type Policy } from "./policy.ts";
import { TokenRefused } from "./token_refused.ts";

export const ANYWHERE = "cpn:any";
export const SKEW_SECONDS = 60; // by how much a phone's clock may be wrong

const TEXT = /^CP[12][A-Z][0-9A-Z $%*+./:-]{100,508}$/;
const SIGNATURE_BYTES = 64;

/** A coupon as its issuer signs it, by the names of its claims. None of them names a person. */
export interface CouponFields {
  jti: Bytes;
  cmp: number; // the campaign's number
  nbf: number;
  exp: number;
  off: number; // `Policy`, packed
  sto: number; // store or group of stores; 0 is any
  idx: number; // place in the campaign's status list
  holderKey: Bytes | null;
}

/** What the phone signed just now, for whom, and in answer to what. */
export interface Proof {
  signedAt: number; // seconds since 1970, by the phone's clock
  audience: string;
  nonce: string;
  jwt: string;
}

/** A coupon whose signatures hold. Whether it works here and now is for the judge to say. */
export interface Token {
  fields: CouponFields;
  policy: Policy;
  key: IssuerKey;
  jwt: string;
  proof: Proof | null; // null for a static code
}

export interface Reading {
  now: number;
  audiences: readonly string[];
  nonce?: string; // the digits that the phone was asked for: they prove the moment better than its clock
}

/**
 * Return the coupon in this text, with every signature checked. Its window and store are told, not
 * judged; the age of a phone's proof is judged here. A coupon bound to a store speaks to that
 * store, any other to one of `audiences`. Throws `TokenRefused` and nothing else.
 */
export async function read(text: string, keys: KeyRing, { now, audiences, nonce = "" }: Reading): Promise<Token> {
  if (!looksLikeACoupon(text)) throw new TokenRefused("not_a_coupon");
  const key = keys.get(text[3]!);
  if (!key) throw new TokenRefused("unknown_key");

  const code = unpacked(text);
  const { fields } = code;
  const jwk = fields.holderKey && orMalformed(() => expanded(fields.holderKey!));
  const signing = couponSigning(fields, jwk, key);
  if (!(await verifies(key.public, code.issuerSignature, signing))) throw new TokenRefused("bad_signature");
  if (!isInScope(key, fields.cmp, now)) throw new TokenRefused("key_scope");

  const jwt = `${signing}.${base64url(code.issuerSignature)}`;
  const policy = unpackedPolicy(fields.off);
  if (code.iat === null || jwk === null) {
    if (needsHolder(policy)) throw new TokenRefused("live_code_required");
    return { fields, policy, key, jwt, proof: null };
  }
  if (policy.level === "L4" && !nonce) throw new TokenRefused("challenge_required");
  const proof = await provenBy(await importKey(jwk), code.iat, code, { jwt, audiences, nonce });
  if (!nonce) refuseOtherTimes(proof, policy, now);
  return { fields, policy, key, jwt, proof };
}

/**
 * Return what a text says of itself, with no signature checked; null if it is no code of ours. Good
 * for looking things up in what is ours. Nothing may be decided by it.
 */
export function claimed(text: string): CouponFields | null {
  if (!looksLikeACoupon(text)) return null;
  try {
    return unpacked(text).fields;
  } catch {
    return null;
  }
}

/** Has it the outward shape of our code? Cheap enough for whatever a camera sees. */
export function looksLikeACoupon(text: string): boolean {
  return TEXT.test(text);
}

export function couponIdOf({ jti }: CouponFields): string {
  return hex(jti).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

interface Code {
  fields: CouponFields;
  iat: number | null;
  issuerSignature: Bytes;
  holderSignature: Bytes;
}

/** Take a text apart, believing nothing: one coupon's fields have one spelling only. */
function unpacked(text: string): Code {
  const isBound = text[2] === "2";
  return orMalformed(() => {
    const raw = fromBase45(text.slice(4));
    const end = raw.length - SIGNATURE_BYTES * (isBound ? 2 : 1);
    const items = flatArray(raw.slice(0, Math.max(0, end)));
    if (items.length !== (isBound ? 9 : 7)) throw new RangeError("not the fields of a coupon");
    const [jti, cmp, nbf, exp, off, sto, idx, holderKey, iat] = items;
    const fields: CouponFields = {
      jti: bytes(jti, 16),
      cmp: number(cmp),
      nbf: number(nbf, LAST_SECOND),
      exp: number(exp, LAST_SECOND),
      off: number(off),
      sto: number(sto),
      idx: number(idx),
      holderKey: isBound ? bytes(holderKey, 33) : null,
    };
    unpackedPolicy(fields.off);
    return {
      fields,
      iat: isBound ? number(iat) : null,
      issuerSignature: raw.slice(end, end + SIGNATURE_BYTES),
      holderSignature: raw.slice(end + SIGNATURE_BYTES),
    };
  });
}

function bytes(value: number | Bytes | undefined, length: number): Bytes {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new RangeError("not so many bytes");
  return value;
}

function number(value: number | Bytes | undefined, most: number = MOST_NUMBER): number {
  if (typeof value !== "number" || value > most) throw new RangeError("not such a number");
  return value;
}

function orMalformed<T>(work: () => T): T {
  try {
    return work();
  } catch {
    throw new TokenRefused("malformed");
  }
}

function couponSigning(fields: CouponFields, jwk: object | null, key: IssuerKey): string {
  const { cmp, nbf, exp, off, sto, idx } = fields;
  const claims = {
    iss: key.issuer,
    jti: base64url(fields.jti),
    nbf,
    exp,
    cmp,
    off,
    sto,
    status: { status_list: { idx, uri: `${key.issuer}/sl/${cmp}` } },
    ...(jwk && { cnf: { jwk } }),
  };
  return signingInput({ alg: "ES256", kid: key.kid, typ: "coupon+jwt" }, claims);
}

interface Expected {
  jwt: string;
  audiences: readonly string[];
  nonce: string;
}

/** Rebuild the phone's proof as this counter expects it, and verify it. */
async function provenBy(holder: CryptoKey, iat: number, code: Code, expected: Expected): Promise<Proof> {
  const { jwt, audiences, nonce } = expected;
  const { sto } = code.fields;
  const sdHash = base64url(await sha256(utf8(`${jwt}~`)));
  for (const audience of sto ? [`s:${sto}`] : audiences) {
    const claims = { iat, aud: audience, nonce, sd_hash: sdHash };
    const signing = signingInput({ alg: "ES256", typ: "kb+jwt" }, claims);
    if (!(await verifies(holder, code.holderSignature, signing))) continue;
    return { signedAt: iat, audience, nonce, jwt: `${signing}.${base64url(code.holderSignature)}` };
  }
  // With digits asked for, a wrong answer and a forgery look alike: ask again.
  throw new TokenRefused(nonce ? "challenge_required" : "bad_holder_signature");
}

function refuseOtherTimes({ signedAt }: Proof, { freshnessSeconds }: Policy, now: number): void {
  const seconds = Math.floor(now / 1_000);
  if (signedAt > seconds + SKEW_SECONDS) {
    throw new TokenRefused("clock_ahead", { ahead_seconds: signedAt - seconds });
  }
  if (seconds >= signedAt + freshnessSeconds + SKEW_SECONDS) {
    throw new TokenRefused("stale", { behind_seconds: seconds - signedAt });
  }
}
