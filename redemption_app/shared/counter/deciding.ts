// Who decides about a coupon: the server, else this terminal alone.
//
// One request with one id goes from one to the other. If the server had heard it after all, it finds
// in our journal that both were the same redemption. A no of the server is final.
//
// What the server has decided is written into the journal too: the ledger knows the coupon then,
// should the network go away.

import type { Schema } from "../api/client.ts";
import { hex, sha256, utf8 } from "../bytes.ts";
import { newId } from "../ids.ts";
import { campaignOf } from "./alone.ts";
import type { Basket } from "./baskets.ts";
import { EntryTooLong } from "./journal.ts";
import type { EntryKind, Said } from "./journals.ts";
import { isOfDisk, RequestReused, type Counter } from "./judging.ts";
import type { Spending } from "./ledger.ts";
import { ofSecond } from "./moments.ts";
import type { Title } from "./offers.ts";
import { unpackedPolicy } from "./policy.ts";
import type { Refusal } from "./refusals.ts";
import { Away, SaysNo, type Server } from "./server.ts";
import { accepted, isAccepted, refused, shown, slipped, type Screen, type Slip } from "./showing.ts";
import { claimed, couponIdOf, type CouponFields } from "./token.ts";

type View = Schema["RedemptionView"];

const TRIES_AGAIN_MS = 30_000; // so long nobody waits for a server that has just been away
const MOST_OPEN = 1_000;
const LONGEST_REMEMBERED_MS = 3_660 * 86_400_000;
// The server knows us no more: revoked, another device in our place, or a journal that has forked.
export const DISOWNED = ["not_signed_in", "terminal_frozen"];
const UNAUTHORIZED = 401;

/** What a no of the server means that is about no coupon. Any other: nobody knows yet. */
const SLIP_OF: Record<number, Slip> = {
  401: "not_paired",
  403: "not_paired",
  413: "not_understood",
  422: "not_understood",
  429: "too_many_tries",
};

/** Who sits at the terminal: with a shift where there are cashiers, else a name that was typed. */
export interface Seated {
  name: string;
  cashierId?: string;
  shift?: string;
}

export interface AtTerminal {
  basket?: Basket | null;
  orderRef?: string | null;
  seated?: Seated | null;
}

/** Decides at one counter. */
export class Terminal {
  readonly counter: Counter;
  /** The server has said that we are none of its terminals. */
  isDisowned = false;
  /** So long a cashier waits before the terminal decides. */
  patienceMs = 2_000;
  #server: Server;
  #id: string;
  #steady: () => number;
  #awayUntil: number | null = null;
  #open = new Map<string, Request>();

  constructor(server: Server, counter: Counter, id: string, steady: () => number = () => performance.now()) {
    this.#server = server;
    this.counter = counter;
    this.#id = id;
    this.#steady = steady;
  }

  /** Did the server answer when it was asked last? */
  get isOnline(): boolean {
    return this.#awayUntil === null;
  }

  /**
   * Let whoever can be reached decide, and return what to show. The same code shown again after
   * nobody knows what became of it is the same request.
   */
  async redeem(code: string, { basket = null, orderRef = null, seated = null }: AtTerminal = {}): Promise<Screen> {
    const fields = claimed(code.trim());
    const request: Request = {
      id: newId(this.counter.look().now),
      code,
      basket,
      orderRef,
      seated,
      challenge: this.#digits(fields),
    };
    const key = fields ? couponIdOf(fields) : code;
    const screen = await this.#decided(request, key, fields);
    if (isAccepted(screen)) this.#open.delete(key);
    return screen;
  }

  /** Know whether the server answers: it was asked for something else. */
  heard(isOnline: boolean): void {
    this.#awayUntil = isOnline ? null : this.#steady() + TRIES_AGAIN_MS;
  }

  async #decided(request: Request, key: string, fields: CouponFields | null): Promise<Screen> {
    if (this.#awayUntil !== null && this.#steady() < this.#awayUntil) return this.#alone(request);
    try {
      return await this.#byServer(request, key, fields);
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      this.heard(false);
      this.#remember(key, request);
      return this.#alone(request);
    }
  }

  // The server.

