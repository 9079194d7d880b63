// Showing that an address or number is one's own, and what follows from it: the coupons of a
// customer known before come to this phone.

import type { Schema } from "../../shared/api/client.ts";
import { Problem } from "../../shared/api/problem.ts";
import { newId } from "../../shared/ids.ts";
import { spoken } from "../../shared/language.svelte.ts";
import { asked } from "./asking.ts";
import { note, noted, type KeptPasscode } from "./keeping.ts";
import { enter, refreshAt, take as takeCoupon } from "./tending.ts";
import { wallet } from "./wallet.svelte.ts";

export type Kind = "email" | "phone";

/** Have a code sent. What waits for it is kept: the link in a mail opens the app anew. */
export async function askForCode(operator: string, kind: Kind, to: string, endOthers: boolean): Promise<KeptPasscode> {
  await enter(operator);
  const body = { id: newId(), kind, to: to.trim(), region: regionOf(kind, to), language: spoken.now };
  const { id, expires_at } = await asked(operator, (api) => api.POST("/v1/passcodes", { body }));
  const kept = { id, operator, to: body.to, expiresAt: expires_at, endOthers };
  await note("passcode", kept);
  return kept;
}

export async function codeThatWaits(now: number): Promise<KeptPasscode | undefined> {
  const kept = await noted("passcode");
  return kept && now < Date.parse(kept.expiresAt) ? kept : undefined;
}

export async function forgetCode(): Promise<void> {
  await note("passcode", undefined);
}

/** Answer with what was sent, and bring all coupons of that customer to this phone. */
export async function answerCode(passcode: KeptPasscode, code: string): Promise<Schema["PasscodeAnswerView"]> {
  const body = { passcode_id: passcode.id, code, end_others: passcode.endOthers };
  const heard = await asked(passcode.operator, (api) => api.POST("/v1/passcode-answers", { body }));
  await forgetCode();
  await refreshAt(passcode.operator);
  await bindAllHere(passcode.operator);
  return heard;
}

/** What is bound to another phone works there alone, until it is bound to this one. */
async function bindAllHere(operator: string): Promise<void> {
  for (const { id } of wallet.coupons.filter((each) => each.operator === operator && each.isElsewhere)) {
    try {
      const body = { id: newId(), coupon_id: id };
      const view = await asked(operator, (api) => api.POST("/v1/wallet/rebinds", { body }));
      await takeCoupon(operator, view, { anew: true });
    } catch (error) {
      // One that cannot move says so on its own screen; the others still come.
      if (!(error instanceof Problem)) throw error;
    }
  }
}

/** A number without its country's prefix is dialled in the country that the phone is set to. */
function regionOf(kind: Kind, to: string): string | null {
  if (kind === "email" || to.trim().startsWith("+")) return null;
  return new Intl.Locale(navigator.language).maximize().region ?? null;
}
