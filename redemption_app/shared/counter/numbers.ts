// Bounds and forms that many documents share.

import { like, whole } from "./shapes.ts";

export const MOST_MINOR = 10 ** 12;
export const MOST_COUNT = 10 ** 9;
export const MOST_NUMBER = 2 ** 40 - 1;
export const LAST_SECOND = 253_402_300_799; // 9999-12-31

/** Money in whole minor units of a currency named beside it. */
export const minor = whole(0, MOST_MINOR);
export const count = whole(0, MOST_COUNT);
export const atLeastOne = whole(1, MOST_COUNT);
export const basisPoints = whole(1, 10_000);
export const number = whole(0, MOST_NUMBER);
/** Whole seconds since 1970, UTC. */
export const second = whole(0, LAST_SECOND);
/** Milliseconds since 1970, UTC. */
export const millis = whole(0, Number.MAX_SAFE_INTEGER);
export const uuid = like(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
export const currency = like(/^[A-Z]{3}$/);
