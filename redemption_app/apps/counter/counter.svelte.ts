// The counter as its screens see it. What does the work is in redeeming.ts, and comes a moment later.

import type { Screen } from "../../shared/counter/showing.ts";
import type { Sentences } from "../../shared/counter/refusals.ts";
import { noted, type Identity, type Named, type Seat } from "./keeping.ts";

/** Where a code came from. */
export type Source = "camera" | "wedge" | "typed";

/** What stands in the way of working at all. */
export type Stop = "elsewhere" | "revoked" | "broken";

/** A coupon that works, and waits for the cashier's yes. */
export interface Looked {
  title: Sentences | null;
  discountMinor: number | null;
  currency: string | null;
}

class Counter {
  /** What is kept has been read: who is not paired is not, and not just slow. */
  isOpen = $state(false);
  /** It may redeem: its journal is open, in this tab alone. */
  isReady = $state(false);
  identity = $state.raw<Identity | undefined>();
  stop = $state.raw<Stop | undefined>();

  /** The server answered when it was asked last. */
  isOnline = $state(true);
  heardAt = $state.raw<number | undefined>();
  /** Entries that the server has not got. */
  waiting = $state(0);
  /** So long it may decide alone. */
  aloneUntil = $state.raw<number | undefined>();
  /** The store's own time, whatever this device believes to be its own. */
  zone = $state.raw<string | undefined>();

  cashiers = $state.raw<readonly Named[]>([]);
  seat = $state.raw<Seat | undefined>();

  isBusy = $state(false);
  /** What is shown over everything. */
  screen = $state.raw<Screen | undefined>();
  /** Where a coupon was used before, if it was here. */
  wasUsedHere = $state(false);
  /** The last yes, when it is not shown over everything any more. */
  last = $state.raw<Screen | undefined>();
  looked = $state.raw<Looked | undefined>();
  now = $state.raw(Date.now());

  async open(): Promise<void> {
    const [identity, cashiers, seat] = await Promise.all([noted("identity"), noted("cashiers"), noted("seat")]);
    this.identity = identity;
    this.cashiers = cashiers ?? [];
    this.seat = seat && seat.until > Date.now() ? seat : undefined;
    this.isOpen = true;
    setInterval(() => (this.now = Date.now()), 5_000);
  }

  get needsSeat(): boolean {
    return this.cashiers.length > 0 && (this.seat === undefined || this.seat.until <= this.now);
  }
}

export const counter = new Counter();
