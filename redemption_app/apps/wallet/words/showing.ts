// While a code is shown, and when a counter has taken it.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  showAgain: "Show again",
  keepsChanging: "This code changes by itself. A screenshot of it is worth nothing.",
  brightness: "Turn your screen's brightness all the way up.",
  fetchingCode: "Fetching the code. This needs a connection once.",
  noCodeYet: "The code is not on this phone yet. Connect once, then it works without a network too.",
  sayThis: "Tell the cashier this code",
  digits: "Does the counter show four digits? Type them here.",
  digitsLabel: "Four digits from the counter",
  digitsTaken: "This code answers the counter's digits. Show it again.",
  otherDigits: "Other digits",
  counterAsks: "The counter asks for digits",
  saved: (money: string) => `You saved ${money}`,
  savedAt: (store: string) => `at ${store}`,
};

const zh: typeof en = {
  showAgain: "再次出示",
  keepsChanging: "券码会自动更新，截图无效。",
  brightness: "请将屏幕亮度调到最高。",
  fetchingCode: "正在获取券码，首次需要联网。",
  noCodeYet: "本机还没有券码。联网一次后，无网络也可使用。",
  sayThis: "请将此码告诉收银员",
  digits: "收银台显示四位数字？请在此输入。",
  digitsLabel: "收银台上的四位数字",
  digitsTaken: "券码已包含收银台的数字，请再次出示。",
  otherDigits: "重新输入",
  counterAsks: "收银台要求输入数字",
  saved: (money) => `已省${money}`,
  savedAt: (store) => `${store}`,
};

export const showing = dictionary({ en, zh });
