// Hours on a store's own clock, also where clocks are changed.
//
// Every window is `start <= now < end`. A local day begins at the first instant at which a clock of
// that zone shows its date.

import { WEEKDAYS, type OpenHours } from "./offers.ts";

export const A_DAY = 86_400_000;
const LOOK_AHEAD_DAYS = 14;
type Fold = 0 | 1; // PEP 495: which of the two, where a time comes twice

/** What a clock shows, as milliseconds since 1970 on a clock that shows UTC. */
export type Local = number;

/** Say whether the store's clock, as it shows now, lies in one of these; no hours ask nothing. */
export function isOpen(hours: OpenHours[], local: Local): boolean {
  if (!hours.length) return true;
  const shown = local - midnightOf(local);
  const today = weekdayOf(local);
  const yesterday = weekdayOf(local - A_DAY);
  return hours.some(({ weekdays, from_time, until_time }) => {
    const [from, until] = [ofDay(from_time), ofDay(until_time)];
    if (from < until) return weekdays.includes(today) && from <= shown && shown < until;
    return (weekdays.includes(today) && from <= shown) || (weekdays.includes(yesterday) && shown < until);
  });
}

/** Return when a store that is closed now opens, if that is within 14 days. */
export function nextOpening(hours: OpenHours[], now: number, zone: string): number | null {
  const today = midnightOf(localOf(now, zone));
  for (let ahead = 0; ahead <= LOOK_AHEAD_DAYS; ahead += 1) {
    const openings = mayOpen(hours, today + ahead * A_DAY, zone).filter(
      (instant) => now < instant && instant <= now + LOOK_AHEAD_DAYS * A_DAY && isOpen(hours, localOf(instant, zone)),
    );
    if (openings.length) return Math.min(...openings);
  }
  return null;
}

/** Return the first instant at which clocks of this zone show this date, or a later one. */
export function startOfDay(midnight: Local, zone: string): number {
  return instantOf(midnight, zone, 0);
}

/** Return what a clock of this zone shows. */
export function localOf(instant: number, zone: string): Local {
  return instant + offsetAt(instant, zone);
}

export function midnightOf(local: Local): Local {
  return Math.floor(local / A_DAY) * A_DAY;
}

export function weekdayOf(local: Local): (typeof WEEKDAYS)[number] {
  return WEEKDAYS[(new Date(local).getUTCDay() + 6) % 7]!;
}

/**
 * Give the instants of this local day at which a closed store may find itself open: a stretch
 * begins, once or twice; or clocks are changed, and show a time within a stretch.
 */
function mayOpen(hours: OpenHours[], day: Local, zone: string): number[] {
  const weekday = weekdayOf(day);
  const openings = hours
    .filter((stretch) => stretch.weekdays.includes(weekday))
    .flatMap(({ from_time }) => ([0, 1] as const).map((fold) => instantOf(day + ofDay(from_time), zone, fold)));

  const [before, after] = [startOfDay(day, zone), startOfDay(day + A_DAY, zone)];
  const old = offsetAt(before, zone);
  if (offsetAt(after, zone) === old) return openings;
  let [same, changed] = [0, (after - before) / 1_000];
  while (changed - same > 1) {
    const middle = Math.floor((same + changed) / 2);
    if (offsetAt(before + middle * 1_000, zone) === old) same = middle;
    else changed = middle;
  }
  return [...openings, before + changed * 1_000];
}

/** Return when clocks show this; a time that is left out is told by the clock before (fold 0). */
function instantOf(local: Local, zone: string, fold: Fold): number {
  const around = [offsetAt(local - A_DAY, zone), offsetAt(local + A_DAY, zone)];
  // The greater offset gives the earlier instant, at which clocks have not been changed yet.
  return local - offsetAt(local - (fold ? Math.min(...around) : Math.max(...around)), zone);
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** Return by how much clocks of this zone are ahead of UTC at this instant. */
function offsetAt(instant: number, zone: string): number {
  let clock = clocks.get(zone);
  if (!clock) {
    const digits = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric" } as const;
    clock = new Intl.DateTimeFormat("en-US", { ...digits, second: "numeric", hourCycle: "h23", timeZone: zone });
    clocks.set(zone, clock);
  }
  const shown: Record<string, number> = {};
  for (const { type, value } of clock.formatToParts(instant)) shown[type] = Number(value);
  const local = Date.UTC(shown.year!, shown.month! - 1, shown.day, shown.hour, shown.minute, shown.second);
  return local - Math.floor(instant / 1_000) * 1_000;
}

function ofDay(time: string): number {
  const [hour, minute] = time.split(":").map(Number);
  return (hour! * 60 + minute!) * 60_000;
}
