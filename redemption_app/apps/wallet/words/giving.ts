// Where a coupon goes to a friend.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  giveTitle: "Give to a friend",
  giveHelp: "You get a link to send. Until your friend opens it, you can take the coupon back; meanwhile it works for nobody.",
  makeLink: "Make the link",
  share: "Share the link",
  copyLink: "Copy the link",
  shareText: (title: string) => `A coupon for you: ${title}`,
  waitsUntil: (when: string) => `The link works until ${when}.`,
  takeBack: "Take it back",
  takenBackHere: "It is yours again.",
  lostLink: "The link is not on this phone. Take the coupon back to make a new one.",
};

const zh: typeof en = {
  giveTitle: "转赠好友",
  giveHelp: "生成链接发给好友。好友领取前您可随时收回，在此期间此券暂不可用。",
  makeLink: "生成链接",
  share: "分享链接",
  copyLink: "复制链接",
  shareText: (title) => `送您一张券：${title}`,
  waitsUntil: (when) => `链接有效期至${when}。`,
  takeBack: "收回",
  takenBackHere: "此券已收回。",
  lostLink: "链接不在本机。请先收回，再重新生成。",
};

export const giving = dictionary({ en, zh });
