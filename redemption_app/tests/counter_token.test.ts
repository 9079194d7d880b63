// A coupon's code says what its issuer signed, or it says nothing: the vectors of the Python half.

import { expect, test } from "vitest";
import { hex } from "../shared/bytes.ts";
import { importKey } from "../shared/counter/jwt.ts";
import type { IssuerKey, KeyRing } from "../shared/counter/issuer_keys.ts";
import { unpackedPolicy } from "../shared/counter/policy.ts";
import { isShortCode, normalised } from "../shared/counter/short_code.ts";
import { claimed, read, type Token } from "../shared/counter/token.ts";
import { TokenRefused } from "../shared/counter/token_refused.ts";
import vectors from "../../tests/vectors/token.json" with { type: "json" };

const NOW = vectors.now * 1_000;
const RING = await ring();
const AT_HOME = ["cpn:any", "s:120345"];

async function ring(): Promise<KeyRing> {
  const keys = vectors.ring.map(async ({ letter, kid, issuer, jwk, valid_from, valid_until, campaigns }) => {
    const key: IssuerKey = {
      letter,
      kid,
      issuer,
      public: await importKey(jwk as never),
      validFrom: valid_from * 1_000,
      validUntil: valid_until === null ? null : valid_until * 1_000,
      campaigns: campaigns as [number, number],
    };
    return [letter, key] as const;
  });
  return new Map(await Promise.all(keys));
}

function said({ fields: { holderKey, jti, ...plain } }: Token): object {
  return { ...plain, jti: hex(jti), holder_key: holderKey && hex(holderKey) };
}

async function refusedAs(text: string, nonce = "", now = NOW, audiences = AT_HOME): Promise<string> {
  try {
    await read(text, RING, { now, audiences, nonce });
  } catch (refused) {
    expect(refused).toBeInstanceOf(TokenRefused);
    return (refused as TokenRefused).code;
  }
  return "taken";
}

test.each(vectors.static)("a static code says what was signed: $name", async ({ text, fields, jwt }) => {
  const token = await read(text, RING, { now: NOW, audiences: AT_HOME });

  expect(said(token)).toEqual(fields);
  expect(token.jwt).toBe(jwt);
  expect(token.proof).toBeNull();
});

test.each(vectors.bound)("a live code says what was signed: $name", async ({ text, fields, jwt, nonce, proof_jwt }) => {
  const token = await read(text, RING, { now: NOW, audiences: AT_HOME, nonce });

  expect(said(token)).toEqual(fields);
  expect(token.jwt).toBe(jwt);
  expect(token.proof?.jwt).toBe(proof_jwt);
});

test.each(vectors.refused)("this is refused: $why", async ({ text, code, nonce, audiences }) => {
  expect(await refusedAs(text, nonce, NOW, audiences)).toBe(code);
});

test.each(vectors.hostile)("whatever else is shown is no coupon: %j", async (text) => {
  expect(await refusedAs(text)).toBe("not_a_coupon");
  expect(claimed(text)).toBeNull();
});

test("no character of a code can be changed", async () => {
  const { text } = vectors.static[0]!;
  for (let at = 4; at < text.length; at += 1) {
    const spoilt = text.slice(0, at) + (text[at] === "0" ? "1" : "0") + text.slice(at + 1);
    expect(await refusedAs(spoilt)).not.toBe("taken");
  }
});

test("a proof is good for its freshness and a minute, to the second", async () => {
  const { text } = vectors.bound[0]!;
  const last = NOW - 5_000 + 75_000;

  expect(await refusedAs(text, "", last - 1)).toBe("taken");
  expect(await refusedAs(text, "", last)).toBe("stale");
  expect(await refusedAs(text, "", NOW - 65_000)).toBe("taken");
  expect(await refusedAs(text, "", NOW - 66_000)).toBe("clock_ahead");
});

test("how old a code is, is told", async () => {
  const { text } = vectors.bound[0]!;

  const late = read(text, RING, { now: NOW + 100_000, audiences: AT_HOME });

  await expect(late).rejects.toMatchObject({ code: "stale", details: { behind_seconds: 105 } });
});

test.each(vectors.policies)("the policy bits $off", ({ off, ...policy }) => {
  const unpacked = unpackedPolicy(off);

  expect({
    level: unpacked.level,
    offline: unpacked.offline,
    quota_class: unpacked.quotaClass,
    freshness_seconds: unpacked.freshnessSeconds,
    paper_allowed: unpacked.paperAllowed,
    activation_required: unpacked.activationRequired,
    multi_use: unpacked.multiUse,
  }).toEqual(policy);
});

test("short codes are told from what is none", () => {
  const { good, bad } = vectors.short_codes;

  for (const { typed, meant } of good) expect([normalised(typed), isShortCode(typed)]).toEqual([meant, true]);
  for (const text of bad) expect(isShortCode(text)).toBe(false);
});
