// What this phone keeps: its keys, its coupons with all that is needed to show them, receipts, and
// what it has asked and not heard yet. Everything is here before it is on a screen.
//
// A transaction of IndexedDB ends by itself while anything else is awaited: nothing is awaited in
// one but its own requests.

import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Schema } from "../../shared/api/client.ts";
import { newKey } from "../../shared/device_key.ts";

export type CouponView = Schema["WalletCouponView"];
export type ReceiptView = Schema["ReceiptView"];
export type TokenView = Schema["TokenView"];
export type ContactView = Schema["ContactView"];
export type StoreView = Schema["WalletStoreView"];

/** This phone at one operator. The private half of its key can be used here and read by nobody. */
export interface KeptWallet {
  operator: string;
  key: CryptoKeyPair;
  /** The server's name for it; none before it was heard. */
  id: string | null;
  contacts: readonly ContactView[];
  /** Its key opens nothing any more: moved to another phone, or erased. */
  hasEnded: boolean;
}

export interface KeptCoupon {
  id: string;
  operator: string;
  view: CouponView;
  token: TokenView | null;
  /** The token was signed for this state of the coupon; another state wants another token. */
  tokenFor: string | null;
  /** It is bound to another phone of the same customer. */
  isElsewhere: boolean;
}

export interface KeptReceipt extends ReceiptView {
  operator: string;
}

/** Something that was asked under an id; kept until there is an answer, and asked again until then. */
export interface KeptAsk {
  id: string;
  operator: string;
  about: Asked;
}

export type Asked =
  | { kind: "claim"; batch_id: string }
  | { kind: "claim"; short_code: string }
  | { kind: "acceptance"; secret: string };

/** A coupon on its way to a friend: the ask is kept before it is heard, its secret for sending it again. */
export interface KeptGift {
  couponId: string;
  id: string;
  secret: string | null;
}

/** A code that was sent to an address, and waits to be typed. */
export interface KeptPasscode {
  id: string;
  operator: string;
  to: string;
  expiresAt: string;
  endOthers: boolean;
}

/** What is kept one of each, under its name. */
export interface Notes {
  /** By how much the server's clock is ahead of this phone's, in milliseconds. */
  clockAhead: number;
  refreshedAt: number;
  passcode: KeptPasscode;
  wantsNoInstall: boolean;
}

interface Kept extends DBSchema {
  wallets: { key: string; value: KeptWallet };
  coupons: { key: string; value: KeptCoupon; indexes: { operator: string } };
  receipts: { key: string; value: KeptReceipt; indexes: { operator: string } };
  asks: { key: string; value: KeptAsk };
  stores: { key: string; value: { couponId: string; stores: readonly StoreView[] } };
  gifts: { key: string; value: KeptGift };
  notes: { key: string; value: Notes[keyof Notes] };
}

let opened: Promise<IDBPDatabase<Kept>> | undefined;

function database(): Promise<IDBPDatabase<Kept>> {
  opened ??= openDB<Kept>("counterfoil wallet", 1, {
    upgrade(made) {
      made.createObjectStore("wallets", { keyPath: "operator" });
      made.createObjectStore("coupons", { keyPath: "id" }).createIndex("operator", "operator");
      made.createObjectStore("receipts", { keyPath: "id" }).createIndex("operator", "operator");
      made.createObjectStore("asks", { keyPath: "id" });
      made.createObjectStore("stores", { keyPath: "couponId" });
      made.createObjectStore("gifts", { keyPath: "couponId" });
      made.createObjectStore("notes");
    },
  });
  return opened;
}

export async function everything(): Promise<{
  wallets: KeptWallet[];
  coupons: KeptCoupon[];
  receipts: KeptReceipt[];
}> {
  const kept = await database();
  const [wallets, coupons, receipts] = await Promise.all([
    kept.getAll("wallets"),
    kept.getAll("coupons"),
    kept.getAll("receipts"),
  ]);
  return { wallets, coupons, receipts };
}

