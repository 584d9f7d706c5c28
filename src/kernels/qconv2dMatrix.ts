import matrixShader from '../../shaders/qconv2d_matrix.wgsl';
import weightsShader from '../../shaders/qconv2d_matrix_weights.wgsl';
import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { foldedGrid, testedThrough, WORKGROUP } from './common.ts';
import {
  BLOCK_IN,
  blockPixels,
  common,
  convolutionCost,
  geometry,
  outputShape,
  type Qconv2dAttrs,
  spatial,
} from './qconv2dShape.ts';
import { storedType } from './storage.ts';

/*
 * qconv2d of u8 activations by the products of small integer matrices that a subgroup computes together. Weights are decoded
 * to a byte each when they are uploaded: on the device a layer takes 8 bits a weight more than its packed codes.
 */

/** Input channels of a step, at one tap. */
const STEP = 32;
const STEP_WORDS = STEP / BLOCK_IN;
/** Words from a row of a step to the next one in workgroup memory: eight rows start in different banks. */
const ROW_WORDS = STEP_WORDS + 4;
/** Sums between rows of results beyond the block's pixels, against bank conflicts likewise. */
const SUMS_PADDING = 8;
/** Words of weights, of the present step and the next, that an invocation holds when they come from storage. */
const MOST_HELD = 32;
/** Words of steps on their way that an invocation holds. */
const WORDS_AHEAD = 32;
/** Subgroups of a workgroup: two by two. */
const SUBGROUPS = 4;

/** How a workgroup shares the work. */
interface Block {
  /** Matrices of a subgroup: rows of channels x columns of pixels. */
  readonly rows: number;
  readonly columns: number;
  /** Whether weights go through workgroup memory, or straight from storage into matrices. */
  readonly staged: boolean;
}

/** Large blocks load the least; many small ones keep all cores busy. */
const BLOCKS: readonly Block[] = [
  { rows: 4, columns: 4, staged: true },
  { rows: 4, columns: 2, staged: true },
  { rows: 2, columns: 4, staged: true },
  { rows: 2, columns: 2, staged: true },
  { rows: 4, columns: 4, staged: false },
  { rows: 2, columns: 2, staged: false },
];

/** What the kernel is made of on a device. */
interface Tiling extends Pick<SubgroupMatrixConfig, 'M' | 'N' | 'K'> {
  /** Lanes of a subgroup. */
  readonly lanes: number;
  /** Channels x pixels of a workgroup. */
  readonly channels: number;
  readonly pixels: number;
  readonly workgroupBytes: number;
}

/** The largest matrices of signed bytes that the kernel can take. */
function integerMatrices({ subgroupMatrixConfigs }: Caps): SubgroupMatrixConfig | undefined {
  const fitting = subgroupMatrixConfigs.filter(({ componentType, resultComponentType, M, N, K }) => {
    const isTaken = [M, N].every((side) => side === 8 || side === 16 || side === 32) && [8, 16, 32].includes(K);
    return componentType === 'i8' && resultComponentType === 'i32' && isTaken;
  });
  const products = ({ M, N, K }: SubgroupMatrixConfig) => M * N * K;
  return fitting.sort((a, b) => products(b) - products(a))[0];
}

function tilingOf(caps: Caps, { rows, columns, staged }: Block): Tiling | undefined {
  const config = integerMatrices(caps);
  const { subgroups, subgroupMinSize, subgroupMaxSize, limits } = caps;
  if (!config || !subgroups || subgroupMinSize !== subgroupMaxSize) return undefined;
  const { M, N, K } = config;
  const channels = 2 * rows * M;
  const pixels = 2 * columns * N;
  const invocations = SUBGROUPS * subgroupMaxSize;
  const buffers = 2 * (pixels + (staged ? channels : 0)) * ROW_WORDS;
  const workgroupBytes = 4 * (buffers + 2 * M * (pixels + SUMS_PADDING));
  const fits =
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    workgroupBytes <= limits.maxComputeWorkgroupStorageSize &&
    (staged || (2 * rows * M * STEP_WORDS) / subgroupMaxSize <= MOST_HELD) &&
    // Every invocation loads the same number of quads of words.
    [channels, pixels].every((side) => (2 * side) % invocations === 0);
  return fits ? { M, N, K, lanes: subgroupMaxSize, channels, pixels, workgroupBytes } : undefined;
}

/** Variants of qconv2d, a block each. */
export const matrixVariants: readonly Variant<Qconv2dAttrs>[] = BLOCKS.map((block) => ({
  name: `matrix${block.staged ? '' : 'Stored'}${block.rows}x${block.columns}`,
  supports(caps, { attrs: { input, weights, groupSize, pool, stride } }) {
    const isWhole = groupSize === weights[1];
    return input === 'u8' && isWhole && !(pool && stride > 1) && tilingOf(caps, block) !== undefined;
  },
  madeFor: 'gpu',
  suits(caps, node) {
    const { inChannels, outChannels } = geometry(node);
    const { channels, pixels } = tilingOf(caps, block)!;
    const workgroups = Math.ceil(outChannels / channels) * Math.ceil(blockPixels(node) / pixels);
    const isSmallest = block.rows * block.columns === 4;
    return inChannels >= STEP && (isSmallest || workgroups >= MANY_WORKGROUPS);
  },
  lower(node, caps) {
    const [x, w, ...rest] = node.inputs as [Node, Node, ...Node[]];
    const { weights, bits } = node.attrs;
    const { channels } = tilingOf(caps, block)!;
    const bytes = makeNode(matrixWeightsOp, [w], { weights, bits, channels }, `${node.label}.weights`);
    return makeNode(qconv2dMatrixOp, [x, bytes, ...rest], { ...node.attrs, ...block }, node.label);
  },
}));

/** Workgroups that keep a large GPU busy. */
const MANY_WORKGROUPS = 128;

interface MatrixWeightsAttrs {
  /** [CO, CI, KH, KW] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
  /** Output channels that lie together. */
  readonly channels: number;
}

/** Packed weights -> signed bytes u32 [ceil(CO / channels), ceil(CI / 32), KH * KW, channels, 8] */
const matrixWeightsOp: Op<MatrixWeightsAttrs> = {
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
const qconv2dMatrixOp: Op<MatrixAttrs> = {
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
        const { g, defines } = common(node);
        const { OUT, RELU, POOL } = defines;
        const invocations = SUBGROUPS * lanes;
        const results = pixels / (pool ? 4 : 1);
        const [pixelQuads, weightQuads] = [(2 * pixels) / invocations, (2 * channels) / invocations];
        const quads = pixelQuads + (staged ? weightQuads : 0);
        // The longest vectors of words in which the codes of a matrix's row begin.
        const vector = Math.min(4, K / BLOCK_IN);
        return {
          shader: { name: 'qconv2d_matrix.wgsl', source: matrixShader },
          defines: {
            ...{ OUT, RELU, POOL, M, N, K, S: lanes, TM: rows, TN: columns, BM: channels, BN: pixels },
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
          params: spatial(node),
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
