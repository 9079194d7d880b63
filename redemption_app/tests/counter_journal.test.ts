// What a terminal in a browser promises: once, on disk before it is said, signed and chained, and
// nothing forgotten before the server has it.

import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import { base64url, utf8 } from "../shared/bytes.ts";
import type { PublicKey } from "../shared/counter/bundle.ts";
import { AcknowledgementRefused, hashOf, JournalOfAnother, JournalRolledBack } from "../shared/counter/journal.ts";
import type { Entry } from "../shared/counter/journals.ts";
import { isRefused, RequestReused, type Accepted, type AtCounter } from "../shared/counter/judging.ts";
import { AllowanceUsedUp, AlreadySpent, type Spending } from "../shared/counter/ledger.ts";
import { saidIn, signingInput, verifyTyped, type Typ } from "../shared/counter/jwt.ts";
import { JournalInUse } from "../shared/counter/terminal_file.ts";
import { newKey, signed } from "../shared/device_key.ts";
import { newId } from "../shared/ids.ts";
import { opened, type Hands, type OpenCounter } from "./counters.ts";
import vectors from "../../tests/vectors/counter.json" with { type: "json" };

const { terminal_id: TERMINAL, store_id: STORE, server_key: STORIES_KEY } = vectors.holder;
const [FIRST, SECOND] = vectors.stories[0]!.steps as unknown as [{ wall: number; bundle: string }, { list: string }];
const CODES = codesIn("Two coupons");
const NARROW = bundlesIn("Two coupons").at(-1)!; // which lets 14.99 be given away
const NOW = FIRST.wall;
const KEY = await newKey();
const SERVER = await newKey();
const TOTAL = { currency: "EUR", total_minor: 2_000 };

let hands: Hands;
let counter: OpenCounter;
let made = 0;

afterEach(async () => {
  await counter.close();
  vi.restoreAllMocks();
});

/** Open a terminal that has been told the usual bundle, and of a list in which nothing is set. */
async function shop(name = `shop ${(made += 1)}`): Promise<OpenCounter> {
  hands = { wall: NOW, steady: 0 };
  counter = await reopened(name);
  await counter.holdings.learnBundle(FIRST.bundle, NOW);
  await counter.holdings.learnList(SECOND.list, NOW);
  return counter;
}

async function reopened(name: string, terminalId = TERMINAL): Promise<OpenCounter> {
  const holder = { terminalId, storeId: STORE, serverKey: STORIES_KEY as PublicKey };
  counter = await opened({ holder, key: KEY, hands, name });
  return counter;
}

function codesIn(story: string): string[] {
  const steps = vectors.stories.find(({ name }) => name.startsWith(story))!.steps;
  return steps.flatMap((step) => ("scan" in step && step.scan ? [step.scan.text] : []));
}

function bundlesIn(story: string): string[] {
  const steps = vectors.stories.find(({ name }) => name.startsWith(story))!.steps;
  return steps.flatMap((step) => ("bundle" in step && step.bundle ? [step.bundle] : []));
}

async function accepts(text: string, more: AtCounter = {}): Promise<Accepted> {
  const verdict = await counter.redeem(text, more);
  if (isRefused(verdict)) throw new Error(verdict.refusal.code);
  return verdict;
}

async function why(text: string, more: AtCounter = {}): Promise<string | null> {
  const verdict = await counter.redeem(text, more);
  return isRefused(verdict) ? `${verdict.refusal.code}: ${verdict.refusal.reasons[0]!.rule}` : null;
}

async function entries(): Promise<Entry[]> {
  const texts = await counter.journal.unsent(1_000);
  return Promise.all(texts.map((text) => verifyTyped(text, KEY.publicKey, "journal+jwt") as Promise<Entry>));
}

async function serverSigned(typ: Typ, claims: object, key = SERVER): Promise<string> {
  const signing = signingInput({ alg: "ES256", typ }, claims);
  return `${signing}.${base64url(await signed(key, utf8(signing)))}`;
}

