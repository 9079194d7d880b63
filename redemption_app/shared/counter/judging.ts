// Judging alone: from the text that was shown to a verdict, and on disk before it is told.
//
// The order of questions is that of `alone.ts`: what the code says, what the terminal knows of it,
// the phone's proof, what the campaign lets a terminal decide; then the judge that the server has
// as well; last the allowance. Every no is written down with the hash of what was shown, never with
// the text. All forgeries sound alike.

import { hex, sha256, utf8 } from "../bytes.ts";
import { newId } from "../ids.ts";
import {
  afterProof,
  beforeProof,
  campaignOf,
  caseOf,
  isProvisional,
  offerOf,
  overAllowance,
  placeOf,
  type Alone,
} from "./alone.ts";
import { linesOf, type Basket, type LineDiscount } from "./baskets.ts";
import type { Bundle, BundleOffer } from "./bundle.ts";
import { Challenges } from "./challenges.ts";
import type { Finding } from "./checking.ts";
import { isBehind, type GuardedClock, type Look } from "./clock.ts";
import { takesUnits } from "./discounts.ts";
import type { Applied, Discount } from "./facts.ts";
import type { Holdings } from "./holdings.ts";
import { EntryTooLong, JournalMoved, type Journal } from "./journal.ts";
import type { Said } from "./journals.ts";
import { isRefusal, judge } from "./judge.ts";
import { AllowanceUsedUp, AlreadySpent, type OpenReceipt } from "./ledger.ts";
import { isoText, ofSecond } from "./moments.ts";
import type { Title } from "./offers.ts";
import { reason, type Reason, type Refusal } from "./refusals.ts";
import { isShortCode } from "./short_code.ts";
import type { SpentRow } from "./terminal_file.ts";
import { ANYWHERE, claimed, couponIdOf, looksLikeACoupon, read, type CouponFields } from "./token.ts";
import { TokenRefused } from "./token_refused.ts";
import { Turns } from "./turns.ts";
import { refusal } from "./wording.ts";

// A list tells what was so when it was read, but for what was being written just then.
const LIST_MISSES_MS = 30_000;
const UNPROVEN = ["bad_holder_signature", "challenge_required", "clock_ahead", "live_code_required", "stale"];

/** This id was used for another coupon or basket. */
export class RequestReused extends Error {
  override name = "RequestReused";
}

/** Yes. It is in the journal, and the server will hear of it. */
export interface Accepted {
  id: string;
  couponId: string;
  offerId: string;
  title: Title;
  discountMinor: number;
  currency: string;
  lines: LineDiscount[];
  isProvisional: boolean; // an earlier redemption of the same coupon may still come in
}

/** No, and why; with the digits to show, where the phone has to answer some. */
export interface Refused {
  id: string;
  couponId: string | null;
  refusal: Refusal;
  challenge: string | null;
}

export type Verdict = Accepted | Refused;

/** What comes with a code. */
export interface AtCounter {
  basket?: Basket | null;
  orderRef?: string | null; // coupons with one receipt share one basket
  cashier?: string | undefined;
  cashierId?: string | undefined;
  challenge?: string | null;
  id?: string; // the same id with the same coupon and basket gets the first yes again
}

export function isRefused(verdict: Verdict): verdict is Refused {
  return "refusal" in verdict;
}

/** Redeems at one terminal without the server, one coupon after the other. */
export class Counter {
  readonly holdings: Holdings;
  readonly journal: Journal;
  readonly findings: Finding[];
  #clock: GuardedClock;
  #challenges = new Challenges();
  #turns = new Turns();
  #wasBehind = false;

  private constructor(holdings: Holdings, journal: Journal, clock: GuardedClock, findings: Finding[]) {
    this.holdings = holdings;
    this.journal = journal;
    this.findings = findings;
    this.#clock = clock;
    this.look();
  }

