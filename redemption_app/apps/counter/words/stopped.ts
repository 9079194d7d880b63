// The texts of what stands in the way of redeeming.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  revokedTitle: "This terminal may not redeem any more",
  revoked: "The manager has revoked it, or another device took its place. Coupons cannot be taken here.",
  elsewhereTitle: "The counter is open in another tab",
  elsewhere: "Only one tab may redeem. Close the other one, then try again.",
  brokenTitle: "The journal cannot be opened",
  broken: "This browser does not let us keep records. Leave private browsing, or free some space.",
  pairAnew: "Set it up again",
  lost: (many: number) => `${many} records have not reached the server and would be lost. Tell the manager first.`,
  loseThem: "Lose them and set it up again",
};

const zh: typeof en = {
  revokedTitle: "本终端已不能核销",
  revoked: "店长已将其停用，或已由其他设备替代。此处不能再核销。",
  elsewhereTitle: "收银台已在另一个标签页打开",
  elsewhere: "只有一个标签页可以核销。请关闭另一个后重试。",
  brokenTitle: "无法打开流水记录",
  broken: "浏览器不允许保存记录。请退出无痕模式，或清理存储空间。",
  pairAnew: "重新设置",
  lost: (many) => `有${many}条记录尚未上传，重新设置将会丢失。请先告知店长。`,
  loseThem: "放弃记录并重新设置",
};

export const stoppedWords = dictionary({ en, zh });