async function serverKey(): Promise<PublicKey> {
  const { x, y } = await crypto.subtle.exportKey("jwk", SERVER.publicKey);
  return { kty: "EC", crv: "P-256", x: x!, y: y! };
}

interface Ack {
  seq?: number;
  answers?: object[];
  iat?: number;
  key?: CryptoKeyPair;
  [claim: string]: unknown;
}

/** Let the server say that it has everything up to `seq`, or up to the end. */
async function acknowledges({ seq = counter.journal.last.seq, key, answers = [], ...more }: Ack = {}): Promise<object> {
  const hash = (await counter.journal.hashAt(seq)) ?? "0".repeat(64);
  const claims = { dev: TERMINAL, seq, hash, iat: NOW / 1_000, gaps: [], answers, ...more };
  return counter.journal.acknowledged(await serverSigned("ack+jwt", claims, key), await serverKey());
}

// A yes.

test("a coupon is accepted alone and stands in the journal", async () => {
  await shop();

  const yes = await accepts(CODES[0]!, { basket: TOTAL, orderRef: "r-1", cashier: "Ann" });

  expect([yes.discountMinor, yes.currency, yes.isProvisional]).toEqual([500, "EUR", true]);
  expect(await entries()).toEqual([
    {
      dev: TERMINAL,
      seq: 1,
      prev: "0".repeat(64),
      ts: NOW,
      t_min: NOW - 60_000,
      kind: "redeemed",
      mode: "offline",
      store: STORE,
      lease: "00000000-0000-0000-0000-000000000004",
      ver: 10,
      list_ver: 1_000,
      cashier: "Ann",
      id: yes.id,
      jti: yes.couponId,
      cmp: 48_213,
      offer: yes.offerId,
      shown: CODES[0],
      order_ref: "r-1",
      basket: TOTAL,
      currency: "EUR",
      discount_minor: 500,
      lines: [],
    },
  ]);
});

test("each entry names the one before by its hash", async () => {
  await shop();

  await accepts(CODES[0]!);
  await why(CODES[0]!);
  await accepts(CODES[1]!);

  const texts = await counter.journal.unsent(10);
  const said = await entries();
  expect(said.map((entry) => entry.kind)).toEqual(["redeemed", "refused", "redeemed"]);
  expect(said.slice(1).map((entry) => entry.prev)).toEqual(await Promise.all(texts.slice(0, 2).map(hashOf)));
  expect(said[1]).not.toHaveProperty("shown");
});

test("a yes waits until the disk has it, in one transaction with its coupon and allowance", async () => {
  await shop();
  const asked = vi.spyOn(counter.file.rows, "transaction");

  await accepts(CODES[0]!);

  const writings = asked.mock.calls.filter(([, mode]) => mode === "readwrite");
  expect(writings.map(([stores, , options]) => [stores, options])).toEqual([
    [expect.arrayContaining(["entry", "spent", "used"]), { durability: "strict" }],
  ]);
});

test("what cannot be written is not promised", async () => {
  await shop();
  vi.spyOn(counter.file, "write").mockRejectedValue(new DOMException("the disk is full", "QuotaExceededError"));

  expect(await why(CODES[0]!)).toBe("online_required: journal");

  vi.restoreAllMocks();
  await accepts(CODES[0]!);
  expect(await counter.journal.check()).toEqual([]);
});

test("a basket that no entry can hold is not promised", async () => {
  await shop();
  const line = { quantity: 1, unit_price_minor: 9 };
  const lines = Array.from({ length: 400 }, (_, at) => ({ product: `product ${at}`, ...line }));

  expect(await why(CODES[0]!, { basket: { currency: "EUR", lines } })).toBe("online_required: basket.lines");
  expect((await counter.journal.used("00000000-0000-0000-0000-000000000004", "x")).count).toBe(0);
});

// Once.

test("many scans of one coupon at once redeem it once", async () => {
  await shop();

  const told = await Promise.all(Array.from({ length: 8 }, () => why(CODES[0]!)));

  expect(told.filter((each) => each === null)).toHaveLength(1);
  expect(told.filter((each) => each === "already_redeemed: ledger")).toHaveLength(7);
});

