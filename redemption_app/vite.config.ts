// One config, three apps: `vite build --mode wallet`, `counter` or `console`.

import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { precache } from "./precache.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  root: mode === "test" ? here(".") : here(`apps/${mode}`),
  base: `/${mode}/`,
  plugins: [svelte(), precache(here("shared/service_worker.js"))],
  build: {
    outDir: here(`dist/${mode}`),
    emptyOutDir: true,
    target: ["es2023", "safari17"],
    // No inline script or style: the server's policy lets none run.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" as const },
  test: { include: ["tests/**/*.test.ts"] },
}));
