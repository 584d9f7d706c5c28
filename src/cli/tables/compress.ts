import {
  CATEGORY,
  checkpointOptions,
  DATASET,
  DRY_RUN,
  OWN_ALPHA,
  PENALTY,
  RANGE,
  SCORING,
  studyOptions,
} from './options.ts';
import type { Command } from './table.ts';

const running: Command = {
  name: 'run',
  purpose: 'compress',
  summary: "RAAD's three steps at once: train, quantize, recalibrate",
  synopsis: 'DATA -o DIR',
  about: [
    "RAAD's three steps: trains, gives every layer its bit-width by HQS and quantizes, recalibrates; evaluates after each. Leaves float.safetensors, quantized.safetensors, recalibrated.safetensors, plan.json and what `raad report DIR` draws. Run it again to go on where it was stopped. Several data sets get a folder each.",
  ],
  options: {
    output: { short: 'o', value: 'DIR', text: 'the folder of the run' },
    seed: { value: 'N', text: 'of the training and all that follows', fallback: '0' },
    category: CATEGORY,
    ...studyOptions('standard'),
    ...DRY_RUN,
  },
};

const quantize: Command = {
  name: 'quantize',
  purpose: 'compress',
  summary: 'give the weights of a model fewer bits',
  synopsis: 'MODEL --bits N --calibrate DATA -o OUT',
  about: [
    'Quantizes a trained detector: weights in 2 to 8 bits, activations in 8, 6 or 4, on integer kernels. Statistics, map quantiles and threshold are taken anew. Says which kernels run on this adapter and what they gain. DATA is the data set that the model was trained on.',
  ],
  options: {
    output: { short: 'o', value: 'OUT', text: 'where the model goes' },
    bits: { value: 'N', text: 'width of all weights: 2 to 8, 16 or 32' },
    activations: { value: '4|6|8|16|32', text: 'width of all activations', fallback: '8' },
    plan: { value: 'FILE', text: 'a width per layer instead; see docs/bit-plan.schema.json' },
    group: { value: 'N', text: 'input channels that share a scale, a multiple of 4', fallback: 'all' },
    dynamic: { text: 'ranges of activations from each input instead of calibration' },
    range: RANGE,
    calibrate: { value: 'DATA', text: 'the data set that the model was trained on' },
    time: { text: 'times the result in turns with the float model; let nothing else run meanwhile' },
    ...DATASET,
    alpha: OWN_ALPHA,
  },
};

const allocating: Command = {
  name: 'allocate',
  purpose: 'compress',
  summary: 'find a bit-width for every layer from good images',
  synopsis: 'MODEL DATA -o plan.json',
  about: [
    'Hierarchical quantization scoring: gives every layer a bit-width from what its attention says about defects, by normal images alone. Prints score with bootstrap interval, bits and bytes of every layer.',
  ],
  options: {
    output: { short: 'o', value: 'plan.json', text: 'where the bit plan goes' },
    ...SCORING,
    mode: {
      value: 'psi|budget',
      text: 'psi (default): thresholds on the scaled score; budget: least weighted rounding error under a limit',
    },
    thresholds: { value: 'LIST', text: 'of psi', fallback: '0.333,0.667' },
    bits: { value: 'LIST', text: 'widths: 4,6,8 for psi' },
    'average-bits': {
      value: 'N',
      text: 'limit on all weights; budget needs this, --bytes or a time, the controls this or --bytes',
    },
    bytes: { value: 'N', text: 'the same in bytes' },
    'budget-ms': {
      value: 'N',
      text: 'least weighted rounding error such that inference takes at most so many milliseconds here: layers are timed at every width, plans as a whole in turns with float; let nothing else run meanwhile',
    },
    'budget-time': {
      value: 'SHARE|fastest|midway',
      text: "the same as a share of float's time such as 0.8, what the fastest widths take, or midway between those and float",
    },
    activations: { value: '4|6|8', text: 'width of all activations in the plan', fallback: '8' },
    method: { value: 'hqs|uniform|reversed|ompq|random', text: 'hqs (default) or one of its controls' },
    autoencoder: {
      value: 'fixed|own',
      text: '8 bits for the autoencoder under psi (default), or scores of its own',
    },
    images: {
      value: 'held-out|train|first-half|second-half',
      text: 'which normal images are scored, held-out; halves are of all of them',
    },
    'max-images': { value: 'N', text: 'images at most', fallback: '64' },
    plantings: { value: 'N', text: 'defects of each of three kinds on each image', fallback: '2' },
    seed: { value: 'N', text: 'of planted defects, bootstrap and random', fallback: '0' },
    repeats: {
      value: 'N',
      text: 'scores N times more on each of two disjoint halves of all normal images, with seeds of their own, and says where plans differ although the intervals of the scores do not overlap',
    },
    chart: { value: 'FILE.svg', text: 'scores as bars' },
    ...DATASET,
  },
};

const recalibrate: Command = {
  name: 'recalibrate',
  purpose: 'compress',
  summary: 'train a quantized model on, as its integers round',
  synopsis: 'MODEL --plan plan.json DATA -o OUT',
  about: [
    'Quantizes a float model by a plan and trains student, autoencoder and scales on, as the integers will round; the quantized teacher is the target. Statistics, map quantiles and threshold are taken anew.',
  ],
  options: {
    output: { short: 'o', value: 'OUT', text: 'where the model goes' },
    plan: { value: 'plan.json', text: 'a width per layer; see docs/bit-plan.schema.json' },
    iterations: { value: 'N', text: "training steps, a tenth of the model's training" },
    batch: { value: 'N', text: "images of a step, as in the model's training" },
    lr: { value: 'RATE', text: 'learning rate', fallback: '1e-5' },
    penalty: PENALTY,
    ...checkpointOptions('OUT'),
    alpha: OWN_ALPHA,
    ...DATASET,
  },
};

const sensitivity: Command = {
  name: 'sensitivity',
  purpose: 'compress',
  summary: 'quantize one layer at a time and see what it costs',
  synopsis: 'MODEL DATA',
  about: [
    "Quantizes one layer at a time to each width, without training, and tabulates image AUROC, AU-PRO and the map's signal-to-noise ratio against the float model.",
  ],
  options: {
    layers: {
      value: 'NAMES',
      text: 'these layers, comma separated, or "every": all of them at once; one at a time by default',
    },
    bits: { value: 'LIST', text: 'widths of the weights, such as 2..8 or 4,8', fallback: '8,7,6,5,4,3,2' },
    activations: { value: '4|6|8|16|32', text: "width of the quantized layers' inputs", fallback: '8' },
    range: RANGE,
    csv: { value: 'FILE', text: 'the table; rows that it holds already are not computed again' },
    chart: { value: 'FILE.svg', text: 'image AUROC as bars' },
    category: CATEGORY,
  },
};

export const COMPRESS: readonly Command[] = [running, quantize, allocating, recalibrate, sensitivity];
