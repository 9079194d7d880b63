// Unpacks the browser that the package brings, with the libraries and letters that a bare machine
// lacks, below TMPDIR; prints the program.

import { fileURLToPath } from "node:url";
import chromium, { inflate } from "@sparticuz/chromium";

const brought = new URL("node_modules/@sparticuz/chromium/bin/", import.meta.url);

await inflate(fileURLToPath(new URL("al2023.tar.br", brought)));
console.log(await chromium.executablePath());
