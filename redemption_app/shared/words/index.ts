// Texts that all three apps share.

import { dictionary } from "../language.svelte.ts";

const en = {
  newVersion: "A new version is ready.",
  useIt: "Use it",
  language: "Language",
  back: "Back",
  close: "Close",
  cancel: "Cancel",
  again: "Try again",
  loading: "Loading",
  offline: "No connection",
  unheard: "The server cannot be reached. Nothing is lost: try again in a moment.",
  failed: "That did not work.",
  copied: "Copied",
};

const zh: typeof en = {
  newVersion: "有新版本可用。",
  useIt: "立即更新",
  language: "语言",
  back: "返回",
  close: "关闭",
  cancel: "取消",
  again: "重试",
  loading: "加载中",
  offline: "无网络",
  unheard: "暂时连接不上服务器，数据不会丢失，请稍后再试。",
  failed: "操作未成功。",
  copied: "已复制",
};

export const shared = dictionary({ en, zh });
