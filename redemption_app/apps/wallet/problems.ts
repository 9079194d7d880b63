// What to tell a customer when the server says no.

import { Problem } from "../../shared/api/problem.ts";
import { dictionary, spoken } from "../../shared/language.svelte.ts";
import { shared } from "../../shared/words/index.ts";

const en = {
  batch_exhausted: "All of these coupons have been given out.",
  claim_limit_reached: "You have had as many of these as anyone may.",
  contact_needed: "This coupon is for people with a verified mail address or number. Add yours first.",
  contact_not_usable: "No code can be sent there. Check the address or number.",
  coupon_not_usable: "This coupon has come to its end.",
  coupon_taken: "Somebody else holds this coupon.",
  gift_over: "This gift was taken, taken back, or its time is over.",
  holder_suspended: "The coupons on this phone are suspended. Please ask the shop.",
  not_issuing: "No coupons are given out here now.",
  not_signed_in: "This phone no longer opens these coupons.",
  passcode_needed: "Show once more that the address is yours, then try again.",
  passcode_over: "This code works no more. Ask for a new one.",
  passcode_wrong: "This is not the code that was sent.",
  still_activated: "This coupon is chosen for a store already. Wait until that is over.",
  too_many_holder_keys: "This coupon has moved to another phone too often. Please ask the shop.",
  too_many_tries: "That was tried too often. Wait a while, then try again.",
  unknown: "There is nothing here. Check what you typed.",
};

const zh: typeof en = {
  batch_exhausted: "此券已领完。",
  claim_limit_reached: "您已达到此券的领取上限。",
  contact_needed: "此券仅限已验证邮箱或手机号的顾客，请先绑定。",
  contact_not_usable: "无法发送到此地址，请核对。",
  coupon_not_usable: "此券已结束。",
  coupon_taken: "此券属于其他人。",
  gift_over: "此礼物已被领取、收回或已过期。",
  holder_suspended: "本机的券已暂停使用，请咨询商家。",
  not_issuing: "目前不发放此券。",
  not_signed_in: "本机已无法打开这些券。",
  passcode_needed: "请再次验证您的联系方式后重试。",
  passcode_over: "验证码已失效，请重新获取。",
  passcode_wrong: "验证码不正确。",
  still_activated: "此券已选择门店，到期后可再选。",
  too_many_holder_keys: "此券换绑次数过多，请咨询商家。",
  too_many_tries: "尝试过于频繁，请稍后再试。",
  unknown: "没有找到，请核对输入内容。",
};

const sentences = dictionary({ en, zh });

/** Return what to tell of a no; of an unexpected one, that it did not work. */
export function told(error: unknown): string {
  if (!(error instanceof Problem)) return shared().failed;
  if (error.isUnheard) return shared().unheard;
  return toldCode(error.code) ?? error.said?.[spoken.now] ?? shared().failed;
}

export function toldCode(code: string): string | undefined {
  return (sentences() as Record<string, string>)[code];
}
