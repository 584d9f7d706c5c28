import { checkedImage, type RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node } from '../engine/graph.ts';
import { Leases } from '../engine/leases.ts';
import type { Plan } from '../engine/plan.ts';
import { imageResize, rgbToPixels, rgbWords } from '../kernels/image.ts';
import { resizeOnHost } from './hostResize.ts';

/** [height, width] words, bytes R, G, B, A from the lowest. @throws UserError when the data has the wrong length */
export function packPixels(image: RgbImage): Uint32Array {
  const { width, height, data } = checkedImage(image);
  const words = new Uint32Array(width * height);
  for (let i = 0, k = 0; i < words.length; i++, k += 3) {
    words[i] = (0xff000000 | (data[k + 2]! << 16) | (data[k + 1]! << 8) | data[k]!) >>> 0;
  }
  return words;
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

/** Whether a device binds this many words at once. */
export function bindable({ caps: { limits } }: Engine, words: number): boolean {
  return 4 * words <= Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/** Whether a device resizes an image of that size: the first pass leaves rows of the network's width. */
export function resizable(engine: Engine, width: number, height: number, side: number): boolean {
  return bindable(engine, height * Math.max(width, side));
}

/** Takes the part of an image that is resized, of which so many columns are its own. */
export type PartOf = (image: Node, columns: number) => Node;

/**
 * The plan for images of one size on the host: input `bytes` [rgbWords], output `pixels` [1, side, side].
 * @param part what is resized; the whole image by default
 */
export function bytesToPixels(
  engine: Engine,
  { width, height }: Pick<RgbImage, 'width' | 'height'>,
  side: number,
  part?: PartOf,
): Promise<Plan> {
  const bytes = input('bytes', [rgbWords(width * height)], 'u32');
  const image = rgbToPixels(bytes, height, width);
  return engine.compile({ outputs: { pixels: imageResize(part?.(image, width) ?? image, side, side) } });
}

/**
 * The same for pixel words in rows that are longer than the image's: input `image` [1, height, rowPixels].
 * @param change of the pixels that come out
 */
export function rowsToPixels(
  engine: Engine,
  { width, height, rowPixels }: Pick<RgbImage, 'width' | 'height'> & { readonly rowPixels: number },
  side: number,
  { part, change }: { readonly part?: PartOf | undefined; readonly change?: ((pixels: Node) => Node) | undefined },
): Promise<Plan> {
  const image = input('image', [1, height, rowPixels], 'u32');
  const pixels = part ? imageResize(part(image, width), side, side) : imageResize(image, side, side, width);
  return engine.compile({ outputs: { pixels: change?.(pixels) ?? pixels } });
}

/** What frees a plan together with its parameters, which are the filters of its image size. */
export function disposerWithParameters(engine: Engine): (plan: Plan) => void {
  return (plan) => {
    engine.release(plan.parameters);
    plan.destroy();
  };
}

/** Copies bytes through the queue to a place that is a multiple of four; the last word is filled up. */
export function writeBytes({ queue }: GPUDevice, buffer: GPUBuffer, offset: number, data: Uint8Array): void {
  const whole = data.length - (data.length % 4);
  if (whole > 0) queue.writeBuffer(buffer, offset, data.buffer as ArrayBuffer, data.byteOffset, whole);
  if (whole === data.length) return;
  const last = new Uint8Array(4);
  last.set(data.subarray(whole));
  queue.writeBuffer(buffer, offset + whole, last);
}

/** Plans for this many image sizes are kept. */
const SIZES_KEPT = 8;

/** Resizes images of any size to the network's input, exactly as Pillow's antialiased bilinear filter does. */
export class Resizer {
  readonly #engine: Engine;
  readonly #side: number;
  readonly #plans: Leases<Plan>;

  constructor(engine: Engine, side: number) {
    this.#engine = engine;
    this.#side = side;
    this.#plans = new Leases('resizer', SIZES_KEPT, disposerWithParameters(engine));
  }

  /** @returns [side, side] pixel words @throws UserError for malformed pixels */
  async resize(given: RgbImage): Promise<Uint32Array> {
    const image = checkedImage(given);
    const { width, height, data } = image;
    const [engine, side] = [this.#engine, this.#side];
    if (!resizable(engine, width, height, side)) return resizeOnHost(image, side);
    if (width === side && height === side) return packPixels(image);
    const lease = await this.#plans.lease(`${width}x${height}`, () => bytesToPixels(engine, image, side));
    try {
      const plan = lease.value;
      writeBytes(engine.device, plan.inputBuffer('bytes'), 0, data);
      return (await plan.run({}, ['pixels']))['pixels'] as Uint32Array;
    } finally {
      lease.release();
    }
  }

  destroy(): void {
    this.#plans.destroy();
  }
}
