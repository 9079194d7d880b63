// How a coupon stands and how far a store is: by the phone's own reckoning, with no server to ask.

import { expect, test, vi } from "vitest";
import type { CouponView, KeptCoupon, StoreView } from "../apps/wallet/keeping.ts";

// What language is spoken, a page would know.
vi.stubGlobal("localStorage", { getItem: () => "en" });
vi.stubGlobal("document", { documentElement: {} });
const { canShow, onShelf, shelfOf, standing, window } = await import("../apps/wallet/standing.ts");
const { byDistance, distanceTold, wayTo } = await import("../apps/wallet/ways.ts");

const NOON = Date.parse("2026-03-02T12:00:00Z");
const HOUR = 3_600_000;

function coupon(more: Partial<CouponView> = {}): KeptCoupon {
  const view = {
    id: "1",
    state: "active",
    zone: "Europe/Berlin",
    valid_from: new Date(NOON - HOUR).toISOString(),
    valid_until: new Date(NOON + 72 * HOUR).toISOString(),
    given_until: null,
    ...more,
  } as CouponView;
  return { id: view.id, operator: "acme", view, token: null, tokenFor: null, isElsewhere: false };
}

function store(name: string, latitude: number | null = null, longitude: number | null = null): StoreView {
  const point = { latitude_microdegrees: latitude, longitude_microdegrees: longitude };
  return { id: name, name, merchant: "Acme", zone: "Europe/Berlin", address: null, ...point };
}

test.each([
  [72 * HOUR, "3 days left", "plain"],
  [72 * HOUR - 1, "2 days left", "wait"],
  [24 * HOUR, "1 day left", "wait"],
  [24 * HOUR - 1, "23 hours left", "wait"],
  [HOUR, "1 hour left", "wait"],
  [HOUR - 1, "59 minutes left", "wait"],
  [1, "1 minute left", "wait"],
])("with %i ms to go it says: %s", (ms, says, tone) => {
  expect(standing(coupon({ valid_until: new Date(NOON + ms).toISOString() }), NOON)).toEqual({ says, tone });
});

test("a coupon is over at its end, whatever the server said days ago", () => {
  const ends = coupon({ valid_until: new Date(NOON).toISOString() });

  expect([shelfOf(ends, NOON - 1), shelfOf(ends, NOON)]).toEqual(["usable", "over"]);
  expect([canShow(ends, NOON - 1), canShow(ends, NOON)]).toEqual([true, false]);
});

test("an end at midnight belongs to the day that it ends", () => {
  const ends = coupon({ valid_until: "2026-03-04T23:00:00Z" });

  expect(window(ends.view, NOON)).toEqual(["Until Mar 4, 2026, 11:59 PM"]);
  expect(standing(ends, NOON + 96 * HOUR).says).toBe("Expired Mar 4, 2026");
});

test("what waits for a friend, or for its first day, is not shown at a counter", () => {
  const later = new Date(NOON + HOUR).toISOString();

  expect(canShow(coupon({ given_until: later }), NOON)).toBe(false);
  expect(canShow(coupon({ given_until: later }), NOON + HOUR)).toBe(true);
  expect(canShow(coupon({ valid_from: later }), NOON)).toBe(false);
});

test("what ends first comes first, and what is over comes with the latest first", () => {
  const ids = (shelf: "usable" | "over", now: number) => onShelf(shelf, all, now).map(({ id }) => id);
  const all = [3, 1, 2].map((days) => coupon({ id: `${days}`, valid_until: new Date(NOON + days * 24 * HOUR).toISOString() }));

  expect(ids("usable", NOON)).toEqual(["1", "2", "3"]);
  expect(ids("over", NOON + 96 * HOUR)).toEqual(["3", "2", "1"]);
});

test("the nearest store comes first, and one without a place last, by name", () => {
  const berlin = { latitude: 52.52, longitude: 13.405 };
  const stores = [store("Zoo"), store("Munich", 48_137_000, 11_575_000), store("Mitte", 52_520_000, 13_405_000), store("Ahorn")];

  const sorted = byDistance(stores, berlin);

  expect(sorted.map((each) => each.store.name)).toEqual(["Mitte", "Munich", "Ahorn", "Zoo"]);
  expect(sorted[0]!.metres).toBe(0);
  expect(Math.round(sorted[1]!.metres! / 1_000)).toBe(504);
  expect(byDistance(stores, undefined).map((each) => each.store.name)).toEqual(["Ahorn", "Mitte", "Munich", "Zoo"]);
});

test.each([
  [444, "440 m"],
  [1_234, "1.2 km"],
  [504_200, "504 km"],
])("%i metres are told as %s", (metres, told) => {
  expect(distanceTold(metres)).toBe(told);
});

test("there is a way to a place or an address, and none to a store of which neither is known", () => {
  expect(wayTo(store("Mitte", 52_520_000, 13_405_000))).toContain("52.52,13.405");
  expect(wayTo({ ...store("Mitte"), address: "Ring 1" })).toContain("Ring%201");
  expect(wayTo(store("Mitte"))).toBeUndefined();
});
