// Why the server said no, in words. What is not here is told in the server's own.

import type { Problem } from "../../../shared/api/client.ts";
import { dictionary, said } from "../../../shared/language.svelte.ts";
import { shared } from "../../../shared/words/index.ts";

const en: Record<string, string> = {
  not_signed_in: "You are no longer signed in.",
  not_allowed: "Your role does not allow this.",
  step_up_needed: "This needs your confirmation.",
  too_many_tries: "This was tried too often. Wait a while, then try again.",
  code_wrong: "This is not right, or was used before.",
  busy: "A lot is going on. Try again in a moment.",
  unavailable: "The record cannot be reached just now. Try again in a moment.",
  internal: "Something broke on our side. Try again.",
  unknown: "There is no such thing here.",
  move_not_allowed: "This cannot be done in the present state.",
  second_person_needed: "Somebody else has to approve this: you have changed it yourself.",
  changed_since: "It has changed since you looked. Look again, then approve.",
  approval_needed: "A breaker has stopped this. Somebody must look and approve before it goes on.",
  ceiling_moved: "The ceiling no longer stands where you believed. Look again.",
  ceiling_below_use: "More than this has been given out already.",
  not_issuing: "No coupons are given out here now. Is it approved, and not paused?",
  batch_exhausted: "Not so many coupons are left to give out.",
  claim_limit_reached: "This customer has had as many as anyone may.",
  offer_frozen: "Coupons of this offer are out. Make a new version instead.",
  offer_superseded: "A newer version has replaced this offer.",
  coupon_not_usable: "This coupon has come to its end.",
  request_reused: "This was asked before with other contents. Open the form again.",
  name_taken: "Another one has this name already.",
  invitation_over: "This invitation opens nothing any more. Ask for a new one.",
  stores_mismatch: "Shop managers and cashiers have stores, and nobody else has.",
  passkey_refused: "This passkey cannot be used here.",
  last_second_factor: "Set up another second factor first.",
  cross_site: "This page is out of date. Load it again.",
  body_too_large: "This is too much at once.",
};

const zh: typeof en = {
  not_signed_in: "登录已失效。",
  not_allowed: "您的角色无权进行此操作。",
  step_up_needed: "此操作需要您再次确认身份。",
  too_many_tries: "尝试次数过多，请稍后再试。",
  code_wrong: "不正确，或已被使用过。",
  busy: "系统繁忙，请稍后再试。",
  unavailable: "暂时无法访问数据，请稍后再试。",
  internal: "我们这边出错了，请重试。",
  unknown: "这里没有这个对象。",
  move_not_allowed: "当前状态下不能这样做。",
  second_person_needed: "您自己改动过，必须由另一个人审批。",
  changed_since: "您查看之后又有改动，请重新查看再审批。",
  approval_needed: "熔断已触发，须有人查看并审批后才能继续。",
  ceiling_moved: "上限已经变动，请重新查看。",
  ceiling_below_use: "已经发出的超过这个数。",
  not_issuing: "现在不能发券：是否已审批且未暂停？",
  batch_exhausted: "剩余可发的券不够。",
  claim_limit_reached: "该顾客已达领取上限。",
  offer_frozen: "该优惠已有券发出，请另建新版本。",
  offer_superseded: "该优惠已被新版本取代。",
  coupon_not_usable: "这张券已经结束。",
  request_reused: "该请求曾以不同内容提交过，请重新打开表单。",
  name_taken: "这个名称已被使用。",
  invitation_over: "此邀请已失效，请重新索取。",
  stores_mismatch: "店长和收银员需要门店，其他角色没有门店。",
  passkey_refused: "此通行密钥不能在这里使用。",
  last_second_factor: "请先设置另一种第二验证方式。",
  cross_site: "页面已过期，请重新加载。",
  body_too_large: "一次提交的内容过多。",
};

const texts = dictionary({ en, zh });

export function sentenceFor(problem: Problem): string {
  if (problem.said) return said(problem.said);
  if (problem.status === 0 && problem.code !== "broken") return shared().unheard;
  const known = texts()[problem.code];
  // A detail that says more than the sentence is worth reading, in whatever language it is.
  if (problem.code === "terms_mismatch" || problem.code === "password_refused" || problem.code === "sheet_unreadable") return problem.message;
  return known ?? (problem.message || shared().failed);
}
