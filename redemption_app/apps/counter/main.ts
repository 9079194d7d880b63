import { mount } from "svelte";
import "../../shared/look/index.css";
import { update } from "../../shared/update.svelte.ts";
import App from "./App.svelte";
import { counter } from "./counter.svelte.ts";

mount(App, { target: document.body });
void counter.open();
void update.keep();
