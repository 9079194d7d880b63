// Texts of the audit.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  hint: "Every act with a name, the newest first. Nobody can change it.",
  kind: "What",
  actor: "Who",
  subject: "Id of what it happened to",
  actors: {
    person: "A person",
    api_key: "A program",
    terminal: "A terminal",
    customer: "A customer",
    command: "At the server itself",
    system: "Counterfoil itself",
  } as Record<string, string>,
};

const zh: typeof en = {
  hint: "每个操作都有署名，最新的在前，任何人都不能改动。",
  kind: "事项",
  actor: "操作者",
  subject: "对象编号",
  actors: {
    person: "人员",
    api_key: "程序",
    terminal: "终端",
    customer: "顾客",
    command: "服务器本机",
    system: "系统",
  },
};

export const auditWords = dictionary({ en, zh });