/** Return this phone's wallet at an operator; a fresh one with a fresh key, if there is none. */
export async function walletAt(operator: string): Promise<KeptWallet> {
  const kept = await database();
  const known = await kept.get("wallets", operator);
  if (known) return known;
  const made: KeptWallet = { operator, key: await newKey(), id: null, contacts: [], hasEnded: false };
  // Another tab may have been quicker: the first key stays, for the server may know it already.
  const writing = kept.transaction("wallets", "readwrite");
  const first = await writing.store.get(operator);
  if (!first) await writing.store.put(made);
  await writing.done;
  return first ?? made;
}

export async function keepWallet(wallet: KeptWallet): Promise<void> {
  await (await database()).put("wallets", wallet);
}

/** Forget one operator: its key, and all that it gave. */
export async function forget(operator: string): Promise<void> {
  const writing = (await database()).transaction(["wallets", "coupons", "receipts", "asks"], "readwrite");
  const asks = await writing.objectStore("asks").getAll();
  const coupons = await writing.objectStore("coupons").index("operator").getAllKeys(operator);
  const receipts = await writing.objectStore("receipts").index("operator").getAllKeys(operator);
  await Promise.all([
    writing.objectStore("wallets").delete(operator),
    ...coupons.map((id) => writing.objectStore("coupons").delete(id)),
    ...receipts.map((id) => writing.objectStore("receipts").delete(id)),
    ...asks.filter((ask) => ask.operator === operator).map((ask) => writing.objectStore("asks").delete(ask.id)),
    writing.done,
  ]);
}

export async function keepCoupon(coupon: KeptCoupon): Promise<void> {
  await (await database()).put("coupons", coupon);
}

/** Keep these coupons of an operator, and drop what is none of them: it is somebody else's now. */
export async function keepCoupons(operator: string, coupons: readonly KeptCoupon[]): Promise<void> {
  const writing = (await database()).transaction("coupons", "readwrite");
  const ids = new Set(coupons.map(({ id }) => id));
  const gone = (await writing.store.index("operator").getAllKeys(operator)).filter((id) => !ids.has(id));
  await Promise.all([
    ...gone.map((id) => writing.store.delete(id)),
    ...coupons.map((coupon) => writing.store.put(coupon)),
    writing.done,
  ]);
}

export async function keepReceipts(receipts: readonly KeptReceipt[]): Promise<void> {
  const writing = (await database()).transaction("receipts", "readwrite");
  await Promise.all([...receipts.map((receipt) => writing.store.put(receipt)), writing.done]);
}

export async function keepAsk(ask: KeptAsk): Promise<void> {
  await (await database()).put("asks", ask);
}

export async function dropAsk(id: string): Promise<void> {
  await (await database()).delete("asks", id);
}

export async function keptAsks(): Promise<KeptAsk[]> {
  return (await database()).getAll("asks");
}

export async function keepStores(couponId: string, stores: readonly StoreView[]): Promise<void> {
  await (await database()).put("stores", { couponId, stores });
}

export async function keptStores(couponId: string): Promise<readonly StoreView[] | undefined> {
  return (await (await database()).get("stores", couponId))?.stores;
}

export async function keepGift(gift: KeptGift): Promise<void> {
  await (await database()).put("gifts", gift);
}

export async function dropGift(couponId: string): Promise<void> {
  await (await database()).delete("gifts", couponId);
}

export async function keptGift(couponId: string): Promise<KeptGift | undefined> {
  return (await database()).get("gifts", couponId);
}

export async function note<Name extends keyof Notes>(name: Name, value: Notes[Name] | undefined): Promise<void> {
  const kept = await database();
  if (value === undefined) await kept.delete("notes", name);
  else await kept.put("notes", value, name);
}

export async function noted<Name extends keyof Notes>(name: Name): Promise<Notes[Name] | undefined> {
  return (await (await database()).get("notes", name)) as Notes[Name] | undefined;
}
