// A public key of P-256 from the 33 bytes of SEC 1, which WebCrypto does not read everywhere.

import { base64url, hex, type Bytes } from "../bytes.ts";
import type { PublicKey } from "./bundle.ts";

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/** Return the point as a JWK. Throws `RangeError` if it is not on the curve. */
export function expanded(point: Bytes): PublicKey {
  const sign = point[0];
  const x = BigInt(`0x${hex(point.slice(1))}`);
  if (point.length !== 33 || (sign !== 2 && sign !== 3) || x >= P) throw new RangeError("not a point");
  const square = (x ** 3n - 3n * x + B) % P;
  let y = power(square, (P + 1n) / 4n);
  if ((y * y) % P !== square) throw new RangeError("not on the curve");
  if (y % 2n !== BigInt(sign % 2)) y = P - y;
  return { kty: "EC", crv: "P-256", x: coordinate(x), y: coordinate(y) };
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (; exponent; exponent >>= 1n, base = (base * base) % P) {
    if (exponent & 1n) result = (result * base) % P;
  }
  return result;
}

function coordinate(value: bigint): string {
  const digits = value.toString(16).padStart(64, "0");
  return base64url(Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16)));
}
