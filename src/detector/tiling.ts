import type { ImageSource } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import type { Node, Parameter } from '../engine/graph.ts';
import type { Precision } from '../engine/variants.ts';
import type { RegionOfInterest } from '../imaging/region.ts';
import type { TiledSize } from '../imaging/tiles.ts';
import type { InferenceParts } from '../networks/inference.ts';
import type { Networks } from '../networks/networks.ts';
import type { Quantization } from '../quantization/layers.ts';
import type { MapChain } from './mapChain.ts';
import type { MapFilter } from './mapFilter.ts';
import type { MapScores } from './score.ts';

/** What a {@link MapChain} of tiles needs of a detector's state. */
export interface TiledState {
  readonly networks: Networks;
  readonly region?: RegionOfInterest | undefined;
  readonly filter?: MapFilter | undefined;
  readonly quantization?: Quantization | undefined;
}

/** How a detector's networks become plans of a {@link MapChain}. */
export interface TiledOptions {
  /** What the networks' graphs are made of, and how maps are judged. */
  readonly parts: InferenceParts;
  readonly scores: MapScores;
  /** [4] @see mapQuantilesParameter */
  readonly quantiles: Parameter;
  readonly precision: Precision;
  /** Changes the maps' graph, such as into the one that runs on packed weights. */
  readonly rewrite?: ((roots: readonly Node[]) => Node[]) | undefined;
  /** Called with every plan that has been destroyed. */
  readonly onDisposed: () => void;
}

/** Which of the places of an image are drawn. */
export interface DrawOptions {
  /** Tiles of all images, at least one of each; 512. */
  readonly wanted?: number;
  readonly seed: number;
}

/**
 * How a detector looks at images that are larger than its networks' input: teacher and student at tiles of them, the autoencoder at
 * the whole. Detectors without one fetch no code for it.
 */
export interface Tiling {
  /** JSON of its section in a model file: the size in pixels at which images are looked at. */
  readonly value: TiledSize;
  /** Extent of the map in positions. */
  grid(networks: Networks): MapGrid;
  chain(engine: Engine, state: TiledState, options: TiledOptions): MapChain;
  /** Some of the tiles of images, as images, to learn from. */
  tiles(networks: Networks, source: ImageSource, options: DrawOptions): ImageSource;
}

/** Extent of a map in positions. */
export interface MapGrid {
  readonly rows: number;
  readonly columns: number;
}
