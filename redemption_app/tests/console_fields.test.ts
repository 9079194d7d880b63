// What people type into the console's fields, and what the server is told of it.

import { describe, expect, test } from "vitest";
import { basisPointsOf, minorOf, typed } from "../apps/console/minor.ts";
import { fieldsOf, fresh, termsOf } from "../apps/console/terms.ts";
import { instant, onTheWall } from "../apps/console/zoned.ts";

describe("amounts", () => {
  test("are read as they are written, and never by a float", () => {
    expect(minorOf("12.5", "EUR")).toBe(1250);
    expect(minorOf("12,50", "EUR")).toBe(1250);
    expect(minorOf("0.29", "EUR")).toBe(29);
    expect(minorOf("1 500", "JPY")).toBe(1500);
    expect(minorOf("1.005", "EUR")).toBeUndefined();
    expect(minorOf("1.5", "JPY")).toBeUndefined();
    expect(minorOf("-1", "EUR")).toBeUndefined();
    expect(typed(1250, "EUR")).toBe("12.50");
    expect(typed(1250, "JPY")).toBe("1250");
  });

  test("in percent are hundredths of one", () => {
    expect(basisPointsOf("12.5")).toBe(1250);
    expect(basisPointsOf("7")).toBe(700);
    expect(basisPointsOf("much")).toBeUndefined();
  });
});

describe("hours on a wall", () => {
  test("are instants of their zone, in summer and in winter", () => {
    expect(instant("2026-04-01T00:00", "Europe/Berlin").toISOString()).toBe("2026-03-31T22:00:00.000Z");
    expect(instant("2026-01-01T00:00", "Europe/Berlin").toISOString()).toBe("2025-12-31T23:00:00.000Z");
    expect(instant("2026-04-01T09:30", "Asia/Kolkata").toISOString()).toBe("2026-04-01T04:00:00.000Z");
  });

  test("that come twice are the first, and those that are left out lie after the gap", () => {
    expect(instant("2026-10-25T02:30", "Europe/Berlin").toISOString()).toBe("2026-10-25T00:30:00.000Z");
    expect(instant("2026-03-29T02:30", "Europe/Berlin").toISOString()).toBe("2026-03-29T01:30:00.000Z");
  });

  test("come back as they were", () => {
    for (const zone of ["Europe/Berlin", "America/New_York", "Asia/Shanghai", "UTC"]) {
      expect(onTheWall(instant("2026-07-01T23:59", zone), zone)).toBe("2026-07-01T23:59");
    }
  });
});

describe("an offer", () => {
  const filled = { ...fresh(), titleEn: "Off", titleZh: "立减", amount: 300 };

  test("is told only when nothing is missing", () => {
    expect(termsOf({ ...filled, titleZh: " " }, "UTC")).toBeUndefined();
    expect(termsOf({ ...filled, amount: undefined }, "UTC")).toBeUndefined();
    expect(termsOf({ ...filled, validDays: null }, "UTC")).toBeUndefined();
    expect(termsOf(filled, "UTC")?.benefit).toEqual({ kind: "amount_off", amount_minor: 300 });
  });

  test("keeps what the builder has no field for", () => {
    const terms = termsOf({ ...filled, perCustomer: 2, products: "a\nb\na\n" }, "Europe/Berlin")!;
    const limit = { of: "redeem", per: "all", period: "day", max_count: 9 } as const;
    const changed = { ...terms, limits: [...terms.limits!, limit] };

    const again = termsOf(fieldsOf(changed, "Europe/Berlin"), "Europe/Berlin")!;

    expect(again.conditions?.products).toEqual(["a", "b"]);
    expect(again.limits).toHaveLength(2);
    expect(again.limits).toContainEqual(limit);
    expect({ ...again, limits: [] }).toEqual({ ...terms, limits: [] });
  });
});
