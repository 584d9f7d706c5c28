import type { InputValues, Values } from '../engine/graph.ts';
import { avgPool2dReference } from './avgPool2d.ts';
import { addTap } from './conv2dReference.ts';
import { geometry, type Qconv2dNode, type Qconv2dSignature } from './qconv2dShape.ts';
import { isCodes, reader, store } from './storage.ts';
import { unpackBlocks } from './weightBlocks.ts';

/** The definition: integers for activations of codes, float64 for others. @see Op.reference */
export function qconv2dReference([x, words, ...rest]: InputValues<Qconv2dSignature>, node: Qconv2dNode): Values {
  return convolvedCodes([x, ...rest], unpackBlocks(words, node.attrs.weights, node.attrs.bits), node);
}

/**
 * The same from integers of the weights.
 * @param operands stored x, the table of scales and sums, the bias, and the ranges
 * @param value integers [CO, CI, KH, KW]
 */
export function convolvedCodes(
  [x, table, bias, ...ranges]: readonly [Values, Float64Array, Float64Array, ...Float64Array[]],
  value: ArrayLike<number>,
  node: Qconv2dNode,
): Values {
  const { groupSize, input, output, stride, padding, relu, pool } = node.attrs;
  const inRange = isCodes(input) ? ranges[0] : undefined;
  const outRange = isCodes(output) ? ranges.at(-1) : undefined;
  const g = geometry(node);
  const groups = g.inChannels / groupSize;
  const read = reader(x, [g.batch, g.inChannels, g.height, g.width], input);
  const [scale, zero] = inRange ? [inRange[0]!, inRange[1]!] : [1, 0];
  const area = g.height * g.width;
  const numbers = Float64Array.from({ length: g.batch * g.inChannels * area }, (_, i) => {
    const place = i % area;
    const channel = Math.floor(i / area);
    return read(Math.floor(channel / g.inChannels), channel % g.inChannels, place) - zero;
  });
  const shape = [g.batch, g.outChannels, g.convHeight, g.convWidth];
  const plane = g.convHeight * g.convWidth;
  const y = new Float64Array(g.batch * g.outChannels * plane);
  const taps = g.kernelHeight * g.kernelWidth;
  const planes = { ...g, outHeight: g.convHeight, outWidth: g.convWidth };
  const sums = new Float64Array(plane);
  for (let n = 0; n < g.batch; n++) {
    for (let m = 0; m < g.outChannels; m++) {
      const totals = y.subarray((n * g.outChannels + m) * plane, (n * g.outChannels + m + 1) * plane);
      totals.fill(bias[m]!);
      for (let group = 0; group < groups; group++) {
        sums.fill(0);
        for (let c = group * groupSize; c < (group + 1) * groupSize; c++) {
          const image = (n * g.inChannels + c) * area;
          const codes = (m * g.inChannels + c) * taps;
          for (let t = 0; t < taps; t++) addTap(sums, numbers, image, value[codes + t]!, t, planes, stride, padding);
        }
        const step = table[2 * (m * groups + group)]! * scale;
        for (let i = 0; i < plane; i++) totals[i]! += sums[i]! * step;
      }
      if (relu) for (let i = 0; i < plane; i++) totals[i] = Math.max(totals[i]!, 0);
    }
  }
  if (!pool) return store(y, shape, output, outRange);
  const pooledShape = [g.batch, g.outChannels, g.convHeight >> 1, g.convWidth >> 1];
  return store(avgPool2dReference(y, { shape, dtype: 'f32' }), pooledShape, output, outRange);
}
