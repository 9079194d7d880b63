// A terminal that is alone shows in the browser, scan after scan, what the one in Python shows:
// tests/vectors/counter.json.

import "fake-indexeddb/auto";
import { expect, test } from "vitest";
import type { PublicKey } from "../shared/counter/bundle.ts";
import { HoldingRefused } from "../shared/counter/holdings.ts";
import { isRefused } from "../shared/counter/judging.ts";
import { shown, type Screen } from "../shared/counter/showing.ts";
import type { Basket } from "../shared/counter/baskets.ts";
import { newKey } from "../shared/device_key.ts";
import { opened } from "./counters.ts";
import vectors from "../../tests/vectors/counter.json" with { type: "json" };

interface Step {
  wall: number;
  steady: number;
  bundle?: string;
  list?: string;
  is_taken?: boolean;
  scan?: { text: string; basket: Basket | null; order_ref: string | null };
  screen?: Record<string, unknown>;
}

const { terminal_id, store_id, server_key } = vectors.holder;
const HOLDER = { terminalId: terminal_id, storeId: store_id, serverKey: server_key as PublicKey };

test.each(vectors.stories)("$name", async ({ steps }) => {
  const hands = { wall: 0, steady: 0 };
  const counter = await opened({ holder: HOLDER, key: await newKey(), hands });

  for (const [at, step] of (steps as Step[]).entries()) {
    Object.assign(hands, { wall: step.wall, steady: step.steady });
    if (step.scan) {
      const { text, basket, order_ref } = step.scan;
      const verdict = await counter.redeem(text, { basket, orderRef: order_ref });
      expect(told(shown(verdict)), `step ${at}`).toEqual(step.screen);
      if (isRefused(verdict)) expect(verdict.challenge !== null).toBe(verdict.refusal.code === "challenge_required");
    } else {
      expect(await isTaken(counter, step), `step ${at}`).toBe(step.is_taken);
    }
  }
  expect(await counter.journal.check()).toEqual([]);
  await counter.close();
});

async function isTaken(counter: Awaited<ReturnType<typeof opened>>, { bundle, list }: Step): Promise<boolean> {
  const { now } = counter.look();
  try {
    await (bundle ? counter.holdings.learnBundle(bundle, now) : counter.holdings.learnList(list!, now));
    return true;
  } catch (error) {
    if (error instanceof HoldingRefused) return false;
    throw error;
  }
}

/** Return a screen as the vectors have it: by the wire's names, and without what chance has made. */
function told(screen: Screen): unknown {
  const { decidedBy, couponId, discountMinor, isProvisional, redemptionId, challenge, firstUsedAt, ...same } = screen;
  expect(redemptionId).toMatch(/^[0-9a-f-]{36}$/);
  expect(firstUsedAt === null || screen.code === "already_redeemed").toBe(true);
  const plain = {
    ...same,
    decided_by: decidedBy,
    coupon_id: couponId,
    discount_minor: discountMinor,
    is_provisional: isProvisional,
  };
  const text = JSON.stringify(plain).replaceAll("\u00a0", "");
  return JSON.parse(challenge ? text.replaceAll(challenge, "....") : text);
}
