// The app is kept whole by its service worker; a newer version waits until somebody wants it.

import { script } from "./trusted.ts";

const LOOK_EVERY_MS = 3_600_000;

class Update {
  isWaiting = $state(false);
  #registration: ServiceWorkerRegistration | undefined;

  /** Keep this app for the times without a network, and look for newer ones. */
  async keep(): Promise<void> {
    if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
    const hadOne = navigator.serviceWorker.controller !== null;
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      if (hadOne) location.reload();
    });
    const url = script(`${import.meta.env.BASE_URL}sw.js`);
    this.#registration = await navigator.serviceWorker.register(url);
    this.#watch(this.#registration);
    setInterval(() => this.#registration?.update().catch(() => undefined), LOOK_EVERY_MS);
  }

  /** Begin to use the newer version; every page of this app loads again. */
  take(): void {
    this.#registration?.waiting?.postMessage("take over");
  }

  #watch(registration: ServiceWorkerRegistration): void {
    const look = () => (this.isWaiting = registration.waiting !== null && navigator.serviceWorker.controller !== null);
    look();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", look);
    });
  }
}

export const update = new Update();
