import { nearestDistance } from '../detectorOps/nearest.ts';
import { type Node, Parameter } from '../engine/graph.ts';
import type { Bank } from './bank.ts';
import type { ConvParameters } from './pdn.ts';

/** Vectors that a bank holds, at most. */
export const MOST_VECTORS = 2 ** 14;

/**
 * A memory bank (PatchCore, Roth et al. 2022): standardized features of the teacher at some places of normal images. A place is
 * anomalous by the distance of its features to the nearest of them: one matrix product, as a 1 x 1 convolution, and a maximum.
 */
export class MemoryBank implements Bank {
  readonly size: number;
  readonly convolution: ConvParameters;
  readonly #channels: number;

  /** @param size vectors @param channels of the teacher */
  constructor(size: number, channels: number) {
    this.size = size;
    this.#channels = channels;
    this.convolution = {
      weight: new Parameter('memory.weight', { shape: [size, channels, 1, 1], dtype: 'f32' }),
      bias: new Parameter('memory.bias', { shape: [size], dtype: 'f32' }),
    };
  }

  get parameters(): readonly Parameter[] {
    const { weight, bias } = this.convolution;
    return [weight, bias];
  }

  empty(): MemoryBank {
    return new MemoryBank(this.size, this.#channels);
  }

  settle(): void {
    const { weight, bias } = this.convolution;
    const channels = this.#channels;
    bias.data = Float32Array.from({ length: this.size }, (_, k) => {
      let square = 0;
      for (let i = k * channels; i < (k + 1) * channels; i++) square += weight.data[i]! ** 2;
      return -square / 2;
    });
  }

  distance(features: Node, products: Node): Node {
    return nearestDistance(features, products, { readsLike: 'memory' }, 'map.distance');
  }
}
