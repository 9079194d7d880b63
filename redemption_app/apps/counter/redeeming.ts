// The work of the counter: from a code that was read to what the screen shows, and in between the
// server or, without it, this terminal alone. All of it comes after the first screen.

import type { Schema } from "../../shared/api/client.ts";
import { ofSecond } from "../../shared/counter/moments.ts";
import { opened as openTerminal, type Opened } from "../../shared/counter/opening.ts";
import { unpackedPolicy } from "../../shared/counter/policy.ts";
import type { Refusal } from "../../shared/counter/refusals.ts";
import { Away, SaysNo, Server } from "../../shared/counter/server.ts";
import { isAccepted, refused, slipped, type Screen } from "../../shared/counter/showing.ts";
import { JournalInUse } from "../../shared/counter/terminal_file.ts";
import { claimed, couponIdOf } from "../../shared/counter/token.ts";
import { newId } from "../../shared/ids.ts";
import { NoBasket, sale } from "./basket.svelte.ts";
import { counter, type Source } from "./counter.svelte.ts";
import { forget, forgetAll, note, type Identity, type Named } from "./keeping.ts";
import { settings } from "./settings.svelte.ts";
import { sound } from "./sounding.ts";

const ROUND_EVERY_MS = 60_000;
const FIRST_WAIT_MS = 1_000; // while the server is away
const LONGEST_WAIT_MS = 20_000;
const AFTER_A_SCAN_MS = 1_500; // nobody waits for that: let the next customer go first
const GREEN_SHOWN_MS = 1_500;
const GONE_AFTER_MS = 5_000; // a phone that the camera has not seen for so long has gone

interface Working extends Opened {
  server: Server;
}

let working: Working | undefined;

/** Open this terminal's journal, and keep in touch with the server from then on. */
export async function begin(identity: Identity): Promise<void> {
  const { terminalId, storeId, serverKey, key } = identity;
  const serverUrl = location.origin;
  try {
    const opened = await openTerminal({ serverUrl, terminalId, storeId, serverKey, key });
    working = { ...opened, server: new Server({ id: terminalId, key }, serverUrl) };
  } catch (error) {
    counter.stop = error instanceof JournalInUse ? "elsewhere" : "broken";
    return;
  }
  working.terminal.patienceMs = settings.now.patienceMs;
  counter.stop = undefined;
  tell();
  counter.isReady = true;
  void keepInTouch(working);
}

export function inHand(): Working {
  if (!working) throw new Error("the terminal is not open");
  return working;
}

/** Show how things stand: by what was asked and answered, never by what the browser believes. */
function tell(): void {
  const { terminal } = inHand();
  const { bundle } = terminal.counter.holdings;
  counter.isOnline = terminal.isOnline;
  counter.waiting = terminal.counter.journal.waiting;
  counter.aloneUntil = bundle ? ofSecond(Math.min(bundle.exp, bundle.lease_until)) : undefined;
  if (terminal.isDisowned) counter.stop = "revoked";
  counter.zone = bundle?.store_zone;
  if (bundle) sale.suppose(bundle.campaigns[0]?.currency ?? "");
}

// Scanning.

const seen = new Map<string, number>();
let toTake: { text: string; name: string } | undefined;

/** Take what a scanner, the camera or the keyboard has read. */
export async function scanned(text: string, from: Source): Promise<void> {
  const name = nameOf(text);
  if (counter.isBusy || counter.stop || !isNews(name, from)) return;
  counter.looked = undefined;
  if (counter.needsSeat) return show(slipped("nobody_sits"), name);
  if (settings.now.looksFirst && inHand().terminal.isOnline) return look(text, name);
  await take(text, name);
}

/** The same coupon, whatever its code says by now: a live one changes every few seconds. */
function nameOf(text: string): string {
  const fields = claimed(text.trim());
  return fields ? couponIdOf(fields) : text.trim();
}

/**
 * The camera goes on looking at a phone that was read long ago, by itself or by another scanner.
 * What a person has scanned or typed is always meant.
 */
