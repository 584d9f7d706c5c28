import type { Caps } from '../engine/caps.ts';
import type { Node } from '../engine/graph.ts';
import { lanes, WORKGROUP } from './common.ts';

export interface TileAttrs {
  /** Output tile. */
  readonly m: number;
  /** Kernel size. */
  readonly k: number;
}

/** Kernel sizes and output tiles that have transforms in `shaders/snippets/winograd.wgsl`. */
export const WINOGRAD_TILES: Readonly<Record<number, readonly number[]>> = { 4: [3, 2], 3: [4, 2] };

/** Of Winograd's input transforms. */
export interface InputAttrs extends TileAttrs {
  readonly padding: number;
  /** Tile rows, counted through all images of the batch: this chunk, and in one image. */
  readonly firstRow: number;
  readonly rows: number;
  readonly tilesY: number;
  readonly tilesX: number;
  /** Height and width to which x is resized while it is read. */
  readonly resized?: readonly [number, number] | undefined;
}

/** Of the transform of an output gradient. */
export interface DyAttrs extends TileAttrs {
  /** Channels that lie together behind a point and a tile; 0: a channel's tiles lie together. */
  readonly tile: number;
  readonly tilesY: number;
  readonly tilesX: number;
}

/** Of the output transform. */
export interface OutputAttrs extends TileAttrs {
  readonly relu: boolean;
  readonly pool: boolean;
  readonly bias: boolean;
  readonly firstRow: number;
  readonly rows: number;
  readonly tilesY: number;
  readonly tilesX: number;
  readonly shape: readonly number[];
  /** Whether the products are words of two channels; no when absent. */
  readonly halves?: boolean | undefined;
}

export interface ProductAttrs extends TileAttrs {
  readonly groups: number;
  /** The weights' first input channel among those of the transformed input. */
  readonly firstChannel: number;
  /** What the first operand is: weights, or the output gradient (then the sum runs over tiles). */
  readonly from: 'weights' | 'dy';
  readonly tiles: number;
  readonly tilesY: number;
  readonly tilesX: number;
}

/** The first operand, the transformed input and, if there is one, a second transformed input. */
export type ProductSignature = readonly ['f32', 'f32', ...'f32'[]];
export type ProductNode = Node<ProductAttrs, ProductSignature>;

/** Products of some tile rows. */
export interface Chunk {
  readonly products: Node;
  readonly firstRow: number;
  readonly rows: number;
  readonly tilesY: number;
  readonly tilesX: number;
}

/** The tiles of an output plane; with `quad`, their counts are even, so that pooling windows are whole. */
export function tiling(outHeight: number, outWidth: number, m: number, quad: number) {
  const tilesY = Math.ceil(outHeight / (m * quad)) * quad;
  const tilesX = Math.ceil(outWidth / (m * quad)) * quad;
  return { tilesY, tilesX };
}

/**
 * Elements from one point's tiles to the next one's: an odd number of cache lines, so that the streams of a transform, one for
 * each point, do not fall into the same cache sets.
 */
export function pitch(tiles: number): number {
  const lines = Math.ceil(tiles / 16);
  return 16 * (lines + 1 - (lines % 2));
}

/** Tiles of one side that an output transform takes together, so that no pooling window is cut. */
export function quads(pool: boolean, m: number): number {
  return pool && m % 2 === 1 ? 2 : 1;
}

interface RowTiling {
  /** Tile rows of all images. */
  readonly total: number;
  readonly tilesX: number;
  /** @see quads */
  readonly quad: number;
  /** Of the largest intermediate value, for one tile. */
  readonly bytesPerPoint: number;
}

/** Runs of tile rows, as equal as may be, whose intermediate values can be bound at once. */
export function rowChunks(
  { total, tilesX, quad, bytesPerPoint }: RowTiling,
  caps: Caps,
): Pick<Chunk, 'firstRow' | 'rows'>[] {
  // A pitch is at most 32 elements longer than its tiles.
  const bindable = Math.floor(caps.limits.maxStorageBufferBindingSize / bytesPerPoint) - 32;
  const most = Math.max(quad, Math.floor(bindable / tilesX / quad) * quad);
  const count = Math.ceil(total / most);
  const rowsPerChunk = Math.ceil(total / count / quad) * quad;
  return Array.from({ length: Math.ceil(total / rowsPerChunk) }, (_, i) => ({
    firstRow: i * rowsPerChunk,
    rows: Math.min(rowsPerChunk, total - i * rowsPerChunk),
  }));
}

/** Invocations per workgroup of the transforms: a subgroup on CPU adapters, where a workgroup is a loop. */
export function transformWorkgroup(caps: Caps): number {
  return caps.isCpu ? lanes(caps) || WORKGROUP : WORKGROUP;
}

/** On CPU adapters: a tile's position is computed once for so many channels. */
const CHANNELS_ON_CPU = 8;
/** Workgroups with which a large GPU is full several times over. */
const MANY_WORKGROUPS = 2048;

/**
 * Channels that one invocation of a transform takes in turn. A GPU hides the latency of memory by invocations: there it is two
 * where these are many, else one.
 * @param across workgroups that one channel takes
 */
export function channelsPerInvocation(caps: Caps, across: number, channels: number): number {
  if (caps.isCpu) return CHANNELS_ON_CPU;
  return (across * channels) / 2 >= MANY_WORKGROUPS ? 2 : 1;
}
