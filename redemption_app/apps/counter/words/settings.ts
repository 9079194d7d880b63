// The texts of the settings.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  title: "Settings",
  redeeming: "Redeeming",
  looksFirst: "Show what a coupon is worth, and wait for a yes",
  sounds: "Sound",
  vibrates: "Vibration",
  patience: "Wait for the server at most",
  seconds: (many: number) => (many === 1 ? "1 second" : `${many} seconds`),
  terminal: "This terminal",
  name: "Name",
  id: "Number",
  heard: "Server heard",
  never: "not yet",
  waiting: "Waiting to upload",
  aloneUntil: "Works without a network until",
  notAlone: "not at all",
  unpair: "Remove this terminal",
  sure: "It redeems no more until a manager sets it up again.",
  yes: "Yes, remove it",
  keep: "Keep it",
  blocked: "The server has not got everything yet. Wait until nothing waits; do not clear this browser meanwhile.",
};

const zh: typeof en = {
  title: "设置",
  redeeming: "核销",
  looksFirst: "先显示优惠内容，确认后再核销",
  sounds: "声音",
  vibrates: "振动",
  patience: "等待服务器最多",
  seconds: (many) => `${many}秒`,
  terminal: "本终端",
  name: "名称",
  id: "编号",
  heard: "上次连通服务器",
  never: "尚未",
  waiting: "待上传",
  aloneUntil: "可离线核销至",
  notAlone: "不能离线核销",
  unpair: "移除本终端",
  sure: "移除后须由店长重新设置才能核销。",
  yes: "确认移除",
  keep: "保留",
  blocked: "尚有记录未上传。请等待全部上传，期间不要清除浏览器数据。",
};

export const settingsWords = dictionary({ en, zh });