  /** Look through the journal first: on one that is not whole nothing is decided alone. */
  static async open(holdings: Holdings, journal: Journal, clock: GuardedClock): Promise<Counter> {
    const counter = new Counter(holdings, journal, clock, await journal.check());
    await counter.#turns.take(() => counter.#beginLease()); // where the tab was closed in between
    return counter;
  }

  /** Read the guarded clock, which knows what the server and the journal have said. */
  look(): Look {
    this.#clock.learn(this.holdings.heardAt);
    this.#clock.learn(this.journal.last.ts);
    return this.#clock.read();
  }

  /** Redeem what was shown, or say why not. A yes is on disk before this is done. */
  redeem(text: string, more: AtCounter = {}): Promise<Verdict> {
    return this.#asked(text, more, { isDry: false });
  }

  /** Say what redeeming would say. Changes nothing, and nothing is written down. */
  validate(text: string, more: AtCounter = {}): Promise<Verdict> {
    return this.#asked(text, more, { isDry: true });
  }

  #asked(text: string, more: AtCounter, { isDry }: { isDry: boolean }): Promise<Verdict> {
    return this.#turns.take(async () => {
      const at = this.look();
      if (!isDry) await this.#notice(at);
      const { basket = null, orderRef = null, challenge = null, cashier, cashierId } = more;
      // A wedge scanner ends with a newline.
      const shown = text.trim();
      const shownHash = await hashOf(shown);
      const id = more.id ?? newId(at.now);
      const asked = { text: shown, shownHash, basket, orderRef, challenge, cashier, cashierId, id };
      return this.#answer({ ...asked, isDry, fields: null, unproven: null, nonce: null }, at);
    });
  }

  /**
   * Judge by this bundle from now on, while nothing is being redeemed. A new lease is written down
   * before anything is done under it. Throws `HoldingRefused`.
   */
  learnBundle(bundleJwt: string): Promise<void> {
    return this.#turns.take(async () => {
      await this.holdings.learnBundle(bundleJwt, this.look().now);
      await this.#beginLease();
    });
  }

  /** Write that the lease of the bundle is the one under which everything is from now on. */
  async #beginLease(): Promise<void> {
    const { bundle } = this.holdings;
    if (bundle === null || this.findings.length || bundle.lease_id === (await this.journal.leased())) return;
    const { store_id: store, ver, lease_id: lease } = bundle;
    await this.journal.append("leased", "offline", this.look(), { store, ver, lease });
  }

  /** Return the four digits that this coupon's phone has to answer here. */
  digits(couponId: string): string {
    return this.#challenges.digits(couponId, this.look().now);
  }

  /** Write down, once, that the terminal's clock is behind what it knows to be past. */
  async #notice(at: Look): Promise<void> {
    if (isBehind(at) && !this.#wasBehind && !this.findings.length) {
      const said = { store: this.holdings.storeId, ver: this.holdings.bundle?.ver ?? 0 };
      const note = { behind_seconds: Math.floor(at.behindMs / 1_000) };
      await unwritten(this.journal.append("clock", "offline", at, { ...said, note }));
    }
    this.#wasBehind = isBehind(at);
  }

  async #answer(ask: Ask, at: Look): Promise<Verdict> {
    const { bundle } = this.holdings;
    try {
      const fields = await this.#read(ask, bundle, at);
      ask.fields = fields;
      const again = await this.#again(ask, fields);
      if (again) return again;
      const facts = await this.#facts(fields, bundle!, at);
      refuse(beforeProof(facts));
      await this.#prove(ask, fields, at);
      refuse(this.#unsound() ?? afterProof(facts));
      return await this.#judge(ask, facts, bundle!, at);
    } catch (no) {
      if (!(no instanceof No)) throw no;
      return this.#refuse(ask, at, no.refusal, no.challenge);
    }
  }

  /** Return what the issuer has signed. The phone's proof may be wrong: `ask.unproven`. */
  async #read(ask: Ask, bundle: Bundle | null, at: Look): Promise<CouponFields> {
    if (isShortCode(ask.text)) throw new No(reason("online_required", "code"));
    if (!looksLikeACoupon(ask.text)) throw new No(reason("not_a_coupon", "code"));
    if (bundle === null) throw new No(reason("lease_expired", "bundle"));
    try {
      return await this.#token(ask, at);
    } catch (refused) {
      if (!(refused instanceof TokenRefused)) throw refused;
      if (UNPROVEN.includes(refused.code)) {
        // These come last: the issuer's signature holds, and what it says may be asked first.
        ask.unproven = refused;
        return claimed(ask.text)!;
      }
      if (refused.code === "unknown_key" && at.now >= placeOf(bundle).decidesUntil) {
        throw new No(reason("lease_expired", "bundle.keys")); // a newer bundle may know it
      }
      throw new No(reason(refused.code, "code"));
    }
  }

  async #token(ask: Ask, at: Look, nonce = ""): Promise<CouponFields> {
    const token = await read(ask.text, this.holdings.ring, { now: at.now, audiences: [ANYWHERE], nonce });
    return token.fields;
  }

  async #facts(fields: CouponFields, bundle: Bundle, at: Look): Promise<Alone> {
    const isListed = this.holdings.status(fields.cmp, fields.idx, at.now);
    const spent = await this.journal.spent(couponIdOf(fields));
    const counts = spent && !(isListed === false && this.#wasReversed(spent, fields));
    return {
      fields,
      place: placeOf(bundle),
      campaign: campaignOf(bundle, fields.cmp),
      now: at.now,
      isListed,
      redeemedAt: counts ? spent.ts : null,
      isClockBehind: isBehind(at),
    };
  }

  /**
   * Does a list that is newer than the server's knowledge of it not have this redemption? Then it
   * was taken back. All by the server's own clock: ours may be wrong.
   */
  #wasReversed(spent: SpentRow, fields: CouponFields): boolean {
    if (spent.heardAt === null) return false;
    return this.holdings.listVerFor(fields.cmp, fields.idx) > spent.heardAt + LIST_MISSES_MS;
  }

  /** Look at what reading has found out about the phone's proof, and at its digits. */
  async #prove(ask: Ask, fields: CouponFields, at: Look): Promise<void> {
    if (ask.unproven === null) return;
    const { code, details } = ask.unproven;
    const couponId = couponIdOf(fields);
    const isChallenged = code === "challenge_required";
    const pause = isChallenged ? this.#challenges.pauseLeft(couponId, at.now) : 0;
    if (pause) throw this.#asksForDigits(couponId, at, pause);
    const digits = this.#challenges.open(couponId, at.now) ?? ask.challenge;
    if (digits && (await this.#hasAnswered(ask, digits, at))) {
      ask.nonce = digits;
      return;
    }
    if (!isChallenged) throw new No(reason(code, "code", details));
    throw this.#asksForDigits(couponId, at, this.#challenges.wrong(couponId, ask.shownHash, at.now));
  }

  /** Has the phone signed these digits? Then its clock does not matter. */
  async #hasAnswered(ask: Ask, digits: string, at: Look): Promise<boolean> {
    try {
      await this.#token(ask, at, digits);
      return true;
    } catch (refused) {
      if (refused instanceof TokenRefused) return false;
      throw refused;
    }
  }

  #asksForDigits(couponId: string, at: Look, waitSeconds: number): No {
    const digits = this.#challenges.digits(couponId, at.now);
    const needs = { challenge: digits, ...(waitSeconds && { wait_seconds: waitSeconds }) };
    return new No(reason("challenge_required", "code", needs), digits);
  }

  /** A journal that is not whole cannot say what was spent. */
  #unsound(): Reason | null {
    return this.findings.length ? reason("online_required", "journal") : null;
  }

  /** Return the first yes to this very ask, if there was one. */
  async #again(ask: Ask, fields: CouponFields): Promise<Verdict | null> {
    const first = await this.journal.redeemed(ask.id);
    if (!first?.answer) return null;
    if (first.ask !== printOf(ask, fields)) throw new RequestReused("this id was used for another request");
    return first.answer as Accepted;
  }

  async #judge(ask: Ask, facts: Alone, bundle: Bundle, at: Look): Promise<Verdict> {
    const receipt = ask.orderRef === null ? null : await this.journal.receipt(ask.orderRef);
    refuse(receiptInTheWay(ask, receipt));
    const applied = receipt?.applied ?? [];
    const hasBasketChanged = applied.length > 0 && !isSame(receipt?.basket ?? null, ask.basket);
    const verdict = judge(caseOf(facts, { basket: ask.basket, applied, hasBasketChanged }));
    if (isRefusal(verdict)) throw new No(verdict);
    return this.#accept(ask, facts, bundle, verdict, at);
  }

  async #accept(ask: Ask, facts: Alone, bundle: Bundle, discount: Discount, at: Look): Promise<Verdict> {
    const { fields } = facts;
    const [campaign, offer, couponId] = [facts.campaign!, offerOf(facts)!, couponIdOf(fields)];
    const yes: Accepted = {
      id: ask.id,
      couponId,
      offerId: offer.id,
      title: offer.terms.title,
      discountMinor: discount.minor,
      currency: campaign.currency,
      lines: discount.lines,
      isProvisional: isProvisional(campaign.offline),
    };
    const taking = {
      leaseId: bundle.lease_id,
      campaignId: campaign.id,
      minor: discount.minor,
      maxCount: campaign.max_count,
      maxMinor: campaign.max_minor,
    };
    if (ask.isDry) {
      refuse(overAllowance(await this.journal.allowance(taking), discount.minor));
      return yes;
    }
    const said: Said = {
      ...this.#said(ask),
      shown: ask.text,
      challenge: ask.nonce ?? undefined,
      offer: offer.id,
      order_ref: ask.orderRef ?? undefined,
      basket: ask.basket ?? undefined,
      currency: campaign.currency,
      discount_minor: discount.minor,
      lines: discount.lines,
    };
    const spending = {
      jti: couponId,
      id: ask.id,
      until: ofSecond(fields.exp),
      taking,
      ask: printOf(ask, fields),
      answer: yes,
      isOver: true,
      reversedId: await this.#reversedId(facts),
      orderRef: ask.orderRef,
      basket: ask.basket,
      applied: appliedBy(ask.id, offer, discount),
    };
    try {
      await this.journal.append("redeemed", "offline", at, said, spending);
    } catch (error) {
      throw new No(whyNotWritten(error));
    }
    return yes;
  }

  /** Return the redemption in the ledger that was found to count no more. */
  async #reversedId({ fields, redeemedAt }: Alone): Promise<string | null> {
    return redeemedAt === null ? ((await this.journal.spent(couponIdOf(fields)))?.id ?? null) : null;
  }

  async #refuse(ask: Ask, at: Look, no: Reason | Refusal, challenge: string | null): Promise<Refused> {
    const zone = this.holdings.bundle?.store_zone ?? "UTC";
    const worded = "rule" in no ? refusal([no], { currency: null, zone, now: at.now }) : no;
    // On a journal that is not whole nothing is built. A no stands without its entry; a yes would not.
    if (!ask.isDry && !this.findings.length) await unwritten(this.#writeDown(ask, at, worded));
    return { id: ask.id, couponId: ask.fields && couponIdOf(ask.fields), refusal: worded, challenge };
  }

  #writeDown(ask: Ask, at: Look, { code, reasons }: Refusal): Promise<unknown> {
    const said = { ...this.#said(ask), shown_hash: ask.shownHash, why: code, note: { rule: reasons[0]!.rule } };
    return this.journal.append("refused", "offline", at, said);
  }

  /** Return what every entry about a scan says. */
  #said({ fields, cashier, cashierId, id }: Ask): Said {
    const { bundle, storeId } = this.holdings;
    const coupon = fields && {
      jti: couponIdOf(fields),
      cmp: fields.cmp,
      list_ver: this.holdings.listVerFor(fields.cmp, fields.idx),
    };
    const by = { lease: bundle?.lease_id, ver: bundle?.ver ?? 0 };
    return { store: storeId, ...by, cashier, cashier_id: cashierId, id, ...coupon };
  }
}

