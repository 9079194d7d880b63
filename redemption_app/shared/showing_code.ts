// What a phone's QR code says. Its layout stands in coupon_engine/validation/token.py; the server
// sends the parts ready-made, so that a phone needs no more than a hash and a signature.

import { fromBase64url, joined, sha256, utf8, base64url } from "./bytes.ts";
import { toBase45 } from "./counter/base45.ts";
import { signingInput } from "./counter/jwt.ts";
import { signed } from "./device_key.ts";

/** Of what the server sends for one coupon, as much as is shown. */
export interface Showable {
  jwt: string;
  /** The text of a code that stays the same; null where the phone must sign each time. */
  text: string | null;
  head: string | null;
  letter: string;
  audience: string;
}

const UINT32 = 0x1a; // CBOR: a whole number in four bytes follows

/**
 * Return what the code says at this moment, in milliseconds since 1970. With `nonce`, four digits
 * that the counter shows, it answers them and no clock counts.
 */
export async function shownText(token: Showable, key: CryptoKeyPair, now: number, nonce = ""): Promise<string> {
  if (token.text !== null) return token.text;
  if (token.head === null) throw new TypeError("a code without a text or a head");
  const iat = Math.floor(now / 1_000);
  const proof = signingInput(
    { alg: "ES256", typ: "kb+jwt" },
    { iat, aud: token.audience, nonce, sd_hash: base64url(await sha256(utf8(`${token.jwt}~`))) },
  );
  const issuerSignature = fromBase64url(token.jwt.slice(token.jwt.lastIndexOf(".") + 1));
  const body = joined(fromBase64url(token.head), Uint8Array.of(UINT32), uint32(iat));
  return `CP2${token.letter}${toBase45(joined(body, issuerSignature, await signed(key, utf8(proof))))}`;
}

/** Tell whether this phone's own key stands in the coupon; a coupon of another phone it cannot show. */
export function isBoundTo(jwt: string, point: { x: string; y: string }): boolean {
  const claims = JSON.parse(new TextDecoder().decode(fromBase64url(jwt.split(".")[1] ?? ""))) as {
    cnf?: { jwk: { x: string; y: string } };
  };
  return claims.cnf === undefined || (claims.cnf.jwk.x === point.x && claims.cnf.jwk.y === point.y);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
