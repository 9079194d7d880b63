// What a terminal must know of the campaign even with an old bundle: the policy bits of a code.
//
// Bits 0-1 level, 2-3 offline policy, 4-7 quota class, 8-10 freshness, 11 paper allowed, 12
// activation required, 13 multi-use, 14-15 zero.

export const LEVELS = ["L1", "L2", "L3", "L4"] as const;
const OFFLINE = ["online_only", "store_bound", "device_quota", "campaign_escrow"] as const;
const FRESHNESS_SECONDS = [15, 30, 60, 120, 300];

export interface Policy {
  level: (typeof LEVELS)[number];
  offline: (typeof OFFLINE)[number];
  quotaClass: number;
  freshnessSeconds: number;
  paperAllowed: boolean;
  activationRequired: boolean;
  multiUse: boolean;
}

/** Return the policy in these bits. Throws `RangeError` where bits are set that mean nothing yet. */
export function unpackedPolicy(off: number): Policy {
  const freshnessSeconds = FRESHNESS_SECONDS[(off >> 8) & 0b111];
  if (off < 0 || off >= 2 ** 14 || freshnessSeconds === undefined) throw new RangeError("unknown policy bits");
  return {
    level: LEVELS[off & 0b11]!,
    offline: OFFLINE[(off >> 2) & 0b11]!,
    quotaClass: (off >> 4) & 0b1111,
    freshnessSeconds,
    paperAllowed: Boolean((off >> 11) & 1),
    activationRequired: Boolean((off >> 12) & 1),
    multiUse: Boolean((off >> 13) & 1),
  };
}

/** Does a coupon of this policy count only with its phone's own proof? */
export function needsHolder(policy: Policy): boolean {
  return policy.level === "L3" || policy.level === "L4";
}
