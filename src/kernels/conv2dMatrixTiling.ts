import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import type { Node } from '../engine/graph.ts';
import { nchw } from './common.ts';
import { halfMatrices } from './halves.ts';

/** Steps of a lot, and the words that hold them. */
export const LOT = 16;
export const LOT_WORDS = LOT / 2;
/** Vec4 from a row of a lot to the next one in workgroup memory. */
export const ROW_VECTORS = LOT_WORDS / 4 + 1;
/** Sums between rows of results beyond the block's pixels, against bank conflicts. */
export const SUMS_PADDING = 8;
/** Subgroups of a workgroup: two by two. */
export const SUBGROUPS = 4;

/** Matrices of a subgroup: rows of channels x columns of pixels. */
export interface Block {
  readonly rows: number;
  readonly columns: number;
}

/** What the kernel is made of on a device. */
interface Tiling extends Pick<SubgroupMatrixConfig, 'M' | 'N' | 'K'> {
  readonly lanes: number;
  /** Of a workgroup. */
  readonly channels: number;
  readonly pixels: number;
}

export function tilingOf(caps: Caps, { rows, columns }: Block): Tiling | undefined {
  const config = halfMatrices(caps);
  const { subgroups, subgroupMinSize, subgroupMaxSize, limits } = caps;
  if (!config || !subgroups || subgroupMinSize !== subgroupMaxSize || LOT % config.K !== 0) return undefined;
  const { M, N, K } = config;
  const channels = 2 * rows * M;
  const pixels = 2 * columns * N;
  const invocations = SUBGROUPS * subgroupMaxSize;
  const bytes = 2 * 16 * ROW_VECTORS * (channels + pixels) + 4 * 2 * M * (pixels + SUMS_PADDING);
  const fits =
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes <= limits.maxComputeWorkgroupStorageSize &&
    // Every invocation loads the same number of vec4 of words.
    [channels, pixels].every((side) => (2 * side) % invocations === 0) &&
    (invocations % pixels === 0 || pixels % invocations === 0);
  return fits ? { M, N, K, lanes: subgroupMaxSize, channels, pixels } : undefined;
}

/** Pixels that are computed: pooled ones four times. */
export function blockPixels({ type, attrs }: Pick<Node<{ readonly pool: boolean }>, 'type' | 'attrs'>): number {
  const [n, , height, width] = nchw(type);
  return n * height * width * (attrs.pool ? 4 : 1);
}
