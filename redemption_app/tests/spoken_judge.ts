// The judge of the counter app for a program: a case a line in, its answer a line out.

import { createInterface } from "node:readline";
import { answered } from "./answered.ts";

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answered(JSON.parse(line)))}\n`);
}
