// Keeps the wallet up to date: asks the server, keeps what it says, and then shows it. Whatever was
// asked and not heard is asked again under the same id.

import { Problem } from "../../shared/api/problem.ts";
import { newId } from "../../shared/ids.ts";
import { isBoundTo } from "../../shared/showing_code.ts";
import { asked, introduced } from "./asking.ts";
import {
  dropAsk,
  forget,
  keepAsk,
  keepCoupon,
  keepCoupons,
  keepReceipts,
  keepWallet,
  keptAsks,
  note,
  type Asked,
  type CouponView,
  type KeptAsk,
  type KeptCoupon,
  type KeptReceipt,
  type KeptWallet,
  type TokenView,
} from "./keeping.ts";
import { wallet } from "./wallet.svelte.ts";

const REFRESH_EVERY_MS = 60_000;
const A_PAGE = 100;

let isRefreshing = false;

/** Begin: first what was never answered, then what is new, and that again every minute. */
export async function tend(): Promise<void> {
  setInterval(() => void refresh(), REFRESH_EVERY_MS);
  addEventListener("online", () => void refresh());
  document.addEventListener("visibilitychange", () => void refresh());
  await askAgain();
  await refresh();
}

/** Bring everything up to date. Without an answer all stays as it was. */
export async function refresh(): Promise<void> {
  if (isRefreshing || document.visibilityState === "hidden") return;
  isRefreshing = true;
  try {
    for (const { operator } of wallet.wallets) await refreshAt(operator);
  } finally {
    isRefreshing = false;
  }
}

export async function refreshAt(operator: string): Promise<void> {
  await heard(operator, async () => {
    await alone(() => takeHoldings(operator));
    await takeReceipts(operator);
    await takeTokens(operator);
    wallet.refreshedAt = Date.now();
    await note("refreshedAt", wallet.refreshedAt);
  });
}

/** Look after one coupon that is being shown: has it been redeemed? */
export async function lookAfter(coupon: KeptCoupon): Promise<void> {
  await heard(coupon.operator, async () => {
    const query = { after: justBefore(coupon.id), most: 1 };
    const { coupons } = await asked(coupon.operator, (api) => api.GET("/v1/wallet", { params: { query } }));
    const view = coupons.find(({ id }) => id === coupon.id);
    if (!view || stateOf(view) === stateOf(coupon.view)) return;
    await take(coupon.operator, view);
    await takeReceipts(coupon.operator);
  });
}

/** Fetch the code of a coupon anew: the server may know by now that the one that is here is void. */
export async function freshen(coupon: KeptCoupon): Promise<void> {
  await heard(coupon.operator, async () => {
    await lookAfter(coupon);
    await takeToken({ ...(wallet.coupon(coupon.id) ?? coupon), tokenFor: null });
  });
}

/**
 * Ask for something under an id that is kept before, and return the coupon that it brought. The
 * same thing asked again is the same ask until there was an answer.
 */
export async function ask(operator: string, about: Asked): Promise<KeptCoupon> {
  const wanted = JSON.stringify(about);
  const open = (await keptAsks()).find((each) => each.operator === operator && JSON.stringify(each.about) === wanted);
  const asking = open ?? { id: newId(), operator, about };
  await keepAsk(asking);
  return perform(asking);
}

/**
 * Keep what the server has just said of a coupon, and fetch what is needed to show it. `anew`,
 * where the old code is good no more although the coupon looks the same: after a rebind.
 */
export async function take(operator: string, view: CouponView, { anew = false } = {}): Promise<KeptCoupon> {
  const taken = kept(operator, view, anew ? undefined : wallet.coupon(view.id));
  await keepCoupon(taken);
  wallet.coupons = [...wallet.coupons.filter(({ id }) => id !== view.id), taken];
  return takeToken(taken).catch(() => taken);
}

/** Make this phone known to an operator, and return what it holds there. */
export async function enter(operator: string): Promise<KeptWallet> {
  const known = await introduced(operator);
  wallet.wallets = [...wallet.wallets.filter((each) => each.operator !== operator), known];
  return known;
}

/** Forget an operator on this phone: the key, the coupons, the receipts. */
export async function leave(operator: string): Promise<void> {
  await forget(operator);
  wallet.wallets = wallet.wallets.filter((each) => each.operator !== operator);
  wallet.coupons = wallet.coupons.filter((each) => each.operator !== operator);
  wallet.receipts = wallet.receipts.filter((each) => each.operator !== operator);
}

async function askAgain(): Promise<void> {
  for (const each of await keptAsks()) {
    try {
      await perform(each);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!error.isUnheard) wallet.failed = error;
    }
  }
}

async function perform({ id, operator, about }: KeptAsk): Promise<KeptCoupon> {
  let view: CouponView;
  try {
    await enter(operator);
    view = await alone(() => answered(id, operator, about));
  } catch (error) {
    // A no is an answer. Where there was none, nobody knows what became of it: it stays kept.
    if (error instanceof Problem && !error.isUnheard) await dropAsk(id);
    throw error;
  }
  const taken = await take(operator, view);
  await dropAsk(id);
  void navigator.storage.persist();
  return taken;
}

