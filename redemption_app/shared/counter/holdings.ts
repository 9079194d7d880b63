// What a terminal has been told: its bundle and the status lists, newest only, across restarts.
//
// Each is signed by the server key that the terminal learnt at its pairing. An older one than is
// held is refused whatever it says, so that nobody brings back a withdrawn key or a forgotten
// redemption.

import type { Bytes } from "../bytes.ts";
import { bundle as bundleShape, statusList, type Bundle, type PublicKey, type StatusListClaims } from "./bundle.ts";
import { keyRing, type KeyRing } from "./issuer_keys.ts";
import { importKey, verifyTyped, type Typ } from "./jwt.ts";
import { ofSecond } from "./moments.ts";
import type { Shape } from "./shapes.ts";
import { applied, isSet, shardOf, unpackedList } from "./status_lists.ts";
import type { ListRow, TerminalFile } from "./terminal_file.ts";
import { TokenRefused } from "./token_refused.ts";
import { Turns } from "./turns.ts";

/** What was sent is not taken; what was held before still counts. The text is for the log. */
export class HoldingRefused extends Error {
  override name = "HoldingRefused";
}

/** For whom and from whom things are held. */
export interface Holder {
  serverKey: PublicKey;
  terminalId: string;
  storeId: string;
}

const NO_KEYS: KeyRing = new Map();

/** The newest bundle and lists of one terminal. */
export class Holdings {
  readonly terminalId: string;
  readonly storeId: string;
  /** The newest bundle, which may be over: it still tells forgeries from coupons. */
  bundle: Bundle | null = null;
  ring: KeyRing = NO_KEYS;
  /** The latest instant that the server has signed: it is past. */
  heardAt = 0;
  #file: TerminalFile;
  #key: CryptoKey;
  #bundleJwt = "";
  #shards = new Map<string, ListRow>();
  #turns = new Turns();

  private constructor(file: TerminalFile, key: CryptoKey, { terminalId, storeId }: Holder) {
    this.#file = file;
    this.#key = key;
    this.terminalId = terminalId;
    this.storeId = storeId;
  }

  /** Go on with what was held. What cannot be read is as good as none: ask again. */
  static async open(file: TerminalFile, holder: Holder): Promise<Holdings> {
    const holdings = new Holdings(file, await importKey(holder.serverKey), holder);
    await holdings.#read();
    return holdings;
  }

