// A yes and a no that one hears and feels: a queue is loud, and a cashier looks at the customer.

import type { Colour } from "../../shared/counter/showing.ts";
import { settings } from "./settings.svelte.ts";

const TONES: Record<Colour, readonly number[]> = {
  green: [880, 1_320],
  amber: [660, 660],
  red: [330, 220],
  grey: [440],
};
const BUZZES: Record<Colour, number[]> = {
  green: [80],
  amber: [80, 80, 80],
  red: [250, 100, 250],
  grey: [40],
};
const TONE_SECONDS = 0.13;

let audio: AudioContext | undefined;

/** A browser is silent until somebody has touched the page. */
export function wake(): void {
  audio ??= "AudioContext" in globalThis ? new AudioContext() : undefined;
  if (audio?.state === "suspended") void audio.resume();
}

export function sound(colour: Colour): void {
  if (settings.now.vibrates) navigator.vibrate?.(BUZZES[colour]);
  if (!settings.now.sounds || audio?.state !== "running") return;
  TONES[colour].forEach((tone, at) => play(audio!, tone, audio!.currentTime + at * (TONE_SECONDS + 0.02)));
}

function play(context: AudioContext, tone: number, from: number): void {
  const [oscillator, gain] = [context.createOscillator(), context.createGain()];
  oscillator.frequency.value = tone;
  gain.gain.setValueAtTime(0.2, from);
  gain.gain.exponentialRampToValueAtTime(0.001, from + TONE_SECONDS);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(from);
  oscillator.stop(from + TONE_SECONDS);
}
