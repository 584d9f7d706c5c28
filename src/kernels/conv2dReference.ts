import type { TensorType } from '../engine/graph.ts';
import { avgPool2dReference } from './avgPool2d.ts';
import { type Conv2dAttrs, type Conv2dNode, geometry } from './conv2dShape.ts';

/**
 * Adds one tap's share to a plane of sums: weight * x, moved by the tap's place; zeros around x.
 * @param x values, of which a plane begins at `image`
 * @param t place of the tap in the kernel, row by row
 */
export function addTap(
  sums: Float64Array,
  x: ArrayLike<number>,
  image: number,
  weight: number,
  t: number,
  g: Pick<ReturnType<typeof geometry>, 'height' | 'width' | 'outHeight' | 'outWidth' | 'kernelWidth'>,
  stride: number,
  padding: number,
): void {
  const top = Math.floor(t / g.kernelWidth) - padding;
  const left = (t % g.kernelWidth) - padding;
  const from = Math.max(0, Math.ceil(-left / stride));
  const to = Math.min(g.outWidth - 1, Math.floor((g.width - 1 - left) / stride));
  for (let oy = 0; oy < g.outHeight; oy++) {
    const iy = oy * stride + top;
    if (iy < 0 || iy >= g.height) continue;
    const row = image + iy * g.width + left;
    for (let ox = from; ox <= to; ox++) sums[oy * g.outWidth + ox]! += weight * x[row + ox * stride]!;
  }
}

/** The definition. @see Op.reference */
export function conv2dReference(
  operands: readonly [ArrayLike<number>, ArrayLike<number>, ...ArrayLike<number>[]],
  { attrs, inputs: [x, w] }: Pick<Conv2dNode, 'attrs' | 'inputs'>,
): Float64Array {
  return convolved(operands, x.type, w.type.shape, attrs);
}

/** The same from types. @param weights [CO, CI / groups, KH, KW] */
export function convolved(
  [x, w, bias]: readonly [ArrayLike<number>, ArrayLike<number>, ...ArrayLike<number>[]],
  type: TensorType,
  weights: readonly number[],
  { stride, padding, relu, pool, groups, firstChannel = 0 }: Conv2dAttrs,
): Float64Array {
  const g = geometry(type, { shape: weights, dtype: 'f32' }, stride, padding);
  const plane = g.outHeight * g.outWidth;
  const y = new Float64Array(g.batch * g.outChannels * plane);
  for (let n = 0; n < g.batch; n++) {
    for (let co = 0; co < g.outChannels; co++) {
      const sums = y.subarray((n * g.outChannels + co) * plane, (n * g.outChannels + co + 1) * plane);
      sums.fill(bias ? bias[co]! : 0);
      const first = firstChannel + Math.floor((co * groups) / g.outChannels) * g.inChannels;
      for (let ci = 0; ci < g.inChannels; ci++) {
        const image = (n * g.xChannels + first + ci) * g.height * g.width;
        const taps = (co * g.inChannels + ci) * g.kernelHeight * g.kernelWidth;
        for (let t = 0; t < g.kernelHeight * g.kernelWidth; t++)
          addTap(sums, x, image, w[taps + t]!, t, g, stride, padding);
      }
      if (relu) for (let i = 0; i < plane; i++) sums[i] = Math.max(sums[i]!, 0);
    }
  }
  if (!pool) return y;
  return avgPool2dReference(y, { shape: [g.batch, g.outChannels, g.outHeight, g.outWidth], dtype: 'f32' });
}
