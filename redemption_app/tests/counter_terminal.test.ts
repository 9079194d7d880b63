// The server decides while it can be reached; its no is a no; one request has one id throughout.
// And what was done alone goes up, in order, until the server has signed that it has it.

import "fake-indexeddb/auto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { base64url, utf8 } from "../shared/bytes.ts";
import type { PublicKey } from "../shared/counter/bundle.ts";
import { Terminal } from "../shared/counter/deciding.ts";
import { signingInput } from "../shared/counter/jwt.ts";
import { Server } from "../shared/counter/server.ts";
import { Syncing } from "../shared/counter/syncing.ts";
import { claimed, couponIdOf } from "../shared/counter/token.ts";
import { newKey, signed } from "../shared/device_key.ts";
import { newId } from "../shared/ids.ts";
import { opened, type Hands, type OpenCounter } from "./counters.ts";
import vectors from "../../tests/vectors/counter.json" with { type: "json" };

const { terminal_id: TERMINAL, store_id: STORE, server_key } = vectors.holder;
const [FIRST, SECOND] = vectors.stories[0]!.steps as unknown as [{ wall: number; bundle: string }, { list: string }];
const CODES = vectors.stories
  .find(({ name }) => name.startsWith("Two coupons"))!
  .steps.flatMap((step) => ("scan" in step && step.scan ? [step.scan.text] : []));
const CODE = CODES[0]!;
const COUPON = couponIdOf(claimed(CODE)!);
const NOW = FIRST.wall;
const KEY = await newKey();
const SERVER = await newKey();
const BASKET = { currency: "EUR", total_minor: 1_000 };

type Answering = (request: Request) => Response | Promise<Response>;

let hands: Hands;
let counter: OpenCounter;
let server: Server;
let terminal: Terminal;
let far: { answers: Answering[]; asked: Request[] };

beforeEach(async () => {
  hands = { wall: NOW, steady: 0 };
  far = { answers: [], asked: [] };
  const holder = { terminalId: TERMINAL, storeId: STORE, serverKey: server_key as PublicKey };
  counter = await opened({ holder, key: KEY, hands });
  await counter.learnBundle(FIRST.bundle);
  await counter.holdings.learnList(SECOND.list, NOW);
  const fetching = async (request: RequestInfo | URL) => {
    far.asked.push((request as Request).clone());
    const answer = far.answers.shift();
    if (!answer) throw new TypeError("network error");
    return answer(request as Request);
  };
  server = new Server({ id: TERMINAL, key: KEY }, "https://server.test", () => hands.wall, fetching);
  terminal = new Terminal(server, counter, TERMINAL, () => hands.steady);
});

afterEach(() => counter.close());

function says(body: unknown, status = 200, headers: Record<string, string> = {}): Answering {
  const all = { "Content-Type": "application/json", ...headers };
  return () => new Response(JSON.stringify(body), { status, headers: all });
}

function tells(text: string, headers: Record<string, string> = {}): Answering {
  return () => new Response(text, { headers });
}

function problem(status: number, code: string, more: object = {}, headers: Record<string, string> = {}): Answering {
  return says({ code, ...more }, status, { "Content-Type": "application/problem+json", ...headers });
}

function refuses(code: string): Answering {
  const sentence = { en: "No.", zh: "不。" };
  const reasons = [{ code, rule: "uses", needs: { at: "2026-11-22T11:00:00+00:00" } }];
  return problem(409, "coupon_refused", { refusal: { code, reasons, customer: sentence, cashier: sentence } });
}

const accepts: Answering = async (request) => {
  const { id } = (await request.json()) as { id: string };
  const worth = { discount_minor: 500, currency: "EUR", lines: [], uses_left: 0, balance_minor: null };
  return says({ id, coupon_id: COUPON, offer_id: "00000000-0000-0000-0000-000000000005", ...worth }, 201)(request);
};

async function bodies(): Promise<{ id: string; [name: string]: unknown }[]> {
  return Promise.all(far.asked.map((request) => request.json()));
}

async function kinds(): Promise<string[]> {
  const newest = await counter.journal.newest(20);
  return newest.map(({ said }) => `${said.kind}: ${said.mode}`).reverse();
}

// Who decides.

test("the server decides, and the ledger remembers when it is away", async () => {
  far.answers = [accepts];

  const online = await terminal.redeem(CODE, { basket: BASKET });

  expect([online.code, online.decidedBy, online.sign]).toEqual(["ok", "server", "tick"]);
  expect(online.cashier.en).toBe("Coupon accepted: Five off (€5.00)");
  const alone = await terminal.redeem(CODE, { basket: BASKET });
  expect([alone.code, alone.decidedBy]).toEqual(["already_redeemed", "terminal"]);
  expect(await kinds()).toEqual(["leased: offline", "redeemed: online", "refused: offline"]);
});

