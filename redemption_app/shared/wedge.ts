// A scanner on a cable, or on Bluetooth: it types like a keyboard, only faster than anybody.
//
// It is listened to all the time, whatever has the focus. The keys are read by where they lie
// (`event.code`): neither the layout nor Caps Lock nor a Chinese input method changes that, and our
// codes have no small letters. Whether it was a scanner tells the mean of all gaps: on a busy page
// single ones are long.

const SLOWEST_MEAN_MS = 45; // a person needs more than twice as long
const SHORTEST = 8;
const ENDED_AFTER_MS = 250; // for scanners that send no Enter
const LONG_ENOUGH = 20; // to be taken without one

const PLAIN: Record<string, string> = {
  Space: " ",
  Minus: "-",
  Period: ".",
  Slash: "/",
  NumpadSubtract: "-",
  NumpadDecimal: ".",
  NumpadDivide: "/",
  NumpadAdd: "+",
  NumpadMultiply: "*",
};
const SHIFTED: Record<string, string> = {
  Semicolon: ":",
  Digit4: "$",
  Digit5: "%",
  Digit8: "*",
  Equal: "+",
};
const ENDS = ["Enter", "NumpadEnter", "Tab"];

/** Call `found` with each text that a scanner types, until the returned function is called. */
export function listen(found: (text: string) => void): () => void {
  const burst = new Burst();
  let timer: ReturnType<typeof setTimeout> | undefined;

  function ended(): void {
    const text = burst.text;
    burst.undo();
    burst.forget();
    found(text);
  }

  function heard(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    clearTimeout(timer);
    if (ENDS.includes(event.code)) {
      if (!burst.isScan(SHORTEST)) return burst.forget();
      event.preventDefault();
      event.stopPropagation();
      return ended();
    }
    const letter = letterOf(event);
    if (letter === null) return;
    burst.add(letter, event.timeStamp);
    // A scanner's space must not press the button that has the focus.
    if (letter === " " && !isField(document.activeElement)) event.preventDefault();
    timer = setTimeout(() => (burst.isScan(LONG_ENOUGH) ? ended() : burst.forget()), ENDED_AFTER_MS);
  }

  document.addEventListener("keydown", heard, { capture: true });
  return () => {
    clearTimeout(timer);
    document.removeEventListener("keydown", heard, { capture: true });
  };
}

/** Keys that follow one another. */
class Burst {
  text = "";
  #first = 0;
  #last = 0;
  #field: HTMLInputElement | null = null;
  #was = "";

  add(letter: string, at: number): void {
    if (!this.text) {
      const { activeElement } = document;
      this.#first = at;
      this.#field = isField(activeElement) ? activeElement : null;
      this.#was = this.#field?.value ?? "";
    }
    this.text += letter;
    this.#last = at;
  }

  isScan(shortest: number): boolean {
    const gaps = this.text.length - 1;
    return this.text.length >= shortest && (this.#last - this.#first) / gaps <= SLOWEST_MEAN_MS;
  }

  /** Take what was typed out of the field where it went: it was not meant for it. */
  undo(): void {
    if (!this.#field) return;
    this.#field.value = this.#was;
    this.#field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  forget(): void {
    this.text = "";
    this.#field = null;
  }
}

function letterOf({ code, shiftKey }: KeyboardEvent): string | null {
  if (shiftKey && code in SHIFTED) return SHIFTED[code]!;
  const found = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(code);
  return found ? (found[1] ?? found[2]!) : (PLAIN[code] ?? null);
}

function isField(element: Element | null): element is HTMLInputElement {
  return element instanceof HTMLInputElement;
}
