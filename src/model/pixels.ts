import type { RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import { UserError } from '../errors.ts';
import { imageResize } from '../kernels/image.ts';
import { resizeOnHost } from './hostResize.ts';
import { Lru } from './lru.ts';

/** [height, width] words, bytes R, G, B, A from the lowest. @throws UserError when the data has the wrong length */
export function packPixels(image: RgbImage): Uint32Array {
  checkPixels(image);
  const { width, height, data } = image;
  const words = new Uint32Array(width * height);
  for (let i = 0, k = 0; i < words.length; i++, k += 3) {
    words[i] = (0xff000000 | (data[k + 2]! << 16) | (data[k + 1]! << 8) | data[k]!) >>> 0;
  }
  return words;
}

function checkPixels({ width, height, data }: RgbImage): void {
  if (data.length !== width * height * 3 || data.length === 0) {
    throw new UserError(
      `an image of ${width}x${height} has ${data.length} bytes, expected ${width * height * 3}.`,
      'Pass RGB triples, row by row.',
    );
  }
}

/** The image of [height, width] pixel words. */
export function unpackPixels(words: Uint32Array, width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, k = 0; i < words.length; i++, k += 3) {
    const word = words[i]!;
    data[k] = word;
    data[k + 1] = word >>> 8;
    data[k + 2] = word >>> 16;
  }
  return { width, height, data };
}

/** Plans for this many image sizes are kept. */
const SIZES_KEPT = 8;

/** Whether a device binds this many words at once. */
export function bindable({ caps: { limits } }: Engine, words: number): boolean {
  return 4 * words <= Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/** Resizes images of any size to the network's input, exactly as Pillow's antialiased bilinear filter does. */
export class Resizer {
  readonly #engine: Engine;
  readonly #side: number;
  readonly #plans = new Lru<Plan>(SIZES_KEPT, (plan) => {
    plan.engine.release(plan.parameters);
    plan.destroy();
  });

  constructor(engine: Engine, side: number) {
    this.#engine = engine;
    this.#side = side;
  }

  /** The plan for one source size: input `image` [1, height, rowPixels], output `pixels` [1, side, side]. */
  plan(width: number, height: number, rowPixels = width): Promise<Plan> {
    return this.#plans.get(`${width}x${height}/${rowPixels}`, () => {
      const image = input('image', [1, height, rowPixels], 'u32');
      const pixels = imageResize(image, this.#side, this.#side, width);
      return this.#engine.compile({ outputs: { pixels } });
    });
  }

  /** @returns [side, side] pixel words */
  async resize(image: RgbImage): Promise<Uint32Array> {
    const { width, height } = image;
    checkPixels(image);
    // The first pass leaves rows of the network's width.
    if (!bindable(this.#engine, height * Math.max(width, this.#side))) return resizeOnHost(image, this.#side);
    const words = packPixels(image);
    if (width === this.#side && height === this.#side) return words;
    const plan = await this.plan(width, height);
    const { pixels } = await plan.run({ image: words }, ['pixels']);
    return pixels as Uint32Array;
  }

  destroy(): void {
    this.#plans.clear();
  }
}