test("a no of the server is a no, and tells when the coupon was used", async () => {
  far.answers = [refuses("already_redeemed")];

  const screen = await terminal.redeem(CODE);

  expect([screen.code, screen.decidedBy, screen.colour]).toEqual(["already_redeemed", "server", "red"]);
  expect(screen.firstUsedAt).toBe(Date.parse("2026-11-22T11:00:00Z"));
  expect(far.asked).toHaveLength(1);
});

const elsewhere: [string, Answering][] = [
  ["a network that is down", () => Promise.reject(new TypeError("down"))],
  ["a proxy without its server", () => new Response("Bad Gateway", { status: 502 })],
  ["a page that is nobody's", () => new Response("<h1>Not here</h1>", { status: 404 })],
  ["a portal that wants a sign-in", tells("<h1>Welcome to our Wi-Fi</h1>")],
  ["a redirect", () => new Response(null, { status: 302, headers: { Location: "https://wifi.test" } })],
  ["an answer that breaks off", () => new Response(broken(), { status: 200 })],
];

function broken(): ReadableStream {
  return new ReadableStream({ pull: (stream) => stream.error(new TypeError("gone")) });
}

test.each(elsewhere)("%s is away, and the terminal decides", async (_, answer) => {
  far.answers = [answer];

  const screen = await terminal.redeem(CODE, { basket: BASKET });

  expect([screen.code, screen.decidedBy, screen.isProvisional]).toEqual(["ok_offline", "terminal", true]);
  expect(terminal.isOnline).toBe(false);
});

test("nobody waits for a server that has just been away", async () => {
  await terminal.redeem(CODE);
  hands.steady += 29_999;
  await terminal.redeem(CODES[1]!);
  expect(far.asked).toHaveLength(1);

  hands.steady += 1;
  far.answers = [accepts];
  await terminal.redeem(CODES[2]!);

  expect(far.asked).toHaveLength(2);
  expect(terminal.isOnline).toBe(true);
});

test("the request that the server may have heard is the one in the journal", async () => {
  const screen = await terminal.redeem(CODE, { basket: BASKET });

  const [body] = await bodies();
  expect(screen.redemptionId).toBe(body!.id);
  expect((await counter.journal.redeemed(body!.id))?.jti).toBe(COUPON);
});

test("the same code after nobody knows is the same request", async () => {
  far.answers = [problem(500, "internal")];
  expect((await terminal.redeem(CODE, { basket: BASKET })).code).toBe("ask_again");

  far.answers = [accepts];
  expect((await terminal.redeem(CODE, { basket: BASKET })).code).toBe("ok");

  const [first, second] = await bodies();
  expect(second).toEqual(first);
});

test("with another basket it is asked first what became of the earlier request", async () => {
  far.answers = [problem(500, "internal"), problem(404, "unknown"), accepts];
  await terminal.redeem(CODE, { basket: BASKET });

  const screen = await terminal.redeem(CODE, { basket: { ...BASKET, total_minor: 2_000 } });

  expect(screen.code).toBe("ok");
  const [first, looked, second] = far.asked;
  const { id } = (await first!.json()) as { id: string };
  expect([looked!.method, new URL(looked!.url).pathname]).toEqual(["GET", `/v1/redemptions/${id}`]);
  expect(second!.method).toBe("POST");
});

test("a terminal that the server does not know decides nothing alone", async () => {
  far.answers = [problem(401, "not_signed_in")];

  expect((await terminal.redeem(CODE)).code).toBe("not_paired");
  expect((await terminal.redeem(CODE)).code).toBe("not_paired");
  expect(counter.journal.last.seq).toBe(1);
});

test("a shift that is over asks the cashier to sign in, and decides nothing", async () => {
  far.answers = [problem(401, "not_signed_in")];

  const screen = await terminal.redeem(CODE, { seated: { name: "Ann", cashierId: newId(), shift: "secret" } });

  expect(screen.code).toBe("nobody_sits");
  expect(far.asked[0]!.headers.get("Counterfoil-Shift")).toBe("secret");
  expect(far.asked[0]!.headers.get("Signature-Input")).toContain('"counterfoil-shift"');
});

test.each([
  [422, "invalid", "not_understood"],
  [429, "too_many_tries", "too_many_tries"],
  [403, "forbidden", "not_paired"],
])("a %s that is about no coupon is told as what it is", async (status, code, slip) => {
  far.answers = [problem(status, code)];

  expect((await terminal.redeem(CODE)).code).toBe(slip);
});