  /**
   * Judge by this bundle from now on. The same one again is no news, and no error. Throws
   * `HoldingRefused` if it is not signed by our server, not for this terminal and store, over, or
   * older than the one that is held.
   */
  learnBundle(bundleJwt: string, now: number): Promise<Bundle> {
    return this.#turns.take(async () => {
      if (this.bundle && bundleJwt === this.#bundleJwt) return this.bundle;
      const bundle = await this.#bundleIn(bundleJwt);
      if (ofSecond(Math.min(bundle.exp, bundle.lease_until)) <= now) throw new HoldingRefused("the bundle is over");
      if (this.bundle && bundle.ver <= this.bundle.ver) {
        throw new HoldingRefused("the bundle is older than the one that is held");
      }
      const ring = await ringOf(bundle);
      await this.#file.write((writing) => writing.objectStore("kept").put(bundleJwt, "bundle"));
      this.#take(bundle, bundleJwt, ring);
      return bundle;
    });
  }

  /**
   * Judge by this list, or by what it says has changed, and return its version. Throws
   * `HoldingRefused` if it is not signed by our server, not of this operator, over, older than what
   * is held, or goes on from a version that is not held: ask for the whole list.
   */
  learnList(listJwt: string, now: number): Promise<number> {
    return this.#turns.take(async () => {
      const claims = await this.#claims(listJwt, "statuslist+jwt", statusList, "list");
      const { shard, ver, iat, exp } = claims;
      const cmp = this.#campaignIn(claims.sub);
      const held = this.#shards.get(named(cmp, shard));
      if (ofSecond(exp) <= now) throw new HoldingRefused("the list is over");
      if (held && ver < held.ver) throw new HoldingRefused("the list is older than the one that is held");
      const row: ListRow = { cmp, shard, ver, iat, exp, bits: await bitsIn(claims, held) };
      await this.#file.write((writing) => writing.objectStore("list").put(row));
      this.#shards.set(named(cmp, shard), row);
      this.#hear(iat);
      return ver;
    });
  }

  /** Say whether this place of a campaign's list is set; null if no list counts now. */
  status(cmp: number, idx: number, now: number): boolean | null {
    const [at, place] = shardOf(idx);
    const shard = this.#shards.get(named(cmp, at));
    if (!shard || ofSecond(shard.exp) <= now || place >= shard.bits.length * 8) return null;
    return isSet(shard.bits, place);
  }

  /** Return which version of a shard is held; 0 is none. */
  listVer(cmp: number, shard: number): number {
    return this.#shards.get(named(cmp, shard))?.ver ?? 0;
  }

  /** Return by which version of its list this coupon is judged; 0 is none. */
  listVerFor(cmp: number, idx: number): number {
    return this.listVer(cmp, shardOf(idx)[0]);
  }

  #take(bundle: Bundle, bundleJwt: string, ring: KeyRing): void {
    [this.bundle, this.#bundleJwt, this.ring] = [bundle, bundleJwt, ring];
    this.#hear(bundle.iat);
  }

  #hear(second: number): void {
    this.heardAt = Math.max(this.heardAt, ofSecond(second));
  }

  async #bundleIn(bundleJwt: string): Promise<Bundle> {
    const bundle = await this.#claims(bundleJwt, "bundle+jwt", bundleShape, "bundle");
    if (bundle.terminal_id !== this.terminalId) throw new HoldingRefused("the bundle is another terminal's");
    if (bundle.store_id !== this.storeId) throw new HoldingRefused("the bundle is for another store");
    return bundle;
  }

  /** Return which campaign's list it is; of another operator's campaign it is none. */
  #campaignIn(sub: string): number {
    if (!this.bundle) throw new HoldingRefused("no bundle is held, which comes first");
    const start = `${this.bundle.iss}/sl/`;
    const number = sub.slice(start.length);
    if (!sub.startsWith(start) || !/^\d+$/.test(number)) throw new HoldingRefused("the list is not this operator's");
    return Number(number);
  }

  async #claims<T>(token: string, typ: Typ, shape: Shape<T>, name: string): Promise<T> {
    try {
      return shape(await verifyTyped(token, this.#key, typ));
    } catch (error) {
      if (error instanceof TokenRefused) throw new HoldingRefused(`not signed by our server as ${typ}: ${error.code}`);
      throw new HoldingRefused(`not a ${name} that this version understands`);
    }
  }

  async #read(): Promise<void> {
    const bundleJwt = await this.#file.rows.get("kept", "bundle");
    if (typeof bundleJwt !== "string") return;
    try {
      const bundle = await this.#bundleIn(bundleJwt);
      this.#take(bundle, bundleJwt, await ringOf(bundle));
    } catch (error) {
      if (error instanceof HoldingRefused) return;
      throw error;
    }
    for (const row of await this.#file.rows.getAll("list")) {
      this.#shards.set(named(row.cmp, row.shard), row);
      this.#hear(row.iat);
    }
  }
}

function named(cmp: number, shard: number): string {
  return `${cmp}/${shard}`;
}

async function bitsIn({ status_list, since, changed }: StatusListClaims, held: ListRow | undefined): Promise<Bytes> {
  try {
    if (status_list) return await unpackedList(status_list.lst);
    if (!changed || since === undefined) throw new HoldingRefused("neither a list nor what has changed of one");
    // Changes since an older version hold them all.
    if (!held || held.ver < since) throw new HoldingRefused("the changes go on from a version that is not held");
    return applied(held.bits, changed);
  } catch (error) {
    if (error instanceof RangeError) throw new HoldingRefused("not a list that this version understands");
    throw error;
  }
}

async function ringOf(bundle: Bundle): Promise<KeyRing> {
  try {
    return await keyRing(bundle);
  } catch {
    throw new HoldingRefused("the bundle's keys are no key ring");
  }
}
