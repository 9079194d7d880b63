// Where coupons work.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  activate: "Use it here",
  storesTitle: "Stores",
  storesHelp: "Where your coupons work.",
  nearest: "Sort by distance",
  nearestHelp: "Where you are stays on this phone.",
  noPosition: "This phone does not tell where it is. Sorted by name.",
  away: (distance: string) => `${distance} away`,
  way: "Way there",
  wayTo: (store: string) => `Way to ${store}`,
  noStores: "No stores to show",
  noStoresHelp: "Once you have a coupon, the stores where it works stand here.",
};

const zh: typeof en = {
  activate: "在此使用",
  storesTitle: "门店",
  storesHelp: "您的券适用的门店。",
  nearest: "按距离排序",
  nearestHelp: "您的位置只留在本机。",
  noPosition: "本机未提供位置，已按名称排序。",
  away: (distance) => `距离${distance}`,
  way: "路线",
  wayTo: (store) => `前往${store}的路线`,
  noStores: "暂无门店",
  noStoresHelp: "领取券后，这里会显示适用的门店。",
};

export const stores = dictionary({ en, zh });