test("a wrong clock signs by the server's", async () => {
  const theirs = new Date(NOW + 3_600_000);
  far.answers = [problem(401, "not_signed_in", {}, { Date: theirs.toUTCString() }), accepts];

  expect((await terminal.redeem(CODE)).code).toBe("ok");

  const created = far.asked.map((request) => /created=(\d+)/.exec(request.headers.get("Signature-Input")!)![1]);
  expect(created.map(Number)).toEqual([NOW / 1_000, NOW / 1_000 + 3_600]);
});

// Both ways.

async function serverKey(): Promise<PublicKey> {
  const { x, y } = await crypto.subtle.exportKey("jwk", SERVER.publicKey);
  return { kty: "EC", crv: "P-256", x: x!, y: y! };
}

async function ack(seq: number): Promise<string> {
  const hash = await counter.journal.hashAt(seq);
  const claims = { dev: TERMINAL, seq, hash: hash ?? "a".repeat(64), iat: NOW / 1_000, gaps: [], answers: [] };
  const signing = signingInput({ alg: "ES256", typ: "ack+jwt" }, claims);
  return `${signing}.${base64url(await signed(SERVER, utf8(signing)))}`;
}

/** Acknowledge all that this upload has. */
const takes: Answering = async (request) => {
  const { id, entries } = (await request.json()) as { id: string; entries: string[] };
  const seq = counter.journal.acknowledgedSeq + entries.length;
  return says({ id, acknowledgement: await ack(seq), unread: [] })(request);
};

const told: Answering = async (request) => tells(`${await ack(counter.journal.acknowledgedSeq)}\n`)(request);
const unchanged: Answering = () => new Response(null, { status: 304 });

async function syncing(): Promise<Syncing> {
  return new Syncing(server, terminal, await serverKey());
}

async function many(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    await counter.journal.append("refused", "offline", counter.look(), { store: STORE, ver: 10, why: "expired" });
  }
}

test("a round sends what was done, and learns what there is to know", async () => {
  far.answers = [takes, unchanged, told];

  const round = await (await syncing()).round();

  expect(round).toEqual({ done: ["up", "bundle", "lists", "up", "told"], failed: {}, isReached: true });
  expect(counter.journal.waiting).toBe(0);
});

test("entries go up in order and in portions, until nothing is left", async () => {
  await many(450);
  far.answers = [takes, takes, takes, unchanged, told];

  await (await syncing()).round();

  const sent = (await Promise.all(far.asked.slice(0, 3).map((request) => request.json()))) as { entries: string[] }[];
  expect(sent.map(({ entries }) => entries.length)).toEqual([200, 200, 51]);
  expect(counter.journal.waiting).toBe(0);
});

test("what is too much for one request is sent in halves", async () => {
  await many(3);
  far.answers = [problem(413, "too_large"), takes, takes, unchanged, told];

  const round = await (await syncing()).round();

  expect(round.failed).toEqual({});
  expect(counter.journal.waiting).toBe(0);
});

test("an upload of which nothing is acknowledged is tried once a round, and nothing is lost", async () => {
  await many(1);
  const deaf: Answering = async (request) => {
    const { id } = (await request.json()) as { id: string };
    return says({ id, acknowledgement: await ack(0), unread: [0, 1] })(request);
  };
  far.answers = [deaf, unchanged, deaf, told];

  const round = await (await syncing()).round();

  expect(round.failed.up).toContain("nothing of what was sent");
  expect(counter.journal.waiting).toBe(2);
});

test("a server that has more than this journal makes it decide nothing alone", async () => {
  const ahead: Answering = async (request) => {
    const { id } = (await request.json()) as { id: string };
    return says({ id, acknowledgement: await ack(9), unread: [] })(request);
  };
  far.answers = [ahead, unchanged, takes, told];

  await (await syncing()).round();

  far.answers = [];
  hands.steady += 60_000;
  const screen = await terminal.redeem(CODE);
  expect([screen.code, counter.findings.map(({ flaw }) => flaw)]).toEqual(["online_required", ["older_copy"]]);
});

test("a lease is renewed when half of it is over, and asked for with one id until it is answered", async () => {
  hands.wall += 60_000 + 1; // the lease of these stories lasts half a day, less a minute
  const round = await syncing();
  far.answers = [takes];
  await round.round();

  far.answers = [says({}, 201), unchanged, told];
  await round.round();

  const asked = far.asked.filter((request) => request.url.endsWith("/v1/leases"));
  const ids = await Promise.all(asked.map(async (request) => (await request.json()).id));
  expect(ids).toHaveLength(2);
  expect(new Set(ids).size).toBe(1);
});

test("a terminal that is disowned hears so in a round, and stops", async () => {
  far.answers = [problem(401, "not_signed_in")];

  const round = await (await syncing()).round();

  expect([round.done, Object.keys(round.failed), terminal.isDisowned]).toEqual([[], ["up"], true]);
});
