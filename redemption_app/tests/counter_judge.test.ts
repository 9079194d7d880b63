// The judge in the browser answers every case as the server's does: tests/vectors/judge.json.

import { expect, test } from "vitest";
import { answered, unspaced } from "./answered.ts";
import { fromHex } from "./hexes.ts";
import { afterProof, beforeProof, caseOf, overAllowance, type Alone } from "../shared/counter/alone.ts";
import type { Case } from "../shared/counter/facts.ts";
import { hex } from "../shared/bytes.ts";
import { inWords, part, split } from "../shared/counter/money.ts";
import { isoText } from "../shared/counter/moments.ts";
import { applied, gapsDecoded, unpackedList } from "../shared/counter/status_lists.ts";
import { isOpen, localOf, nextOpening, startOfDay } from "../shared/counter/windows.ts";
import vectors from "../../tests/vectors/judge.json" with { type: "json" };

type Told = Record<string, unknown>;

/** Return `base` with these changes; what has a `kind` is told whole. */
function changed(base: Told, changes: Told): Told {
  const all = { ...base };
  for (const [name, value] of Object.entries(changes)) {
    all[name] = isTold(value) && isTold(base[name]) && !("kind" in value) ? changed(base[name], value) : value;
  }
  return all;
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

test.each(vectors.judge.map((vector, at) => ({ at, vector })))("case $at of the judge", ({ vector }) => {
  const { changes, ...answer } = vector;
  const one = changed(vectors.base, changes) as unknown as Case;

  expect(answered(one)).toEqual(answer);
});

test.each(vectors.alone.map((vector, at) => ({ at, vector })))("case $at of a terminal alone", ({ vector }) => {
  const { fields, ...rest } = changed(vectors.alone_base, vector.changes) as unknown as Alone;
  const jti = fromHex(fields.jti as unknown as string);
  const alone = { ...rest, fields: { ...fields, jti, holderKey: null } };

  expect(beforeProof(alone)).toEqual(vector.before);
  expect(afterProof(alone)).toEqual(vector.after);
  if (vector.after === null) {
    const one = caseOf(alone, { basket: vectors.base.basket });
    expect(answered(one)).toEqual(vector.judged);
  }
});

test("what is left of an allowance", () => {
  for (const { allowance, minor, over } of vectors.allowance) {
    expect(overAllowance(allowance, minor)?.rule ?? null).toBe(over);
  }
});

test.each(vectors.openings)("hours in $zone at $now", ({ zone, hours, now, is_open, next }) => {
  const stretches = hours as Parameters<typeof isOpen>[0];

  expect(isOpen(stretches, localOf(now, zone))).toBe(is_open);
  expect(nextOpening(stretches, now, zone)).toBe(next);
});

test.each(vectors.days)("$day begins in $zone", ({ zone, day, start }) => {
  expect(startOfDay(Date.parse(`${day}T00:00:00Z`), zone)).toBe(start);
});

test("parts of an amount are right to the minor unit", () => {
  for (const [minor, basisPoints, share] of vectors.parts) expect(part(minor!, basisPoints!)).toBe(share);
});

test("a split adds up, largest remainder first", () => {
  for (const { minor, weights, parts } of vectors.splits) expect(split(minor, weights)).toEqual(parts);
});

test("amounts are written with the places that the server takes them to have", () => {
  for (const [minor, currency, en, zh] of vectors.amounts as [number, string, string, string][]) {
    expect(unspaced(inWords(minor, currency, "en"))).toBe(en);
    expect(unspaced(inWords(minor, currency, "zh"))).toBe(zh);
  }
});

test("a moment is written as the server writes it", () => {
  expect(isoText(0)).toBe("1970-01-01T00:00:00+00:00");
  expect(isoText(1_230)).toBe("1970-01-01T00:00:01.230000+00:00");
});

// Status lists.

test("places are read from their gaps", () => {
  for (const { text, places } of vectors.lists.gaps) expect(gapsDecoded(text)).toEqual(places);
});

test.each(vectors.lists.bad_gaps)("%j names no places", (text) => {
  expect(() => gapsDecoded(text)).toThrow(RangeError);
});

test("a list is unpacked, and changed by what has changed", async () => {
  const { packed, changed: changes } = vectors.lists;

  const bits = await unpackedList(packed.lst);

  expect(hex(bits)).toBe(packed.bits);
  const { set, cleared, after } = changes;
  expect(hex(applied(bits, { set, cleared }))).toBe(after);
  expect(hex(applied(applied(bits, { set, cleared }), { set, cleared }))).toBe(after);
});

test.each(vectors.lists.bad_lists)("%s is no list", async (lst) => {
  await expect(unpackedList(lst)).rejects.toThrow(RangeError);
});
