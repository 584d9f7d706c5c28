import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { ImageSource, RgbImage } from '../../src/data/image.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { randomWord } from '../../src/kernels/random.ts';
import { type FitOptions, PRESETS } from '../../src/train/fit.ts';
import type { PenaltySource } from '../../src/train/penalty.ts';

const FOLDER = new URL('../golden/files/', import.meta.url);

/** A file of test/golden/files, unpacked where it is a gzip file. */
export function savedFile(name: string): Uint8Array {
  const bytes = readFileSync(new URL(name, FOLDER));
  return name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

/** Noise over a slope: the same bytes for ever, whatever becomes of the generators. */
function noise(index: number, side: number): RgbImage {
  const value = (i: number) => (randomWord(i, index, 7, 5) % 64) + (i % 128) + 32 * (index % 3);
  return { width: side, height: side, data: Uint8Array.from({ length: 3 * side * side }, (_, i) => value(i) & 255) };
}

export const savedImage = (index: number): RgbImage => noise(index, 128);

const images = (first: number, count: number): ImageSource => ({
  count,
  image: async (index) => savedImage(first + index),
});

const penalty: PenaltySource = {
  name: 'noise',
  count: 8,
  pixels: async (index, side) => {
    const { data } = noise(100 + index, side);
    return Uint32Array.from({ length: side * side }, (_, i) => data[3 * i]! * 0x10101 + 0xff000000);
  },
};

/** The run that checkpoint.safetensors.gz is from, and model-1.safetensors.gz the end of. */
export function savedRun(): Omit<FitOptions, 'engine'> {
  return {
    settings: { ...PRESETS.quick, iterations: 4, batch: 2, seed: 4 },
    dataset: 'noise',
    train: images(0, 5),
    heldOut: images(5, 2),
    penalty,
    teacher: { ...readSafetensors(savedFile('teacher.safetensors.gz'), 'the teacher'), name: 'thin' },
  };
}

/** Two of its steps, of one image each: for what holds of any training. */
export function shortRun(): Omit<FitOptions, 'engine'> {
  const { settings, ...run } = savedRun();
  return { ...run, settings: { ...settings, iterations: 2, batch: 1 } };
}
