// On the screen of one coupon.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  noConditions: "Nothing: any purchase will do.",
  validity: "When it works",
  where: "Where it works",
  everywhere: "In every store of this shop.",
  someStores: (count: number) => (count === 1 ? "In one store." : `In ${count} stores.`),
  seeStores: "Show the stores",
  taken: "It is yours",
  takenHelp: "It is kept on this phone and works without a network.",
  activatedAt: (store: string, until: string) => `Chosen: ${store}, until ${until}`,
  chosen: "Chosen",
  give: "Give to a friend",
  bindTitle: "This coupon is on your other phone",
  bindHelp: "It works on one phone at a time. Bring it here, and it works here.",
  bind: "Use it on this phone",
  needsCode: "To bring it here, show once more that the address is yours.",
};

const zh: typeof en = {
  noConditions: "无门槛，任意消费可用。",
  validity: "有效期",
  where: "适用门店",
  everywhere: "全部门店通用。",
  someStores: (count) => `${count}家门店可用。`,
  seeStores: "查看门店",
  taken: "领取成功",
  takenHelp: "券已保存在本机，无网络也可使用。",
  activatedAt: (store, until) => `已选择：${store}，至${until}`,
  chosen: "已选择",
  give: "转赠好友",
  bindTitle: "此券在您的另一部手机上",
  bindHelp: "一张券同一时间只在一部手机上有效。换绑后即可在本机使用。",
  bind: "在本机使用",
  needsCode: "换绑前请再次验证您的联系方式。",
};

export const coupons = dictionary({ en, zh });
