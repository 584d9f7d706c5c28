import type { RgbImage } from '../data/image.ts';
import type { Plan } from '../engine/plan.ts';
import type { HeatmapStyle } from '../imaging/heatmapPass.ts';
import type { EncodeSizes, PreparedImage } from './preparedImage.ts';

/** Maps of one image on the detector's grid, [mapSide, mapSide], or [rows, columns] where it looks at tiles. */
export interface GridMaps {
  readonly studentTeacher: Float32Array;
  readonly autoencoder: Float32Array;
  readonly combined: Float32Array;
}

/** A map at its image's size [height, width], and its maximum, which is not finite where the map is not. */
export interface PlacedMap {
  readonly map: Float32Array;
  readonly score: number;
}

/** Runs a plan in parts. @see Slicer */
export type RunSlices = (plan: Plan, what: string) => Promise<void>;

/** What takes a detector from images to maps. */
export interface MapChain {
  /** Compiles the networks for a batch ahead of time. @throws DestroyedError */
  warmUp(batch: number): Promise<void>;
  /** Bytes of the networks for a batch, weights included. @throws DestroyedError */
  networkBytes(batch: number): Promise<number>;
  /**
   * Maps of images on the grid and at the images' sizes. Values are not checked.
   * @param slices runs the networks in parts: nothing else may go through this chain meanwhile
   * @throws UserError for malformed pixels
   * @throws DestroyedError
   */
  predict(images: readonly RgbImage[], slices?: RunSlices): Promise<(GridMaps & PlacedMap)[]>;
  /** Maps of images on the grid. @throws as {@link predict} */
  gridMaps(images: readonly RgbImage[]): Promise<GridMaps[]>;
  /** A map of the grid on an image of that size. @throws UserError for a map that is not finite @throws DestroyedError */
  place(gridMap: Float32Array, width: number, height: number): Promise<Float32Array>;
  /**
   * Compiles what {@link PreparedImage.encode} records.
   * @throws DestroyedError, ShaderError
   * @throws UserError for sizes or formats that do not fit
   */
  prepare(sizes: EncodeSizes, style: HeatmapStyle): Promise<PreparedImage>;
  /** Frees everything on the device that no run is using; what is in use follows. */
  destroy(): void;
}
