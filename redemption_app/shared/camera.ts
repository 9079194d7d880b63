// The camera as a scanner: frame after frame goes to the decoder, and what it reads is told.

import decoder from "./decoder.worker.ts?worker&url";
import { script } from "./trusted.ts";

const LONGER_SIDE = 640; // enough for the finest code that we draw, and read in 4 ms
const BREATH_MS = 60; // between two frames; the page has other things to do

interface WithTorch extends MediaTrackCapabilities {
  torch?: boolean;
}

/** Why there is no picture: the person said no, there is no camera, or another app has it. */
export type NoCamera = "denied" | "missing" | "busy";

export class CameraRefused extends Error {
  override name = "CameraRefused";
  readonly why: NoCamera;

  constructor(why: NoCamera) {
    super(why);
    this.why = why;
  }
}

export class Camera {
  #stream: MediaStream;
  #video: HTMLVideoElement;
  #found: (texts: string[]) => void;
  #worker = new Worker(script(decoder), { type: "module" });
  #canvas = document.createElement("canvas");
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  private constructor(stream: MediaStream, video: HTMLVideoElement, found: (texts: string[]) => void) {
    this.#stream = stream;
    this.#video = video;
    this.#found = found;
    this.#worker.addEventListener("message", ({ data }: MessageEvent<string[]>) => {
      if (this.#isClosed) return;
      if (data.length) this.#found(data);
      this.#lookSoon();
    });
  }

  /** Show the camera in this element, and tell what it sees again and again. Throws `CameraRefused`. */
  static async open(video: HTMLVideoElement, found: (texts: string[]) => void): Promise<Camera> {
    const stream = await streamed();
    const camera = new Camera(stream, video, found);
    video.srcObject = stream;
    await video.play().catch(() => undefined); // it was closed again meanwhile
    camera.#lookSoon();
    return camera;
  }

  get hasTorch(): boolean {
    const [track] = this.#stream.getVideoTracks();
    return (track?.getCapabilities?.() as WithTorch | undefined)?.torch === true;
  }

  async light(isOn: boolean): Promise<void> {
    const [track] = this.#stream.getVideoTracks();
    await track?.applyConstraints({ advanced: [{ torch: isOn } as MediaTrackConstraintSet] });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#worker.terminate();
    for (const track of this.#stream.getTracks()) track.stop();
    this.#video.srcObject = null;
  }

  #lookSoon(): void {
    this.#timer = setTimeout(() => this.#look(), BREATH_MS);
  }

  #look(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || document.hidden) return this.#lookSoon();
    const scale = Math.min(1, LONGER_SIDE / Math.max(videoWidth, videoHeight));
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    const drawing = this.#canvas.getContext("2d", { willReadFrequently: true })!;
    drawing.drawImage(this.#video, 0, 0, width, height);
    const frame = drawing.getImageData(0, 0, width, height);
    this.#worker.postMessage(frame, [frame.data.buffer]);
  }
}

async function streamed(): Promise<MediaStream> {
  const wanted = { facingMode: "environment", width: { ideal: 1_280 }, height: { ideal: 720 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    const { name } = error as Error;
    if (name === "NotAllowedError") throw new CameraRefused("denied");
    throw new CameraRefused(name === "NotReadableError" ? "busy" : "missing");
  }
}