  /** Ask the server, first what became of an earlier request for the same coupon. */
  async #byServer(request: Request, key: string, fields: CouponFields | null): Promise<Screen> {
    const earlier = this.#open.get(key);
    if (earlier && isSame(earlier, request)) request = earlier;
    else if (earlier) {
      const view = await this.#becameOf(earlier);
      if (view) {
        this.#open.delete(key);
        return this.#rememberYes(request, view, fields);
      }
    }
    try {
      const view = await this.#posted(request);
      this.#open.delete(key);
      return await this.#rememberYes(request, view, fields);
    } catch (error) {
      if (!(error instanceof SaysNo)) throw error;
      return this.#saidNo(error, request, key, fields);
    }
  }

  async #posted(request: Request): Promise<View> {
    const { id, code, basket, orderRef, seated, challenge } = request;
    const body = {
      id,
      code,
      store_id: this.counter.holdings.storeId,
      terminal_id: this.#id,
      ...(basket && { basket }),
      ...(orderRef !== null && { order_ref: orderRef }),
      ...(seated && { cashier: seated.name }),
      ...(challenge && { challenge }),
    };
    const shift = seated?.shift ?? null;
    const answer = await this.#server.ask("POST", "/v1/redemptions", { body, shift, patienceMs: this.patienceMs });
    this.heard(true);
    return viewIn(answer.text);
  }

  async #becameOf({ id }: Request): Promise<View | null> {
    try {
      const answer = await this.#server.ask("GET", `/v1/redemptions/${id}`, { patienceMs: this.patienceMs });
      return viewIn(answer.text);
    } catch (error) {
      if (error instanceof SaysNo) return null;
      throw error;
    }
  }

  async #saidNo(no: SaysNo, request: Request, key: string, fields: CouponFields | null): Promise<Screen> {
    const { status, problem } = no;
    this.heard(true);
    // The shift or the terminal: which of the two, the next request without a shift tells.
    if (status === UNAUTHORIZED && request.seated?.shift) return slipped("nobody_sits");
    this.isDisowned = DISOWNED.includes(problem.code);
    const refusal = problem.refusal as Refusal | undefined;
    if (!refusal) {
      const slip = SLIP_OF[status] ?? "ask_again";
      if (slip === "ask_again") this.#remember(key, request);
      return slipped(slip);
    }
    this.#open.delete(key);
    const shownHash = hex(await sha256(utf8(request.code)));
    await this.#note("refused", request, fields, { shown_hash: shownHash, why: refusal.code });
    return refused(refusal, "server", {
      id: request.id,
      couponId: fields && couponIdOf(fields),
      challenge: refusal.code === "challenge_required" ? request.challenge : null,
    });
  }

  async #rememberYes(request: Request, view: View, fields: CouponFields | null): Promise<Screen> {
    const screen = accepted(
      {
        id: view.id,
        couponId: view.coupon_id,
        discountMinor: view.discount_minor,
        currency: view.currency,
        title: this.#title(fields, view.offer_id),
        lines: view.lines,
      },
      "server",
    );
    const spending: Spending = {
      jti: view.coupon_id,
      id: view.id,
      // What a short code hides may last longest.
      until: fields ? ofSecond(fields.exp) : this.counter.look().now + LONGEST_REMEMBERED_MS,
      taking: null,
      ask: "",
      answer: null,
      isOver: view.uses_left === 0 && !view.balance_minor,
      reversedId: null,
      orderRef: request.orderRef,
      basket: request.basket,
      applied: null,
    };
    const said = { currency: view.currency, discount_minor: view.discount_minor, offer: view.offer_id };
    await this.#note("redeemed", { ...request, id: view.id }, fields, { ...said, jti: view.coupon_id }, spending);
    return screen;
  }

  // Without the server.

  async #alone({ code, id, basket, orderRef, seated, challenge }: Request): Promise<Screen> {
    if (this.isDisowned) return slipped("not_paired");
    const by = { cashier: seated?.name, cashierId: seated?.cashierId };
    try {
      return shown(await this.counter.redeem(code, { id, basket, orderRef, challenge, ...by }));
    } catch (error) {
      if (error instanceof RequestReused) return slipped("ask_again");
      throw error;
    }
  }

  /** Write down what the server has decided; that stands, even if we cannot write it. */
  async #note(
    kind: EntryKind,
    { id, orderRef, seated }: Request,
    fields: CouponFields | null,
    more: Partial<Said>,
    spending: Spending | null = null,
  ): Promise<void> {
    const { findings, holdings, journal } = this.counter;
    if (findings.length) return;
    const said: Said = {
      store: holdings.storeId,
      ver: holdings.bundle?.ver ?? 0,
      lease: holdings.bundle?.lease_id,
      id,
      cashier: seated?.name,
      cashier_id: seated?.cashierId,
      order_ref: orderRef ?? undefined,
      ...(fields && { jti: couponIdOf(fields), cmp: fields.cmp }),
      ...more,
    };
    try {
      await journal.append(kind, "online", this.counter.look(), said, spending);
    } catch (error) {
      if (!isOfDisk(error) && !(error instanceof EntryTooLong)) throw error;
    }
  }

  #title(fields: CouponFields | null, offerId: string): Title | null {
    const { bundle } = this.counter.holdings;
    const campaign = bundle && fields && campaignOf(bundle, fields.cmp);
    return campaign?.offers.find((each) => each.id === offerId)?.terms.title ?? null;
  }

  /** Return the digits that the phone of this coupon must answer, if it must. */
  #digits(fields: CouponFields | null): string | null {
    if (fields === null || unpackedPolicy(fields.off).level !== "L4") return null;
    return this.counter.digits(couponIdOf(fields));
  }

  /** Keep a request of which nobody knows what became, the newest for each coupon. */
  #remember(key: string, request: Request): void {
    this.#open.delete(key); // so that it comes last
    this.#open.set(key, request);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MOST_OPEN) break;
      this.#open.delete(oldest);
    }
  }
}

/** One redemption as it is asked of whoever decides. */
interface Request {
  id: string;
  code: string;
  basket: Basket | null;
  orderRef: string | null;
  seated: Seated | null;
  challenge: string | null;
}

function isSame(earlier: Request, request: Request): boolean {
  return JSON.stringify({ ...earlier, id: "" }) === JSON.stringify({ ...request, id: "" });
}

function viewIn(text: string): View {
  try {
    const view = JSON.parse(text) as View;
    if (typeof view.id === "string" && typeof view.coupon_id === "string") return view;
  } catch {
    // It is not the server's.
  }
  throw new Away("an answer that is not the server's");
}
