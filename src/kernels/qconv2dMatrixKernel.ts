import matrixShader from '../../shaders/qconv2d_matrix.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op } from '../engine/graph.ts';
import { withByteWeights } from './byteWeights.ts';
import { testedThrough } from './common.ts';
import { type Block, ROW_WORDS, STEP, SUBGROUPS, SUMS_PADDING, tilingOf, WORDS_AHEAD } from './qconv2dMatrixTiling.ts';
import { matrixWeightsOp } from './qconv2dMatrixWeights.ts';
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
  const { channels } = tilingOf(caps, block)!;
  const inputs = withByteWeights(node, matrixWeightsOp, channels);
  return makeNode(qconv2dMatrixOp, inputs, { ...node.attrs, ...block }, node.label);
}

type MatrixAttrs = Qconv2dAttrs & Block;

/** qconv2d of weights that {@link matrixWeightsOp} made. */
const qconv2dMatrixOp: Op<MatrixAttrs, Qconv2dSignature> = {
  name: 'qconv2dMatrix',
  infer: ([x], attrs) => storedType(outputShape(attrs, x), attrs.output),
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
