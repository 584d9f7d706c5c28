import { Random } from '../math/random.ts';
import type { RgbImage } from './image.ts';
import { fractalNoise, gradientNoise } from './synthetic/noise.ts';

/** Kinds of defects that are planted on images of good parts. */
export const PLANTED_DEFECTS = ['cutPaste', 'texture', 'scratch'] as const;
/** A kind of defect that is planted into images of good parts. */
export type PlantedDefect = (typeof PLANTED_DEFECTS)[number];

/** An image with a planted defect, and where that is. */
export interface PlantedImage {
  readonly image: RgbImage;
  /** [height, width], 1 where the image has been changed. */
  readonly mask: Uint8Array;
}

/** How many defects are planted, on how many images. */
export interface PlantingOptions {
  /** Images at most, evenly spread over those that there are. */
  readonly images?: number | undefined;
  /** Defects of each kind on each image; 2. */
  readonly plantings?: number | undefined;
  readonly seed?: number | undefined;
}

/** Defects of each kind on each image by default. */
export const PLANTINGS = 2;

/** A prime above any number of defects on an image: those of two seeds share nothing. */
const SEED_STEP = 1_000_003;

/** Smallest and largest share of the image that a patch covers (CutPaste, Li et al. 2021). */
const PATCH_AREA = [0.01, 0.08] as const;
const PATCH_ASPECT = 3.3;
/** Perlin noise above this is a defect; about a tenth of the area. */
const NOISE_THRESHOLD = 0.3;
/** Periods of the noise across the image. */
const NOISE_PERIODS = [3, 7] as const;

/**
 * Plants a defect with a known outline on an image of a good part: a patch from elsewhere in it (CutPaste), a foreign texture
 * in the shape of Perlin noise (as in DRAEM), or scratches.
 * @param seed equal seeds give equal defects
 */
export function plantDefect(image: RgbImage, kind: PlantedDefect, seed: number): PlantedImage {
  const random = new Random(seed);
  const changed = { image: { ...image, data: image.data.slice() }, mask: new Uint8Array(image.width * image.height) };
  PLANTERS[kind](changed, image, random);
  return changed;
}

/**
 * The defects that one of some images gets, each on an image of its own: as many of every kind, in turns.
 * @param index of the image
 */
export function* plantDefects(
  image: RgbImage,
  index: number,
  { plantings = PLANTINGS, seed = 0 }: Pick<PlantingOptions, 'plantings' | 'seed'> = {},
): Generator<PlantedImage, void, undefined> {
  const count = plantings * PLANTED_DEFECTS.length;
  for (let k = 0; k < count; k++) {
    const kind = PLANTED_DEFECTS[k % PLANTED_DEFECTS.length]!;
    yield plantDefect(image, kind, (seed * SEED_STEP + index * count + k) >>> 0);
  }
}

const between = (random: Random, low: number, high: number) => low + (high - low) * random.uniform();

/** Blends a color into a pixel. */
function blend({ image, mask }: PlantedImage, pixel: number, color: readonly number[], opacity: number): void {
  for (let c = 0; c < 3; c++) {
    const at = 3 * pixel + c;
    image.data[at] = Math.round(image.data[at]! + opacity * (color[c]! - image.data[at]!));
  }
  mask[pixel] = 1;
}

function cutPaste(target: PlantedImage, source: RgbImage, random: Random): void {
  const { width, height, data } = source;
  const area = between(random, ...PATCH_AREA) * width * height;
  const aspect = Math.exp(between(random, -Math.log(PATCH_ASPECT), Math.log(PATCH_ASPECT)));
  const limit = (side: number, most: number) => Math.min(Math.max(2, Math.round(side)), most - 1);
  const w = limit(Math.sqrt(area * aspect), width);
  const h = limit(Math.sqrt(area / aspect), height);
  const place = () => [random.integer(width - w), random.integer(height - h)] as const;
  const [fromX, fromY] = place();
  const [toX, toY] = place();
  // A patch of the same ground would leave nothing to see: it is turned round and its brightness changed.
  const gain = random.uniform() < 0.5 ? between(random, 0.6, 0.85) : between(random, 1.15, 1.4);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const from = (fromY + h - 1 - y) * width + fromX + w - 1 - x;
      const color = [0, 1, 2].map((c) => Math.min(255, gain * data[3 * from + c]!));
      blend(target, (toY + y) * width + toX + x, color, 1);
    }
  }
}

