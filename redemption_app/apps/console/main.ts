import { mount } from "svelte";
import "../../shared/look/index.css";
import "./look.css";
import { update } from "../../shared/update.svelte.ts";
import App from "./App.svelte";

mount(App, { target: document.body });
void update.keep();
