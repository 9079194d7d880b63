// Hours on a wall somewhere else: `datetime-local` fields speak of a zone, the server of instants.

/** Return what the clocks of a zone show at an instant, as a `datetime-local` field has it. */
export function onTheWall(at: Date, zone: string): string {
  const parts = new Intl.DateTimeFormat("sv-SE", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  }).format(at);
  return parts.replace(" ", "T");
}

/**
 * Return the instant at which the clocks of a zone show this. Of an hour that comes twice it is the
 * first; of one that is left out, the moment as far after the gap.
 */
export function instant(wall: string, zone: string): Date {
  const naive = Date.parse(`${wall}:00Z`);
  const offsetAt = (at: number): number => Date.parse(`${onTheWall(new Date(at), zone)}:00Z`) - at;
  const [before, after] = [offsetAt(naive - 86_400_000), offsetAt(naive + 86_400_000)];
  const early = naive - before;
  if (offsetAt(early) === before || before === after) return new Date(early);
  const late = naive - after;
  return new Date(offsetAt(late) === after ? late : early);
}

export const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Not every browser lists the zone that it is in, nor UTC.
export const ZONES: readonly string[] = [...new Set([HERE, ...Intl.supportedValuesOf("timeZone"), "UTC"])].sort();
