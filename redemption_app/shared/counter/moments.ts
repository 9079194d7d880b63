// Moments as texts, in the one spelling that the Python half writes.

export function ofSecond(second: number): number {
  return second * 1_000;
}

/** Return an instant as `2026-03-04T12:00:00+00:00`, with its fraction if it has one. */
export function isoText(instant: number): string {
  const [second, fraction] = new Date(instant).toISOString().slice(0, -1).split(".");
  return fraction === "000" ? `${second}+00:00` : `${second}.${fraction}000+00:00`;
}
