import type { Placement } from '../detectorOps/maps.ts';
import type { TensorEntry } from '../formats/safetensors.ts';
import type { RegionOfInterest } from '../imaging/region.ts';
import type { Networks } from '../networks/networks.ts';
import type { Quantization } from '../quantization/layers.ts';
import type { Calibration, Threshold } from './conformal.ts';
import type { MapFilter } from './mapFilter.ts';
import type { Tiling } from './tiling.ts';

/** Quantiles of both raw maps over all pixels of held-out normal images. */
export interface MapQuantiles {
  /** 0.9 and 0.995 quantiles of the student-teacher map, as `mapRange` takes them. */
  readonly studentTeacher: readonly [number, number];
  /** Likewise of the autoencoder-student map. */
  readonly autoencoder: readonly [number, number];
}

/** How the detector came about; kept in the model file. */
export interface Provenance {
  readonly dataset: string;
  readonly seed: number;
  readonly iterations: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly teacher: string;
  readonly penalty: string;
  readonly trainImages: number;
  readonly heldOutImages: number;
  /** SHA-256 that stands for names and contents of the data set's good images; absent where they were not files. */
  readonly dataDigest?: string;
  readonly [key: string]: string | number;
}

/** All that a model file holds of a detector: values of the host. */
export interface DetectorState {
  readonly networks: Networks;
  readonly quantiles: MapQuantiles;
  readonly placement: Placement;
  /** The part of images that it looks at; absent: all of them. Maps are NaN outside of it. */
  readonly region?: RegionOfInterest | undefined;
  /** Absent: all that it sees of an image fits the networks' input. */
  readonly tiling?: Tiling | undefined;
  /** What the combined map passes before it is placed; absent: nothing. */
  readonly filter?: MapFilter | undefined;
  /** Absent until it has been calibrated. */
  readonly threshold?: Threshold | undefined;
  /** The scores that the threshold comes from; absent in files of earlier programs. */
  readonly calibration?: Calibration | undefined;
  readonly provenance: Provenance;
  /** Codes and scales of a quantized detector; the networks hold the values that they stand for. */
  readonly quantization?: Quantization | undefined;
  /** Of a file by a newer program: what this one does not need to know, and writes again. */
  readonly otherSections?: ReadonlyMap<string, OtherSection> | undefined;
}

/** A part of a model file that this program does not know, and may leave out: it is kept as it is and written again. */
export interface OtherSection {
  readonly version: number;
  /** JSON */
  readonly value: unknown;
  /** Its tensors, by their names in the file: `SECTION/...`. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}
