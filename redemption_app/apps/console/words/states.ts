// States of campaigns, offers, batches and coupons.

import { dictionary } from "../../../shared/language.svelte.ts";

const en: Record<string, string> = {
  draft: "Draft",
  in_review: "In review",
  approved: "Approved",
  scheduled: "Scheduled",
  running: "Live",
  paused: "Paused",
  ended: "Ended",
  settled: "Settled",
  archived: "Archived",
  frozen: "In use",
  superseded: "Replaced",
  ready: "Ready",
  issuing: "Issuing",
  exhausted: "All given out",
  closed: "Closed",
  revoked: "Revoked",
  minted: "Unclaimed",
  pending: "Not yet valid",
  active: "Usable",
  held: "Held",
  given: "Being given away",
  redeemed: "Redeemed",
  expired: "Expired",
};

const zh: typeof en = {
  draft: "草稿",
  in_review: "审批中",
  approved: "已审批",
  scheduled: "待开始",
  running: "进行中",
  paused: "已暂停",
  ended: "已结束",
  settled: "已结算",
  archived: "已归档",
  frozen: "使用中",
  superseded: "已被取代",
  ready: "就绪",
  issuing: "发放中",
  exhausted: "已发完",
  closed: "已关闭",
  revoked: "已作废",
  minted: "待领取",
  pending: "未生效",
  active: "可用",
  held: "占用中",
  given: "转赠中",
  redeemed: "已核销",
  expired: "已过期",
};

export const states = dictionary({ en, zh });