test("once also after the page was loaded again", async () => {
  await shop("again");
  await accepts(CODES[0]!);
  await counter.close();

  await reopened("again");

  expect(await why(CODES[0]!)).toBe("already_redeemed: ledger");
  expect(await why(CODES[1]!)).toBeNull();
});

test("asking again with the same id gets the first yes; with another basket it is an error", async () => {
  await shop();
  const id = newId(NOW);
  const first = await accepts(CODES[0]!, { id, basket: TOTAL });

  hands.wall += 40 * 86_400_000;

  expect(await accepts(CODES[0]!, { id, basket: TOTAL })).toEqual(first);
  expect(counter.journal.last.seq).toBe(1);
  await expect(counter.redeem(CODES[1]!, { id, basket: TOTAL })).rejects.toThrow(RequestReused);
  await expect(counter.redeem(CODES[0]!, { id })).rejects.toThrow(RequestReused);
});

test("the file itself takes no coupon twice, and nothing over the allowance", async () => {
  await shop();
  const taking = { leaseId: newId(), campaignId: newId(), minor: 400, maxCount: 2, maxMinor: 1_000 };

  await spends({ jti: "a", taking });
  await expect(spends({ jti: "a", taking })).rejects.toThrow(AlreadySpent);
  await expect(spends({ jti: "b", taking: { ...taking, minor: 601 } })).rejects.toThrow(AllowanceUsedUp);
  await spends({ jti: "b", taking });
  await expect(spends({ jti: "c", taking: { ...taking, minor: 1 } })).rejects.toThrow("allowance.max_count");

  const { count, minor } = await counter.journal.used(taking.leaseId, taking.campaignId);
  expect([count, minor, counter.journal.last.seq]).toEqual([2, 800, 2]);
  expect(await counter.file.rows.count("entry")).toBe(2);
});

test("what the server has accepted takes the place of what was known of the coupon", async () => {
  await shop();
  const first = newId();

  await spends({ jti: "a", id: first });
  await spends({ jti: "a", id: first });
  await spends({ jti: "a", isOver: false });

  expect((await counter.journal.spent("a"))?.id).toBe(first);
  expect(counter.journal.last.seq).toBe(3);
});

/** Write down a redemption that takes what is told. */
async function spends(told: Partial<Spending> & { jti: string }): Promise<Entry> {
  const id = newId();
  const plain = { until: NOW, taking: null, ask: "", answer: null, isOver: true, reversedId: null };
  const spending = { id, ...plain, orderRef: null, basket: null, applied: null, ...told };
  return counter.journal.append("redeemed", "online", counter.look(), { store: STORE, ver: 10, id }, spending);
}

test("coupons that share a receipt each bring its basket", async () => {
  await shop();

  expect(await why(CODES[0]!, { orderRef: "r-1" })).toBe("basket_required: basket");
});

test("a receipt of which the server knows more is not gone on with alone", async () => {
  await shop();
  await spends({ jti: "a", orderRef: "r-1", basket: TOTAL });

  expect(await why(CODES[0]!, { orderRef: "r-1", basket: TOTAL })).toBe("online_required: basket.order_ref");
  expect(await why(CODES[0]!, { orderRef: "r-2", basket: TOTAL })).toBeNull();
});

test("a second tab is told so, and comes in when the first has gone", async () => {
  await shop("two tabs");

  await expect(reopened("two tabs")).rejects.toThrow(JournalInUse);

  await counter.close();
  await reopened("two tabs");
  await accepts(CODES[0]!);
});

test.each([
  ["put an entry in between", async () => change(1, { seq: 2, hash: "f".repeat(64) })],
  ["taken the last one away", () => counter.file.rows.delete("entry", 1)],
])("where somebody else has %s nothing is written or spent", async (_, meddle) => {
  await shop();
  await accepts(CODES[0]!);
  await meddle();
  const before = await counter.file.rows.count("entry");

  expect(await why(CODES[1]!)).toBe("online_required: journal");

  expect(await counter.file.rows.count("spent")).toBe(1);
  expect(await counter.file.rows.count("entry")).toBe(before);
});

