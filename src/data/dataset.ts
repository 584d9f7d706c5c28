import { UserError } from '../errors.ts';
import { Random } from '../math/random.ts';

/** A test image with its ground truth. Paths are relative to the data set's root, with `/`. */
export interface TestSample {
  readonly image: string;
  /** Name of the defect kind, or `good`. */
  readonly defect: string;
  /** Mask files: none for good images and image-level labels, several where each defect has a file of its own (LOCO). */
  readonly masks: readonly string[];
}

/** How the official metric of MVTec LOCO saturates a kind of defect. */
export interface DefectConfig {
  readonly defectName: string;
  /** Value of the defect's pixels in its mask file. */
  readonly pixelValue: number;
  /** Relative: a share of the defect's area. Absolute: pixels. */
  readonly saturationThreshold: number;
  readonly relativeSaturation: boolean;
}

/** A file that a data set does not use, such as a mask without an image. */
export interface LeftOut {
  /** Relative to the data set's root. */
  readonly path: string;
  /** What such files have in common, as in `masks without an image`. */
  readonly reason: string;
}

/** One category: images to learn from and images to test on. */
export interface Dataset {
  readonly name: string;
  readonly layout: 'mvtec-ad' | 'mvtec-loco' | 'mvtec-3d' | 'visa' | 'plain';
  /** Good images. */
  readonly train: readonly string[];
  /** Good images of an official validation split; empty where there is none. */
  readonly validation: readonly string[];
  readonly test: readonly TestSample[];
  /** LOCO's `defects_config.json`. */
  readonly defects?: readonly DefectConfig[] | undefined;
  /** Where it lies below the root; absent where it is the root itself. */
  readonly folder?: string | undefined;
  /** What lies there and is not used; absent when all is. */
  readonly leftOut?: readonly LeftOut[] | undefined;
}

/** The files below a root, for layouts to be recognized anywhere: on disk or in a browser. */
export interface FileTree {
  /** Shown in messages. */
  readonly name: string;
  /** All files, relative to the root, with `/`. */
  readonly files: readonly string[];
  readText(path: string): Promise<string>;
}

/** Defect name of images without one. */
export const GOOD = 'good';

const HELD_OUT_SHARE = 0.1;

/**
 * Good images to train on and good images kept apart: the validation split where there is one, else a tenth of the training
 * images, drawn by seed. Test images are never among them.
 * @throws UserError when fewer than two good images are left
 */
export function splitHeldOut(
  { name, train, validation }: Pick<Dataset, 'name' | 'train' | 'validation'>,
  seed: number,
): { readonly train: readonly string[]; readonly heldOut: readonly string[] } {
  if (train.length === 0) {
    throw new UserError(`${name} holds no good images to train on.`, 'Put images of good parts into train/good.');
  }
  if (validation.length > 0) return { train, heldOut: validation };
  if (train.length < 2) {
    throw new UserError(
      `${name} holds a single good image.`,
      'At least two are needed, one of them for the threshold.',
    );
  }
  const order = new Random(seed).permutation(train.length);
  const heldOut = Math.max(1, Math.round(HELD_OUT_SHARE * train.length));
  const pick = (indices: Uint32Array) => [...indices].sort((a, b) => a - b).map((i) => train[i]!);
  return { train: pick(order.subarray(heldOut)), heldOut: pick(order.subarray(0, heldOut)) };
}
