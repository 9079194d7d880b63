// Base45 (RFC 9285): bytes in the 45 characters that a QR code packs best.

import type { Bytes } from "../bytes.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/** Undo base45. Throws `RangeError` on what is none. */
export function fromBase45(text: string): Bytes {
  const digits = Array.from(text, (letter) => ALPHABET.indexOf(letter));
  if (digits.includes(-1) || digits.length % 3 === 1) throw new RangeError("not base45");
  const bytes: number[] = [];
  for (let at = 0; at < digits.length; at += 3) {
    const [low, middle, high] = digits.slice(at, at + 3);
    const value = low! + middle! * 45 + (high ?? 0) * 45 ** 2;
    if (value > (high === undefined ? 0xff : 0xffff)) throw new RangeError("not base45");
    if (high !== undefined) bytes.push(value >> 8);
    bytes.push(value & 0xff);
  }
  return Uint8Array.from(bytes);
}

export function toBase45(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) {
    const isLast = at + 1 === bytes.length;
    let value = isLast ? bytes[at]! : bytes[at]! * 256 + bytes[at + 1]!;
    for (let digits = isLast ? 2 : 3; digits > 0; digits -= 1) {
      text += ALPHABET[value % 45];
      value = Math.floor(value / 45);
    }
  }
  return text;
}
