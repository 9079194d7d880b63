// How far a store is and the way there. The phone finds out; its position goes nowhere.

import { spoken } from "../../shared/language.svelte.ts";
import type { StoreView } from "./keeping.ts";

export interface Position {
  latitude: number;
  longitude: number;
}

export interface Placed {
  store: StoreView;
  metres: number | undefined;
}

const MICRO = 1_000_000;
const EARTH_METRES = 6_371_000;
const PATIENCE_MS = 10_000;

/** Return where this phone is, if it tells. */
export function here(): Promise<Position | undefined> {
  return new Promise((resolve) => {
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve(coords),
      () => resolve(undefined),
      { timeout: PATIENCE_MS, maximumAge: 300_000 },
    );
  });
}

/** Return the nearest first; stores of which no place is known come last, by name. */
export function byDistance(stores: readonly StoreView[], from: Position | undefined): Placed[] {
  return stores
    .map((store) => ({ store, metres: metresTo(store, from) }))
    .sort(
      (one, other) =>
        (one.metres ?? Infinity) - (other.metres ?? Infinity) || one.store.name.localeCompare(other.store.name, spoken.locale),
    );
}

export function distanceTold(metres: number): string {
  const isFar = metres >= 1_000;
  const format = new Intl.NumberFormat(spoken.locale, {
    style: "unit",
    unit: isFar ? "kilometer" : "meter",
    maximumFractionDigits: metres < 10_000 ? 1 : 0,
  });
  return format.format(isFar ? metres / 1_000 : Math.round(metres / 10) * 10);
}

/** Return an address that opens the phone's own map; nothing for a store whose place nobody has told. */
export function wayTo(store: StoreView): string | undefined {
  const point = pointOf(store);
  const name = encodeURIComponent(store.name);
  const place = point ? `${point.latitude},${point.longitude}` : "";
  const query = place || encodeURIComponent(store.address ?? "");
  if (!query) return undefined;
  if (/iPhone|iPad|Macintosh/.test(navigator.userAgent)) return `https://maps.apple.com/?q=${name}&daddr=${query}`;
  if (spoken.now === "zh" && point) {
    return `https://uri.amap.com/marker?position=${point.longitude},${point.latitude}&name=${name}&coordinate=wgs84`;
  }
  if (/Android/.test(navigator.userAgent)) return `geo:${place || "0,0"}?q=${query}${point ? `(${name})` : ""}`;
  return `https://www.google.com/maps/dir/?api=1&destination=${query}`;
}

/** Work out the way as a bird flies (haversine). */
function metresTo(store: StoreView, from: Position | undefined): number | undefined {
  const to = pointOf(store);
  if (!from || !to) return undefined;
  const [north, south] = [radians(from.latitude), radians(to.latitude)];
  const half = (one: number, other: number) => Math.sin((one - other) / 2) ** 2;
  const chord =
    half(north, south) + Math.cos(north) * Math.cos(south) * half(radians(from.longitude), radians(to.longitude));
  return 2 * EARTH_METRES * Math.asin(Math.sqrt(chord));
}

function pointOf({ latitude_microdegrees, longitude_microdegrees }: StoreView): Position | undefined {
  if (latitude_microdegrees === null || longitude_microdegrees === null) return undefined;
  return { latitude: latitude_microdegrees / MICRO, longitude: longitude_microdegrees / MICRO };
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
