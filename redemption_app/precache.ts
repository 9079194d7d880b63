// Makes the service worker of an app: what it has to keep, and the name of this version of it.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin, ResolvedConfig } from "vite";

const SMALL = 1_024; // below this a packet is a packet

/** Write `sw.js` from its source, and a packed copy beside each file that gets smaller by it. */
export function precache(source: string): Plugin {
  let config: ResolvedConfig;
  return {
    name: "counterfoil-precache",
    apply: "build",
    configResolved(resolved) {
      config = resolved;
    },
    closeBundle() {
      const folder = config.build.outDir;
      const files = filesBelow(folder);
      const version = createHash("sha256");
      for (const file of files) version.update(file).update(readFileSync(join(folder, file)));
      const made = readFileSync(source, "utf8")
        .replace('"VERSION"', JSON.stringify(version.digest("hex").slice(0, 12)))
        .replace('["FILES"]', JSON.stringify(files));
      writeFileSync(join(folder, "sw.js"), made);
      for (const file of [...files, "sw.js"]) pack(join(folder, file));
    },
  };
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
}

function pack(path: string): void {
  const bytes = readFileSync(path);
  if (bytes.length < SMALL || /\.(png|woff2)$/.test(path)) return;
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  const options = { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, options));
}