test("another terminal's journal is not gone on with", async () => {
  await shop("of another");
  await counter.close();

  await expect(reopened("of another", newId(NOW))).rejects.toThrow(JournalOfAnother);
});

// Looking first.

test("validating says what redeeming would say, and changes nothing", async () => {
  await shop();
  const before = await counter.journal.newest(9);

  const first = await counter.validate(CODES[0]!, { basket: TOTAL });
  const second = await counter.validate(CODES[0]!, { basket: TOTAL });
  const bad = await counter.validate("not a coupon");

  expect([first, second].map((verdict) => !isRefused(verdict) && verdict.discountMinor)).toEqual([500, 500]);
  expect(isRefused(bad) && bad.refusal.code).toBe("not_a_coupon");
  expect(await counter.journal.newest(9)).toEqual(before);
  expect(await why(CODES[0]!)).toBeNull();
  const spent = await counter.validate(CODES[0]!);
  expect(isRefused(spent) && spent.refusal.code).toBe("already_redeemed");
});

test("validating knows the allowance too", async () => {
  await shop();
  await counter.holdings.learnBundle(NARROW, NOW);
  for (const code of CODES.slice(0, 2)) await accepts(code);

  const third = await counter.validate(CODES[2]!);

  expect(isRefused(third) && third.refusal.reasons[0]!.rule).toBe("allowance.max_minor");
});

// What the phone has to answer.

test("a phone is asked for the same digits while they are open", async () => {
  await shop();
  const code = codesIn("A phone's proof").at(-1)!;

  const first = await counter.redeem(code);
  const second = await counter.redeem(code);

  expect(isRefused(first) && first.challenge).toMatch(/^\d{4}$/);
  expect(isRefused(second) && second.challenge).toBe(isRefused(first) && first.challenge);
});

// What the server says.

test("entries leave in order, and those that are acknowledged no more", async () => {
  await shop();
  for (const code of CODES.slice(0, 2)) await accepts(code);
  await why(CODES[0]!);

  await acknowledges({ seq: 2 });

  expect((await entries()).map((entry) => entry.seq)).toEqual([3]);
  expect(counter.journal.waiting).toBe(1);
  expect(await counter.file.rows.count("entry")).toBe(3);
});

test("only the server's own word about this very chain is taken", async () => {
  await shop();
  await accepts(CODES[0]!);

  await expect(acknowledges({ key: await newKey() })).rejects.toThrow(AcknowledgementRefused);
  await expect(acknowledges({ dev: newId(NOW) })).rejects.toThrow(AcknowledgementRefused);
  await expect(acknowledges({ hash: "a".repeat(64) })).rejects.toThrow(AcknowledgementRefused);
  await expect(acknowledges({ more: "than we know" })).rejects.toThrow(AcknowledgementRefused);
  await expect(acknowledges({ seq: 2 })).rejects.toThrow(JournalRolledBack);
  expect(counter.journal.acknowledgedSeq).toBe(0);
});

test("an older word changes nothing", async () => {
  await shop();
  await accepts(CODES[0]!);
  await acknowledges({ iat: NOW / 1_000 + 5 });

  await acknowledges({ seq: 0 });
  await acknowledges({ iat: NOW / 1_000 });

  expect(counter.journal.acknowledgement).toMatchObject({ seq: 1, iat: NOW / 1_000 + 5 });
});

test("what became of an entry is kept, and changes only from provisional", async () => {
  await shop();
  await accepts(CODES[0]!);
  await acknowledges({ answers: [{ seq: 1, answer: "provisional" }] });
  await acknowledges({ answers: [{ seq: 1, answer: "disputed", winner_id: newId(NOW), liable: "campaign" }] });

  await acknowledges({ answers: [{ seq: 1, answer: "accepted" }] });

  expect((await counter.journal.answerTo(1))?.answer).toBe("disputed");
});

