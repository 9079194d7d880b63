// The guarded clock never goes behind what the terminal knows to be past.

import { expect, test } from "vitest";
import { GuardedClock, isBehind } from "../shared/counter/clock.ts";

const NOON = Date.UTC(2026, 10, 22, 12);
const MINUTE = 60_000;

function clock(): { hands: { wall: number; steady: number }; guarded: GuardedClock } {
  const hands = { wall: NOON, steady: 5_000 };
  return { hands, guarded: new GuardedClock(() => hands.wall, () => hands.steady) };
}

test("a clock that knows nothing is believed", () => {
  const { guarded } = clock();

  expect(guarded.read()).toEqual({ now: NOON, tMin: 0, behindMs: 0 });
});

test("a clock that is set back does not go back", () => {
  const { hands, guarded } = clock();
  guarded.learn(NOON);

  hands.wall -= 60 * MINUTE;

  expect(guarded.read()).toEqual({ now: NOON, tMin: NOON, behindMs: 60 * MINUTE });
});

test("time goes by on the clock that nobody can set", () => {
  const { hands, guarded } = clock();
  guarded.learn(NOON);

  hands.wall -= 60 * MINUTE;
  hands.steady += 10 * MINUTE;

  expect(guarded.read().now).toBe(NOON + 10 * MINUTE);
});

test("what is earlier than what is known teaches nothing", () => {
  const { guarded } = clock();
  guarded.learn(NOON + MINUTE);

  guarded.learn(NOON);

  expect(guarded.read().now).toBe(NOON + MINUTE);
});

test("two minutes behind is an error of clocks; more is not believed", () => {
  const { guarded } = clock();

  guarded.learn(NOON + 2 * MINUTE);
  expect(isBehind(guarded.read())).toBe(false);

  guarded.learn(NOON + 2 * MINUTE + 1);
  expect(isBehind(guarded.read())).toBe(true);
});
