// The wallet as its screens see it: what this phone keeps. What brings it up to date is in tending.ts.

import type { Problem } from "../../shared/api/problem.ts";
import { recallClock, serverNow } from "./clock.ts";
import { everything, noted, type KeptCoupon, type KeptReceipt, type KeptWallet } from "./keeping.ts";

const TICK_MS = 5_000;

class Wallet {
  /** What is kept has been read: an empty list is empty, and not just slow. */
  isOpen = $state(false);
  wallets = $state.raw<readonly KeptWallet[]>([]);
  coupons = $state.raw<readonly KeptCoupon[]>([]);
  receipts = $state.raw<readonly KeptReceipt[]>([]);
  /** The last asking was not heard. What is kept works all the same. */
  isAlone = $state(false);
  refreshedAt = $state.raw<number | undefined>();
  /** Why something that was asked before the app was closed came to nothing. */
  failed = $state.raw<Problem | undefined>();
  /** The server's time, as far as it is known; moves every few seconds. */
  now = $state.raw(Date.now());

  async open(): Promise<void> {
    await recallClock();
    const kept = await everything();
    this.wallets = kept.wallets.filter(({ id }) => id !== null);
    this.coupons = kept.coupons;
    this.receipts = kept.receipts;
    this.refreshedAt = await noted("refreshedAt");
    this.now = serverNow();
    this.isOpen = true;
    setInterval(() => (this.now = serverNow()), TICK_MS);
  }

  coupon(id: string): KeptCoupon | undefined {
    return this.coupons.find((each) => each.id === id);
  }

  /** Its key opens nothing any more, as far as we heard. What it kept stays, in case that was a mistake. */
  hasEnded(operator: string): boolean {
    return this.at(operator)?.hasEnded === true;
  }

  at(operator: string): KeptWallet | undefined {
    return this.wallets.find((each) => each.operator === operator);
  }
}

export const wallet = new Wallet();