function isNews(name: string, from: Source): boolean {
  const now = performance.now();
  const last = seen.get(name) ?? -Infinity;
  seen.set(name, now);
  for (const [other, at] of seen) if (now - at > GONE_AFTER_MS) seen.delete(other);
  return from !== "camera" || now - last > GONE_AFTER_MS;
}

/** The cashier has said yes to what was looked at. */
export async function takeLooked(): Promise<void> {
  const wanted = toTake;
  counter.looked = undefined;
  if (wanted) await take(wanted.text, wanted.name);
}

export function leaveLooked(): void {
  if (toTake) seen.delete(toTake.name);
  counter.looked = toTake = undefined;
}

async function take(text: string, name: string): Promise<void> {
  const { terminal } = inHand();
  await busily(name, async () => {
    const seat = counter.seat;
    const seated = seat && { name: seat.name, cashierId: seat.cashierId, shift: seat.secret };
    return terminal.redeem(text, { basket: sale.told(), orderRef: sale.orderRef, seated: seated ?? null });
  });
  soon(AFTER_A_SCAN_MS);
}

/** Ask what it would be worth. That changes nothing, and promises nothing. */
async function look(text: string, name: string): Promise<void> {
  toTake = { text, name };
  await busily(name, async () => {
    const view = await lookedAt(text);
    if (!view) {
      counter.looked = { title: null, discountMinor: null, currency: null };
      return null;
    }
    const [verdict] = view.verdicts;
    if (verdict?.kind === "accepted") {
      const { title, discount_minor: discountMinor, currency } = verdict;
      counter.looked = { title, discountMinor, currency };
      return null;
    }
    const couponId = verdict?.coupon_id ?? null;
    return refused(verdict!.refusal as Refusal, "server", { couponId, challenge: digitsOf(text) });
  });
}

async function lookedAt(text: string): Promise<Schema["ValidationView"] | null> {
  const { server, terminal } = inHand();
  const [basket, orderRef, challenge] = [sale.told(), sale.orderRef, digitsOf(text)];
  const body = {
    codes: [text],
    store_id: counter.identity!.storeId,
    ...(basket && { basket }),
    ...(orderRef && { order_ref: orderRef }),
    ...(challenge && { challenge }),
  };
  const { patienceMs } = terminal;
  const shift = counter.seat?.secret ?? null;
  try {
    const answer = await server.ask("POST", "/v1/validations", { body, shift, patienceMs });
    return JSON.parse(answer.text) as Schema["ValidationView"];
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    terminal.heard(false);
    return null;
  }
}

/** Return the digits that this coupon's phone must answer here, if it must. */
function digitsOf(text: string): string | null {
  const fields = claimed(text.trim());
  if (fields === null || unpackedPolicy(fields.off).level !== "L4") return null;
  return inHand().terminal.counter.digits(couponIdOf(fields));
}

/** Do what brings a screen, one at a time; what goes wrong with the asking is a screen as well. */
async function busily(name: string, work: () => Promise<Screen | null>): Promise<void> {
  counter.isBusy = true;
  try {
    const screen = await work();
    if (screen) await show(screen, name);
  } catch (error) {
    await show(slipOf(error), name);
  } finally {
    seen.set(name, performance.now()); // the phone has not gone while we asked
    counter.isBusy = false;
    tell();
  }
}

function slipOf(error: unknown): Screen {
  if (error instanceof NoBasket) return slipped("not_understood");
  if (!(error instanceof SaysNo)) throw error;
  if (error.status === 401) return slipped(counter.seat ? "nobody_sits" : "not_paired");
  return slipped(error.status === 429 ? "too_many_tries" : "not_understood");
}

let folding: ReturnType<typeof setTimeout> | undefined;
let shownName = "";

async function show(screen: Screen, name: string): Promise<void> {
  clearTimeout(folding);
  counter.wasUsedHere = screen.code === "already_redeemed" && (await isKnownHere(screen.couponId));
  counter.screen = screen;
  shownName = name;
  sound(screen.colour);
  if (screen.code === "nobody_sits") await leaveSeat();
  if (!isAccepted(screen)) return;
  sale.accepted();
  counter.last = screen;
  if (screen.currency) sale.suppose(screen.currency);
  folding = setTimeout(() => (counter.screen = undefined), GREEN_SHOWN_MS);
}

