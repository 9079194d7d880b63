// What our phone shows is what the Python half would have made of the same parts, and is read back.

import { expect, test } from "vitest";
import { fromBase45, toBase45 } from "../shared/counter/base45.ts";
import type { IssuerKey, KeyRing } from "../shared/counter/issuer_keys.ts";
import { importKey } from "../shared/counter/jwt.ts";
import { read } from "../shared/counter/token.ts";
import { ES256, newKey } from "../shared/device_key.ts";
import { isBoundTo, shownText, type Showable } from "../shared/showing_code.ts";
import vectors from "../../tests/vectors/token.json" with { type: "json" };

const PHONE = await phone();
const RING = await ring();

async function phone(): Promise<CryptoKeyPair> {
  const { kty, crv, x, y, d } = vectors.keys.phone;
  return {
    privateKey: await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, ES256, false, ["sign"]),
    publicKey: await crypto.subtle.importKey("jwk", { kty, crv, x, y }, ES256, true, ["verify"]),
  };
}

async function ring(): Promise<KeyRing> {
  const keys = vectors.ring.map(async ({ letter, kid, issuer, jwk, valid_from, campaigns }) => {
    const made = {
      letter,
      kid,
      issuer,
      public: await importKey(jwk as never),
      validFrom: valid_from * 1_000,
      validUntil: null,
      campaigns: campaigns as [number, number],
    };
    return [letter, made satisfies IssuerKey] as const;
  });
  return new Map(await Promise.all(keys));
}

function token({ jwt, head, letter, audience }: (typeof vectors.bound)[number]): Showable {
  return { jwt, head, letter, audience, text: null };
}

test.each(vectors.bound)("a phone shows what was signed, and its own proof: $name", async (bound) => {
  const shown = await shownText(token(bound), PHONE, bound.iat * 1_000 + 999, bound.nonce);

  // An ES256 signature is another one each time; all before it is not.
  expect(shown.length).toBe(bound.text.length);
  expect(fromBase45(shown.slice(4)).slice(0, -64)).toEqual(fromBase45(bound.text.slice(4)).slice(0, -64));
  const { proof } = await read(shown, RING, { now: bound.iat * 1_000, audiences: [bound.audience], nonce: bound.nonce });
  expect(proof?.jwt.split(".").slice(0, 2)).toEqual(bound.proof_jwt.split(".").slice(0, 2));
});

test("other digits, another time or another phone make another code", async () => {
  const bound = vectors.bound[0]!;
  const other = await newKey();
  const asked = { now: bound.iat * 1_000, audiences: [bound.audience] };

  const strange = await shownText(token(bound), other, asked.now);
  const digits = await shownText(token(bound), PHONE, asked.now, "4711");

  await expect(read(strange, RING, asked)).rejects.toThrow("bad_holder_signature");
  await expect(read(digits, RING, { ...asked, nonce: "4712" })).rejects.toThrow("challenge_required");
  await expect(read(digits, RING, { ...asked, nonce: "4711" })).resolves.toBeTruthy();
});

test("a code that stays the same is shown as it is", async () => {
  const { text, jwt, letter } = vectors.static[0]!;

  expect(await shownText({ text, jwt, letter, head: null, audience: "cpn:any" }, PHONE, 0)).toBe(text);
});

test("a phone knows its own coupons", () => {
  const { x, y } = vectors.keys.phone;

  expect(isBoundTo(vectors.bound[0]!.jwt, { x, y })).toBe(true);
  expect(isBoundTo(vectors.bound[0]!.jwt, { x: y, y: x })).toBe(false);
  expect(isBoundTo(vectors.static[0]!.jwt, { x: y, y: x })).toBe(true);
});

test.each([0, 1, 2, 3, 97])("%i bytes in base45 come back", (length) => {
  const bytes = Uint8Array.from({ length }, (_, at) => (at * 89 + 255) % 256);

  expect(fromBase45(toBase45(bytes))).toEqual(bytes);
});
