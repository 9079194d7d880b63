// All that a terminal knows when it is alone: what the server signs for it.

import { count, currency, millis, minor, number, second, uuid } from "./numbers.ts";
import { terms } from "./offers.ts";
import { flag, like, list, maybe, one, record, text, whole, type Of } from "./shapes.ts";

export const ONLINE_CLASS = 15; // the quota class of coupons whose offer no terminal is told

const coordinate = like(/^[A-Za-z0-9_-]{43}$/);
const publicKey = record({ kty: one("EC"), crv: one("P-256"), x: coordinate, y: coordinate });

const key = record({ letter: like(/^[A-Z]$/), kid: text, jwk: publicKey, nbf: second, exp: maybe(second) });

const offer = record({ quota_class: whole(0, ONLINE_CLASS - 1), id: uuid, terms });

export const offlinePolicy = one("online_only", "store_bound", "device_quota", "campaign_escrow", "activated");

const campaign = record({
  number,
  id: uuid,
  currency,
  zone: text,
  offline: offlinePolicy,
  is_live: flag,
  is_paused: flag,
  has_ended_for_good: flag,
  offers: list(offer),
  max_count: count,
  max_minor: minor,
});

const listNamed = record({ cmp: number, shard: whole(0, Number.MAX_SAFE_INTEGER), ver: millis });

/** Claims of a `bundle+jwt`. `ver` rises with every bundle; it ends with the lease at the latest. */
export const bundle = record({
  ver: number,
  iat: second,
  exp: second,
  iss: text,
  terminal_id: uuid,
  store_id: uuid,
  store_number: number,
  store_zone: text,
  lease_id: uuid,
  lease_number: count,
  lease_until: second,
  is_authority: flag,
  hub_id: maybe(uuid),
  hub_url: maybe(text),
  keys: list(key),
  campaigns: list(campaign),
  lists: list(listNamed),
  terminals: list(record({ id: uuid, name: text, public_key: publicKey })),
});

/** Claims of a `statuslist+jwt`: a whole shard, or what changed since a version. */
export const statusList = record(
  {
    sub: text,
    iat: second,
    exp: second,
    ttl: whole(1, Number.MAX_SAFE_INTEGER),
    ver: millis,
    shard: whole(0, Number.MAX_SAFE_INTEGER),
  },
  {
    status_list: record({ bits: one(1), lst: text }),
    since: millis,
    changed: record({ set: text, cleared: text }),
  },
);

export type Bundle = Of<typeof bundle>;
export type BundleKey = Of<typeof key>;
export type BundleOffer = Of<typeof offer>;
export type BundleCampaign = Of<typeof campaign>;
export type ListNamed = Of<typeof listNamed>;
export type OfflinePolicy = Of<typeof offlinePolicy>;
export type StatusListClaims = Of<typeof statusList>;
export type Changed = NonNullable<StatusListClaims["changed"]>;
export type PublicKey = Of<typeof publicKey>;