/** One redemption as it was asked for, and what reading it has shown. */
interface Ask {
  text: string;
  shownHash: string;
  basket: Basket | null;
  orderRef: string | null;
  cashier: string | undefined;
  cashierId: string | undefined;
  challenge: string | null;
  id: string;
  isDry: boolean; // nothing is to be written
  fields: CouponFields | null;
  unproven: TokenRefused | null;
  nonce: string | null; // the digits that the phone has answered
}

class No extends Error {
  override name = "No";
  readonly refusal: Reason | Refusal;
  readonly challenge: string | null;

  constructor(no: Reason | Refusal, challenge: string | null = null) {
    super(no.code);
    this.refusal = no;
    this.challenge = challenge;
  }
}

function refuse(found: Reason | null): void {
  if (found) throw new No(found);
}

/** Tell this ask from another with the same id: by the coupon and the basket. */
function printOf({ basket, orderRef }: Ask, fields: CouponFields): string {
  return JSON.stringify([couponIdOf(fields), orderRef, basket && told(basket)]);
}

/** Coupons share a receipt only if each comes with its basket, and all of them are known. */
function receiptInTheWay({ basket, orderRef }: Ask, receipt: OpenReceipt | null): Reason | null {
  if (orderRef !== null && basket === null) return reason("basket_required", "basket");
  if (receipt !== null && receipt.applied === null) return reason("online_required", "basket.order_ref");
  return null;
}

