// On what a coupon has taken off.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  ofBasket: (money: string) => `on ${money}`,
  takenBack: "Taken back",
  takenBackPart: (money: string) => `${money} of it was taken back`,
  provisional: "To be confirmed: the counter had no connection.",
  disputed: "Under review by the shop.",
  orderRef: "Receipt no.",
  savedInAll: "Saved so far",
  noReceipts: "No receipts yet",
  noReceiptsHelp: "Show a coupon at a counter. What it takes off is told here, with the store and the time.",
};

const zh: typeof en = {
  ofBasket: (money) => `消费${money}`,
  takenBack: "已撤销",
  takenBackPart: (money) => `其中${money}已撤销`,
  provisional: "待确认：核销时收银台无网络。",
  disputed: "商家正在核实。",
  orderRef: "小票号",
  savedInAll: "累计节省",
  noReceipts: "还没有小票",
  noReceiptsHelp: "在收银台出示券码后，这里会显示省了多少、在哪家店、什么时间。",
};

export const receipts = dictionary({ en, zh });