async function isKnownHere(couponId: string | null): Promise<boolean> {
  return couponId !== null && (await inHand().terminal.counter.journal.spent(couponId)) !== null;
}

/** Go on. What may work in a moment may be read again at once. */
export function putAway(): void {
  clearTimeout(folding);
  if (counter.screen && ["amber", "grey"].includes(counter.screen.colour)) seen.delete(shownName);
  counter.screen = undefined;
}

// In touch with the server.

let wake: () => void = () => undefined;
let isWanted = false;

/** Have a round before long, even if one is under way. */
export function soon(afterMs = 0): void {
  setTimeout(() => {
    isWanted = true;
    wake();
  }, afterMs);
}

addEventListener("online", () => soon());

async function keepInTouch(mine: Working): Promise<void> {
  for (let failures = 0; working === mine; ) {
    const { isReached } = await mine.syncing.round();
    if (working !== mine) return;
    failures = isReached ? 0 : failures + 1;
    if (isReached) {
      counter.heardAt = Date.now();
      await learnCashiers();
    }
    tell();
    await pause(isReached ? ROUND_EVERY_MS : waitMs(failures));
  }
}

/** Wait longer each time, and not as long as the next counter: they all lost the server at once. */
function waitMs(failures: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}

async function pause(ms: number): Promise<void> {
  if (!isWanted) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, ms);
    });
  }
  isWanted = false;
}

// Who sits here.

async function learnCashiers(): Promise<void> {
  try {
    const { text } = await inHand().server.ask("GET", "/v1/cashiers?most=500");
    const views = JSON.parse(text) as Schema["CashierView"][];
    const known = views.filter((each) => !each.revoked_at).map(({ id, name }): Named => ({ id, name }));
    known.sort((one, other) => one.name.localeCompare(other.name));
    counter.cashiers = known;
    await note("cashiers", known);
  } catch (error) {
    if (!(error instanceof Away || error instanceof SaysNo)) throw error;
  }
}

/** Let a cashier sit down; whoever sat there before has left. Returns why not, if not. */
export async function sit(cashierId: string, pin: string): Promise<"wrong_pin" | "locked_out" | "away" | null> {
  const body = { id: newId(), cashier_id: cashierId, pin };
  try {
    const { text } = await inHand().server.ask("POST", "/v1/shifts", { body, patienceMs: 10_000 });
    const view = JSON.parse(text) as Schema["ShiftView"];
    const { name, secret, id: shiftId } = view;
    counter.seat = { cashierId, name, secret, shiftId, until: Date.parse(view.expires_at) };
    await note("seat", counter.seat);
    return null;
  } catch (error) {
    if (error instanceof Away) return "away";
    if (!(error instanceof SaysNo)) throw error;
    return error.status === 429 ? "locked_out" : "wrong_pin";
  }
}

/** Get up. That the server hears of it is worth one try: the shift ends by itself. */
export async function standUp(): Promise<void> {
  const seat = counter.seat;
  await leaveSeat();
  if (!seat) return;
  const body = { id: newId(), shift_id: seat.shiftId };
  await inHand()
    .server.ask("POST", "/v1/shift-ends", { body, shift: seat.secret })
    .catch(() => undefined);
}

async function leaveSeat(): Promise<void> {
  counter.seat = undefined;
  await forget("seat");
}

// Leaving.

/** Be no terminal any more. Returns false, and changes nothing, while the server lacks an entry. */
export async function unpair(): Promise<boolean> {
  const { syncing, terminal } = inHand();
  if (terminal.counter.journal.waiting) await syncing.round();
  tell();
  if (counter.waiting) return false;
  await leave();
  return true;
}

/** Forget that this was a terminal, and all that it has written: no key opens it any more. */
export async function leave(): Promise<void> {
  const { terminalId } = counter.identity!;
  const { close } = inHand();
  working = undefined;
  await close();
  indexedDB.deleteDatabase(`counterfoil terminal ${terminalId}`);
  await forgetAll();
  counter.isReady = false;
  counter.identity = counter.seat = counter.last = counter.screen = counter.stop = undefined;
  counter.cashiers = [];
}
