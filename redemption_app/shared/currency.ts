// How many places the minor unit of a currency takes. Browsers do not agree; the server's word counts.

import places from "./places.json" with { type: "json" };

export function placesOf(currency: string): number {
  return (places as Record<string, number>)[currency] ?? 2;
}
