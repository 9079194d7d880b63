// The texts of setting a device up.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  title: "Set up this counter",
  how: "The manager opens “Terminals” in the console and shows a set-up code. Scan it, or paste its text.",
  text: "Text of the set-up code",
  begin: "Set up",
  notOne: "This is not a set-up code.",
  compare: "Are these the digits on the manager's screen?",
  wait: "The manager compares them and confirms. This takes effect by itself.",
  another: "Use another code",
  unheard: "The server cannot be reached. It is asked again by itself.",
  refused: "The manager has said no. Ask for a new code.",
  expired: "This code is over. Ask for a new one.",
  unknown: "The server does not know this code. Ask for a new one.",
};

const zh: typeof en = {
  title: "设置本收银台",
  how: "店长在控制台打开“终端”，出示设置码。请扫描，或粘贴其文本。",
  text: "设置码文本",
  begin: "设置",
  notOne: "这不是设置码。",
  compare: "店长屏幕上是这六位数字吗？",
  wait: "店长核对并确认后自动生效。",
  another: "使用其他设置码",
  unheard: "连接不上服务器，稍后自动重试。",
  refused: "店长未同意，请索取新的设置码。",
  expired: "设置码已过期，请索取新的。",
  unknown: "服务器不认识此设置码，请索取新的。",
};

export const pairingWords = dictionary({ en, zh });
