// Reads codes off a camera's frames, away from the page, by the same engine as the Python half.

import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import engine from "zxing-wasm/reader/zxing_reader.wasm?url";

prepareZXingModule({ overrides: { locateFile: () => engine } });

addEventListener("message", async ({ data }: MessageEvent<ImageData>) => {
  const read = await readBarcodes(data, { formats: ["QRCode"], tryHarder: true, maxNumberOfSymbols: 2 });
  postMessage(read.filter(({ isValid }) => isValid).map(({ text }) => text));
});
