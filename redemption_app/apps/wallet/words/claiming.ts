// Where a coupon comes in: by a link, a code, a friend.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  claimTitle: "A coupon for you",
  take: "Take it",
  taking: "Taking it",
  haveIt: "You have this coupon already.",
  toMyCoupon: "Show it",
  noAccount: "No account, no name. It is kept on this phone alone.",
  linkBroken: "This link leads to no coupon",
  linkBrokenHelp: "It may be incomplete. Open it again from where you found it.",
  claimOffline: "No connection right now",
  claimOfflineHelp: "To see what this link gives, a connection is needed for a moment.",
  keptAsk: "Asked for, but no answer came. It is kept, and asked again by itself: you will get it once.",
  codeTitle: "Enter a code",
  codeHelp: "Twelve letters and digits, printed on the coupon or told to you.",
  codeLabel: "Short code",
  shopLabel: "Name of the shop",
  shopHelp: "It stands beside the code.",
  codeTypo: "There is a slip in it: check each letter.",
  getIt: "Get the coupon",
  giftTitle: "A friend gives you a coupon",
  giftHelp: "Take it, and it is yours. Your friend cannot use it any more.",
  accept: "Take the coupon",
  giftOver: "This gift is gone",
  giftOverHelp: "It was taken, taken back, or its time is over. Ask your friend.",
};

const zh: typeof en = {
  claimTitle: "送您一张券",
  take: "领取",
  taking: "正在领取",
  haveIt: "您已领取过此券。",
  toMyCoupon: "查看",
  noAccount: "无需注册和姓名，券只保存在本机。",
  linkBroken: "此链接没有对应的券",
  linkBrokenHelp: "链接可能不完整，请从原处重新打开。",
  claimOffline: "当前无网络",
  claimOfflineHelp: "查看链接里的券需要短暂联网。",
  keptAsk: "请求已发出但未收到答复。已为您保存并会自动重试，不会重复领取。",
  codeTitle: "输入短码",
  codeHelp: "印在券上或别人告诉您的十二位字母和数字。",
  codeLabel: "短码",
  shopLabel: "商家名称",
  shopHelp: "印在短码旁边。",
  codeTypo: "短码有误，请逐个核对。",
  getIt: "领取",
  giftTitle: "好友送您一张券",
  giftHelp: "领取后归您所有，好友将无法再使用。",
  accept: "领取",
  giftOver: "此礼物已失效",
  giftOverHelp: "可能已被领取、收回或已过期，请询问好友。",
};

export const claiming = dictionary({ en, zh });
