import shader from '../../shaders/conv2d_fold.wgsl';
import { makeNode, type Node, type Op, size, type TensorType, u32 } from '../engine/graph.ts';
import { nchw } from './common.ts';

/** Parts that an invocation adds, and slices of a workgroup at most. */
const PARTS_PER_INVOCATION = 8;
const MOST_SLICES = 16;

/** Parts that can be added. */
export const MOST_PARTS = PARTS_PER_INVOCATION * MOST_SLICES;

/**
 * The sum of a convolution's parts in a fixed order, then its bias and rectifier.
 * @param parts [splits, N, CO, OH, OW] @param bias [CO]
 * @returns [N, CO, OH, OW]
 */
export function foldParts(parts: Node, bias: Node | undefined, relu: boolean, label: string): Node {
  return makeNode(conv2dFoldOp, bias ? [parts, bias] : [parts], { relu }, label);
}

interface FoldAttrs {
  readonly relu: boolean;
}

/** The definition, for a result of a type. @see Op.reference */
export function foldReference(
  parts: ArrayLike<number>,
  bias: ArrayLike<number> | undefined,
  type: TensorType,
  relu: boolean,
): Float64Array {
  const [, channels, height, width] = nchw(type);
  const count = size(type);
  return Float64Array.from({ length: count }, (_, i) => {
    let sum = bias?.[Math.floor(i / (height * width)) % channels] ?? 0;
    for (let at = i; at < parts.length; at += count) sum += parts[at]!;
    return relu ? Math.max(sum, 0) : sum;
  });
}

export const conv2dFoldOp: Op<FoldAttrs, readonly ['f32', ...'f32'[]]> = {
  name: 'conv2dFold',
  infer: ([parts]) => ({ shape: parts.shape.slice(1), dtype: 'f32' }),
  reference: ([parts, bias], { type, attrs: { relu } }) => foldReference(parts, bias, type, relu),
  variants: [
    {
      name: 'sum',
      kernel(node) {
        const splits = node.inputs[0].type.shape[0]!;
        const [, outChannels, height, width] = nchw(node.type);
        const count = size(node.type);
        let slices = 1;
        while (splits > slices * PARTS_PER_INVOCATION) slices *= 2;
        return {
          shader: { name: 'conv2d_fold.wgsl', source: shader },
          defines: {
            SPLITS: splits,
            SL: slices,
            PER: Math.ceil(splits / slices),
            BIAS: node.inputs.length - 1,
            RELU: Number(node.attrs.relu),
          },
          params: {
            size: u32(count),
            ...(node.inputs.length > 1 && { outPlane: u32(height * width), outChannels: u32(outChannels) }),
          },
          grid: [Math.ceil(count / (64 / slices))],
        };
      },
    },
  ],
};