test("a coupon that the server has taken back works again, once", async () => {
  await shop();
  await accepts(CODES[0]!);
  await acknowledges({ answers: [{ seq: 1, answer: "accepted" }] });
  expect(await why(CODES[0]!)).toBe("already_redeemed: ledger");

  await hearsList({ ver: NOW + 30_001 });

  expect(await why(CODES[0]!)).toBeNull();
  expect(await why(CODES[0]!)).toBe("already_redeemed: ledger");
  expect(await counter.journal.check()).toEqual([]);
});

test("a list that is as old as the server's knowledge of it frees nothing", async () => {
  await shop();
  await accepts(CODES[0]!);
  await acknowledges({ answers: [{ seq: 1, answer: "accepted" }] });

  await hearsList({ ver: NOW + 30_000 });

  expect(await why(CODES[0]!)).toBe("already_redeemed: ledger");
});

/** Put a newer version of the list in the place of the one that is held. */
async function hearsList(changes: { ver: number }): Promise<void> {
  const row = (await counter.file.rows.getAll("list"))[0]!;
  await counter.file.rows.put("list", { ...row, ...changes });
  const { name } = counter.file.rows;
  await counter.close();
  await reopened(name);
}

test("pruning lets go of what is old and answered, and the chain still holds", async () => {
  await shop();
  for (const code of CODES.slice(0, 2)) await accepts(code);
  await why(CODES[0]!);
  await acknowledges({ seq: 2, answers: [1, 2].map((seq) => ({ seq, answer: "accepted" })) });

  expect(await counter.journal.prune(NOW)).toBe(0);
  expect(await counter.journal.prune(NOW + 1)).toBe(2);

  expect(await counter.journal.check()).toEqual([]);
  expect(await why(CODES[0]!)).toBe("already_redeemed: ledger");
  expect(await counter.journal.hashAt(2)).not.toBeNull();
});

test("what is still open is not pruned", async () => {
  await shop();
  for (const code of CODES.slice(0, 2)) await accepts(code);
  await acknowledges({ answers: [{ seq: 1, answer: "provisional" }] });

  expect(await counter.journal.prune(NOW + 1)).toBe(0);
});

// A journal that is not whole.

test.each([
  ["an entry was changed", "chain", async () => change(1, { jwt: forged(await jwtAt(1)) })],
  ["the last was changed with its hash", "signature", async () => change(2, await rehashed(forged(await jwtAt(2))))],
  ["an entry is gone", "missing", () => counter.file.rows.delete("entry", 1)],
  ["a coupon was forgotten", "ledger", () => counter.file.rows.clear("spent")],
  ["an older copy was put back", "older_copy", async () => {
    await acknowledges();
    await counter.file.rows.delete("entry", 2);
  }],
] as [string, string, () => Promise<unknown>][])("when %s nothing is decided alone", async (_, flaw, spoil) => {
  await shop();
  for (const code of CODES.slice(0, 2)) await accepts(code);
  await spoil();
  const { name } = counter.file.rows;
  await counter.close();

  await reopened(name);

  expect(counter.findings.map((finding) => finding.flaw)).toContain(flaw);
  expect(await why(CODES[2]!)).toBe("online_required: journal");
});

async function jwtAt(seq: number): Promise<string> {
  return (await counter.file.rows.get("entry", seq))!.jwt;
}

function forged(jwt: string): string {
  const [header, , signature] = jwt.split(".");
  const claims = base64url(utf8(JSON.stringify({ ...saidIn(jwt), discount_minor: 1 })));
  return `${header}.${claims}.${signature}`;
}

async function rehashed(jwt: string): Promise<object> {
  return { jwt, hash: await hashOf(jwt) };
}

async function change(seq: number, changes: object): Promise<void> {
  const row = (await counter.file.rows.get("entry", seq))!;
  await counter.file.rows.put("entry", { ...row, ...changes });
}