function answered(id: string, operator: string, about: Asked): Promise<CouponView> {
  switch (about.kind) {
    case "claim": {
      const { kind, ...body } = about;
      return asked(operator, (api) => api.POST("/v1/wallet/claims", { body: { id, ...body } }));
    }
    case "acceptance": {
      const { secret } = about;
      return asked(operator, (api) => api.POST("/v1/wallet/gift-acceptances", { body: { id, secret } }));
    }
  }
}

async function takeHoldings(operator: string): Promise<void> {
  const coupons: CouponView[] = [];
  for (;;) {
    const query = { most: A_PAGE, ...after(coupons) };
    const page = await asked(operator, (api) => api.GET("/v1/wallet", { params: { query } }));
    coupons.push(...page.coupons);
    if (page.coupons.length === A_PAGE) continue;
    await keepAndShow({ ...(await introduced(operator)), contacts: page.contacts, hasEnded: false });
    break;
  }
  const taken = coupons.map((view) => kept(operator, view, wallet.coupon(view.id)));
  await keepCoupons(operator, taken);
  wallet.coupons = [...wallet.coupons.filter((each) => each.operator !== operator), ...taken];
}

async function takeReceipts(operator: string): Promise<void> {
  const receipts: KeptReceipt[] = [];
  for (;;) {
    const query = { most: A_PAGE, ...after(receipts) };
    const page = await asked(operator, (api) => api.GET("/v1/wallet/receipts", { params: { query } }));
    receipts.push(...page.map((receipt) => ({ ...receipt, operator })));
    if (page.length < A_PAGE) break;
  }
  await keepReceipts(receipts);
  wallet.receipts = [...wallet.receipts.filter((each) => each.operator !== operator), ...receipts];
}

async function takeTokens(operator: string): Promise<void> {
  const soonest = wallet.coupons
    .filter((each) => each.operator === operator)
    .toSorted((one, other) => one.view.valid_until.localeCompare(other.view.valid_until));
  for (const coupon of soonest) await takeToken(coupon);
}

/** Fetch what is needed to show a coupon, unless it is here. */
async function takeToken(coupon: KeptCoupon): Promise<KeptCoupon> {
  if (coupon.tokenFor === boundAs(coupon.view) || !isShowable(coupon.view)) return coupon;
  const token = await tokenOf(coupon);
  const { key } = await introduced(coupon.operator);
  const { x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
  const isElsewhere = token !== null && !isBoundTo(token.jwt, { x: x!, y: y! });
  const taken = { ...coupon, token, tokenFor: boundAs(coupon.view), isElsewhere };
  await keepCoupon(taken);
  wallet.coupons = wallet.coupons.map((each) => (each.id === taken.id ? taken : each));
  return taken;
}

/** Return a coupon's token; none where a short code is all that it has. */
async function tokenOf({ id, operator }: KeptCoupon): Promise<TokenView | null> {
  const path = { coupon_id: id };
  try {
    return await asked(operator, (api) => api.GET("/v1/wallet/coupons/{coupon_id}/token", { params: { path } }));
  } catch (error) {
    if (error instanceof Problem && error.code === "coupon_not_usable") return null;
    throw error;
  }
}

/** Do something that asks the server, and remember whether it was heard. */
async function heard(operator: string, doing: () => Promise<void>): Promise<void> {
  try {
    await doing();
    wallet.isAlone = false;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    wallet.isAlone = error.isUnheard;
    const known = wallet.at(operator);
    if (error.status === 401 && known) await keepAndShow({ ...known, hasEnded: true });
  }
}

async function keepAndShow(known: KeptWallet): Promise<void> {
  await keepWallet(known);
  wallet.wallets = wallet.wallets.map((each) => (each.operator === known.operator ? known : each));
}

/** One at a time, in all tabs: or a list that was read a moment ago would drop a coupon just taken. */
function alone<Done>(doing: () => Promise<Done>): Promise<Done> {
  return navigator.locks.request("counterfoil wallet", doing) as Promise<Done>;
}

function kept(operator: string, view: CouponView, before: KeptCoupon | undefined): KeptCoupon {
  const known = { token: before?.token ?? null, tokenFor: before?.tokenFor ?? null };
  return { id: view.id, operator, view, ...known, isElsewhere: before?.isElsewhere ?? false };
}

/** What a token depends on: with anything of it changed, the old one is good no more. */
function boundAs(view: CouponView): string {
  return JSON.stringify([view.customer_id, view.store_id, view.activated_until, view.valid_until]);
}

function stateOf(view: CouponView): string {
  return JSON.stringify([view.state, view.uses_left, view.balance_minor, view.activated_until, view.given_until]);
}

function isShowable({ state }: CouponView): boolean {
  return state === "active" || state === "pending" || state === "held";
}

function after(rows: readonly { id: string }[]): { after?: string } {
  const last = rows.at(-1);
  return last ? { after: last.id } : {};
}

/** Return the id before this one: a page that begins after it begins with this one. */
function justBefore(id: string): string {
  const before = (BigInt(`0x${id.replaceAll("-", "")}`) - 1n).toString(16).padStart(32, "0");
  return before.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
