// What a terminal in a browser believes: what the server has signed for it, and nothing older.

import "fake-indexeddb/auto";
import { beforeAll, expect, test } from "vitest";
import { base64url, utf8 } from "../shared/bytes.ts";
import type { PublicKey } from "../shared/counter/bundle.ts";
import { HoldingRefused, Holdings } from "../shared/counter/holdings.ts";
import { saidIn, signingInput, type Typ } from "../shared/counter/jwt.ts";
import { opened, type TerminalFile } from "../shared/counter/terminal_file.ts";
import { newKey, signed } from "../shared/device_key.ts";
import { newId } from "../shared/ids.ts";
import vectors from "../../tests/vectors/counter.json" with { type: "json" };

const { terminal_id: TERMINAL, store_id: STORE } = vectors.holder;
const [FIRST, SECOND] = vectors.stories[0]!.steps as unknown as [{ wall: number; bundle: string }, { list: string }];
const NOW = FIRST.wall;
const BUNDLE = saidIn(FIRST.bundle);
const LIST = saidIn(SECOND.list);
const SERVER = await newKey();

let publicKey: PublicKey;
let made = 0;

beforeAll(async () => {
  const { x, y } = await crypto.subtle.exportKey("jwk", SERVER.publicKey);
  publicKey = { kty: "EC", crv: "P-256", x: x!, y: y! };
});

async function serverSigned(typ: Typ, claims: object, key = SERVER, header: object = {}): Promise<string> {
  const signing = signingInput({ alg: "ES256", kid: "one", typ, ...header }, claims);
  return `${signing}.${base64url(await signed(key, utf8(signing)))}`;
}

function bundle(changes: object = {}, key = SERVER): Promise<string> {
  return serverSigned("bundle+jwt", { ...BUNDLE, ...changes }, key);
}

function list(changes: object = {}, key = SERVER): Promise<string> {
  return serverSigned("statuslist+jwt", { ...LIST, ...changes }, key);
}

async function empty(): Promise<{ file: TerminalFile; holdings: Holdings }> {
  const file = await opened(`holdings ${(made += 1)}`);
  return { file, holdings: await again(file) };
}

function again(file: TerminalFile): Promise<Holdings> {
  return Holdings.open(file, { serverKey: publicKey, terminalId: TERMINAL, storeId: STORE });
}

test("a bundle and its lists are held across restarts", async () => {
  const { file, holdings } = await empty();
  await holdings.learnBundle(await bundle(), NOW);
  await holdings.learnList(await list(), NOW);

  const other = await again(file);

  expect(other.bundle).toEqual(holdings.bundle);
  expect([...other.ring.keys()]).toEqual(["A"]);
  expect(other.status(48_213, 100, NOW)).toBe(false);
  expect(other.heardAt).toBe(NOW - 60_000);
  expect(other.listVer(48_213, 0)).toBe(1_000);
});

test.each([
  ["another key's", async () => bundle({}, await newKey())],
  ["another terminal's", () => bundle({ terminal_id: newId() })],
  ["for another store", () => bundle({ store_id: newId() })],
  ["over", () => bundle({ exp: NOW / 1_000 })],
  ["under a lease that is over", () => bundle({ lease_until: NOW / 1_000 })],
  ["a list", () => serverSigned("statuslist+jwt", BUNDLE)],
  ["of a newer version, with a condition that we do not know", () => bundle(withCondition())],
  ["without a field", () => bundle({ is_authority: undefined })],
  ["one that brings its own key", () => serverSigned("bundle+jwt", BUNDLE, SERVER, { jwk: publicKey })],
  ["unsigned", () => serverSigned("bundle+jwt", BUNDLE, SERVER, { alg: "none" })],
])("a bundle that is %s is refused", async (_, made) => {
  const { file, holdings } = await empty();

  await expect(holdings.learnBundle(await made(), NOW)).rejects.toThrow(HoldingRefused);

  expect(holdings.bundle).toBeNull();
  expect(await file.rows.count("kept")).toBe(0);
});

function withCondition(): object {
  const [campaign] = BUNDLE.campaigns as [{ offers: [{ terms: { conditions: object } }] }];
  const { terms } = campaign.offers[0];
  const conditions = { ...terms.conditions, full_moon_only: true };
  return { campaigns: [{ ...campaign, offers: [{ ...campaign.offers[0], terms: { ...terms, conditions } }] }] };
}

test("an older bundle is refused, and one of the same age", async () => {
  const { holdings } = await empty();
  const first = await bundle({ ver: 12 });
  await holdings.learnBundle(first, NOW);

  await expect(holdings.learnBundle(await bundle({ ver: 11 }), NOW)).rejects.toThrow("older");
  await expect(holdings.learnBundle(await bundle({ ver: 12, is_authority: true }), NOW)).rejects.toThrow("older");
  await holdings.learnBundle(first, NOW);
  expect(holdings.bundle?.ver).toBe(12);
});

test("two keys under one letter are no key ring", async () => {
  const { holdings } = await empty();
  const [key] = BUNDLE.keys as [object];

  await expect(holdings.learnBundle(await bundle({ keys: [key, key] }), NOW)).rejects.toThrow("no key ring");
});

test.each([
  ["of another operator", () => list({ sub: "https://elsewhere.example/sl/48213" })],
  ["of no campaign", () => list({ sub: "https://coupons.example/acme/sl/" })],
  ["another key's", async () => list({}, await newKey())],
  ["over", () => list({ exp: NOW / 1_000 })],
  ["older", () => list({ ver: 999 })],
  ["of two bits each", () => list({ status_list: { bits: 2, lst: "eNoDAAAAAAE" } })],
  ["no list", () => list({ status_list: { bits: 1, lst: "AAAA" } })],
  ["neither a list nor what changed", () => list({ status_list: undefined })],
  ["what changed since a version that is not held", () => changed(1_001)],
])("a list that is %s is refused", async (_, made) => {
  const { holdings } = await empty();
  await holdings.learnBundle(await bundle(), NOW);
  await holdings.learnList(await list(), NOW);

  await expect(holdings.learnList(await made(), NOW)).rejects.toThrow(HoldingRefused);

  expect(holdings.listVer(48_213, 0)).toBe(1_000);
});

function changed(since: number): Promise<string> {
  return list({ ver: 1_002, status_list: undefined, since, changed: { set: "", cleared: "" } });
}

test("what has changed goes on from what is held", async () => {
  const { holdings } = await empty();
  await holdings.learnBundle(await bundle(), NOW);
  await holdings.learnList(await list(), NOW);

  expect(await holdings.learnList(await changed(1_000), NOW)).toBe(1_002);
});

test("a list counts until its end, and for its own places only", async () => {
  const { holdings } = await empty();
  await holdings.learnBundle(await bundle(), NOW);
  await holdings.learnList(await list({ exp: NOW / 1_000 + 60 }), NOW);

  expect(holdings.status(48_213, 100, NOW + 59_999)).toBe(false);
  expect(holdings.status(48_213, 100, NOW + 60_000)).toBeNull();
  expect(holdings.status(48_213, 2 ** 20, NOW)).toBeNull();
  expect(holdings.status(48_214, 100, NOW)).toBeNull();
});
