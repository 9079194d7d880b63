// What a phone keeps stays kept: one key for an operator, and one operator's coupons apart from another's.

import "fake-indexeddb/auto";
import { expect, test } from "vitest";
import {
  dropAsk,
  everything,
  forget,
  keepAsk,
  keepCoupons,
  keepReceipts,
  keepWallet,
  keptAsks,
  note,
  noted,
  walletAt,
  type CouponView,
  type KeptCoupon,
  type KeptReceipt,
} from "../apps/wallet/keeping.ts";

function coupon(id: string, operator: string): KeptCoupon {
  return { id, operator, view: { id } as CouponView, token: null, tokenFor: null, isElsewhere: false };
}

test("a phone has one key for an operator, whoever asks first, and nobody can read it", async () => {
  const [one, other] = await Promise.all([walletAt("acme"), walletAt("acme")]);
  const later = await walletAt("acme");

  const raw = await Promise.all([one, other, later].map(({ key }) => crypto.subtle.exportKey("jwk", key.publicKey)));
  expect(new Set(raw.map(({ x }) => x)).size).toBe(1);
  expect(one.key.privateKey.extractable).toBe(false);
  expect(await crypto.subtle.exportKey("jwk", (await walletAt("other")).key.publicKey)).not.toEqual(raw[0]);
});

test("a fresh list of one operator drops what is not on it, and nothing of another", async () => {
  await keepCoupons("acme", [coupon("1", "acme"), coupon("2", "acme")]);
  await keepCoupons("other", [coupon("3", "other")]);

  await keepCoupons("acme", [coupon("2", "acme")]);

  expect((await everything()).coupons.map(({ id }) => id)).toEqual(["2", "3"]);
});

test("who leaves an operator leaves nothing there, and all else stays", async () => {
  await keepWallet({ ...(await walletAt("acme")), id: "w" });
  await keepReceipts([{ id: "r", operator: "acme" } as KeptReceipt]);
  await keepAsk({ id: "a", operator: "acme", about: { kind: "claim", batch_id: "b" } });
  await keepAsk({ id: "c", operator: "other", about: { kind: "claim", batch_id: "b" } });

  await forget("acme");

  const { wallets, coupons, receipts } = await everything();
  expect(wallets.map(({ operator }) => operator)).toEqual(["other"]);
  expect(coupons.map(({ id }) => id)).toEqual(["3"]);
  expect(receipts).toEqual([]);
  expect((await keptAsks()).map(({ id }) => id)).toEqual(["c"]);
});

test("an ask stays until it is dropped", async () => {
  await keepAsk({ id: "d", operator: "acme", about: { kind: "acceptance", secret: "s" } });
  await dropAsk("c");

  expect((await keptAsks()).map(({ id }) => id)).toEqual(["d"]);
});

test("a note is read back, and is gone when there is nothing to note", async () => {
  await note("clockAhead", 7_000);
  expect(await noted("clockAhead")).toBe(7_000);

  await note("clockAhead", undefined);
  expect(await noted("clockAhead")).toBeUndefined();
});
