import type { Option, Options } from './table.ts';

// Options that several commands have.

/** Options of every command. */
export const COMMON: Options = {
  adapter: {
    value: 'NAME',
    text: "gpu, lavapipe, swiftshader, or a part of the adapter's name; RAAD_ADAPTER does the same. By default a hardware GPU, else lavapipe, else SwiftShader",
  },
  debug: { text: 'a line per kernel of everything that is compiled' },
  'dump-wgsl': { text: 'print every shader as it runs' },
  shader: { value: 'FILE.wgsl', text: 'take this file instead of the kernel of the same name, for one run' },
  'variant-module': {
    value: 'FILE.mjs',
    text: "variants of ops besides the package's own; see docs/adding-a-variant.md",
  },
  toggles: {
    value: 'A,-B',
    text: "Dawn's own toggles: A is switched on, B off, such as skip_validation,-timestamp_quantization. None by default; bench and tune switch timestamp_quantization off unless it is named. Write --toggles=-B where the first is switched off",
  },
  help: { short: 'h', text: 'what the command does, and its options' },
};

export const CATEGORY: Option = { value: 'NAME', text: 'one of several data sets' };
export const GOOD: Option = { value: 'DIR', text: 'a folder of good images instead of DATA' };
export const PENALTY: Option = {
  value: 'DIR',
  text: 'photographs for the penalty loss; generated pictures by default',
};
export const ALPHA: Option = { value: 'RATE', text: 'wanted false-alarm rate of the threshold', fallback: '0.01' };
export const OWN_ALPHA: Option = {
  value: 'RATE',
  text: "wanted false-alarm rate of the threshold; the model's own by default",
};
export const PRECISION: Option = {
  value: 'f32|f16',
  text: "what a float network keeps between Winograd's transforms; f16 is for GPUs",
  fallback: 'f32',
};
export const RANGE: Option = {
  value: 'minmax|mse|quantile',
  text: 'how ranges of activations are chosen',
  fallback: 'minmax',
};
export const ROUNDS: Options = {
  rounds: { value: 'N', text: 'measured rounds, 1000 in the published protocol', fallback: '10' },
  'warm-up': { value: 'N', text: 'rounds before them, 1000 in the published protocol', fallback: '3' },
};
export const BENCH_JSON: Option = { value: 'FILE', text: 'results with adapter, driver, toggles and versions' };

/** What a detector does to its map. */
export const MAPS: Option = {
  value: 'auto|none|gaussian|location|border',
  text: 'what is done to the map before it is scored: nothing, a blur, normalized by what is usual at each place, or likewise by the distance from the border (with --border reflect); auto chooses by held-out images and planted defects, and prints what each gives',
};

/** The good images of a model's data set. */
export const DATASET: Options = { good: GOOD, category: CATEGORY };

/** Folders that stand for a data set. */
export const FOLDERS: Options = {
  good: GOOD,
  bad: { value: 'DIR', text: 'a folder of defective images' },
  masks: { value: 'DIR', text: 'a folder of their masks' },
};

/** Options of commands that can only say what they would read. */
export const DRY_RUN: Options = {
  'dry-run': { text: 'only say what would be read; see raad data' },
  json: { text: 'with --dry-run: every file by name, as JSON' },
};

/** Options that define a training, for every command that trains. */
export function trainingOptions(preset: 'quick' | 'standard'): Options {
  return {
    preset: {
      value: 'quick|standard|paper',
      text: `network, input and steps x batch. quick: xs, 128 px, 600 x 4; standard: s, 256 px, 5000 x 4; paper: s, 256 px, 70000 x 1; ${preset} by default`,
    },
    size: { value: 'xs|s|m', text: "network size instead of the preset's" },
    resolution: { value: 'PX', text: 'input side, a multiple of 64 from 128 to 4096' },
    iterations: { value: 'N', text: 'training steps' },
    batch: { value: 'N', text: 'images of a step' },
    lr: { value: 'RATE', text: 'learning rate' },
    penalty: PENALTY,
  };
}

/** How layers are scored. */
export const SCORING: Options = {
  map: { value: 'attention|ridge|cka', text: 'how teacher and student are compared', fallback: 'attention' },
  contribution: {
    value: 'separability|literal',
    text: 'AUROC of the map on planted defects (default), or its mean on normal images',
  },
};

/** Options that `study` and `run` share: of training, scoring and recalibration. */
export function studyOptions(preset: 'quick' | 'standard'): Options {
  return {
    ...trainingOptions(preset),
    ...SCORING,
    'recalibrate-iterations': { value: 'N', text: 'steps of the recalibration, a tenth of the training' },
    'recalibrate-lr': { value: 'RATE', text: 'its learning rate', fallback: '1e-5' },
  };
}

/** Checkpoints of a training into OUTPUT. */
export function checkpointOptions(output: string): Options {
  return {
    'checkpoint-every': { value: 'N', text: `steps between checkpoints, 100; the file is ${output}.checkpoint` },
    resume: { text: `continue from that file; while one process works, ${output}.lock keeps others off` },
  };
}
