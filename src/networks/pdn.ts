import { type Node, Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { avgPool2d } from '../kernels/avgPool2d.ts';
import { conv2d } from '../kernels/conv2d.ts';
import type { Conv2dAttrs } from '../kernels/conv2dShape.ts';
import { pad2d } from '../kernels/pad2d.ts';
import { sliceOuter } from '../kernels/slice.ts';

/** PDN-S and PDN-M are EfficientAD's; PDN-XS is ours, for phones, browsers and machines without a GPU. */
export type PdnSize = 'xs' | 's' | 'm';
/** The sizes that a PDN has. */
export const PDN_SIZES: readonly PdnSize[] = ['xs', 's', 'm'];

/**
 * What lies around the input: nothing; zeros around that of every layer, as published code has them; or the image itself, mirrored at
 * its border (`reflect`). Both keep a position for every 4 pixels up to the border.
 */
export type Padding = 'none' | 'zeros' | 'reflect';
export const PADDINGS: readonly Padding[] = ['none', 'zeros', 'reflect'];

/** Mirrored pixels around an image: the centers of the positions, 4 px apart, then lie 2 px from its borders. */
const MIRRORED = { top: 14, left: 14, bottom: 18, right: 18, mirrored: true } as const;

interface Layer {
  readonly outputs: number | 'out';
  readonly kernel: number;
  /** Zeros on every side when the network runs padded. */
  readonly padding: number;
  readonly relu: boolean;
  readonly pool: boolean;
}

const layer = (outputs: number | 'out', kernel: number, padding: number, pool = false): Layer => ({
  outputs,
  kernel,
  padding,
  relu: outputs !== 'out',
  pool,
});

const LAYERS: Record<PdnSize, readonly Layer[]> = {
  xs: [layer(32, 4, 3, true), layer(64, 4, 3, true), layer(64, 3, 1), layer('out', 4, 0)],
  s: [layer(128, 4, 3, true), layer(256, 4, 3, true), layer(256, 3, 1), layer('out', 4, 0)],
  m: [
    layer(256, 4, 3, true),
    layer(512, 4, 3, true),
    layer(512, 1, 0),
    layer(512, 3, 1),
    { ...layer('out', 4, 0), relu: true },
    layer('out', 1, 0),
  ],
};

/** Feature channels of the teacher; the student has twice as many. */
export const PDN_CHANNELS: Record<PdnSize, number> = { xs: 128, s: 384, m: 384 };

/** Zeros around the input of a pool when the network runs padded. */
const POOL_PADDING = 1;

/**
 * Output side of a PDN for an input side: floor((side - 33) / 4) + 1 without padding, up to the pools' rounding, and a quarter
 * of a side that is a multiple of 4 with either kind of it.
 */
export function pdnOutputSide(side: number, padding: Padding = 'none'): number {
  if (padding === 'zeros') {
    const pooled = (n: number) => Math.floor((n + 3 + 2 * POOL_PADDING) / 2);
    return pooled(pooled(side)) - 3;
  }
  let n = side + (padding === 'reflect' ? MIRRORED.top + MIRRORED.bottom : 0) - 3;
  n = Math.floor(n / 2) - 3;
  n = Math.floor(n / 2) - 2;
  return n - 3;
}

/** Which output channels of a PDN are computed. */
export interface ForwardOptions {
  /** Only these output channels of the last layer are computed. */
  readonly channels?: { readonly start: number; readonly count: number };
}

/** The layer that a weight belongs to: `teacher.conv1` of `teacher.conv1.weight`. */
export function layerOfWeight(parameter: string): string {
  return parameter.replace(/\.weight$/, '');
}

/** A convolution's weights [CO, CI, K, K] and bias [CO]. */
export interface ConvParameters {
  readonly weight: Parameter;
  readonly bias: Parameter;
}

export function convParameters(name: string, outputs: number, inputs: number, kernel: number): ConvParameters {
  return {
    weight: new Parameter(`${name}.weight`, { shape: [outputs, inputs, kernel, kernel], dtype: 'f32' }),
    bias: new Parameter(`${name}.bias`, { shape: [outputs], dtype: 'f32' }),
  };
}

function newConvolutions(size: PdnSize, name: string, outputs: number): readonly ConvParameters[] {
  let inputs = 3;
  return LAYERS[size].map((spec, i) => {
    const width = spec.outputs === 'out' ? outputs : spec.outputs;
    const parameters = convParameters(`${name}.conv${i + 1}`, width, inputs, spec.kernel);
    inputs = width;
    return parameters;
  });
}

/** Position i of an output is centered on input pixel `offset + stride * i`. */
export interface LayerGeometry {
  readonly offset: number;
  readonly stride: number;
}

/** Patch description network: fully convolutional, 33 px receptive field, output stride 4. */
export class Pdn {
  readonly size: PdnSize;
  readonly name: string;
  readonly outputs: number;
  readonly padding: Padding;
  readonly convolutions: readonly ConvParameters[];

  /**
   * @param outputs channels of the last layer: {@link PDN_CHANNELS} for a teacher, twice that for a student
   * @param convolutions of another network of the same size, whose weights this one shares
   */
  constructor(
    size: PdnSize,
    name: string,
    outputs: number,
    padding: Padding = 'none',
    convolutions = newConvolutions(size, name, outputs),
  ) {
    this.size = size;
    this.name = name;
    this.outputs = outputs;
    this.padding = padding;
    this.convolutions = convolutions;
  }

  /** Pixels that are mirrored around its input, those of both sides together. */
  get mirrored(): number {
    return this.padding === 'reflect' ? MIRRORED.top + MIRRORED.bottom : 0;
  }

  /** The same network over input that brings its surroundings along. */
  unpadded(): Pdn {
    return new Pdn(this.size, this.name, this.outputs, 'none', this.convolutions);
  }

  /** Where each convolution's output positions lie. */
  get geometry(): readonly LayerGeometry[] {
    let offset = this.padding === 'reflect' ? -MIRRORED.top : 0;
    let stride = 1;
    return LAYERS[this.size].map((spec) => {
      offset += ((spec.kernel - 1) / 2 - this.#around(spec.padding)) * stride;
      const geometry = { offset, stride };
      if (spec.pool) {
        offset += (1 / 2 - this.#around(POOL_PADDING)) * stride;
        stride *= 2;
      }
      return geometry;
    });
  }

  get parameters(): readonly Parameter[] {
    return this.convolutions.flatMap(({ weight, bias }) => [weight, bias]);
  }

  /** A layer's own padding, as this network runs. */
  #around(padding: number): number {
    return this.padding === 'zeros' ? padding : 0;
  }

  /** Everything before the last convolution. @param x [N, 3, H, W], ImageNet-normalized */
  trunk(x: Node): Node {
    const convolution = (y: Node, i: number, attrs: Partial<Conv2dAttrs>) => {
      const { weight, bias } = this.convolutions[i]!;
      return conv2d(y, weight.node, bias.node, attrs, `${this.name}.conv${i + 1}`);
    };
    return this.layers(x, convolution);
  }

  /** The sequence of layers before the last one, with convolutions of the caller's. */
  layers(x: Node, convolution: (y: Node, index: number, attrs: Partial<Conv2dAttrs>) => Node): Node {
    let y = this.padding === 'reflect' ? pad2d(x, MIRRORED, 'image.mirrored') : x;
    LAYERS[this.size].slice(0, -1).forEach((spec, i) => {
      y = convolution(y, i, { padding: this.#around(spec.padding), relu: spec.relu });
      if (spec.pool) y = avgPool2d(y, { padding: this.#around(POOL_PADDING) }, `${this.name}.pool${i + 1}`);
    });
    return y;
  }

  /** The last convolution over the output of `trunk`, which no size pads. */
  head(trunk: Node, { channels }: ForwardOptions = {}): Node {
    const last = this.convolutions.length - 1;
    const { weight, bias } = this.convolutions[last]!;
    if (!channels) return conv2d(trunk, weight.node, bias.node, {}, `${this.name}.conv${last + 1}`);
    const { start, count } = channels;
    const label = `${this.name}.conv${last + 1}[${start}:${start + count}]`;
    return conv2d(trunk, sliceOuter(weight.node, start, count), sliceOuter(bias.node, start, count), {}, label);
  }

  /** @param x [N, 3, H, W], ImageNet-normalized @returns [N, outputs, h, w], h = {@link pdnOutputSide}(H) */
  forward(x: Node, options: ForwardOptions = {}): Node {
    return this.head(this.trunk(x), options);
  }
}

/** @throws UserError unless `value` names a size */
export function parsePdnSize(value: string): PdnSize {
  const size = PDN_SIZES.find((candidate) => candidate === value.toLowerCase());
  if (!size) throw new UserError(`unknown network size '${value}'.`, `Use one of ${PDN_SIZES.join(', ')}.`);
  return size;
}
