// The keys that sign coupons, as a bundle tells them.

import type { Bundle } from "./bundle.ts";
import { importKey } from "./jwt.ts";
import { MOST_NUMBER } from "./numbers.ts";
import { ofSecond } from "./moments.ts";

/** One key of one operator, with the limits within which its signature counts. */
export interface IssuerKey {
  letter: string; // A to Z: how a code names the key
  kid: string;
  issuer: string; // the operator's address, such as https://coupons.example/acme
  public: CryptoKey;
  validFrom: number;
  validUntil: number | null; // null: not retired yet
  campaigns: [first: number, below: number];
}

/** One operator's keys by letter. */
export type KeyRing = ReadonlyMap<string, IssuerKey>;

export const EVERY_CAMPAIGN: [number, number] = [0, MOST_NUMBER + 1];

/** Return the keys of this bundle. Throws if they are no key ring. */
export async function keyRing({ keys, iss }: Bundle): Promise<KeyRing> {
  const ring = new Map<string, IssuerKey>();
  for (const { letter, kid, jwk, nbf, exp } of keys) {
    ring.set(letter, {
      letter,
      kid,
      issuer: iss,
      public: await importKey(jwk),
      validFrom: ofSecond(nbf),
      validUntil: exp === null ? null : ofSecond(exp),
      campaigns: EVERY_CAMPAIGN,
    });
  }
  if (ring.size < keys.length || new Set(keys.map((key) => key.kid)).size < keys.length) {
    throw new RangeError("two keys share a letter or an id");
  }
  return ring;
}

/** May this key sign for this campaign, now? */
export function isInScope(key: IssuerKey, cmp: number, now: number): boolean {
  const [first, below] = key.campaigns;
  const isItsTime = key.validFrom <= now && (key.validUntil === null || now < key.validUntil);
  return isItsTime && first <= cmp && cmp < below;
}