function appliedBy(redemptionId: string, offer: BundleOffer, discount: Discount): Applied {
  const { benefit, conditions } = offer.terms;
  return {
    redemptionId,
    offerId: offer.id,
    exclusivityGroups: conditions.exclusivity_groups,
    stackingOrder: conditions.stacking_order,
    discountMinor: discount.minor,
    lines: discount.lines,
    byUnit: takesUnits(benefit),
  };
}

/** Is it the basket of the receipt's first coupon? With lines the total is not told apart. */
function isSame(first: Basket | null, basket: Basket | null): boolean {
  if (first === null || basket === null) return true;
  return JSON.stringify(told(first)) === JSON.stringify(told(basket));
}

/** Return what a basket says, in one order of names. */
function told(basket: Basket): unknown {
  const lines = linesOf(basket).map((line) => [
    line.product,
    line.category ?? null,
    line.quantity,
    line.unit_price_minor,
  ]);
  return [basket.currency, lines.length ? lines : (basket.total_minor ?? null)];
}

/** Return why a yes was not written, so that it is a no: what is not written is not promised. */
function whyNotWritten(error: unknown): Reason {
  if (error instanceof AlreadySpent) {
    return reason("already_redeemed", "ledger", { at: isoText(error.spent.ts) });
  }
  if (error instanceof AllowanceUsedUp) return reason("quota_reached", error.rule);
  if (error instanceof EntryTooLong) return reason("online_required", "basket.lines");
  if (isOfDisk(error)) return reason("online_required", "journal");
  throw error;
}

/** Go on without what could not be written; anything but a broken or full disk is a bug. */
async function unwritten(writing: Promise<unknown>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (!isOfDisk(error)) throw error;
  }
}

/** Could it not be written, through no fault of ours? */
export function isOfDisk(error: unknown): boolean {
  return error instanceof DOMException || error instanceof JournalMoved;
}

async function hashOf(text: string): Promise<string> {
  return hex(await sha256(utf8(text)));
}