function texture(target: PlantedImage, { width, height }: RgbImage, random: Random): void {
  const seed = random.nextU32() >>> 1;
  const periods = between(random, ...NOISE_PERIODS) / Math.max(width, height);
  const grain = between(random, 10, 40) / Math.max(width, height);
  const opacity = between(random, 0.4, 1);
  const base = [0, 1, 2].map(() => between(random, 40, 215));
  const contrast = between(random, 30, 90);
  let peak = { pixel: 0, noise: Number.NEGATIVE_INFINITY };
  const colorAt = (x: number, y: number) => {
    const shade = contrast * fractalNoise(x * grain, y * grain, seed + 1, 3);
    return base.map((value) => Math.min(Math.max(value + shade, 0), 255));
  };
  let changed = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const noise = gradientNoise(x * periods, y * periods, seed);
      if (noise > peak.noise) peak = { pixel: y * width + x, noise };
      if (noise <= NOISE_THRESHOLD) continue;
      blend(target, y * width + x, colorAt(x, y), opacity);
      changed++;
    }
  }
  // Noise that stays below the threshold everywhere: its summit.
  if (changed > 0) return;
  const radius = Math.max(2, Math.round(0.05 * Math.min(width, height)));
  const [cx, cy] = [peak.pixel % width, Math.floor(peak.pixel / width)];
  disc(cx, cy, radius, width, height, (x, y) => blend(target, y * width + x, colorAt(x, y), opacity));
}

function scratch(target: PlantedImage, { width, height }: RgbImage, random: Random): void {
  const strokes = 1 + random.integer(3);
  for (let stroke = 0; stroke < strokes; stroke++) {
    let x = between(random, 0.1, 0.9) * width;
    let y = between(random, 0.1, 0.9) * height;
    let angle = between(random, 0, 2 * Math.PI);
    const bend = between(random, -0.04, 0.04);
    const length = between(random, 0.15, 0.5) * Math.min(width, height);
    const radius = (between(random, 0.5, 1.6) * Math.min(width, height)) / 128;
    const shade = random.uniform() < 0.5 ? between(random, 0, 70) : between(random, 185, 255);
    const opacity = between(random, 0.5, 1);
    for (let step = 0; step < length; step++) {
      disc(x, y, radius, width, height, (px, py) => {
        const pixel = py * width + px;
        if (target.mask[pixel] !== 1 + stroke) blend(target, pixel, [shade, shade, shade], opacity);
        // Each stroke colors a pixel once.
        target.mask[pixel] = 1 + stroke;
      });
      x += Math.cos(angle);
      y += Math.sin(angle);
      angle += bend;
    }
  }
  for (let i = 0; i < target.mask.length; i++) target.mask[i] = Math.min(target.mask[i]!, 1);
}

function disc(
  cx: number,
  cy: number,
  radius: number,
  width: number,
  height: number,
  visit: (x: number, y: number) => void,
): void {
  for (let y = Math.max(0, Math.ceil(cy - radius)); y <= Math.min(height - 1, cy + radius); y++) {
    for (let x = Math.max(0, Math.ceil(cx - radius)); x <= Math.min(width - 1, cx + radius); x++) {
      if ((x - cx) ** 2 + (y - cy) ** 2 <= radius * radius) visit(x, y);
    }
  }
}

const PLANTERS: Readonly<Record<PlantedDefect, (target: PlantedImage, source: RgbImage, random: Random) => void>> = {
  cutPaste,
  texture,
  scratch,
};
