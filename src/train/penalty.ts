import { checkSeed } from '../checks/numbers.ts';
import { centerCrop, type ImageSource } from '../data/image.ts';
import { penaltyParts } from '../data/penalty.ts';
import type { Engine } from '../engine/engine.ts';
import { nextTask, Turns } from '../engine/turns.ts';
import { packPixels, Resizer, unpackPixels } from '../imaging/pixels.ts';

/** Natural images at the network's side, for the penalty loss (EfficientAD, section 3.2). */
export interface PenaltySource {
  readonly name: string;
  /** Number of different images. */
  readonly count: number;
  /** @returns [side, side] pixel words, always the same for an index */
  pixels(index: number, side: number): Promise<Uint32Array>;
}

/** Different pictures that a run with the generator sees. */
const GENERATED = 2048;

/** Generated pictures with natural statistics, so that nothing has to be downloaded. */
export function generatedPenalty(seed: number): PenaltySource {
  checkSeed(seed);
  return {
    name: 'generated',
    count: GENERATED,
    async pixels(index, side) {
      // A step needs several.
      await nextTask();
      const turns = new Turns();
      const parts = penaltyParts(seed, index, side);
      for (;;) {
        const { done, value } = parts.next();
        if (done) return packPixels(value);
        await turns.take();
      }
    },
  };
}

/** Photographs: resized to twice the side, of which the middle is taken. */
export function photographPenalty(
  engine: Engine,
  images: ImageSource,
  name: string,
): PenaltySource & { destroy(): void } {
  const resizers = new Map<number, Resizer>();
  return {
    name,
    count: images.count,
    async pixels(index, side) {
      let resizer = resizers.get(side);
      if (!resizer) {
        resizer = new Resizer(engine, 2 * side);
        resizers.set(side, resizer);
      }
      const words = await resizer.resize(await images.image(index));
      const large = unpackPixels(words, 2 * side, 2 * side);
      return packPixels(centerCrop(large, side, side));
    },
    destroy() {
      for (const resizer of resizers.values()) resizer.destroy();
      resizers.clear();
    },
  };
}
