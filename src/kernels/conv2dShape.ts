import type { Node, TensorType } from '../engine/graph.ts';
import { nchw } from './common.ts';

export interface Conv2dAttrs {
  readonly stride: number;
  /** Zeros on all four sides. */
  readonly padding: number;
  /** Rectify the result in the same dispatch. */
  readonly relu: boolean;
  /** Then take the mean over 2x2 windows with stride 2. Inference only: such a node has no gradient. */
  readonly pool: boolean;
  /** Channels fall into so many groups, each convolved by itself. Inference only. */
  readonly groups: number;
  /** Reads the channels of `x` from here on, and lets it have more than are needed. Inference only. */
  readonly firstChannel?: number;
}

/** Of a convolution: x, w and, if there is one, its bias. */
export type Conv2dSignature = readonly ['f32', 'f32', ...'f32'[]];

export type Conv2dNode = Node<Conv2dAttrs, Conv2dSignature>;

export function convOutput(size: number, kernel: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

/** Sizes that all convolution kernels need, before pooling; `w` is [CO, CI / groups, KH, KW]. */
export function geometry(x: TensorType, w: TensorType, stride: number, padding: number) {
  const [batch, xChannels, height, width] = nchw(x);
  const [outChannels, inChannels, kernelHeight, kernelWidth] = nchw(w);
  const outHeight = convOutput(height, kernelHeight, stride, padding);
  const outWidth = convOutput(width, kernelWidth, stride, padding);
  return { batch, xChannels, inChannels, height, width, outChannels, kernelHeight, kernelWidth, outHeight, outWidth };
}

/** Direct multiply-adds up to which a GPU takes no longer for them than for three dispatches in a row. */
export const DIRECT_MULTIPLY_ADDS = 3e7;
