// Why a code is not taken. A cashier hears one sentence for every forgery; the codes are for the
// record.

import type { Needs, Why } from "./refusals.ts";

export type TokenCode = Extract<
  Why,
  | "not_a_coupon"
  | "malformed"
  | "unknown_key"
  | "key_scope"
  | "bad_signature"
  | "bad_holder_signature"
  | "stale"
  | "clock_ahead"
  | "challenge_required"
  | "live_code_required"
>;

export class TokenRefused extends Error {
  override name = "TokenRefused";
  readonly code: TokenCode;
  readonly details: Needs;

  constructor(code: TokenCode, details: Needs = {}) {
    super(code);
    this.code = code;
    this.details = details;
  }
}
