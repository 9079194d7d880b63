// CBOR as far as a coupon's code uses it: one flat array of byte strings and whole numbers, in the
// shortest form (RFC 8949 4.2.1). Everything else is refused, so that a coupon has one spelling.

import type { Bytes } from "../bytes.ts";

const WHOLE = 0;
const BYTES = 2;
const ARRAY = 4;

/** Return the array that these bytes are, to the last of them. Throws `RangeError` if they are none. */
export function flatArray(body: Bytes): (number | Bytes)[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;

  function head(): [type: number, value: number] {
    const first = view.getUint8(at++);
    const small = first & 31;
    if (small < 24) return [first >> 5, small];
    if (small > 27) throw new RangeError("not of a known length");
    const size = 2 ** (small - 24);
    let value = 0; // beyond 2^53 it is not exact, and beyond any number that a coupon has
    for (const end = at + size; at < end; at += 1) value = value * 256 + view.getUint8(at);
    if (value < (size === 1 ? 24 : 2 ** (4 * size))) throw new RangeError("not in its shortest form");
    return [first >> 5, value];
  }

  function item(): number | Bytes {
    const [type, value] = head();
    if (type === WHOLE) return value;
    if (type !== BYTES || value > body.length - at) throw new RangeError("neither bytes nor a whole number");
    at += value;
    return body.slice(at - value, at);
  }

  const [type, length] = head();
  if (type !== ARRAY || length > body.length) throw new RangeError("not an array");
  const items = Array.from({ length }, item);
  if (at !== body.length) throw new RangeError("more than an array");
  return items;
}
