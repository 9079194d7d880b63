import { mount } from "svelte";
import "../../shared/look/index.css";
import { update } from "../../shared/update.svelte.ts";
import App from "./App.svelte";
import { wallet } from "./wallet.svelte.ts";

mount(App, { target: document.body });
void open();
void update.keep();

/** Show what is kept. What asks the server is fetched after that: nobody waits for it. */
async function open(): Promise<void> {
  await wallet.open();
  const { tend } = await import("./tending.ts");
  await tend();
}
