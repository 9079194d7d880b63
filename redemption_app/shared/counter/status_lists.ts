// Status lists: one bit for each coupon of a campaign, and what changed of one since. How they are
// written is told in coupon_engine/validation/status_lists.py.

import { fromBase64url, type Bytes } from "../bytes.ts";
import type { Changed } from "./bundle.ts";

const SHARD_BITS = 20;
export const SHARD_PLACES = 2 ** SHARD_BITS;
export const SHARD_BYTES = SHARD_PLACES / 8;
const MOST_K = 20;
// RFC 1924's letters, in which places are written.
const BASE85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/** Return the shard in which a coupon's place lies, and where in it. */
export function shardOf(idx: number): [shard: number, place: number] {
  return [Math.floor(idx / SHARD_PLACES), idx % SHARD_PLACES];
}

/** Is the coupon at this place of the list used up, withdrawn or good elsewhere only? */
export function isSet(bits: Bytes, place: number): boolean {
  return Boolean((bits[place >> 3]! >> (place & 7)) & 1);
}

/**
 * Return the list as it stands after these changes. What was touched is told as it stands now, so
 * doing it twice, or with older changes among it, ends the same. Throws `RangeError`.
 */
export function applied(bits: Bytes, changed: Changed): Bytes {
  const after = bits.slice();
  for (const place of gapsDecoded(changed.cleared, bits.length * 8)) after[place >> 3]! &= ~(1 << (place & 7));
  for (const place of gapsDecoded(changed.set, bits.length * 8)) after[place >> 3]! |= 1 << (place & 7);
  return after;
}

/** Return the list that stands in a token as `lst`; never making more than a shard of it. */
export async function unpackedList(lst: string, mostBytes: number = SHARD_BYTES): Promise<Bytes> {
  try {
    return await inflated(fromBase64url(lst), mostBytes);
  } catch {
    throw new RangeError("not a status list of this length");
  }
}

/** Return the places that a text of gaps names. Throws `RangeError` if it is none. */
export function gapsDecoded(text: string, most: number = SHARD_PLACES): number[] {
  if (!text) return [];
  const raw = fromBase85(text);
  const k = raw[0]!;
  if (raw.length < 2 || k > MOST_K) throw new RangeError("not places of a status list");
  const length = raw.length * 8;
  const bit = (at: number): number => (raw[at >> 3]! >> (7 - (at & 7))) & 1;
  const places: number[] = [];
  let place = -1;
  let at = 8;
  for (;;) {
    let high = 0;
    for (; at < length && bit(at); at += 1) high += 1;
    if (at === length) return places; // ones fill up the last byte
    at += 1;
    if (at + k > length) throw new RangeError("places of a status list break off");
    let low = 0;
    for (let end = at + k; at < end; at += 1) low = low * 2 + bit(at);
    place += 1 + high * 2 ** k + low;
    if (place >= most) throw new RangeError("a place beyond the list");
    places.push(place);
  }
}

function fromBase85(text: string): Bytes {
  const padding = (5 - (text.length % 5)) % 5;
  const digits = Array.from(text + "~".repeat(padding), (letter) => BASE85.indexOf(letter));
  const bytes = new Uint8Array((digits.length / 5) * 4);
  for (let at = 0; at < digits.length; at += 5) {
    const group = digits.slice(at, at + 5);
    const value = group.reduce((sum, digit) => sum * 85 + digit, 0);
    if (group.includes(-1) || value >= 2 ** 32) throw new RangeError("not base85");
    new DataView(bytes.buffer).setUint32((at / 5) * 4, value);
  }
  return bytes.slice(0, bytes.length - padding);
}

async function inflated(raw: Bytes, mostBytes: number): Promise<Bytes> {
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const bytes = new Uint8Array(mostBytes);
  let length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return bytes.slice(0, length);
    if (length + value.length > mostBytes) {
      await reader.cancel();
      throw new RangeError("longer than it may be");
    }
    bytes.set(value, length);
    length += value.length;
  }
}
