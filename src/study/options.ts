import type { Dataset } from '../data/dataset.ts';
import type { ImageSource } from '../data/image.ts';
import type { Detector } from '../detector/detector.ts';
import type { Engine } from '../engine/engine.ts';
import type { TestSource } from '../evaluation/evaluate.ts';
import type { TensorFile } from '../formats/safetensors.ts';
import type { PlanTimer } from '../hqs/timeBudget.ts';
import type { PenaltySource } from '../train/penalty.ts';
import type { StudySettings } from './settings.ts';

/** The images of one data set, split by a seed. */
export interface StudyData {
  readonly layout: Dataset['layout'];
  readonly train: ImageSource;
  readonly heldOut: ImageSource;
  readonly test: TestSource;
  /** Stands for the good images, in model files. @see FitOptions */
  readonly digest?: () => Promise<string | undefined>;
}

/** Keeps checkpoints and scores that cells share. Values are replaced as a whole. */
export interface StudyStore {
  load(name: string): Promise<Uint8Array | undefined>;
  save(name: string, bytes: Uint8Array): Promise<void>;
}

/** What the cells of a study run with. */
export interface StudyOptions {
  readonly engine: Engine;
  readonly settings: StudySettings;
  /** @param set name of a data set */
  readonly open: (set: string, seed: number) => Promise<StudyData>;
  readonly penalty: (seed: number) => PenaltySource;
  readonly teacher: TensorFile & { readonly name: string };
  readonly store: StudyStore;
  /** Times layers and plans of the arm `time`; the engine's adapter by default. */
  readonly timer?: ((float: Detector) => PlanTimer) | undefined;
  /** Told what is being done: training takes long. */
  readonly onProgress?: ((phase: string, done: number, total: number) => void) | undefined;
  /** Told of test images and held-out images that are left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}
