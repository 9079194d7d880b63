// What may be wrong with a journal. On one that is not whole nothing is decided alone: it cannot
// say what was spent.

import type { Sentences } from "./refusals.ts";
import { filled } from "./wording.ts";
import wording from "./wording.json" with { type: "json" };

/** What looking through a journal may find; the worst first. */
export type Flaw = keyof (typeof wording)["flaws"];

export interface Finding {
  seq: number;
  flaw: Flaw;
}

/** Return what is wrong and what to do; null if nothing is. The worst is told. */
export function told(findings: Finding[]): Sentences | null {
  const order = Object.keys(wording.flaws);
  const [worst] = findings.toSorted(
    (one, other) => order.indexOf(one.flaw) - order.indexOf(other.flaw) || one.seq - other.seq,
  );
  if (!worst) return null;
  const more = findings.length - 1;
  const sentence = (language: 0 | 1) =>
    filled(wording.finding[language]!, {
      seq: String(worst.seq),
      flaw: wording.flaws[worst.flaw][language]!,
      more: more ? filled(wording.more[language]!, { count: String(more) }) : "",
    });
  return { en: sentence(0), zh: sentence(1) };
}
