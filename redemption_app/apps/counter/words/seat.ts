// The texts of sitting down.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  title: "Who is at the counter?",
  name: "Name",
  choose: "Choose your name",
  pin: "PIN",
  signIn: "Sign in",
  signOut: "Sign out",
  wrong_pin: "This is not the PIN. Five wrong ones lock it.",
  locked_out: "Too many wrong PINs. Wait 15 minutes, or let a colleague sign in.",
  away: "Signing in needs the network. Try again when it is back.",
};

const zh: typeof en = {
  title: "谁在收银？",
  name: "姓名",
  choose: "请选择姓名",
  pin: "个人识别码",
  signIn: "登录",
  signOut: "退出",
  wrong_pin: "个人识别码不正确，连错五次将锁定。",
  locked_out: "错误次数过多。请15分钟后重试，或由同事登录。",
  away: "登录需要网络，请在网络恢复后重试。",
};

export const seatWords = dictionary({ en, zh });
