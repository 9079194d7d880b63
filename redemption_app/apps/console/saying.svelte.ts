// A line that tells what was done, for some seconds.

class Saying {
  now = $state("");
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string): void {
    this.now = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.now = ""), 6_000);
  }
}

export const saying = new Saying();
