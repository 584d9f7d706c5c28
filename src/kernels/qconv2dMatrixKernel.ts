import matrixShader from '../../shaders/qconv2d_matrix.wgsl';
import weightsShader from '../../shaders/qconv2d_matrix_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { foldedGrid, testedThrough, WORKGROUP } from './common.ts';
import {
  type Block,
  ROW_WORDS,
  STEP,
  STEP_WORDS,
  SUBGROUPS,
  SUMS_PADDING,
  tilingOf,
  WORDS_AHEAD,
} from './qconv2dMatrixTiling.ts';
import {
  BLOCK_IN,
  blockPixels,
  CODE_CENTER,
  common,
  convolutionCost,
  outputShape,
  type Qconv2dAttrs,
  type Qconv2dNode,
  type Qconv2dSignature,
  spatial,
} from './qconv2dShape.ts';
import { storedType } from './storage.ts';

/** A convolution by matrices of signed bytes, where {@link tilingOf} has them. */
export function quantizedMatrixConvolution(node: Qconv2dNode, block: Block, caps: Caps): Node {
  const [x, w, table, bias, ...ranges] = node.inputs;
  const { weights, bits } = node.attrs;
  const { channels } = tilingOf(caps, block)!;
  const bytes = makeNode(matrixWeightsOp, [w], { weights, bits, channels }, `${node.label}.weights`);
  return makeNode(qconv2dMatrixOp, [x, bytes, table, bias, ...ranges], { ...node.attrs, ...block }, node.label);
}

interface MatrixWeightsAttrs {
  /** [CO, CI, KH, KW] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
  /** Output channels that lie together. */
  readonly channels: number;
}

/** Packed weights -> signed bytes u32 [ceil(CO / channels), ceil(CI / 32), KH * KW, channels, 8] */
const matrixWeightsOp: Op<MatrixWeightsAttrs, readonly ['u32']> = {
  name: 'qconv2dMatrixWeights',
  infer(_, { weights, channels }) {
    const [co, ci, kh, kw] = weights as [number, number, number, number];
    return {
      shape: [Math.ceil(co / channels), Math.ceil(ci / STEP), kh * kw, channels, STEP_WORDS],
      dtype: 'u32',
    };
  },
  reference: testedThrough('qconv2dMatrixWeights', 'qconv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { weights, bits, channels } = node.attrs;
        const [co, ci, kh, kw] = weights as [number, number, number, number];
        const count = size(node.type);
        return {
          shader: { name: 'qconv2d_matrix_weights.wgsl', source: weightsShader },
          defines: { BITS: bits, JUSTIFIED: (0xff << (8 - bits)) & 0xff, BM: channels, WORKGROUP },
          params: {
            size: u32(count),
            outChannels: u32(co),
            inWords: u32(Math.ceil(ci / BLOCK_IN)),
            steps: u32(Math.ceil(ci / STEP)),
            taps: u32(kh * kw),
          },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};

type MatrixAttrs = Qconv2dAttrs & Block;

/** qconv2d of weights that {@link matrixWeightsOp} made. */
const qconv2dMatrixOp: Op<MatrixAttrs, Qconv2dSignature> = {
  name: 'qconv2dMatrix',
  infer: ([x], attrs) => storedType(outputShape(attrs, x!), attrs.output),
  reference: testedThrough('qconv2dMatrix', 'qconv2d'),
  cost: convolutionCost,
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { rows, columns, staged, padding, pool } = node.attrs;
        const { M, N, K, lanes, channels, pixels } = tilingOf(caps, node.attrs)!;
        const invocations = SUBGROUPS * lanes;
        const results = pixels / (pool ? 4 : 1);
        const [pixelQuads, weightQuads] = [(2 * pixels) / invocations, (2 * channels) / invocations];
        const quads = pixelQuads + (staged ? weightQuads : 0);
        // The longest vectors of words in which the codes of a matrix's row begin.
        const vector = Math.min(4, K / BLOCK_IN);
        const { groupWords: _, ...used } = spatial(node);
        const { g, ends, defines } = common(node, { weights: `vec${vector}u`, center: CODE_CENTER });
        return {
          shader: { name: 'qconv2d_matrix.wgsl', source: matrixShader },
          defines: {
            ...ends,
            ...{ POOL: defines.POOL, M, N, K, S: lanes, TM: rows, TN: columns, BM: channels, BN: pixels },
            STAGED: Number(staged),
            PADDED: Number(padding > 0),
            RAGGED: Number(g.inChannels % STEP !== 0),
            VEC: vector,
            AHEAD: stepsAhead(4 * quads),
            BUFFER: ((pixels + (staged ? channels : 0)) * ROW_WORDS) / vector,
            PITCH: pixels + SUMS_PADDING,
            // Loads of an invocation: pixels, quads of words of pixels, and of weights.
            XR: Math.max(1, pixels / invocations),
            XU: pixelQuads,
            WU: weightQuads,
            // Results of a row of matrices: places, those of an invocation, and quads of channels that are stored at once.
            PX: results,
            PR: Math.max(1, results / invocations),
            QS: Math.max(1, invocations / results),
          },
          params: used,
          grid: [Math.ceil(blockPixels(node) / pixels), Math.ceil(g.outChannels / channels)] as const,
        };
      },
    },
  ],
};

/** Steps that are loaded before they are multiplied, an even number. @param words of a step that an invocation loads */
function stepsAhead(words: number): number {
  return 4 * words <= WORDS_AHEAD ? 4 : 2;
}
