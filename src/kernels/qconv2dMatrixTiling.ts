import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { BLOCK_IN } from './qconv2dShape.ts';

/** Input channels of a step, at one tap. */
export const STEP = 32;
export const STEP_WORDS = STEP / BLOCK_IN;
/** Words from a row of a step to the next one in workgroup memory: eight rows start in different banks. */
export const ROW_WORDS = STEP_WORDS + 4;
/** Sums between rows of results beyond the block's pixels, against bank conflicts likewise. */
export const SUMS_PADDING = 8;
/** Words of weights, of the present step and the next, that an invocation holds when they come from storage. */
const MOST_HELD = 32;
/** Words of steps on their way that an invocation holds. */
export const WORDS_AHEAD = 32;
/** Subgroups of a workgroup: two by two. */
export const SUBGROUPS = 4;

/** How a workgroup shares the work. */
export interface Block {
  /** Matrices of a subgroup: rows of channels x columns of pixels. */
  readonly rows: number;
  readonly columns: number;
  /** Whether weights go through workgroup memory, or straight from storage into matrices. */
  readonly staged: boolean;
}

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

export function tilingOf(caps: Caps, { rows, columns, staged }: Block): Tiling | undefined {
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
