// The home screen: there a phone keeps what is kept here for good; in a tab some throw it away after a week.

import { note, noted } from "./keeping.ts";

interface InstallPrompt extends Event {
  prompt(): Promise<unknown>;
}

class Install {
  /** The browser would ask; some never offer it. */
  canAsk = $state(false);
  isUnwanted = $state(true);
  #prompt: InstallPrompt | undefined;

  constructor() {
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault();
      this.#prompt = event as InstallPrompt;
      this.canAsk = true;
    });
    addEventListener("appinstalled", () => (this.canAsk = false));
    void noted("wantsNoInstall").then((unwanted) => (this.isUnwanted = unwanted === true));
  }

  /** On an iPhone only its owner can do it, by hand. */
  get isByHand(): boolean {
    return /iPhone|iPad/.test(navigator.userAgent) && !this.isDone;
  }

  get isDone(): boolean {
    return matchMedia("(display-mode: standalone)").matches;
  }

  async ask(): Promise<void> {
    await this.#prompt?.prompt();
    this.canAsk = false;
  }

  async refuse(): Promise<void> {
    this.isUnwanted = true;
    await note("wantsNoInstall", true);
  }
}

export const install = new Install();
